"""A rollout: how one revision of a document comes to hold, region by region.

Theory of operation. The record of a rollout lies in the system shard, and what each region is to
run (its *target*) beside it. A step of the rollout is one entry that changes both, on the condition
that the record is still the one that was read: a global leader that was deposed, or that looked
too early, changes nothing. Regions read their targets from their own copy of the system shard. So
the decision is durable before anything follows from it; and what follows can be done twice.

Phases, the first in which a rollout is:

    pending         it waits for another one, of the same document or of one that it names
    applying        the regions of the present wave take the version
    baking          all of them have; they are watched for a time
    gating          the gate is asked whether they are well
    final-bake      all regions have it; they are watched once more
    rolling-back    regions that were reached take what they had before
    stuck           some of them cannot be reached; it goes on as soon as they can
    succeeded, rolled-back, superseded, held      it is over

While it is paused nothing begins: the phase stays, and the bake's clock stands still.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from config.gate import FLEET_GATE, Gate, GateLook
from config.gate_samples import Before
from config.strategy import Strategy, Waves


class Phase(StrEnum):
    """How far a rollout is."""

    PENDING = "pending"
    APPLYING = "applying"
    BAKING = "baking"
    GATING = "gating"
    FINAL_BAKE = "final-bake"
    ROLLING_BACK = "rolling-back"
    STUCK = "stuck"
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled-back"
    SUPERSEDED = "superseded"
    HELD = "held"


FORWARD: Final = (Phase.APPLYING, Phase.BAKING, Phase.GATING, Phase.FINAL_BAKE)
TRANSITIONS: Final[Mapping[Phase, Mapping[Phase, str]]] = {
    Phase.PENDING: {
        Phase.APPLYING: "nothing is in its way",
        Phase.SUCCEEDED: "there is no region",
        Phase.ROLLED_BACK: "abort",
        Phase.ROLLING_BACK: "abort, after it superseded another one",
        Phase.SUPERSEDED: "supersede",
    },
    Phase.APPLYING: {
        Phase.BAKING: "all regions of the wave have it",
        Phase.FINAL_BAKE: "the last wave's regions were all removed, or left for later",
        Phase.SUCCEEDED: "the same, without a final bake",
        Phase.ROLLING_BACK: "abort",
        Phase.ROLLED_BACK: "abort, before any region was reached",
        Phase.SUPERSEDED: "supersede",
    },
    Phase.BAKING: {
        Phase.GATING: "the time is over",
        Phase.APPLYING: "promote",
        Phase.FINAL_BAKE: "promote the last wave",
        Phase.SUCCEEDED: "the same, without a final bake",
        Phase.ROLLING_BACK: "a gate fails, or abort",
        Phase.HELD: "a gate fails, hold",
        Phase.SUPERSEDED: "supersede",
    },
    Phase.GATING: {
        Phase.APPLYING: "the gates pass",
        Phase.FINAL_BAKE: "the last wave passes",
        Phase.SUCCEEDED: "the final bake passes, or there is none",
        Phase.ROLLING_BACK: "a gate fails, or abort",
        Phase.HELD: "a gate fails, hold",
        Phase.SUPERSEDED: "supersede",
    },
    Phase.FINAL_BAKE: {
        Phase.GATING: "the time is over",
        Phase.SUCCEEDED: "promote",
        Phase.ROLLING_BACK: "a gate fails, or abort",
        Phase.HELD: "a gate fails, hold",
        Phase.SUPERSEDED: "supersede",
    },
    Phase.ROLLING_BACK: {
        Phase.ROLLED_BACK: "all regions are back",
        Phase.STUCK: "a region does not answer",
    },
    Phase.STUCK: {Phase.ROLLED_BACK: "all regions are back, or abort"},
}
"""Where each phase leads, and by what; while it is paused, only orders of people lead on."""
OVER: Final = frozenset(Phase) - TRANSITIONS.keys()


class Reached(StrEnum):
    """How far one region is."""

    WAITING = "waiting"
    SENT = "sent"
    APPLIED = "applied"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    UNREACHABLE = "unreachable"
    DEFERRED = "deferred"
    SKIPPED = "skipped"
    REVERTING = "reverting"
    REVERTED = "reverted"


HAS_IT: Final = frozenset(
    {
        Reached.SENT, Reached.APPLIED, Reached.HEALTHY, Reached.UNHEALTHY, Reached.UNREACHABLE,
        Reached.DEFERRED,
    }
)  # fmt: skip
"""Regions that may run the new version, now or when they are back: a rollback reaches them all."""


class Why(StrEnum):
    """Why a rollout is paused."""

    OPERATOR = "operator"
    APPROVAL = "approval"
    INCONCLUSIVE = "inconclusive"
    NO_DATA = "no-data"
    UNREACHABLE = "unreachable"
    FROZEN = "frozen"


@dataclass(frozen=True, slots=True)
class RegionStep:
    """One region of a rollout; `before` is the version that it goes back to, 0 for none."""

    region: str
    before: int
    before_digest: str = ""
    reached: Reached = Reached.WAITING
    step: int = 0
    """The number of the last step that concerned it; it tells a repeated order from a new one."""
    since_ms: int = 0
    """Wall clock, when that step was ordered."""
    why: str = ""
    inherits: bool = False
    """It runs what a rollout gave it that this one superseded."""
    share: int = 0
    """Of its nodes, in percent, how many were last told to take the version."""
    within: int = 0
    """They are those with a place in line up to this one (config/effect); 0: all of them."""

    @property
    def may_have_other(self) -> bool:
        """Whether it may run something else than before all this: it was given the version, be it
        that it is to be tried again, or has what a superseded rollout gave it."""
        is_touched = self.inherits or self.share > 0
        if self.reached is Reached.WAITING:
            return is_touched or self.step > 0
        return self.reached in HAS_IT or (self.reached is Reached.SKIPPED and is_touched)


@dataclass(frozen=True, slots=True)
class Pause:
    """Why nothing begins; `until_ms` (wall clock) ends it by itself, 0 does not."""

    why: Why
    by: str = ""
    detail: str = ""
    until_ms: int = 0


@dataclass(frozen=True, slots=True)
class Rollout:
    """The record of a rollout. `sequence` counts its transitions."""

    id: int
    document: str
    version: int
    digest: str
    strategy: Strategy
    waves: Waves
    regions: tuple[RegionStep, ...]
    principal: str
    reason: str = ""
    began_ms: int = 0
    phase: Phase = Phase.PENDING
    wave: int = 0
    sequence: int = 0
    steps: int = 0
    baked_ms: int = 0
    """Of the present bake, as far as it was written down."""
    good: int = 0
    bad: int = 0
    silent: int = 0
    """Looks of the gates in this wave: good ones in a row, failed ones, those without answer."""
    approved: frozenset[int] = field(default_factory=frozenset)
    pause: Pause | None = None
    why: str = ""
    is_final: bool = False
    """The final bake has begun: all waves passed."""
    back_all: bool = False
    """What goes back is every region, whatever the strategy says of those that were well."""
    ended_ms: int = 0
    related: frozenset[str] = field(default_factory=frozenset)
    """Documents that this one names, and that name it: no rollout of them goes on meanwhile."""
    gates: tuple[Gate, ...] = (FLEET_GATE,)
    looks: tuple[GateLook, ...] = ()
    """What each gate said last, as of this transition."""
    before: Before | None = None
    """How the fleet was before the wave that its gates looked at last."""
    percents: tuple[int, ...] = ()
    """Of the nodes of each region, how many have the version by the end of each wave; empty: all of
    them, in the regions of the wave."""

    @property
    def is_over(self) -> bool:
        """Whether it changes nothing any more."""
        return self.phase in OVER

    @property
    def is_last(self) -> bool:
        """Whether no wave comes after the present one."""
        return self.wave >= len(self.waves) - 1

    def in_wave(self) -> tuple[RegionStep, ...]:
        """The regions of the present wave."""
        now = set(self.waves[self.wave]) if self.waves else set()
        return tuple(each for each in self.regions if each.region in now)

    def region(self, region: str) -> RegionStep | None:
        """How far one region is; None if it has no part in it."""
        return next((each for each in self.regions if each.region == region), None)

    def may_have_other(self) -> tuple[RegionStep, ...]:
        """Regions that may run something else than they did before all this."""
        return tuple(each for each in self.regions if each.may_have_other)

    def entering(self, wave: int) -> tuple[RegionStep, ...]:
        """All regions; those of a wave that were well before wait for more of their nodes."""
        now = set(self.waves[wave])
        return tuple(
            replace(each, reached=Reached.WAITING)
            if each.region in now and each.reached is Reached.HEALTHY
            else each
            for each in self.regions
        )

    def percent(self, wave: int) -> int:
        """Of the nodes of a region in a wave, how many take the version."""
        return self.percents[wave] if self.percents else 100

    def reached(self, *states: Reached) -> tuple[RegionStep, ...]:
        """The regions that are in one of these states."""
        return tuple(each for each in self.regions if each.reached in states)

    def next(self, **changes: object) -> Rollout:
        """The same, one transition further."""
        changed: Rollout = replace(self, sequence=self.sequence + 1, **changes)  # type: ignore[arg-type]
        return changed

    def with_regions(self, changed: Iterable[RegionStep]) -> tuple[RegionStep, ...]:
        """All regions, these as they are given."""
        by_name = {each.region: each for each in changed}
        return tuple(by_name.get(each.region, each) for each in self.regions)
