"""What a rollout does next: one transition at a time, from its record and from what is seen.

Pure: the global leader asks, writes the answer down as one entry, and asks again. Who comes after
it finds the record as it was left and is answered the same. What only the process knows, the time
that went by in a bake, is written down now and then; a successor begins at what was written, so
that a bake may last longer than it should, never shorter.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from config.freezes import Hold
from config.gate import Look, Verdict
from config.rollout import (
    FORWARD,
    Pause,
    Phase,
    Reached,
    RegionStep,
    Rollout,
    Why,
)
from config.strategy import OnFailure, OnUnreachable, StrategyName

CHECKPOINT_MS: Final = 5_000
REMOVED: Final = "the region was removed"


@dataclass(frozen=True, slots=True)
class Ack:
    """What a region says it runs: the version, its digest, and the step that ordered it."""

    version: int
    digest: str
    step: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What the global leader sees at the moment."""

    wall_ms: int
    acks: Mapping[str, Ack] = field(default_factory=dict)
    """By region, of those whose nodes answer: what all that are to take the version say."""
    baked_ms: int = 0
    """Of the present bake, by the clock of this process on top of what was written."""
    look: Look | None = None
    """Of the gate, since the last transition."""
    is_first: bool = True
    """Whether no other rollout of this document, or of one that it names, comes before it."""
    frozen: Mapping[str, Hold] = field(default_factory=dict)
    """By region, what keeps a step from beginning there."""
    gone: Collection[str] = ()
    """Regions that are no part of the fleet any more."""
    within: Mapping[str, int] = field(default_factory=dict)
    """By region, up to which place in line its nodes take the version in this wave; 0: all."""
    waited_ms: Mapping[str, int] = field(default_factory=dict)
    """By region, for how long this process knows its present step."""
    before: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    """Of a rollout that is about to begin: what each region is to run now, version and digest."""


def next_step(rollout: Rollout, seen: Seen) -> Rollout | None:
    """The record after the next transition; None when there is nothing to do but wait."""
    if rollout.is_over:
        return None
    if rollout.pause is not None and rollout.phase in (Phase.PENDING, *FORWARD):
        return _resumed(rollout, seen)
    match rollout.phase:
        case Phase.PENDING:
            return _begin(rollout, seen) if seen.is_first else None
        case Phase.APPLYING:
            return _apply(rollout, seen)
        case Phase.BAKING | Phase.FINAL_BAKE:
            return _bake(rollout, seen)
        case Phase.GATING:
            return _gate(rollout, seen)
        case _:
            return _go_back(rollout, seen)


# -- forward


def _begin(rollout: Rollout, seen: Seen) -> Rollout | None:
    """What regions go back to is what they run when it begins, not when it was ordered."""
    regions = [
        replace(each, before=seen.before[each.region][0], before_digest=seen.before[each.region][1])
        for each in rollout.regions
        if not each.inherits and each.region in seen.before
    ]
    found = replace(rollout, regions=rollout.with_regions(regions))
    if not rollout.waves:
        return found.next(phase=Phase.SUCCEEDED)
    return _begin_wave(found, 0)


def _begin_wave(rollout: Rollout, wave: int) -> Rollout:
    """Enter a wave; its regions are sent the version one transition later."""
    return rollout.next(
        phase=Phase.APPLYING, wave=wave, regions=rollout.entering(wave),
        baked_ms=0, good=0, bad=0, silent=0,
    )  # fmt: skip


def _apply(rollout: Rollout, seen: Seen) -> Rollout | None:
    """All that can be said of the wave's regions at once: who has it, who is late, who is sent.

    What keeps a wave from beginning, or from ending, is looked at here every time: a pause of
    another kind may have come between.
    """
    if _needs_approval(rollout):
        return rollout.next(pause=Pause(Why.APPROVAL, detail=f"wave {rollout.wave + 1}"))
    left = (Reached.WAITING, Reached.SENT, Reached.UNREACHABLE)
    if gone := [each for each in _gone(rollout.in_wave(), seen) if each.reached in left]:
        return _skipped(rollout, gone)
    waits = (Reached.SENT, Reached.UNREACHABLE)
    arrived = [
        replace(each, reached=Reached.APPLIED, why="")
        for each in rollout.in_wave()
        if each.reached in waits and _has(rollout, each, seen)
    ]
    if arrived:
        return rollout.next(regions=rollout.with_regions(arrived))
    for each in rollout.in_wave():
        if each.reached is Reached.SENT and _is_late(rollout, each, seen):
            return _unreachable(rollout, each)
    if lost := [each.region for each in rollout.in_wave() if each.reached is Reached.UNREACHABLE]:
        return rollout.next(pause=Pause(Why.UNREACHABLE, detail=", ".join(lost)))
    under_way = sum(each.reached is Reached.SENT for each in rollout.in_wave())
    room = (rollout.strategy.parallel_max or len(rollout.regions)) - under_way
    waiting = [each for each in rollout.in_wave() if each.reached is Reached.WAITING]
    if waiting and (frozen := _frozen(waiting, seen)) is not None:
        return None if under_way else rollout.next(pause=frozen)
    if waiting and room > 0:
        return _sent(rollout, waiting[:room], Reached.SENT, seen)
    if under_way or waiting:
        return None
    if all(each.reached in (Reached.SKIPPED, Reached.DEFERRED) for each in rollout.in_wave()):
        return _passed(rollout)  # nobody is watched
    return rollout.next(phase=Phase.BAKING, baked_ms=0)


