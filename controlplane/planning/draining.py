"""Drains, gone on with by the global leader: shards are released one after the other, by name.

Theory of operation. A step moves the cursor of a drain (controlplane/node/drains) behind the next
few shards that its place leads, as many as its pace has room for: one entry, on the condition that
the drain was not changed. The nodes of the place hand over what is released by themselves. The
system shard is released last, since this loop runs where it is led. When nothing is left to be
handed over the place counts as drained, and stays so.

What a new global leader finds released and not gone yet counts as on its way, from then on.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from config.audit import SYSTEM_PRINCIPAL
from controlplane.api.service import Service
from controlplane.machine import Happened
from controlplane.node.audit_notes import drain_notes
from controlplane.node.drains import PARTITION, Drain, DrainState
from controlplane.node.following import SYSTEM
from controlplane.node.load_reports import Gathered
from controlplane.planning.admission import Admission
from controlplane.planning.bucket import Bucket
from controlplane.planning.drain_facts import DrainFacts, drain_facts, group_of
from controlplane.planning.pace import needed_per_minute
from controlplane.planning.proceedings import Arrived, Began, Withdrawn
from controlplane.planning.reasons import Hindrance, MoveKind, Wanted
from controlplane.requests import Compare, Put, Write, Written
from controlplane.views import FleetView


@dataclass(slots=True)
class Progress:
    """What this global leader knows of one drain beside its record."""

    drain: Drain
    version: int
    bucket: Bucket
    begun: set[str] = field(default_factory=set)
    """Shards that count, or counted, as on their way; those still led there did not get away."""
    waits_for: Hindrance | None = None


class Draining:
    """The drains that one global leader goes on with."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._known: dict[str, Progress] = {}

    def forget(self) -> None:
        """Another node leads now, or this one anew."""
        self._known.clear()

    def waits_for(self, drain: Drain) -> Hindrance | None:
        """What holds a drain up at present."""
        known = self._known.get(drain.key)
        return known.waits_for if known is not None else None

    async def turn(
        self,
        gathered: Gathered,
        fleet: FleetView,
        admission: Admission,
        now_ms: int,
        wall_ms: int,
    ) -> None:
        """Go on with every drain that is not done. Times: of the caller's clock, of the wall."""
        unsteady = self._service.unsteady_canaries()
        for drain, version in self._service.drains():
            known = self._known.get(drain.key)
            if known is None:
                known = self._known[drain.key] = Progress(drain, version, Bucket(now_ms))
            elif version > known.version:
                known.drain, known.version = drain, version
            if known.drain.canaries and known.drain.name in unsteady:
                await self._take_back(known, unsteady[known.drain.name])
            is_on = known.drain.state is DrainState.DRAINING
            if not is_on and not known.begun:
                del self._known[drain.key]
                continue
            facts = drain_facts(self._service, gathered, known.drain, fleet)
            self._arrivals(facts, admission, now_ms)
            if is_on:
                self._departures(known, facts, admission, now_ms)
                await self._step(known, facts, admission, now_ms, wall_ms)
                continue
            for move in admission.on_way:
                if move.wanted.kind is MoveKind.DRAIN and move.wanted.shard in known.begun:
                    admission.step(Withdrawn(move.wanted.shard), now_ms)  # nobody waits for it
            del self._known[drain.key]

    async def _take_back(self, known: Progress, why: str) -> None:
        """A node hands its canaries back: nobody gives it any until somebody says so."""
        drain, reason = known.drain, f"canary handed back: {why}"
        if await self._write(known, replace(drain, canaries=(), reason=reason)):
            detail = {"node": drain.name, "why": why, "shards": len(drain.canaries)}
            self._service.report(Happened("canary-handed-back", SYSTEM, 0, detail))

    def _arrivals(self, facts: DrainFacts, admission: Admission, now_ms: int) -> None:
        """Say what is led elsewhere by now."""
        here = {node.node for node in facts.nodes}
        for move in admission.on_way:
            wanted = move.wanted
            is_ours = wanted.kind is MoveKind.DRAIN and wanted.from_node in here
            if not is_ours or wanted.shard in facts.led:
                continue
            view = self._service.shard_view(wanted.shard)
            if view is None:
                admission.step(Withdrawn(wanted.shard), now_ms)
            elif view.leader is not None and view.leader.node not in here:
                admission.step(Arrived(wanted.shard, view.leader.node), now_ms)

    def _departures(
        self, known: Progress, facts: DrainFacts, admission: Admission, now_ms: int
    ) -> None:
        """Say what was released by an earlier global leader."""
        released = {shard for shard in facts.led if known.drain.releases(shard)}
        for shard in sorted(released - facts.stays - known.begun):
            wanted = self._wanted(facts, shard)
            if admission.judge(wanted, now_ms) is None:
                admission.step(Began(wanted), now_ms)
                known.begun.add(shard)

    async def _step(
        self, known: Progress, facts: DrainFacts, admission: Admission, now_ms: int, wall_ms: int
    ) -> None:
        drain = known.drain
        ahead = sorted(s for s in facts.led if s != SYSTEM and not drain.releases(s))
        if ahead:
            await self._release(known, facts, ahead, admission, now_ms, wall_ms)
            return
        known.waits_for = None
        on_way = {move.wanted.shard for move in admission.on_way}
        if facts.led & on_way - {SYSTEM}:
            return
        if not drain.is_whole:
            await self._write(known, replace(drain, is_whole=True))
        elif not facts.led & on_way:
            ended = replace(drain, state=DrainState.DRAINED, ended_wall_ms=wall_ms)
            await self._write(known, ended)

    async def _release(
        self,
        known: Progress,
        facts: DrainFacts,
        ahead: list[str],
        admission: Admission,
        now_ms: int,
        wall_ms: int,
    ) -> None:
        drain = known.drain
        deadline = drain.deadline_wall_ms
        ms_left = None if deadline is None else deadline - wall_ms
        allowed = facts.allowed_per_minute(admission.limits, drain)
        rate = needed_per_minute(len(ahead), ms_left, allowed)
        begun: list[Wanted] = []
        known.waits_for = None
        cursor = drain.cursor
        for shard in ahead:
            if shard in facts.stays:
                cursor = shard
                continue
            if known.bucket.fill(rate, now_ms) < 1.0:
                break
            wanted = self._wanted(facts, shard)
            known.waits_for = admission.judge(wanted, now_ms)
            if known.waits_for is not None:
                break
            known.bucket.take()
            admission.step(Began(wanted), now_ms)
            begun.append(wanted)
            cursor = shard
        if cursor == drain.cursor:
            return
        if await self._write(known, replace(drain, cursor=cursor)):
            known.begun.update(wanted.shard for wanted in begun)
            return
        for wanted in begun:
            admission.step(Withdrawn(wanted.shard), now_ms)

    async def _write(self, known: Progress, drain: Drain) -> bool:
        """One step, once; False when the drain was changed meanwhile, or nobody can say."""
        put = Put(PARTITION, drain.key, drain.packed())
        notes = drain_notes(known.drain, drain, SYSTEM_PRINCIPAL)
        outcome = await self._service.submit(
            Write(SYSTEM, (put,), (Compare(drain.key, known.version),), notes=notes)
        )
        if not isinstance(outcome, Written):
            return False
        known.drain, known.version = drain, outcome.position
        return True

    def _wanted(self, facts: DrainFacts, shard: str) -> Wanted:
        view = self._service.shard_view(shard)
        leader = view.leader if view is not None else None
        node = leader.node if leader is not None else facts.nodes[0].node
        region = leader.region if leader is not None else facts.nodes[0].region
        return Wanted(shard, group_of(self._service, shard), MoveKind.DRAIN, node, region)
