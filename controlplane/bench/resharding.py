"""Benchmark `split`: a large shard is split and merged again under load; what its clients notice.

`python -m controlplane.bench.resharding FOLDER EXTENT` (JSON) runs a node by itself, fills a shard,
and splits and merges it in turn. Meanwhile small writes come at a fixed rate, and two clients, one
for each half, write without pause: each write takes one round trip to a quorum, and each is read
again by the client's session. The pause is what such a client sees between the last write that was
acknowledged in a parent and the first in a child.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from controlplane.bench.comparison import Tell
from controlplane.bench.load import LoadBroken
from controlplane.bench.lone_node import LoneNode, lone_node
from controlplane.bench.own_process import found_alone
from controlplane.bench.paced_writes import PacedWrites
from controlplane.bench.report import Figure, Findings
from controlplane.bench.spread import spread
from controlplane.bench.store_catch_up import SMALL_BYTES, fill
from controlplane.node.following import SYSTEM
from controlplane.requests import (
    Consistency,
    Found,
    Put,
    Read,
    Reshard,
    Resharded,
    Write,
    Written,
)  # fmt: skip
from shards.key_in_slot import key_in_slot
from shards.keyspace import SLOTS, partition_of
from shards.resharding import Kind, Resharding

POLL_S = 0.05
OVER_S_MAX = 1_800.0
RUN_S_MAX = 10_800.0
PAUSE_ROUND_TRIPS_MAX = 5
HALVES = (SLOTS // 4, 3 * SLOTS // 4)
"""A slot in each half: where the two clients write."""
STORE_MIB_PER_SHARD_MB = 6
"""A store keeps parent and children for a while, and a log beside."""


@dataclass(frozen=True, slots=True)
class Splitting:
    """How large the shard is, how fast others write meanwhile, how often it is split and merged."""

    shard_bytes: int = 1_000_000_000
    value_bytes: int = 8_000
    writes_per_second: int = 500
    seconds: float = 10.0
    rounds: int = 3


@dataclass(frozen=True, slots=True)
class Change:
    """One split or merge: how long until its map was switched, and the pause of each client."""

    kind: str
    took_s: float
    pauses_ms: list[float]


@dataclass(frozen=True, slots=True)
class Measured:
    """All of a run. Writes are of those that came at a fixed rate."""

    shard_bytes: int
    round_trip_ms: float
    round_trip_p99_ms: float
    changes: list[Change]
    writes: int
    write_p99_ms: float
    failed: dict[str, int]
    sessions: int
    sessions_lost: int
    retries: int
    retries_lost: int


class SessionClient:
    """One session that writes one key without pause, and reads each write again.

    `lost` counts reads that did not show the session's own latest write.
    """

    def __init__(self, alone: LoneNode, slot: int) -> None:
        self._alone = alone
        self._key = key_in_slot(slot)
        self._partition = partition_of(self._key)
        self._positions: dict[str, int] = {}
        self._number = 0
        self.took_ms: list[float] = []
        self.acks: list[tuple[float, str]] = []  # when, and by which shard
        self.failed: dict[str, int] = {}
        self.sessions = self.lost = 0

    async def run(self) -> None:
        """Write and read until cancelled."""
        while True:
            self._number += 1
            await self._write(self._request())
            await self._read()

    def _request(self) -> Write:
        value = str(self._number).encode()
        put = Put(self._partition, self._key, value)
        return Write("", (put,), (), f"{self._key}/{self._number}", "digest")

    async def _ask(self, request: Write | Read) -> Any:
        addressed = self._alone.node.reshardings.addressed(request, self._positions)
        return await self._alone.driver.ask(addressed)

    async def _write(self, request: Write) -> None:
        sent_at = perf_counter()
        outcome = await self._ask(request)
        at = perf_counter()
        if not isinstance(outcome, Written):
            self.failed[str(outcome)] = self.failed.get(str(outcome), 0) + 1
            return
        self.took_ms.append((at - sent_at) * 1_000)
        self.acks.append((at, outcome.shard))
        self._positions[outcome.shard] = max(
            outcome.position, self._positions.get(outcome.shard, 0)
        )

    async def _read(self) -> None:
        self.sessions += 1
        found = await self._ask(Read("", (self._key,), Consistency.SESSION, None))
        value = found.values[0] if isinstance(found, Found) else None
        self.lost += value is None or int(value.data) < len(self.acks)

    def pause_ms(self, parents: tuple[str, ...]) -> float:
        """The time between the last acknowledgement of a parent and the first one after it."""
        last = max(number for number, (_, shard) in enumerate(self.acks) if shard in parents)
        (before, _), (after, _) = self.acks[last : last + 2]
        return (after - before) * 1_000

    async def is_known(self) -> bool:
        """Whether its latest write of all, sent once more, is known to have been made."""
        outcome = await self._ask(self._request())
        return isinstance(outcome, Written) and outcome.replayed


def measure_splits(extent: Splitting, tell: Tell) -> Findings:
    """Run it in a process of its own and judge what that found."""
    found = found_alone("controlplane.bench.resharding", extent, "splitting a shard", RUN_S_MAX)
    tell(f"a shard of {found['shard_bytes']:,} bytes went over {len(found['changes'])} times")
    return judged(extent, found)


def judged(extent: Splitting, found: dict[str, Any]) -> Findings:
    """The figures, beside what was promised."""
    trip_ms, failed = found["round_trip_ms"], sum(found["failed"].values())
    bound_ms = PAUSE_ROUND_TRIPS_MAX * found["round_trip_p99_ms"]
    figures = [
        Figure("a write by itself, p50: a round trip to a quorum", trip_ms, "ms"),
        Figure("... p99", found["round_trip_p99_ms"], "ms"),
    ]
    for kind in ("split", "merge"):
        changes = [each for each in found["changes"] if each["kind"] == kind]
        pauses = spread([ms for each in changes for ms in each["pauses_ms"]])
        took = spread([each["took_s"] for each in changes])
        target = f"at most {PAUSE_ROUND_TRIPS_MAX} round trips"
        trips = round(pauses.p50_ms / trip_ms, 2) if trip_ms else 0.0
        figures += [
            Figure(f"{kind}: from the order to the new map, p50", took.p50_ms, "s"),
            Figure(
                f"{kind}: pause of writes, p50 of {pauses.count}", pauses.p50_ms, "ms",
                trip_ms, trips, f"{target} = {PAUSE_ROUND_TRIPS_MAX * trip_ms:.3g} ms",
                trips <= PAUSE_ROUND_TRIPS_MAX,
            ),
            Figure(
                f"{kind}: pause of writes, the longest", pauses.max_ms, "ms",
                target=f"{target} at their p99 = {bound_ms:.3g} ms",
                reached=pauses.max_ms <= bound_ms,
            ),
        ]  # fmt: skip
    figures += [
        Figure(f"writes not acknowledged, of {found['writes']}", failed, "", target="none",
               reached=not failed),
        Figure(f"reads of sessions that missed a write, of {found['sessions']}",
               found["sessions_lost"], "", target="none", reached=not found["sessions_lost"]),
        Figure(f"retries that were not known, of {found['retries']}",
               found["retries_lost"], "", target="none", reached=not found["retries_lost"]),
        Figure("writes at a fixed rate, p99", found["write_p99_ms"], "ms"),
    ]  # fmt: skip
    return Findings(
        "split",
        "a round trip",
        f"A shard of {extent.shard_bytes / 1e6:g} MB at three stores is split in two and merged "
        f"again, {extent.rounds} times, under {extent.writes_per_second:,} writes/s of "
        f"{SMALL_BYTES} bytes and two clients that write without pause, one in each half. Pause: "
        "from the last acknowledgement of the parent to the first of the child, as such a client "
        f"sees it. A round trip: its writes in {extent.seconds:g} s before.",
        tuple(figures),
        (found,),
    )


async def split_and_merge(folder: Path, extent: Splitting) -> Measured:
    """Fill a shard, and let it go over into others and back."""
    megabytes = -(-extent.shard_bytes // 1_000_000)
    memory_mib = max(256, STORE_MIB_PER_SHARD_MB * megabytes)
    async with lone_node(
        folder, store_mib=memory_mib, shard_bytes_max=max(2 * extent.shard_bytes, 1 << 26)
    ) as alone:
        filled = await fill(alone, extent.shard_bytes, extent.value_bytes)
        clients = [SessionClient(alone, slot) for slot in HALVES]
        paced = PacedWrites(alone.driver, alone.shard, extent.writes_per_second, bytes(SMALL_BYTES))
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(client.run()) for client in clients]
            await asyncio.sleep(extent.seconds)
            alone_ms = spread([ms for client in clients for ms in client.took_ms])
            running.append(tasks.create_task(paced.run()))
            changes = []
            for _ in range(extent.rounds):
                shard = alone.shard
                changes.append(await _change(alone, clients, Reshard(Kind.SPLIT, shard)))
                left, right = _shards(alone)
                order = Reshard(Kind.MERGE, left, beside=right)
                changes.append(await _change(alone, clients, order))
            for task in running:
                task.cancel()
        known = [await client.is_known() for client in clients]
        failed = dict(paced.failures)
        for client in clients:
            for answer, count in client.failed.items():
                failed[answer] = failed.get(answer, 0) + count
        return Measured(
            filled, alone_ms.p50_ms, alone_ms.p99_ms, changes,
            len(paced.durations_ms) + sum(len(client.acks) for client in clients),
            spread(paced.durations_ms).p99_ms, failed,
            sum(client.sessions for client in clients), sum(client.lost for client in clients),
            len(known), known.count(False),
        )  # fmt: skip


async def _change(alone: LoneNode, clients: list[SessionClient], order: Reshard) -> Change:
    """One split or merge from its order until nothing is left of the parents."""
    began = perf_counter()
    outcome = await alone.driver.ask(order)
    if not isinstance(outcome, Resharded):
        raise LoadBroken(f"{order.kind} of {order.of}: {outcome}")
    await _until(alone, outcome.number, lambda each: not each.is_open)
    took_s = round(perf_counter() - began, 3)
    await _until(alone, outcome.number, lambda each: each.is_over)
    parents = tuple(parent.shard for parent in outcome.parents)
    return Change(
        order.kind.value, took_s, [round(client.pause_ms(parents), 3) for client in clients]
    )


async def _until(alone: LoneNode, number: int, holds: Any) -> None:
    async with asyncio.timeout(OVER_S_MAX):
        while True:
            found: Resharding | None = alone.node.reshardings.known.get(number)
            if found is not None and holds(found):
                return
            await asyncio.sleep(POLL_S)


def _shards(alone: LoneNode) -> list[str]:
    """The shards of the map but the system's, by their slots."""
    views = alone.node.shard_views(alone.driver.clock())
    return [view.shard for view in views if view.shard != SYSTEM]


def main() -> None:
    """Entry of the process: FOLDER and EXTENT are the arguments."""
    import uvloop

    extent = Splitting(**json.loads(sys.argv[2]))
    found = uvloop.run(split_and_merge(Path(sys.argv[1]), extent))
    sys.stdout.write(json.dumps(asdict(found)) + "\n")


if __name__ == "__main__":
    main()
