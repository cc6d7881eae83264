"""Faults as they are done: each to its targets, for its time, and undone whatever happens.

A fault says itself in which counter of the fleet it must show. The counters are read before it
comes, and afterwards until they show it or the time is up: `docs/chaos.md` has the list.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from controlplane.chaos import evidence
from controlplane.chaos.clients import RunClock
from controlplane.chaos.evidence import Sign
from controlplane.chaos.eyes import Eyes
from controlplane.chaos.fleet_on_trial import FleetOnTrial
from controlplane.chaos.roles import NobodyThere, parts, resolve, shard_in
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
from controlplane.chaos.struck import Evidence, Struck
from controlplane.chaos.ways import Hindrance
from controlplane.errors import ChaosImpossible, first_cause

NOBODY_S_MAX = 20.0
"""How long is waited for a role to be somebody's: an election may be on."""
_AGAIN_S = 0.1
LOOK_S = 0.4


class Timeline:
    """The faults of one scenario, each at its time."""

    def __init__(self, fleet: FleetOnTrial, eyes: Eyes, clock: RunClock) -> None:
        self.struck: list[Struck] = []
        self._fleet = fleet
        self._eyes = eyes
        self._clock = clock

    async def run(self, faults: Sequence[Fault]) -> None:
        """Let all of them come; return when the last is over and has been looked for."""
        async with asyncio.TaskGroup() as tasks:
            for number, fault in enumerate(faults):
                tasks.create_task(self._come(f"cut{number}", fault))

    async def _come(self, name: str, fault: Fault) -> None:
        await asyncio.sleep(max(0.0, fault.at_s - self._clock.now_ms() / 1_000))
        struck = Struck(fault.do, said(fault), (), self._clock.now_ms())
        self.struck.append(struck)
        try:
            struck.targets = await self._targets(fault)
            signs = evidence.signs_of(fault, struck.targets, self._fleet, self._eyes)
            before = [await sign.read() for sign in signs]
            struck.began_ms = self._clock.now_ms()
            async with asyncio.TaskGroup() as tasks:
                over = asyncio.Event()
                tasks.create_task(watch_signs(struck, signs, before, over))
                try:
                    await self._do(name, fault, struck)
                finally:
                    struck.ended_ms = self._clock.now_ms()
                    over.set()
        except* (ChaosImpossible, NobodyThere, OSError, ValueError, TimeoutError) as group:
            error = first_cause(group)
            struck.failed = str(error) or type(error).__name__
        if struck.ended_ms is None:
            struck.ended_ms = self._clock.now_ms()

    async def _targets(self, fault: Fault) -> tuple[str, ...]:
        role = fault.away if isinstance(fault, Cut) else fault.to
        if role is None:
            return tuple(site.id for site in self._fleet.sites)
        shard = shard_in(role)
        loop = asyncio.get_running_loop()
        give_up = loop.time() + NOBODY_S_MAX
        while True:
            shards = {} if shard is None else {shard: await self._eyes.shard(shard)}
            try:
                return resolve(role, self._fleet.sites, shards)
            except NobodyThere:
                if loop.time() > give_up:
                    raise
            await asyncio.sleep(_AGAIN_S)

    async def _do(self, name: str, fault: Fault, struck: Struck) -> None:
        fleet, targets = self._fleet, struck.targets
        match fault:
            case Kill():
                await self._kill(fault, targets)
            case Restart():
                await _repeated(fault, targets, fleet.end)
            case Snap():
                await _repeated(fault, targets, lambda site: fleet.ways.snap((site,)))
            case Stop():
                await _during(fault.for_s, targets, fleet.stop, fleet.go_on)
            case Slow():
                await self._slow(fault, targets)
            case Cut():
                await fleet.ways.cut(name, pairs_of(fault, targets, fleet))
                try:
                    await asyncio.sleep(fault.for_s)
                finally:
                    struck.notes.append(await fleet.ways.mend(name, loses=fault.ends == "lost"))
            case Hamper():
                how = Hindrance(fault.delay_ms, fault.jitter_ms, fault.bytes_per_s)
                await fleet.ways.hamper(name, targets, how)
                try:
                    await asyncio.sleep(fault.for_s)
                finally:
                    await fleet.ways.ease(name)
            case Fill():
                for store in targets:
                    note = await fleet.fill(store, fault.what, fault.leave_mib)
                    struck.notes.append(f"{store}: {note}")
                await asyncio.sleep(fault.for_s)
                for store in targets:
                    await fleet.empty(store, fault.what)
            case Forget():
                for store in targets:
                    struck.notes.append(f"{store}: {await fleet.forget(store, fault.how)}")
            case Clock():
                await self._break_clocks(fault, targets)

    async def _kill(self, fault: Kill, targets: Sequence[str]) -> None:
        if not fault.for_s:
            await _repeated(fault, targets, self._fleet.kill)
            return

        async def down(site: str) -> None:
            await self._fleet.hold(site)
            try:
                await self._fleet.kill(site)
                await asyncio.sleep(fault.for_s)
            finally:
                await self._fleet.let_go(site)

        await _repeated(fault, targets, down)

    async def _slow(self, fault: Slow, targets: Sequence[str]) -> None:
        fleet, period_s = self._fleet, fault.period_ms / 1_000
        ends_ms = self._clock.now_ms() + fault.for_s * 1_000
        while self._clock.now_ms() < ends_ms:
            await _during(period_s * fault.share, targets, fleet.stop, fleet.go_on)
            await asyncio.sleep(period_s * (1 - fault.share))

    async def _break_clocks(self, fault: Clock, targets: Sequence[str]) -> None:
        clocks = self._fleet.clocks
        if clocks is None:
            raise ChaosImpossible("the clocks of this fleet cannot be changed")
        for node in targets:
            clocks.step(node, fault.step_s)
            clocks.run_faster(node, fault.faster_percent)
        try:
            await asyncio.sleep(fault.for_s)
        finally:
            for node in targets:
                clocks.step(node, 0.0)
                clocks.run_faster(node, 0.0)