def _frozen(waiting: Iterable[RegionStep], seen: Seen) -> Pause | None:
    """What a wave waits for before it goes on: until none of its regions is frozen any more."""
    held = {each.region: hold for each in waiting if (hold := seen.frozen.get(each.region))}
    if not held:
        return None
    names = ", ".join(dict.fromkeys(hold.name for hold in held.values()))
    until_ms = max(hold.until_ms for hold in held.values())
    return Pause(Why.FROZEN, detail=f"{names}: {', '.join(sorted(held))}", until_ms=until_ms)


def _gone(regions: Iterable[RegionStep], seen: Seen) -> list[RegionStep]:
    return [each for each in regions if each.region in seen.gone]


def _skipped(rollout: Rollout, gone: Iterable[RegionStep]) -> Rollout:
    """Regions that are no part of the fleet any more are waited for no longer. What they were told
    stays their target as long as the rollout is on, and a rollback takes it back."""
    skipped = [replace(each, reached=Reached.SKIPPED, why=REMOVED) for each in gone]
    return rollout.next(regions=rollout.with_regions(skipped))


def _needs_approval(rollout: Rollout) -> bool:
    """Whether nobody has said yet that the wave may begin, and it has not."""
    if rollout.wave not in rollout.strategy.approvals or rollout.wave in rollout.approved:
        return False
    begun = (Reached.SENT, Reached.APPLIED, Reached.UNREACHABLE)
    states = {each.reached for each in rollout.in_wave()}
    return Reached.WAITING in states and states.isdisjoint(begun)


def _is_late(rollout: Rollout, each: RegionStep, seen: Seen) -> bool:
    """Whether a region was given its step long ago, by the clock of this process."""
    return seen.waited_ms.get(each.region, 0) > rollout.strategy.step_deadline_ms


def _unreachable(rollout: Rollout, late: RegionStep) -> Rollout:
    """A region did not answer in time: it is left for later, or everything waits for it."""
    left = len(rollout.reached(Reached.DEFERRED))
    strategy = rollout.strategy
    if strategy.on_unreachable is OnUnreachable.DEFER and left < strategy.unavailable_max:
        return _changed(rollout, late, Reached.DEFERRED, "it did not answer in time")
    found = _changed(rollout, late, Reached.UNREACHABLE, "it did not answer in time")
    return replace(found, pause=Pause(Why.UNREACHABLE, detail=late.region))


def _bake(rollout: Rollout, seen: Seen) -> Rollout | None:
    is_final = rollout.phase is Phase.FINAL_BAKE
    strategy = rollout.strategy
    wanted_ms = strategy.final_bake_ms if is_final else strategy.bake_ms
    baked_ms = max(rollout.baked_ms, seen.baked_ms)
    if seen.look is not None and seen.look.verdict is Verdict.FAIL:
        return _failed_look(rollout, seen)
    if baked_ms >= wanted_ms:
        return rollout.next(phase=Phase.GATING, baked_ms=baked_ms, good=0)
    if baked_ms - rollout.baked_ms >= CHECKPOINT_MS:
        return rollout.next(baked_ms=baked_ms)
    return None


def _gate(rollout: Rollout, seen: Seen) -> Rollout | None:
    look, strategy = seen.look, rollout.strategy
    if look is None:
        return None
    match look.verdict:
        case Verdict.FAIL:
            return _failed_look(rollout, seen)
        case _ if strategy.name is StrategyName.EMERGENCY:
            return _passed(rollout)  # what is not known holds no emergency up
        case Verdict.NO_DATA if rollout.silent + 1 > strategy.error_limit:
            return rollout.next(silent=0, pause=Pause(Why.NO_DATA, detail=look.detail))
        case Verdict.NO_DATA:
            return rollout.next(silent=rollout.silent + 1, good=0)
        case Verdict.INCONCLUSIVE:
            return rollout.next(good=0, pause=Pause(Why.INCONCLUSIVE, detail=look.detail))
    if rollout.good + 1 < strategy.successes:
        return rollout.next(good=rollout.good + 1)
    return _passed(rollout)


def _failed_look(rollout: Rollout, seen: Seen) -> Rollout:
    assert seen.look is not None
    if rollout.bad + 1 <= rollout.strategy.failure_limit:
        return rollout.next(bad=rollout.bad + 1, good=0)
    return failed(rollout, seen.look.detail)


