"""A thousand rollouts under random trouble: no step skipped, doubled or out of order.

A world of regions that apply late, twice, or not at all; gates that fail, know nothing, or change
their mind; operators who interfere; and leaders that are lost after any transition, of whom only
what was written is left.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from random import Random

import pytest

from config.freezes import Hold
from config.gate import Look, Verdict
from config.rollout import Phase, Reached, RegionStep, Rollout
from config.rollout_orders import Order, Unfit, ordered
from config.rollout_step import Ack, Seen, next_step
from config.strategy import (
    BY_PERCENT,
    DEFAULTS,
    OnFailure,
    OnUnreachable,
    RegionFacts,
    StrategyName,
    percents_of,
    waves_of,
)

HISTORIES = 1_000
TURNS_MAX = 4_000
OLD, NEW = 3, 4


@dataclass
class RegionOnTest:
    """A region's agent: it takes the target with the greatest step, once its copy shows it."""

    version: int = OLD
    digest: str = "old"
    step: int = 0
    is_up: bool = True
    applied: list[tuple[int, int]] = field(default_factory=list)

    def take(self, step: int, version: int, digest: str) -> None:
        if step <= self.step:
            return
        self.step, self.version, self.digest = step, version, digest
        self.applied.append((step, version))

    def ack(self) -> Ack:
        return Ack(self.version, self.digest, self.step)


