"""Benchmark `backup`: a fleet is backed up while clients write; how long, and what they see.

A fleet of its own (one region, three stores, one node) is filled over HTTP. Then clients write one
small value after the other, each to a shard of its own, as long as `leadplane backup` runs in a
process of its own, and for as long undisturbed. The pause is the longest time that one of them was
without an acknowledgement. Last, the file is checked, and restored into a new fleet.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from controlplane.bench.bench_fleet import (
    LEADPLANE,
    BenchFleet,
    bench_fleet,
    one_region_topology,
)
from controlplane.bench.comparison import Tell
from controlplane.bench.numbered_writes import NumberedWrites
from controlplane.bench.report import Figure, Findings, NotMeasured
from controlplane.cli.kv import key_path
from shards.key_in_slot import key_in_slot
from shards.keyspace import SLOTS

VALUE_BYTES = 50_000
SHARDS = 12
FILLERS = 8
WRITE_EVERY_S = 0.01
RUN_S_MAX = 1_800.0
PAUSE_MS_MAX = 100


@dataclass(frozen=True, slots=True)
class Saving:
    """How much there is to be kept."""

    bytes: int = 100_000_000


def measure_backup(saving: Saving, tell: Tell) -> Findings:
    """Fill, write, back up, check, restore."""
    topology = one_region_topology()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leadplane-bench-")))
        regions, file = folder / "topology.yaml", folder / "fleet.leadplane"
        regions.write_text(topology, encoding="utf-8")
        with bench_fleet(SHARDS, topology) as fleet:
            tell(f"filling {saving.bytes:,} bytes")
            _fill(fleet, saving.bytes)
            took: list[float] = []
            backup = ["backup", str(file), "--regions", str(regions)]
            pause_ms = _longest_pause_ms(fleet, lambda: took.append(_run(backup)))
            undisturbed_ms = _longest_pause_ms(fleet, lambda: time.sleep(took[0]))
        size = file.stat().st_size
        tell(f"{took[0]:.1f} s, longest pause {pause_ms:.0f} ms")
        checked_s = _run(["restore", str(file), "--check"])
        restored_s = _restored_s(regions, file, folder / "again")
    figures = (
        Figure(f"backup of {saving.bytes / 1e6:,.0f} MB of values", took[0], "s"),
        Figure("size of the file", size / 1e6, "MB"),
        Figure("longest pause of a writing client undisturbed", undisturbed_ms, "ms"),
        Figure(
            "longest pause of a writing client meanwhile", pause_ms, "ms",
            target=f"at most {PAUSE_MS_MAX} ms", reached=pause_ms <= PAUSE_MS_MAX,
        ),
        Figure("check of the file", checked_s, "s"),
        Figure("new fleet from it, until every shard is led", restored_s, "s"),
    )  # fmt: skip
    method = (
        f"One node, three stores, {SHARDS} shards with values of {VALUE_BYTES:,} random bytes. "
        f"{SHARDS} clients write to a shard each over HTTP, {WRITE_EVERY_S * 1e3:g} ms after each "
        "answer, during `leadplane backup`, its start included, then for as long undisturbed; "
        "`leadplane up --restore` at last."
    )
    return Findings("backup", "", method, figures)


def _fill(fleet: BenchFleet, size: int) -> None:
    """Values that nothing can compress, spread over the shards."""
    access = fleet.access
    partitions = [f"{{{key_in_slot(slot)}}}" for slot in _slots()]

    def put(number: int) -> None:
        key = f"{partitions[number % SHARDS]}/{number:07}"
        access.send("PUT", key_path(key), body=os.urandom(VALUE_BYTES))

    with ThreadPoolExecutor(FILLERS) as fillers:
        for _ in fillers.map(put, range(size // VALUE_BYTES)):
            continue


def _slots() -> Iterator[int]:
    """A slot of each shard."""
    for shard in range(SHARDS):
        yield shard * SLOTS // SHARDS


def _longest_pause_ms(fleet: BenchFleet, meanwhile: Callable[[], object]) -> float:
    with ExitStack() as stack:
        writers = [
            stack.enter_context(_writer(str(fleet.nodes[0]["url"]), slot)) for slot in _slots()
        ]
        for writer in writers:
            if not writer.wait_for_number(20, RUN_S_MAX):
                raise NotMeasured("writes do not begin")
        since_s = time.monotonic()
        meanwhile()
        return max(writer.longest_gap_ms(since_s) for writer in writers)


@contextmanager
def _writer(url: str, slot: int) -> Iterator[NumberedWrites]:
    key = key_in_slot(slot)
    with NumberedWrites(url, lambda number: key, WRITE_EVERY_S) as writer:
        yield writer


def _run(words: list[str]) -> float:
    """How long a command took. Raises NotMeasured when it failed."""
    began_s = time.monotonic()
    done = subprocess.run(
        [*LEADPLANE, *words], capture_output=True, text=True, timeout=RUN_S_MAX, check=False
    )
    if done.returncode:
        raise NotMeasured(f"{words[0]}: {done.stderr.strip()[-1_000:]}")
    return time.monotonic() - began_s


def _restored_s(regions: Path, file: Path, directory: Path) -> float:
    place = ["--dir", str(directory)]
    try:
        return _run(["up", *place, "--regions", str(regions), "--restore", str(file), "--detach"])
    finally:
        subprocess.run([*LEADPLANE, "down", *place], capture_output=True, check=False)
