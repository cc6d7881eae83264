"""Benchmark `move`: a large shard gets other voters under load; no write fails, no renewal waits.

`python -m controlplane.bench.move FOLDER EXTENT` (JSON) runs a node by itself with six stores:
three hold a shard, three others are to hold it. The shard is filled, and written to at a fixed rate
while it is moved. Round trips of the renewals at all stores are taken as the node has them, on its
ordered lanes: before, until nothing is left at the former stores, and after.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from controlplane.bench.bench_fleet import REGION
from controlplane.bench.comparison import Tell
from controlplane.bench.load import LoadBroken
from controlplane.bench.lone_node import Ears, LoneNode, lone_node
from controlplane.bench.own_process import found_alone
from controlplane.bench.paced_writes import PacedWrites
from controlplane.bench.report import Figure, Findings
from controlplane.bench.spread import Spread, ratio, spread
from controlplane.bench.store_catch_up import (
    PHASES,
    RUN_S_MAX,
    SMALL_BYTES,
    UNCHANGED_MS,
    UNCHANGED_RATIO,
    RenewalTimes,
    fill,
)
from controlplane.embedded import free_ports
from controlplane.machine import Happened
from controlplane.requests import Reshard, Resharded
from shards.resharding import Kind

POLL_S = 0.05
MOVED_S_MAX = 900.0
TTL_MS = 3_000
TO_GROUP = "other"
HERE, THERE = "abc", "def"
"""What stores are called at which the shard is, and at which it is to be."""


@dataclass(frozen=True, slots=True)
class Moving:
    """How large the shard is, how fast it is written meanwhile, how long to look before it."""

    shard_bytes: int = 200_000_000
    value_bytes: int = 8_000
    writes_per_second: int = 1_000
    seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Moved:
    """What was found: round trips of renewals and times of writes in each phase."""

    shard_bytes: int
    copy_s: float
    """From the order until the child is led."""
    swept_s: float
    """From the order until nothing is left at the former stores."""
    pause_ms: float
    """From the closing of the parent until the child is led."""
    renewals: dict[str, Spread]
    writes: dict[str, Spread]
    failures: dict[str, dict[str, int]]
    """Writes that were not acknowledged, by phase and answer."""


class Moments:
    """When a shard was closed, and when each other one was first led."""

    def __init__(self) -> None:
        self.closed_at: float | None = None
        self.led_at: dict[str, float] = {}

    def on_happened(self, event: Happened) -> None:
        """Something happened at the node."""
        if event.kind == "closed":
            self.closed_at = perf_counter()
        elif event.kind == "elected":
            self.led_at.setdefault(event.shard, perf_counter())


def measure_move(extent: Moving, tell: Tell) -> Findings:
    """Run it in a process of its own and judge what that found."""
    found = found_alone("controlplane.bench.move", extent, "moving a shard", RUN_S_MAX)
    tell(
        f"a shard of {found['shard_bytes']:,} bytes was moved in {found['copy_s']:g} s, "
        f"and paused for {found['pause_ms']:g} ms"
    )
    return judged(extent, found)


def judged(extent: Moving, found: dict[str, Any]) -> Findings:
    """The figures, beside what was promised."""
    renewals, writes = found["renewals"], found["writes"]
    before, during = renewals["before"]["p99_ms"], renewals["during"]["p99_ms"]
    unchanged = during <= max(before * UNCHANGED_RATIO, before + UNCHANGED_MS)
    failed = sum(sum(each.values()) for each in found["failures"].values())
    figures = [
        Figure("moved", round(found["shard_bytes"] / (1 << 20), 1), "MiB"),
        Figure("from the order until others hold and lead it", found["copy_s"], "s"),
        Figure("from the order until nothing is left behind", found["swept_s"], "s"),
        Figure("pause of writes", found["pause_ms"], "ms"),
    ]
    for phase in PHASES:
        times = renewals[phase]
        figures.append(Figure(f"renewals {phase}, p50 of {times['count']}", times["p50_ms"], "ms"))
        p99 = Figure(f"renewals {phase}, p99", times["p99_ms"], "ms")
        if phase == "during":
            target = f"as before: at most {UNCHANGED_RATIO:g} times, or {UNCHANGED_MS:g} ms more"
            p99 = Figure(p99.what, during, "ms", before, ratio(during, before), target, unchanged)
        figures.append(p99)
    for phase in PHASES:
        times = writes[phase]
        figures.append(Figure(f"writes {phase}, p99 of {times['count']}", times["p99_ms"], "ms"))
    figures.append(Figure("writes not acknowledged", failed, "", target="none", reached=not failed))
    return Findings(
        "move",
        "before",
        f"A shard of {extent.shard_bytes / 1e6:g} MB goes from three stores to three others, "
        f"under {extent.writes_per_second:,} writes/s of {SMALL_BYTES} bytes to it. Round trips of "
        f"renewals on the ordered lanes to all six: {extent.seconds:g} s before, until nothing is "
        "left at the former stores, and as long after. The pause is from the shard's closing until "
        "its child is led.",
        tuple(figures),
        (found,),
    )


def two_sets_topology() -> str:
    """A document of one region with six stores: three of them agree on all shards at first."""
    *ports, node_port = free_ports(len(HERE + THERE) + 1)
    place = f"region: {REGION}, host: 127.0.0.1"
    lines = ["format: 1", "regions:"]
    lines.append(f"  - {{name: {REGION}, latitude: 0, longitude: 0, zones: [a, b, c]}}")
    lines.append("stores:")
    lines += [
        f"  - {{id: {_store(letter)}, {place}, zone: {zone}, port: {port}}}"
        for letter, zone, port in zip(HERE + THERE, "abcabc", ports, strict=True)
    ]
    lines.append(f"nodes: [{{id: {REGION}-n1, {place}, port: {node_port}}}]")
    lines.append("groups:")
    groups = {"global": HERE, f"region/{REGION}": HERE, TO_GROUP: THERE}
    lines += [
        f"  - {{name: {name}, stores: [{', '.join(map(_store, letters))}], ttl_ms: {TTL_MS}}}"
        for name, letters in groups.items()
    ]
    return "\n".join(lines) + "\n"


def _store(letter: str) -> str:
    return f"{REGION}-{letter}"


async def move(folder: Path, extent: Moving) -> Moved:
    """Fill the shard, move it, and watch."""
    times, moments = RenewalTimes(), Moments()
    ears = Ears(times.on_call, times.on_event, moments.on_happened)
    async with lone_node(folder, ears=ears, topology_text=two_sets_topology()) as alone:
        parent = alone.shard
        filled = await fill(alone, extent.shard_bytes, extent.value_bytes)
        writes: dict[str, PacedWrites] = {}
        child, began, swept_s = "", 0.0, 0.0
        for phase in PHASES:
            times.phase = phase
            paced = PacedWrites(
                alone.driver, child or parent, extent.writes_per_second, bytes(SMALL_BYTES)
            )
            writes[phase] = paced
            writing = asyncio.create_task(paced.run())
            if phase == "during":
                began = perf_counter()
                child = await _move(alone, parent)
                swept_s = round(perf_counter() - began, 2)
            else:
                await asyncio.sleep(extent.seconds)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        closed_at, led_at = moments.closed_at, moments.led_at[child]
        assert closed_at is not None, "what was moved was closed"
        stores = [store.spec.id for store in alone.stores]
        return Moved(
            filled,
            round(led_at - began, 2),
            swept_s,
            round((led_at - closed_at) * 1_000, 1),
            {phase: times.at(phase, *stores) for phase in PHASES},
            {phase: spread(each.durations_ms) for phase, each in writes.items()},
            {phase: dict(each.failures) for phase, each in writes.items()},
        )


async def _move(alone: LoneNode, shard: str) -> str:
    """Have other stores hold a shard; its name when nothing is left at the former ones."""
    ordered = await alone.driver.ask(Reshard(Kind.MOVE, shard, to_group=TO_GROUP))
    if not isinstance(ordered, Resharded):
        raise LoadBroken(f"moving the shard: {ordered}")
    async with asyncio.timeout(MOVED_S_MAX):
        while True:
            known = alone.node.reshardings.known.get(ordered.number)
            if known is not None and known.is_over:
                return ordered.children[0].shard
            await asyncio.sleep(POLL_S)


def main() -> None:
    """Entry of the process: FOLDER and EXTENT are the arguments."""
    import uvloop

    extent = Moving(**json.loads(sys.argv[2]))
    found = uvloop.run(move(Path(sys.argv[1]), extent))
    sys.stdout.write(json.dumps(asdict(found)) + "\n")


if __name__ == "__main__":
    main()
