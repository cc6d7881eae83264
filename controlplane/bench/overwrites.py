"""Benchmark `overwrites`: few keys are written over and over; neither stores nor node may grow.

`python -m controlplane.bench.overwrites EXTENT` (JSON) runs a node by itself, writes each key once,
then writes them again and again, and prints what memory was in use on the way. A log that is not
trimmed, versions that are kept, or a leader that forgets nothing would show at once.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

from controlplane.bench.comparison import Tell
from controlplane.bench.load import LoadBroken
from controlplane.bench.lone_node import LoneNode, lone_node
from controlplane.bench.own_process import found_alone
from controlplane.bench.report import Figure, Findings
from controlplane.bench.spread import ratio
from controlplane.bench.store_traffic import memory_in_use
from controlplane.requests import Put, Write, Written
from shards.log import CACHE_BYTES_MAX

SAMPLE_S = 0.5
STORES_MAX = 3.0
"""Times the live data."""
NODE_BYTES_MAX = 2 * CACHE_BYTES_MAX
RUN_S_MAX = 1_800.0


@dataclass(frozen=True, slots=True)
class Overwriting:
    """How much to write; values are as large as several small ones, keys a few bytes."""

    overwrites: int = 1_000_000
    keys: int = 1_000
    value_bytes: int = 1_000
    clients: int = 256


@dataclass(frozen=True, slots=True)
class Grown:
    """Memory before, when each key had been written once, and at most while they were overwritten.

    Of the stores it is the one that grew most that counts.
    """

    live_bytes: int
    store_once_bytes: int
    store_peak_bytes: int
    node_early_bytes: int
    node_peak_bytes: int
    per_second: float


def measure_overwrites(extent: Overwriting, tell: Tell) -> Findings:
    """Run it in a process of its own and judge what that found."""
    found = found_alone("controlplane.bench.overwrites", extent, "overwriting keys", RUN_S_MAX)
    grown = Grown(**found)
    tell(f"{extent.overwrites:,} overwrites, {grown.per_second:,.0f}/s: {grown}")
    return judged(extent, grown)


def judged(extent: Overwriting, grown: Grown) -> Findings:
    """The figures, beside what was promised."""
    times = ratio(grown.store_peak_bytes, grown.live_bytes)
    node_growth = grown.node_peak_bytes - grown.node_early_bytes
    mib = 1 << 20
    return Findings(
        "overwrites",
        "",
        f"{extent.overwrites:,} overwrites of {extent.keys:,} keys with values of "
        f"{extent.value_bytes:,} bytes, by {extent.clients} clients at one node with three stores. "
        "Live data is keys and values, once. A store's memory is used_memory beyond that of the "
        f"empty store, buffers included; the fullest store's greatest of samples each {SAMPLE_S:g} "
        "s. The node's is its resident memory, clients included, from the first tenth on.",
        (
            Figure("live data", round(grown.live_bytes / mib, 2), "MiB"),
            Figure("store, each key once", round(grown.store_once_bytes / mib, 2), "MiB"),
            Figure("store, at most", round(grown.store_peak_bytes / mib, 2), "MiB"),
            Figure(
                "store, times the live data",
                times,
                "times",
                target=f"at most {STORES_MAX:g} times",
                reached=times <= STORES_MAX,
            ),
            Figure(
                "growth of the node",
                round(node_growth / mib, 2),
                "MiB",
                target=f"at most {NODE_BYTES_MAX // mib} MiB, twice what a leader remembers",
                reached=node_growth <= NODE_BYTES_MAX,
            ),
            Figure("overwrites", grown.per_second, "/s"),
        ),
        (asdict(grown),),
    )


class Overwriter:
    """Writes keys in turn, a fixed number at a time."""

    def __init__(self, alone: LoneNode, extent: Overwriting) -> None:
        self.done = 0
        self._driver, self._shard = alone.driver, alone.shard
        self._extent = extent
        self._keys = [f"key-{number:06d}" for number in range(extent.keys)]
        self._numbers = itertools.count()

    @property
    def live_bytes(self) -> int:
        """Keys and values, once."""
        return sum(map(len, self._keys)) + len(self._keys) * self._extent.value_bytes

    async def write(self, count: int) -> None:
        """Write the next so many. Raises LoadBroken when one is not acknowledged."""
        left = iter(range(count))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._extent.clients):
                tasks.create_task(self._client(left))

    async def _client(self, left: Iterator[int]) -> None:
        size = self._extent.value_bytes
        for _ in left:
            number = next(self._numbers)
            key = self._keys[number % len(self._keys)]
            value = b"%0*d" % (size, number)
            outcome = await self._driver.ask(Write(self._shard, (Put(key, key, value),)))
            if not isinstance(outcome, Written):
                raise LoadBroken(f"write {number}: {outcome}")
            self.done += 1


async def overwrite(folder: Path, extent: Overwriting) -> Grown:
    """Write each key once, then overwrite them, and watch who grows."""
    async with lone_node(folder) as alone:
        overwriter = Overwriter(alone, extent)
        empty = _used(alone)
        await overwriter.write(extent.keys)
        once = peak = _used(alone)
        early = extent.keys + extent.overwrites // 10
        node_early = node_peak = 0
        began = perf_counter()
        writing = asyncio.create_task(overwriter.write(extent.overwrites))
        while not writing.done():
            await asyncio.wait((writing,), timeout=SAMPLE_S)
            used = await asyncio.to_thread(_used, alone)
            peak = [max(pair) for pair in zip(peak, used, strict=True)]
            if overwriter.done >= early:
                node_early = node_early or resident_bytes()
                node_peak = max(node_peak, resident_bytes())
        await writing
        return Grown(
            overwriter.live_bytes,
            _most(once, empty),
            _most(peak, empty),
            node_early,
            node_peak,
            round(extent.overwrites / (perf_counter() - began), 1),
        )


def resident_bytes() -> int:
    """Memory of this process that is in use."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _used(alone: LoneNode) -> list[int]:
    return [memory_in_use(port) for port in alone.ports]


def _most(used: list[int], empty: list[int]) -> int:
    return max(now - before for now, before in zip(used, empty, strict=True))


def main() -> None:
    """Entry of the process: FOLDER and EXTENT are the arguments."""
    import uvloop

    extent = Overwriting(**json.loads(sys.argv[2]))
    grown = uvloop.run(overwrite(Path(sys.argv[1]), extent))
    sys.stdout.write(json.dumps(asdict(grown)) + "\n")


if __name__ == "__main__":
    main()
