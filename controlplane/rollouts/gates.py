"""Asks the gates of rollouts, at the global leader.

Theory of operation. A look asks all gates of a rollout; it is taken every `INTERVAL_MS` while a
wave is watched, and at once when its bake is over. While the fleet's own gate waits, for a leader
or for a node to say something of itself, nobody else is asked either, and there is no look. What is
outside of the fleet is asked beside the loop: there is a look when all have answered, and until
then this rollout waits, and no other one.

How the fleet was before a wave is found when the wave is looked at first, in what nodes told of the
time before its regions were sent anything (config/gate_history), and is kept with the rollout: who
leads next holds the wave against the same. Of the wall clock only the age of that moment is taken,
so a step of it since then moves the line between before and after, and nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from config.gate import (
    INTERVAL_MS,
    Gate,
    GateKind,
    GateLook,
    Look,
    Verdict,
    kept_look,
    together,
    without_data,
)
from config.gate_fleet import REPORTS_MS, FleetSeen, fleet_look
from config.gate_history import KEPT_MS
from config.gate_samples import Before, RegionBefore, Totals
from config.rollout import HAS_IT, Phase, Reached, Rollout
from controlplane.api.service import Service
from controlplane.node.load_reports import REPORT_EVERY_MS, Gathered
from controlplane.views import FleetView

STALE_MS: Final = 15_000
"""An answer that is older says nothing any more; no gate may take as long."""
WAIT_MS: Final = 500
"""Between looks of a gate that waits."""
ALIVE_MS: Final = REPORT_EVERY_MS + REPORT_EVERY_MS // 2
"""A node that told a sample no longer than that before a wave was alive before it."""


class Asker(Protocol):
    """Who asks something outside of the fleet."""

    async def ask(self, gates: Sequence[Gate], regions: Collection[str]) -> list[Look]:
        """The verdicts of gates on these regions, all of them asked at the same time."""
        ...


class Asked(Protocol):
    """An answer that is waited for: as much of a task as is needed."""

    def done(self) -> bool: ...

    def result(self) -> list[Look]: ...

    def cancel(self) -> object: ...


@dataclass(frozen=True, slots=True)
class _Asking:
    """A look that is being taken; what the fleet itself said in it is there already."""

    task: Asked
    own: dict[str, Look | None]
    asked_ms: int
    wall_ms: int
    window_ms: int


@dataclass(slots=True)
class _Watch:
    """What this process knows of the wave of one rollout that it watches."""

    before: Before
    began_ms: int
    """On the node's clock."""
    place: tuple[int, Phase]
    next_ms: int
    leaderless_ms: int | None = None
    """Since when more shards than before have no leader."""
    looks: tuple[GateLook, ...] = ()
    asking: _Asking | None = None

    def stop(self) -> None:
        """Whatever is being asked, nobody waits for the answer."""
        if self.asking is not None:
            self.asking.task.cancel()
            self.asking = None


class GateKeeper:
    """The gates of one node's loop."""

    def __init__(
        self,
        service: Service,
        asker: Asker | None = None,
        wall_s: Callable[[], float] = time.time,
        begin: Callable[[Coroutine[Any, Any, list[Look]]], Asked] = asyncio.create_task,
    ) -> None:
        """`begin` has somebody asked while the loop goes on."""
        self._service = service
        self._asker = asker
        self._begin = begin
        self._wall_s = wall_s
        self._watched: dict[int, _Watch] = {}

    def forget(self, numbers: Collection[int]) -> None:
        """Only these rollouts go on."""
        for number in [known for known in self._watched if known not in numbers]:
            self._watched.pop(number).stop()

    def noted(self, rollout: Rollout) -> Rollout:
        """The record with what is known here of its gates: what each said last, and how the fleet
        was before the wave."""
        watch = self._watched.get(rollout.id)
        if watch is None:
            return rollout
        return replace(rollout, looks=watch.looks, before=watch.before)

    async def look(self, rollout: Rollout, now_ms: int) -> Look | None:
        """One look, if it is time for one."""
        gathered = self._service.gathered()
        if gathered is None:
            return None
        watch, place = self._watched.get(rollout.id), (rollout.wave, rollout.phase)
        if watch is None or watch.place[0] != rollout.wave:
            if watch is not None:
                watch.stop()
            watch = self._watched[rollout.id] = self._begun(rollout, gathered, now_ms)
        if rollout.phase is Phase.GATING and watch.place != place:
            watch.stop()
            watch.next_ms = now_ms
        watch.place = place
        if watch.asking is not None:
            return self._answered(rollout, watch, now_ms)
        if now_ms < watch.next_ms:
            return None
        seen = _seen(rollout, watch, gathered, self._service.fleet())
        own = {
            gate.name: fleet_look(gate, watch.before, seen)
            for gate in rollout.gates
            if gate.kind is GateKind.FLEET
        }
        if _is_to_wait(rollout.gates, own):
            watch.next_ms = now_ms + WAIT_MS
            return None
        watch.next_ms = now_ms + INTERVAL_MS
        wall_ms, window_ms = int(self._wall_s() * 1_000), seen.watched_ms
        outside = [gate for gate in rollout.gates if gate.kind is not GateKind.FLEET]
        if self._asker is None or not outside:
            none = [without_data(gate, f"{gate.name}: nobody asks here") for gate in outside]
            return _looked(rollout, watch, own, none, (wall_ms, window_ms))
        task = self._begin(self._asker.ask(outside, seen.wave))
        watch.asking = _Asking(task, own, now_ms, wall_ms, window_ms)
        if not task.done():
            await asyncio.sleep(0)  # an answer that is there at once counts now
        return self._answered(rollout, watch, now_ms)

    def _answered(self, rollout: Rollout, watch: _Watch, now_ms: int) -> Look | None:
        """The look that was being taken, once all have answered. One that was not fetched, since
        the rollout was paused, is taken anew."""
        asking = watch.asking
        assert asking is not None
        if now_ms - asking.asked_ms > STALE_MS:
            watch.stop()
            watch.next_ms = now_ms
        elif asking.task.done():
            watch.asking = None
            times = asking.wall_ms, asking.window_ms
            return _looked(rollout, watch, asking.own, asking.task.result(), times)
        return None

    def _begun(self, rollout: Rollout, gathered: Gathered, now_ms: int) -> _Watch:
        """A wave is looked at first, by this process."""
        sent_ms = [each.since_ms for each in rollout.in_wave() if each.step]
        wall_ms = int(self._wall_s() * 1_000)
        began_ms = gathered.now_ms - max(0, wall_ms - min(sent_ms, default=wall_ms))
        before = rollout.before
        if before is None or before.wave != rollout.wave:
            before = _before(rollout, gathered, self._service.fleet(), began_ms)
        place, is_due = (rollout.wave, rollout.phase), rollout.phase is Phase.GATING
        next_ms = now_ms if is_due else now_ms + INTERVAL_MS
        return _Watch(before, began_ms, place, next_ms, looks=rollout.looks)


