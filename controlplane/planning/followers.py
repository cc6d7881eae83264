"""Copies that follow where they are read, and rest where they are not, at the global leader.

Off unless the document `placement` wants it (`followers_by_reads`): then every copy follows. It
shows the machine (controlplane/planning/copy_needs) each copy that has no vote in its region, with
what clients ask of it and what that saves and costs, and writes down what is due: one record of the
system shard for each shard, on the condition that nobody wrote another, so a successor goes on with
it. What follows from a record is the business of the shard's leader (controlplane/node/resting).

A copy that is to follow again may have to be copied to: so changes pass the admission of moves as
`bulk`, and take from its budget of bytes. Nothing is done for a region some node of which has not
told what it is asked for, since it would seem to read nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from config.audit import Note, What
from config.document import Kind
from config.feed import Feed, egress_usd_per_gb
from controlplane.api.service import Service
from controlplane.machine import Happened
from controlplane.node.following import SYSTEM
from controlplane.node.load_reports import Gathered
from controlplane.node.resting import PARTITION, CopiesOf, CopyState
from controlplane.planning.admission import Admission
from controlplane.planning.copy_needs import CopyNeeds, CopySeen, Demand, Prices, balance_of
from controlplane.planning.gathering import LOOKED_AT_ONCE, distances_of
from controlplane.planning.proceedings import Began, Withdrawn
from controlplane.planning.reasons import MoveKind, Wanted
from controlplane.requests import Compare, Delete, Problem, Put, Refused, Write
from controlplane.views import FleetView, ShardView
from regions.latency_matrix import Pair
from regions.topology import ZONE_RTT_MS
from shards.load import NOTHING

LOGGER: Final = logging.getLogger(__name__)
LOOK_MS: Final = 5_000
CHANGES_AT_ONCE: Final = 32
PRINCIPAL: Final = "load"


@dataclass(frozen=True, slots=True)
class Ground:
    """What a look rests on, beside the shards."""

    gathered: Gathered
    feed: Feed
    distances: Mapping[Pair, float]
    told: Collection[str]
    """Regions every living node of which has said everything."""
    without_vote: Mapping[str, tuple[str, ...]]
    """By group, the regions that have a copy and no vote."""


@dataclass(frozen=True, slots=True)
class _Change:
    """What is written of one shard's copies, and what has happened then."""

    before: CopiesOf
    put: Put | Delete
    note: Note
    events: tuple[Happened, ...]


