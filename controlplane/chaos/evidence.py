"""By which counter of the fleet each kind of fault must be seen: a fault that nobody felt is none.

A sign is read before the fault, and after it until it shows: a counter of `/metrics` that has
grown, a process that began later, a store's state on `/v1/status`, answers of a broken clock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from controlplane.chaos.clocks import Clocks
from controlplane.chaos.eyes import Eyes, grown
from controlplane.chaos.fleet_on_trial import FleetOnTrial
from controlplane.chaos.roles import Kind
from controlplane.chaos.scenario import (
    Clock,
    Cut,
    Fault,
    Fill,
    Forget,
    Hamper,
    Kill,
    Restart,
    Slow,
    Snap,
    Stop,
)
from controlplane.chaos.struck import Evidence

SHOWN_S_MAX = 60.0
"""How long after its end a fault may take to show: on a busy machine a process starts slowly."""
LAG_SHARE = 0.5
"""Of the time that a node slept, so much must be in its event loop's lag."""

STARTED = "process_start_time_seconds"
LAG = "leadplane_event_loop_lag_seconds_sum"
_MIB = 1 << 20

Value: TypeAlias = Any
Judge: TypeAlias = Callable[[Value, Value], bool]
Read: TypeAlias = Callable[[], Awaitable[Value]]


@dataclass(frozen=True, slots=True)
class Sign:
    """Something that can be read, and when it shows the fault."""

    counter: str
    read: Read
    shows: Judge
    says: Callable[[Value, Value], tuple[float | str, float | str]] = lambda a, b: (a, b)

    async def shown(self, before: Value) -> Evidence:
        """Read it now, and hold it against what it was."""
        now = await self.read()
        told = self.says(before, now)
        return Evidence(self.counter, told[0], told[1], self.shows(before, now))


def signs_of(fault: Fault, targets: Sequence[str], fleet: FleetOnTrial, eyes: Eyes) -> list[Sign]:
    """The signs of a fault at its targets."""
    kinds = {site.id: site.kind for site in fleet.sites}
    nodes = [t for t in targets if kinds[t] is Kind.NODE]
    stores = [t for t in targets if kinds[t] is Kind.STORE]
    match fault:
        case Kill() | Restart():
            return [_began_later(eyes, n) for n in nodes] + [_lanes_lost(eyes, s) for s in stores]
        case Stop():
            slept = [_slept(eyes, n, fault.for_s * LAG_SHARE) for n in nodes]
            return slept + [_renewals_late(eyes, s) for s in stores]
        case Slow():
            slept = [_slept(eyes, n, fault.for_s * fault.share * LAG_SHARE) for n in nodes]
            return slept + [_slower(eyes, s, fault.period_ms * fault.share / 2) for s in stores]
        case Hamper():
            waits_ms = fault.delay_ms + fault.jitter_ms / 4
            every = stores or [s.id for s in fleet.sites if s.kind is Kind.STORE]
            return [_slower(eyes, s, waits_ms) for s in every[:1]]
        case Cut() | Snap():
            every = [s.id for s in fleet.sites if s.kind is Kind.STORE]
            return [_any_lane_lost(eyes, every)]
        case Fill():
            memory = fault.what == "memory"
            return [_little_room(eyes, s, fault.leave_mib, memory=memory) for s in stores]
        case Forget():
            return [_not_up(eyes, s) for s in stores]
        case Clock():
            assert fleet.clocks is not None, "a fleet with clocks that can be broken"
            return [_lies(fleet.clocks, n) for n in nodes]


def _began_later(eyes: Eyes, node: str) -> Sign:
    async def read() -> Value:
        return (await eyes.counters(node)).get(STARTED, 0.0)

    return Sign(
        f"seconds by which {STARTED} of {node} is later",
        read,
        lambda before, now: now > before,
        lambda before, now: (0, max(0.0, now - before)),
    )


def _slept(eyes: Eyes, node: str, seconds: float) -> Sign:
    async def read() -> Value:
        return (await eyes.counters(node)).get(LAG, 0.0)

    return Sign(f"{LAG} of {node}", read, lambda before, now: now - before >= seconds)


def _growth(eyes: Eyes, counter: str, series: Sequence[str]) -> Sign:
    def growth(before: Value, now: Value) -> float:
        return sum(grown(before, now, each) for each in series)

    return Sign(
        counter,
        eyes.all_counters,
        lambda before, now: growth(before, now) > 0,
        lambda before, now: (0, growth(before, now)),
    )


def _lost(store: str) -> str:
    return f'leadplane_store_lanes_lost_total{{store="{store}"}}'


def _lanes_lost(eyes: Eyes, store: str) -> Sign:
    return _growth(eyes, _lost(store), [_lost(store)])


def _any_lane_lost(eyes: Eyes, stores: Sequence[str]) -> Sign:
    name = "leadplane_store_lanes_lost_total"
    return _growth(eyes, name, [_lost(store) for store in stores])


def _renewals_late(eyes: Eyes, store: str) -> Sign:
    series = ['leadplane_renewals_total{outcome="lost"}', _lost(store)]
    return _growth(eyes, 'leadplane_renewals_total{outcome="lost"}', series)


def _slower(eyes: Eyes, store: str, by_ms: float) -> Sign:
    async def read() -> Value:
        seen = []
        for node in eyes.urls:
            status = await eyes.document(node, "/v1/status")
            rows = (status or {"stores": []})["stores"]
            seen += [r["round_trip_p99_ms"] or 0 for r in rows if r["store"] == store]
        return max(seen, default=0)

    return Sign(
        f"round_trip_p99_ms of {store}", read, lambda before, now: now >= before + by_ms / 2
    )


def _little_room(eyes: Eyes, store: str, leave_mib: int, *, memory: bool) -> Sign:
    used, limit = (f'leadplane_store_memory_{w}_bytes{{store="{store}"}}' for w in ("used", "max"))
    free = f'leadplane_store_disk_free_bytes{{store="{store}"}}'

    async def read() -> Value:
        """The least that any node has seen, in bytes."""
        left = []
        for counters in (await eyes.all_counters()).values():
            if limit in counters:
                left.append(counters[limit] - counters[used])
            if not memory and free in counters:
                left.append(counters[free])
        return min(left, default=float("inf"))

    name = "memory_max_bytes - memory_used_bytes" if memory else "disk_free_bytes"
    floor = (leave_mib + 2) * _MIB
    return Sign(f"leadplane_store_{name} of {store}", read, lambda _, now: now <= floor)


def _not_up(eyes: Eyes, store: str) -> Sign:
    async def read() -> Value:
        row = await eyes.store(store)
        return "not known" if row is None else str(row["state"])

    return Sign(f"state of {store} on /v1/status", read, lambda _, now: now != "up")


def _lies(clocks: Clocks, node: str) -> Sign:
    async def read() -> Value:
        return clocks.changed(node)

    name = f"changed answers of the clock of {node}"
    return Sign(name, read, lambda before, now: now > before)
