"""Goes on with rollouts, at the global leader: one transition after the other, each written first.

Theory of operation. It runs at every node and acts at the global leader alone. What a rollout does
next is decided from its record and from what is seen (config/rollout_step); the decision is one
entry of the system shard, with the targets that follow from it, on the condition that the record is
what was read. Regions read their targets at their own copies. So a successor begins where the
record is, and what was decided twice counts once.

What only this process knows are the clock of a bake and the looks at gates; both begin anew with
it, so that a bake can only become longer, and no look is counted twice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from config.gate import Look
from config.rollout import Phase, Rollout
from config.rollout_step import Seen, next_step
from controlplane.api.service import Service
from controlplane.problems import RequestRefused
from controlplane.requests import Problem, Refused
from controlplane.rollouts.book import RolloutBook, ended
from controlplane.rollouts.looking import FreezeReader, acks_of, is_gone, within_of
from controlplane.views import FleetView

EVERY_S: Final = 0.1
HURRIED_S: Final = 0.05
"""Between looks while regions are waited for."""
STEPS_AT_ONCE: Final = 100
WATCHED: Final = (Phase.BAKING, Phase.GATING, Phase.FINAL_BAKE)
LOGGER: Final = logging.getLogger(__name__)


class Gates(Protocol):
    """Who asks the gates of a rollout."""

    async def look(self, rollout: Rollout, now_ms: int) -> Look | None:
        """One look, if it is time for one."""
        ...

    def forget(self, numbers: Collection[int]) -> None:
        """Only these rollouts go on."""
        ...

    def noted(self, rollout: Rollout) -> Rollout:
        """The record with what is known of its gates."""
        ...


@dataclass(slots=True)
class _Progress:
    """What this process knows of one rollout beside its record."""

    rollout: Rollout
    version: int
    bake_ms: int = 0  # when the present bake began, by this clock; less what was written
    look: Look | None = None
    before: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    seen_ms: dict[tuple[str, int], int] = field(default_factory=dict)  # by region and step

    def waited(self, now_ms: int) -> dict[str, int]:
        """For how long each region's present step is known here."""
        return {
            each.region: now_ms - self.seen_ms.setdefault((each.region, each.step), now_ms)
            for each in self.rollout.regions
        }


