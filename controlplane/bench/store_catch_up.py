"""Benchmark `catch-up`: a store that lacks a large shard gets it, and no renewal waits for that.

`python -m controlplane.bench.store_catch_up FOLDER EXTENT` (JSON) runs a node by itself, kills one
of its stores, fills a shard and goes on writing to it at a fixed rate. After a while the store is
started again, and is brought along. Round trips of the renewals at all stores are taken as the node
has them, on its ordered lanes: before, during the copy, and after.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from controlplane.bench.comparison import Tell
from controlplane.bench.load import LoadBroken
from controlplane.bench.lone_node import Ears, LoneNode, lone_node
from controlplane.bench.own_process import found_alone
from controlplane.bench.paced_writes import PacedWrites
from controlplane.bench.report import Figure, Findings
from controlplane.bench.spread import Spread, ratio, spread
from controlplane.machine import Answered, Call, Disconnected, Event
from controlplane.requests import Put, Write, Written
from shards.log import Log, Stream

FILLERS = 16
SMALL_BYTES = 100
POLL_S = 0.05
CAUGHT_UP_S_MAX = 900.0
RUN_S_MAX = 1_800.0
PHASES = ("before", "during", "after")
UNCHANGED_RATIO = 1.25
UNCHANGED_MS = 2.0
"""A p99 of some hundred renewals is the second worst of them: so much is left to chance."""


@dataclass(frozen=True, slots=True)
class CatchingUp:
    """How much the store lacks, how fast others write meanwhile, how long to look before it."""

    shard_bytes: int = 200_000_000
    value_bytes: int = 8_000
    writes_per_second: int = 1_000
    seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """What was found: round trips of renewals and times of writes in each phase."""

    shard_bytes: int
    copy_s: float
    renewals: dict[str, Spread]
    """At the stores that were there all the time."""
    late_renewals: Spread
    """At the store that was brought along, during the copy."""
    writes: dict[str, Spread]
    failures: dict[str, dict[str, int]]
    """Writes that were not acknowledged, by phase and answer."""
    leadership_kept: bool


class RenewalTimes:
    """Round trips of calls that renew, by phase and store, as they leave and come back."""

    def __init__(self) -> None:
        self.phase = ""
        self.took_ms: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._sent: dict[str, deque[float | None]] = defaultdict(deque)

    def on_call(self, call: Call) -> None:
        """A call leaves; its answer comes in its turn."""
        renews = any(command[0] == "renew" for command in call.commands)
        self._sent[call.store].append(perf_counter() if renews else None)

    def on_event(self, event: Event) -> None:
        """An answer came, or will never come."""
        match event:
            case Disconnected(store):
                self._sent[store].clear()
            case Answered(store) if self._sent[store]:
                sent_at = self._sent[store].popleft()
                if sent_at is not None:
                    self.took_ms[self.phase, store].append((perf_counter() - sent_at) * 1_000)

    def at(self, phase: str, *stores: str) -> Spread:
        """What renewals took in a phase."""
        return spread([ms for store in stores for ms in self.took_ms[phase, store]])


def measure_catch_up(extent: CatchingUp, tell: Tell) -> Findings:
    """Run it in a process of its own and judge what that found."""
    found = found_alone(
        "controlplane.bench.store_catch_up", extent, "bringing a store along", RUN_S_MAX
    )
    tell(f"a shard of {found['shard_bytes']:,} bytes was copied in {found['copy_s']:g} s")
    return judged(extent, found)


def judged(extent: CatchingUp, found: dict[str, Any]) -> Findings:
    """The figures, beside what was promised."""
    renewals, writes = found["renewals"], found["writes"]
    before, during = renewals["before"]["p99_ms"], renewals["during"]["p99_ms"]
    unchanged = during <= max(before * UNCHANGED_RATIO, before + UNCHANGED_MS)
    mib = 1 << 20
    failed = sum(sum(each.values()) for each in found["failures"].values())
    figures = [
        Figure("copied", round(found["shard_bytes"] / mib, 1), "MiB"),
        Figure("from its start until the store follows", found["copy_s"], "s"),
    ]
    for phase in PHASES:
        times = renewals[phase]
        figures.append(Figure(f"renewals {phase}, p50 of {times['count']}", times["p50_ms"], "ms"))
        p99 = Figure(f"renewals {phase}, p99", times["p99_ms"], "ms")
        if phase == "during":
            target = f"as before: at most {UNCHANGED_RATIO:g} times, or {UNCHANGED_MS:g} ms more"
            p99 = Figure(p99.what, during, "ms", before, ratio(during, before), target, unchanged)
        figures.append(p99)
    late = found["late_renewals"]
    figures.append(Figure("renewals at the store itself, p99", late["p99_ms"], "ms"))
    figures += [Figure(f"writes {phase}, p99", writes[phase]["p99_ms"], "ms") for phase in PHASES]
    figures += [
        Figure("writes not acknowledged", failed, "", target="none", reached=not failed),
        Figure(
            "leaderships lost",
            int(not found["leadership_kept"]),
            "",
            target="none",
            reached=found["leadership_kept"],
        ),
    ]
    return Findings(
        "catch-up",
        "before",
        f"A store that was killed before {extent.shard_bytes / 1e6:g} MB were written to a shard "
        f"is started again, under {extent.writes_per_second:,} writes/s of {SMALL_BYTES} bytes to "
        "the shard. Round trips of renewals on the ordered lanes, at the two stores that hold the "
        f"lease: {extent.seconds:g} s before, all of the copy, and as long after.",
        tuple(figures),
        (found,),
    )


async def catch_up(folder: Path, extent: CatchingUp) -> CaughtUp:
    """Kill a store, fill the shard, start the store, and watch."""
    times = RenewalTimes()
    ears = Ears(on_call=times.on_call, on_event=times.on_event)
    async with lone_node(folder, ears=ears) as alone:
        *there, late = alone.stores
        names = [store.spec.id for store in there]
        leadership_before = _log(alone).epoch
        await late.kill()
        filled = await fill(alone, extent.shard_bytes, extent.value_bytes)
        writes: dict[str, PacedWrites] = {}
        copy_s = 0.0
        for phase in PHASES:
            times.phase = phase
            paced = PacedWrites(
                alone.driver, alone.shard, extent.writes_per_second, bytes(SMALL_BYTES)
            )
            writes[phase] = paced
            writing = asyncio.create_task(paced.run())
            if phase == "during":
                began = perf_counter()
                await late.start()
                await _until_it_follows(alone, late.spec.id)
                copy_s = round(perf_counter() - began, 2)
            else:
                await asyncio.sleep(extent.seconds)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        return CaughtUp(
            filled,
            copy_s,
            {phase: times.at(phase, *names) for phase in PHASES},
            times.at("during", late.spec.id),
            {phase: spread(each.durations_ms) for phase, each in writes.items()},
            {phase: dict(each.failures) for phase, each in writes.items()},
            _log(alone).epoch == leadership_before,
        )


async def fill(alone: LoneNode, shard_bytes: int, value_bytes: int) -> int:
    """Write keys until the node's shard is as large as wanted; returns how large."""
    value = bytes(value_bytes)
    count = -(-shard_bytes // value_bytes)
    numbers = iter(range(count))

    async def client(numbers: Iterator[int]) -> None:
        for number in numbers:
            key = f"filled-{number:09d}"
            outcome = await alone.driver.ask(Write(alone.shard, (Put(key, key, value),)))
            if not isinstance(outcome, Written):
                raise LoadBroken(f"filling the shard: {outcome}")

    async with asyncio.TaskGroup() as tasks:
        for _ in range(FILLERS):
            tasks.create_task(client(numbers))
    return count * value_bytes


def _log(alone: LoneNode) -> Log:
    for group in alone.node.groups.values():
        leadership = group.led.get(alone.shard)
        if leadership is not None and leadership.log is not None:
            return leadership.log
    raise LoadBroken("the node has lost its shard")


async def _until_it_follows(alone: LoneNode, store: str) -> None:
    """Until the leader's own stream to a store goes on and has brought it to what is committed."""
    (group,) = [g for g in alone.node.groups.values() if alone.shard in g.led]
    number = next(i for i, lane in enumerate(group.lanes) if lane.store == store)
    async with asyncio.timeout(CAUGHT_UP_S_MAX):
        commit = None
        while True:
            log = _log(alone)
            follower = log.followers[number]
            flows = follower.stream is Stream.FLOWING
            if flows and commit is None:
                commit = log.commit
            elif not flows:
                commit = None
            if commit is not None and follower.committed >= commit:
                return
            await asyncio.sleep(POLL_S)


def main() -> None:
    """Entry of the process: FOLDER and EXTENT are the arguments."""
    import uvloop

    extent = CatchingUp(**json.loads(sys.argv[2]))
    found = uvloop.run(catch_up(Path(sys.argv[1]), extent))
    sys.stdout.write(json.dumps(asdict(found)) + "\n")


if __name__ == "__main__":
    main()