def pairs_of(fault: Cut, away: Sequence[str], fleet: FleetOnTrial) -> frozenset[tuple[str, str]]:
    """The ways that a cut closes."""
    everybody = [site.id for site in fleet.sites]
    if fault.sides is None:
        rest = [site for site in everybody if site not in away]
        out = {(a, b) for a in away for b in rest}
        back = {(b, a) for a, b in out}
        return frozenset({"both": out | back, "out": out, "in": back}[fault.way])
    places = parts(fleet.sites)
    half = len(places) // 2
    one = [site for place in places[:half] for site in place]
    between = half + 1 if fault.sides == "bridge" else half
    other = [site for place in places[between:] for site in place]
    if not one or not other:
        raise ChaosImpossible(f"{len(places)} places have no {fault.sides}")
    out = {(a, b) for a in one for b in other}
    return frozenset(out | {(b, a) for a, b in out})


def said(fault: Fault) -> str:
    """A fault in a few words."""
    fields = fault.model_dump(exclude_unset=True, exclude={"do", "at_s"})
    about = ", ".join(f"{name} {value}" for name, value in fields.items())
    return f"{fault.do} {about}"


async def _repeated(
    fault: Kill | Restart | Snap, targets: Sequence[str], strike: Callable[[str], Awaitable[None]]
) -> None:
    """Strike all targets, or one after the other where time is to pass between."""
    waited = False
    for _ in range(fault.times):
        if not fault.every_s:
            await asyncio.gather(*(strike(site) for site in targets))
            continue
        for site in targets:
            if waited:
                await asyncio.sleep(fault.every_s)
            waited = True
            await strike(site)


async def _during(
    seconds: float,
    targets: Sequence[str],
    begin: Callable[[str], Awaitable[None]],
    end: Callable[[str], Awaitable[None]],
) -> None:
    """Begin with all targets, and end it whatever happens."""
    try:
        for site in targets:
            await begin(site)
        await asyncio.sleep(seconds)
    finally:
        for site in targets:
            await end(site)


async def watch_signs(
    struck: Struck, signs: Sequence[Sign], before: Sequence[Any], over: asyncio.Event
) -> None:
    """Read the counters until each has shown the fault, at the latest some time after its end."""
    loop = asyncio.get_running_loop()
    give_up: float | None = None
    found: list[Evidence] = []
    while True:
        for number, sign in enumerate(signs):
            if number < len(found) and found[number].seen:
                continue
            found[number : number + 1] = [await sign.shown(before[number])]
        struck.evidence = found
        if all(each.seen for each in found):
            return
        if give_up is None and over.is_set():
            give_up = loop.time() + evidence.SHOWN_S_MAX
        if give_up is not None and loop.time() > give_up:
            return
        await asyncio.sleep(LOOK_S)