class RolloutLeader:
    """The loop of one node."""

    def __init__(
        self, service: Service, gates: Gates, wall_s: Callable[[], float] = time.time
    ) -> None:
        self._service = service
        self._gates = gates
        self._wall_s = wall_s
        self._book = RolloutBook(service)
        self._freezes = FreezeReader()
        self._known: dict[int, _Progress] = {}
        self._epoch: int | None = None
        self._now_ms = 0  # time that has passed in turns

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        try:
            await self._turns()
        finally:
            self._gates.forget(())

    async def _turns(self) -> None:
        loop = asyncio.get_running_loop()
        at_s = loop.time()
        while True:
            await asyncio.sleep(HURRIED_S if self.is_hurried else EVERY_S)
            passed_s, at_s = loop.time() - at_s, loop.time()
            try:
                await self.turn(passed_s)
            except RequestRefused as refused:
                LOGGER.info("rollouts wait: %s", refused.detail)

    @property
    def is_hurried(self) -> bool:
        """Whether a rollout waits for regions."""
        return any(
            each.rollout.phase in (Phase.PENDING, Phase.APPLYING, Phase.ROLLING_BACK)
            and each.rollout.pause is None
            for each in self._known.values()
        )

    async def turn(self, passed_s: float) -> None:
        """Make what transitions are due after so much time. Raises RequestRefused."""
        self._now_ms += round(passed_s * 1_000)
        gathered = self._service.gathered()
        if gathered is None:
            self._known.clear()
            self._gates.forget(())
            self._epoch = None
            return
        if self._epoch != gathered.epoch:
            self._known.clear()
            self._epoch = gathered.epoch
        self._learn()
        self._gates.forget(self._known)
        for known in [self._known[number] for number in sorted(self._known)]:
            try:
                await self._go_on(known, gathered.epoch)
            except RequestRefused as refused:  # the others go on
                LOGGER.info("rollout %s waits: %s", known.rollout.id, refused.detail)
        over = [number for number, known in self._known.items() if known.rollout.is_over]
        for number in over:
            del self._known[number]

    def _learn(self) -> None:
        """What others wrote: new rollouts, and orders of people."""
        for rollout, version in self._service.rollouts():
            known = self._known.get(rollout.id)
            if known is None and not rollout.is_over:
                self._known[rollout.id] = self._took(_Progress(rollout, version))
            elif known is not None and version > known.version:
                known.rollout, known.version = rollout, version
                self._took(known)

    def _took(self, known: _Progress) -> _Progress:
        """A record is another one: bakes count from what it says."""
        known.bake_ms = self._now_ms - known.rollout.baked_ms
        known.look = None
        return known

    async def _go_on(self, known: _Progress, epoch: int) -> None:
        """Make transitions as long as there are some to make."""
        if known.rollout.pause is not None:
            known.bake_ms = self._now_ms - known.rollout.baked_ms  # the clock stands still
        elif known.rollout.phase in WATCHED:
            known.look = await self._gates.look(known.rollout, self._now_ms)
        for _ in range(STEPS_AT_ONCE):
            await self._look_before(known)
            fleet = self._service.fleet()
            after = next_step(known.rollout, self._seen(known, fleet))
            if after is None or not await self._write(known, after, epoch):
                return

    async def _look_before(self, known: _Progress) -> None:
        """What regions run just before it begins: as late as that, whatever it waited for."""
        begins = known.rollout.phase is Phase.PENDING and known.rollout.pause is None
        if begins and self._is_first(known.rollout):
            known.before = await self._before_of(known.rollout)

    async def _write(self, known: _Progress, after: Rollout, epoch: int) -> bool:
        """One transition, once; False when the record was changed meanwhile, or nobody can say."""
        before, is_other = known.rollout, after.phase is not known.rollout.phase
        after = ended(self._gates.noted(after), self._wall_ms)
        outcome = await self._book.step(before, after, known.version, epoch)
        if isinstance(outcome, Refused):
            if outcome.problem is Problem.PRECONDITION_FAILED:
                await self._read_anew(known)
            else:
                LOGGER.info("rollout %s waits: %s", after.id, outcome.detail)
            return False
        bake_ms = known.bake_ms
        known.rollout, known.version = after, outcome.position
        self._took(known)
        if not is_other:
            known.bake_ms = bake_ms
        return True

    async def _read_anew(self, known: _Progress) -> None:
        """Somebody else wrote: what counts is at the leader, not in this region's copy."""
        found = await self._book.rollout(known.rollout.id)
        if found is not None:
            known.rollout, known.version = found
            self._took(known)

    def _seen(self, known: _Progress, fleet: FleetView) -> Seen:
        rollout, feed = known.rollout, self._service.documents()
        wall_ms = self._wall_ms
        return Seen(
            wall_ms=wall_ms,
            acks=acks_of(rollout, fleet, self._service.acks(rollout.document, rollout.id)),
            baked_ms=self._now_ms - known.bake_ms,
            look=known.look,
            is_first=self._is_first(rollout),
            before=known.before,
            waited_ms=known.waited(self._now_ms),
            frozen=self._freezes.frozen(rollout, feed, wall_ms),
            gone=[e.region for e in rollout.regions if is_gone(e.region, feed, fleet)],
            within=within_of(rollout, fleet),
        )

    async def _before_of(self, rollout: Rollout) -> dict[str, tuple[int, str]]:
        """What its regions are to run at present."""
        now = await self._book.in_force(rollout.document)
        targets = {each.region: now.target(each.region) for each in rollout.regions}
        return {region: at.settled for region, at in targets.items()}

    def _is_first(self, rollout: Rollout) -> bool:
        """Whether none goes on that was there before, of this document or of a related one."""
        return not any(are_related(rollout, other.rollout) for other in self._before(rollout))

    def _before(self, rollout: Rollout) -> list[_Progress]:
        return [
            other
            for number, other in self._known.items()
            if number < rollout.id and not other.rollout.is_over
        ]

    @property
    def _wall_ms(self) -> int:
        return int(self._wall_s() * 1_000)


def are_related(one: Rollout, other: Rollout) -> bool:
    """Whether two rollouts must not go on at the same time."""
    names = (one.document, *one.related)
    return other.document in names or one.document in other.related