class Followers:
    """The loop's part of one global leader."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._needs = CopyNeeds()
        self._next_ms = 0

    def forget(self) -> None:
        """Begin anew, as another global leader; or end, as none any more."""
        self._needs = CopyNeeds()
        self._next_ms = 0

    async def turn(
        self, gathered: Gathered, admission: Admission, now_ms: int, wall_ms: int
    ) -> None:
        """Look, if it is time, and write down what is due."""
        if now_ms < self._next_ms or admission.is_cold(now_ms):
            return  # who is new may not know yet which shards there are, and what is wanted
        self._next_ms = now_ms + LOOK_MS
        await self._drop_needless()
        content = self._service.documents().content(Kind.PLACEMENT)
        policy = content.get("followers_by_reads")
        if policy is None:
            self._needs = CopyNeeds()
            return
        gain_min = content.get("hysteresis", {}).get("gain_usd_per_month_min", 0.0)
        seen = await self._seen(gathered, wall_ms)
        due = self._needs.look(policy, gain_min, seen, now_ms)
        admitted = self._admitted(due, admission, now_ms)
        if admitted:
            await self._write([self._change(copy, wall_ms) for copy in admitted])

    def _admitted(
        self, due: Iterable[CopySeen], admission: Admission, now_ms: int
    ) -> list[CopySeen]:
        """What is changed now, a shard's copies one after the other."""
        found: dict[str, CopySeen] = {}
        for copy in due:
            wanted = None if copy.shard in found else self._wanted(copy)
            if wanted is None or admission.judge(wanted, now_ms, stays_led=True) is not None:
                continue
            admission.step(Began(wanted), now_ms)
            admission.step(Withdrawn(copy.shard), now_ms)  # budgets were taken from; no more
            found[copy.shard] = copy
            if len(found) == CHANGES_AT_ONCE:
                break
        return list(found.values())

    def copies_of(self, shard: str, gathered: Gathered, wall_ms: int) -> tuple[CopySeen, ...]:
        """The copies of one shard that may rest, as they are now."""
        view = self._service.shard_view(shard)
        if view is None or shard == SYSTEM:
            return ()
        return tuple(self._copies(view, self._ground(gathered), wall_ms))

    # -- what is seen

    async def _seen(self, gathered: Gathered, wall_ms: int) -> list[CopySeen]:
        ground, service = self._ground(gathered), self._service
        found: list[CopySeen] = []
        for number, shard in enumerate(list(service.shard_names())):
            if number % LOOKED_AT_ONCE == 0:
                await asyncio.sleep(0)
            view = service.shard_view(shard)
            if view is not None and shard != SYSTEM:
                copies = self._copies(view, ground, wall_ms)
                found += [copy for copy in copies if copy.region in ground.told]
        return found

    def _ground(self, gathered: Gathered) -> Ground:
        feed, fleet = self._service.documents(), self._service.fleet()
        told = {node for node, _, _, _, behind in gathered.load.reporters() if behind == 0}
        alive = [node for node in fleet.nodes if node.alive]
        silent = {node.region for node in alive if node.node not in told}
        return Ground(
            gathered, feed, distances_of(gathered, feed),
            {node.region for node in alive} - silent, without_vote(fleet),
        )  # fmt: skip

    def _copies(self, view: ShardView, ground: Ground, wall_ms: int) -> Iterator[CopySeen]:
        if view.leader is None:
            return
        content = ground.feed.content(Kind.PLACEMENT)
        regions, record = ground.feed.regions(), self._service.copies().get(view.shard)
        loads = ground.gathered.load.of(view.shard)
        assumed, leader = content["assumptions"], view.leader.region
        worth = content["usd_per_ms_per_million_requests"]["reads"]
        size = assumed["shard_bytes"] if view.size_bytes is None else view.size_bytes
        for region in ground.without_vote.get(view.group, ()):
            way = ground.distances.get((region, leader))
            if region not in regions or leader not in regions or way is None:
                continue
            rates = loads.get(region, NOTHING)
            demand = Demand(
                rates.reads, rates.read_bytes, sum(each.writes for each in loads.values()),
                sum(each.write_bytes for each in loads.values()), size,
                assumed["strong_read_share"],
            )  # fmt: skip
            prices = Prices(
                max(0.0, way - ZONE_RTT_MS), worth, egress_usd_per_gb(regions[leader], region),
                regions[region]["storage_usd_per_gb_month"],
            )  # fmt: skip
            state = None if record is None else record.states.get(region)
            yield CopySeen(
                view.shard, region, state is not None and state.rests,
                None if state is None else max(0, wall_ms - state.since_wall_ms),
                rates.reads, balance_of(demand, prices),
            )  # fmt: skip

    # -- what is done

    def _wanted(self, copy: CopySeen) -> Wanted | None:
        view = self._service.shard_view(copy.shard)
        if view is None or view.leader is None:
            return None
        leader = view.leader
        to_region = copy.region if copy.rests else ""
        size = float(view.size_bytes or 0) if copy.rests else 0.0
        return Wanted(
            copy.shard, view.group, MoveKind.BULK, leader.node, leader.region, to_region,
            size_bytes=size,
        )  # fmt: skip

    def _change(self, copy: CopySeen, wall_ms: int) -> _Change:
        before = self._service.copies().get(copy.shard) or CopiesOf(copy.shard, {})
        now = CopyState(not copy.rests, wall_ms)
        after = CopiesOf(copy.shard, {**before.states, copy.region: now})
        saves, costs = round(copy.balance.saves_usd, 4), round(copy.balance.costs_usd, 4)
        detail: dict[str, Any] = {
            "region": copy.region, "reads_per_s": round(copy.reads_per_s, 3),
            "saves_usd_per_month": saves, "costs_usd_per_month": costs,
        }  # fmt: skip
        reason = f"a copy there saves {saves} and costs {costs} USD a month"
        note = Note(
            What.FOLLOWER, copy.shard, PRINCIPAL, reason,
            {"region": copy.region, "rests": copy.rests},
            {"region": copy.region, "rests": now.rests},
        )  # fmt: skip
        kind = "follower-added" if copy.rests else "follower-removed"
        return _Change(before, after.put(), note, (Happened(kind, copy.shard, 0, detail),))

    async def _write(self, changes: Sequence[_Change]) -> None:
        """All of them in one entry; each by itself, where another version of some is in the way."""
        compares = tuple(Compare(each.before.key, each.before.version) for each in changes)
        puts, notes = tuple(each.put for each in changes), tuple(each.note for each in changes)
        outcome = await self._service.submit(Write(SYSTEM, puts, compares, notes=notes))
        if isinstance(outcome, Refused):
            if outcome.problem is Problem.PRECONDITION_FAILED and len(changes) > 1:
                for change in changes:
                    await self._write([change])
                return
            LOGGER.info("copies of %d shards stay as they are: %s", len(changes), outcome.detail)
            return
        for event in chain.from_iterable(each.events for each in changes):
            self._service.report(event)

    async def _drop_needless(self) -> None:
        """Forget what is said of shards that are gone; of all, when nobody wants any to rest."""
        service = self._service
        content = service.documents().content(Kind.PLACEMENT)
        is_wanted = content.get("followers_by_reads") is not None
        names = set(service.shard_names())
        records = [
            r for shard, r in service.copies().items() if shard not in names or not is_wanted
        ]
        if records:
            needless = records[:CHANGES_AT_ONCE]
            await self._write([_dropped(record, record.shard not in names) for record in needless])


def _dropped(record: CopiesOf, is_gone: bool) -> _Change:
    """Nothing is said of a shard's copies any more; they follow, unless the shard is gone."""
    reason = "there is no such shard" if is_gone else "every copy follows"
    states = {region: state.rests for region, state in record.states.items()}
    follow = () if is_gone else tuple(region for region, rests in states.items() if rests)
    return _Change(
        record, Delete(PARTITION, record.key),
        Note(What.FOLLOWER, record.shard, PRINCIPAL, reason, {"rests": states}),
        tuple(Happened("follower-added", record.shard, 0, {"region": each}) for each in follow),
    )  # fmt: skip


def without_vote(fleet: FleetView) -> dict[str, tuple[str, ...]]:
    """Of every group, the regions in which it has a store, and none that votes."""
    region_of = {store.store: store.region for store in fleet.stores}
    found = {}
    for group in fleet.groups:
        votes = {region_of[voter] for voter in group.voters if voter in region_of}
        follow = {region_of[store] for store in group.followers if store in region_of}
        found[group.group] = tuple(sorted(follow - votes))
    return found