def _passed(rollout: Rollout) -> Rollout:
    """The wave is well: the next one, the final bake, or the end."""
    well = [
        replace(each, reached=Reached.HEALTHY)
        for each in rollout.in_wave()
        if each.reached is Reached.APPLIED
    ]
    found = replace(rollout, regions=rollout.with_regions(well))
    if not rollout.is_last:
        return _begin_wave(found, rollout.wave + 1)
    is_watched = bool(found.reached(Reached.HEALTHY))
    if rollout.strategy.final_bake_ms and is_watched and not rollout.is_final:
        return found.next(
            phase=Phase.FINAL_BAKE, is_final=True, baked_ms=0, good=0, bad=0, silent=0
        )
    return found.next(phase=Phase.SUCCEEDED)


# -- back


def failed(rollout: Rollout, why: str) -> Rollout:
    """The gate failed: what the strategy says of it."""
    bad = [
        replace(each, reached=Reached.UNHEALTHY, why=why)
        for each in rollout.in_wave()
        if each.reached is Reached.APPLIED
    ]
    found = replace(rollout, regions=rollout.with_regions(bad), why=why)
    if rollout.strategy.on_failure is OnFailure.HOLD:
        return found.next(phase=Phase.HELD)
    return found.next(phase=Phase.ROLLING_BACK, pause=None, back_all=rollout.is_final)


def _go_back(rollout: Rollout, seen: Seen) -> Rollout | None:
    reverting = rollout.reached(Reached.REVERTING)
    back = [replace(each, reached=Reached.REVERTED) for each in reverting if _is_back(each, seen)]
    back += [
        replace(each, reached=Reached.REVERTED, why=REMOVED) for each in _gone(reverting, seen)
    ]
    if back:
        return rollout.next(regions=rollout.with_regions(back))
    reached = [each for each in rollout.may_have_other() if _goes_back(rollout, each)]
    if reached:
        return _sent(rollout, reached, Reached.REVERTING, seen)
    if not rollout.reached(Reached.REVERTING):
        return rollout.next(phase=Phase.ROLLED_BACK)
    late = [
        each.region for each in rollout.reached(Reached.REVERTING) if _is_late(rollout, each, seen)
    ]
    if late and rollout.phase is Phase.ROLLING_BACK:
        return rollout.next(phase=Phase.STUCK, why=f"{rollout.why}; waits for {', '.join(late)}")
    return None


def _goes_back(rollout: Rollout, each: RegionStep) -> bool:
    is_all = rollout.strategy.on_failure is not OnFailure.ROLLBACK_LATER
    return rollout.back_all or is_all or each.reached is not Reached.HEALTHY


# -- one region


def _has(rollout: Rollout, each: RegionStep, seen: Seen) -> bool:
    ack = seen.acks.get(each.region)
    wanted = (rollout.version, rollout.digest)
    return ack is not None and ack.step == each.step and (ack.version, ack.digest) == wanted


def _is_back(each: RegionStep, seen: Seen) -> bool:
    ack = seen.acks.get(each.region)
    wanted = (each.before, each.before_digest)
    return ack is not None and ack.step == each.step and (ack.version, ack.digest) == wanted


def _changed(rollout: Rollout, each: RegionStep, reached: Reached, why: str = "") -> Rollout:
    after = replace(each, reached=reached, why=why)
    return rollout.next(regions=rollout.with_regions([after]))


def _sent(rollout: Rollout, regions: Iterable[RegionStep], reached: Reached, seen: Seen) -> Rollout:
    """Order something of regions: one step, however many they are."""
    step = rollout.steps + 1
    after = [
        replace(each, reached=reached, step=step, since_ms=seen.wall_ms, why="") for each in regions
    ]
    if reached is Reached.SENT:
        share = rollout.percent(rollout.wave)
        after = [replace(each, share=share, within=_within(each, seen)) for each in after]
    return rollout.next(regions=rollout.with_regions(after), steps=step)


def _within(each: RegionStep, seen: Seen) -> int:
    """Up to which place in line nodes take it: never fewer than before, whoever died meanwhile."""
    now = seen.within.get(each.region, 0)
    had_all = each.share > 0 and each.within == 0
    return 0 if had_all or now == 0 else max(each.within, now)


def _resumed(rollout: Rollout, seen: Seen) -> Rollout | None:
    """A pause that ends by itself: the freeze is over, or the region answers after all, or is no
    part of the fleet any more."""
    pause = rollout.pause
    assert pause is not None
    if pause.why is Why.FROZEN:
        waiting = [each for each in rollout.in_wave() if each.reached is Reached.WAITING]
        now = _frozen(waiting, seen)
        return None if now == pause else rollout.next(pause=now)
    if pause.until_ms and seen.wall_ms >= pause.until_ms:
        return rollout.next(pause=None)
    if pause.why is Why.UNREACHABLE:
        if gone := _gone(rollout.reached(Reached.UNREACHABLE), seen):
            return replace(_skipped(rollout, gone), pause=None)
        for each in rollout.reached(Reached.UNREACHABLE):
            if _has(rollout, each, seen):
                return replace(_changed(rollout, each, Reached.APPLIED), pause=None)
    return None