def _looked(
    rollout: Rollout,
    watch: _Watch,
    own: dict[str, Look | None],
    answers: Iterable[Look],
    times: tuple[int, int],
) -> Look:
    """What every gate says, in their order; a gate that only reports may still wait."""
    said = iter(answers)
    found = [
        (gate, _or_waiting(gate, own[gate.name]) if gate.kind is GateKind.FLEET else next(said))
        for gate in rollout.gates
    ]
    watch.looks = tuple(kept_look(gate, look, *times) for gate, look in found)
    return together(found)


def _is_to_wait(gates: Iterable[Gate], own: dict[str, Look | None]) -> bool:
    """Whether a gate that counts waits, and none fails anyhow."""
    looks = [own[gate.name] for gate in gates if gate.name in own and not gate.dry_run]
    fails = any(look is not None and look.verdict is Verdict.FAIL for look in looks)
    return None in looks and not fails


def _or_waiting(gate: Gate, look: Look | None) -> Look:
    return look or Look(Verdict.INCONCLUSIVE, f"{gate.name}: it waits")


def _before(rollout: Rollout, gathered: Gathered, fleet: FleetView, began_ms: int) -> Before:
    """How the fleet was before a wave; regions of earlier waves are kept as they were then."""
    reached = {region for wave in rollout.waves[: rollout.wave] for region in wave}
    known = rollout.before.regions if rollout.before is not None else ()
    kept = {each.region: each for each in known if each.region in reached}
    totals = gathered.health.totals(began_ms - KEPT_MS, began_ms)
    alive = gathered.health.heard(began_ms - ALIVE_MS, began_ms)
    for node in fleet.nodes:
        if node.alive:
            alive.setdefault(node.region, {}).setdefault(node.node, node.process)
    regions = [
        kept.get(each.region)
        or RegionBefore(
            each.region,
            tuple(sorted(alive.get(each.region, {}).items())),
            totals.get(each.region, Totals()),
        )
        for each in rollout.regions
    ]
    return Before(rollout.wave, fleet.shards_total - fleet.shards_led, tuple(regions))


def _seen(rollout: Rollout, watch: _Watch, gathered: Gathered, fleet: FleetView) -> FleetSeen:
    """The fleet now, beside how it was before the wave."""
    wave = _watched_regions(rollout)
    waiting = rollout.reached(Reached.WAITING)
    control = {each.region for each in waiting if not each.may_have_other}
    now_ms, leaderless = gathered.now_ms, fleet.shards_total - fleet.shards_led
    if leaderless <= watch.before.leaderless:
        watch.leaderless_ms = None
    elif watch.leaderless_ms is None:
        watch.leaderless_ms = now_ms
    heard_ms = max(watch.began_ms, now_ms - REPORTS_MS)
    unheard = [
        node.node
        for node in fleet.nodes
        if node.alive
        and node.region in wave
        and (gathered.health.newest_ms(node.node) or 0) <= heard_ms
    ]
    return FleetSeen(
        wave=wave,
        control=frozenset(control - wave),
        alive={node.node: node.process for node in fleet.nodes if node.alive},
        left=frozenset(node.left for node in fleet.nodes if node.left),
        leaderless=leaderless,
        leaderless_ms=0 if watch.leaderless_ms is None else now_ms - watch.leaderless_ms,
        totals=gathered.health.totals(watch.began_ms, now_ms),
        unheard=sorted(unheard),
        watched_ms=now_ms - watch.began_ms,
        is_baked=_baked_ms(rollout) > 0,
    )


def _is_final(rollout: Rollout) -> bool:
    """Whether it is the final bake that is watched, or has been: all regions were well before."""
    return rollout.is_final


def _watched_regions(rollout: Rollout) -> frozenset[str]:
    """The regions that are looked at: those of the wave that have the version; at last, all."""
    steps = rollout.regions if _is_final(rollout) else rollout.in_wave()
    away = (Reached.UNREACHABLE, Reached.DEFERRED)
    return frozenset(
        each.region for each in steps if each.reached in HAS_IT and each.reached not in away
    )


def _baked_ms(rollout: Rollout) -> int:
    strategy = rollout.strategy
    return strategy.final_bake_ms if _is_final(rollout) else strategy.bake_ms