class World:
    """One rollout, its regions, and a leader that may be another one at any moment."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        count = self.chance.randrange(1, 8)
        self.regions = {f"r{n}": RegionOnTest() for n in range(count)}
        strategy = replace(
            DEFAULTS[self.chance.choice(list(StrategyName))],
            on_failure=self.chance.choice(list(OnFailure)),
            on_unreachable=self.chance.choice(list(OnUnreachable)),
            unavailable_max=self.chance.randrange(2),
            parallel_max=self.chance.randrange(3),
            successes=self.chance.randrange(1, 4),
            failure_limit=self.chance.randrange(2),
            approvals=(1,) if self.chance.random() < 0.3 else (),
        )
        facts = [RegionFacts(name, self.chance.random()) for name in self.regions]
        if strategy.name in BY_PERCENT and self.chance.random() < 0.5:
            strategy = replace(strategy, nodes_percent=self.chance.randrange(10, 101))
        disruptive = self.chance.random() < 0.2
        waves = waves_of(strategy, facts, disruptive=disruptive)
        percents = percents_of(strategy, disruptive=disruptive)
        steps = tuple(RegionStep(name, OLD, "old") for name in self.regions)
        self.record = Rollout(
            1, "flags", NEW, "new", strategy, waves, steps, "ann", percents=percents
        )
        self.frozen: dict[str, Hold] = {}
        self.gone: set[str] = set()
        self.wall_ms = 1_000_000
        self.baked_ms = 0  # what this leader counted and nobody wrote down
        self.look: Look | None = None
        self.is_sick = self.chance.random() < 0.3
        self.seen: list[Rollout] = [self.record]

    def turn(self) -> None:
        """Some time passes, somebody does something, and the leader goes on."""
        passed_ms = self.chance.choice((10, 1_000, 60_000))
        self.wall_ms += passed_ms
        self.baked_ms += passed_ms
        for name, region in self.regions.items():
            self._live(name, region)
        if self.chance.random() < 0.05:
            some = [name for name in self.regions if self.chance.random() < 0.5]
            until_ms = self.wall_ms + 60_000
            self.frozen = {name: Hold(until_ms, "ice") for name in some}
        elif self.chance.random() < 0.2:
            self.frozen = {}
        if self.chance.random() < 0.001:
            self.gone.add(self.chance.choice(list(self.regions)))
        self.look = self._look() if self.chance.random() < 0.5 else None
        if self.chance.random() < 0.02:
            self.baked_ms = 0  # another leader: it knows what was written
        if self.chance.random() < 0.03:
            self._order(self.chance.choice((Order.PAUSE, Order.PROMOTE)))
        if self.record.pause is not None and self.chance.random() < 0.2:
            self._order(Order.RESUME)
        if self.chance.random() < 0.002:
            self._order(Order.ABORT)
        after = next_step(self.record, self._seen())
        if after is not None:
            self._write(after)

    def _live(self, name: str, region: RegionOnTest) -> None:
        if name in self.gone:
            region.is_up = False
        elif self.chance.random() < 0.01:
            region.is_up = not region.is_up
        elif not region.is_up and self.chance.random() < 0.2:
            region.is_up = True
        target = self.record.region(name)
        assert target is not None
        if region.is_up and target.step and self.chance.random() < 0.5:
            back = target.reached in (Reached.REVERTING, Reached.REVERTED)
            version, digest = (target.before, "old") if back else (NEW, "new")
            region.take(target.step, version, digest)

    def _look(self) -> Look:
        fails = self.is_sick and any(r.version == NEW for r in self.regions.values())
        if fails:
            return Look(Verdict.FAIL, "errors")
        return Look(
            self.chance.choices(list(Verdict), weights=(90, 0, 3, 7))[0], "as the dice fell"
        )

    def _order(self, order: Order) -> None:
        found = ordered(self.record, order, "ann", "")
        if not isinstance(found, Unfit):
            self._write(found)

    def _seen(self) -> Seen:
        acks = {name: each.ack() for name, each in self.regions.items() if each.is_up}
        baked_ms = self.record.baked_ms + self.baked_ms
        waited_ms = {each.region: self.wall_ms - each.since_ms for each in self.record.regions}
        within = {} if self.record.percent(self.record.wave) == 100 else dict.fromkeys(acks, 5)
        return Seen(
            self.wall_ms,
            acks,
            baked_ms,
            self.look,
            waited_ms=waited_ms,
            frozen=self.frozen,
            gone=self.gone,
            within=within,
        )

    def _write(self, after: Rollout) -> None:
        assert after.sequence == self.record.sequence + 1
        if (after.phase, after.wave) != (
            self.record.phase,
            self.record.wave,
        ) or after.baked_ms != self.record.baked_ms:
            self.baked_ms = 0
        self.record = after
        self.seen.append(after)

    def heal(self) -> None:
        """From here on everybody who is there answers, and somebody looks after it."""
        self.frozen = {}
        for name, region in self.regions.items():
            region.is_up = name not in self.gone


def check_no_wave_before_its_time(seen: list[Rollout]) -> None:
    for before, after in pairwise(seen):
        for region in after.regions:
            was = before.region(region.region)
            assert was is not None
            if region.reached is Reached.SENT and was.reached is not Reached.SENT:
                earlier = {name for wave in after.waves[: after.wave] for name in wave}
                for each in after.regions:
                    if each.region in earlier and not after.percents:
                        over = (Reached.HEALTHY, Reached.DEFERRED, Reached.SKIPPED)
                        assert each.reached in over, each
                    elif each.region in earlier:
                        left = (Reached.WAITING, Reached.DEFERRED, Reached.SKIPPED)
                        is_sent = each.share == after.percents[after.wave]
                        assert is_sent or each.reached in left, each
                assert region.region in after.waves[after.wave]
                assert region.step == before.steps + 1


def check_agents_did_each_step_once(world: World) -> None:
    for region in world.regions.values():
        steps = [step for step, _ in region.applied]
        assert steps == sorted(set(steps))
        assert len(region.applied) <= 2 + max(1, len(world.record.percents))


@pytest.mark.parametrize("part", range(10))
def test_rollouts_end_as_they_should_whatever_happens(part: int) -> None:
    ends: dict[Phase, int] = {}
    for seed in range(part * HISTORIES // 10, (part + 1) * HISTORIES // 10):
        world = World(seed)
        turns = 0
        while not world.record.is_over:
            world.turn()
            turns += 1
            if turns > TURNS_MAX // 2:
                world.heal()
                if world.record.pause is not None:
                    world._order(Order.RESUME)
            assert turns < TURNS_MAX, (seed, world.record)
        ends[world.record.phase] = ends.get(world.record.phase, 0) + 1
        check_no_wave_before_its_time(world.seen)
        check_agents_did_each_step_once(world)
        check_ending(world)
    assert ends[Phase.SUCCEEDED] > 20, ends
    assert ends[Phase.ROLLED_BACK] > 5, ends


def check_ending(world: World) -> None:
    record = world.record
    match record.phase:
        case Phase.SUCCEEDED:
            left = {each.reached for each in record.regions}
            assert left <= {Reached.HEALTHY, Reached.DEFERRED, Reached.SKIPPED}
        case Phase.ROLLED_BACK:
            if record.strategy.on_failure is not OnFailure.ROLLBACK_LATER:
                assert not record.may_have_other()
            assert all(
                world.regions[each.region].version == OLD
                for each in record.reached(Reached.REVERTED)
                if each.region not in world.gone
            )
