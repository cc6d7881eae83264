"""What people may have a rollout do, and what it answers when it cannot.

An order is one transition like any other: of an abort and a promotion at the same moment, the one
that is written first counts, and the other is told what became of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from config.rollout import FORWARD, Pause, Phase, Reached, Rollout, Why


class Order(StrEnum):
    """What can be ordered of a rollout that is not over."""

    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    ABORT = "abort"
    SUPERSEDE = "supersede"


@dataclass(frozen=True, slots=True)
class Unfit:
    """The order makes no sense now: `why` says it, `hint` what does."""

    why: str
    hint: str


def ordered(
    rollout: Rollout, order: Order, principal: str, reason: str, until_ms: int = 0
) -> Rollout | Unfit:
    """The record after an order."""
    if rollout.is_over:
        hint = "start another one; `leadplane rollouts list` shows them"
        return Unfit(f"rollout {rollout.id} is over: {rollout.phase}", hint)
    match order:
        case Order.PAUSE:
            return _paused(rollout, principal, reason, until_ms)
        case Order.RESUME:
            return _resumed(rollout)
        case Order.PROMOTE:
            return _promoted(rollout)
        case Order.SUPERSEDE:
            return _superseded(rollout, reason)
    return _aborted(rollout, principal, reason)


def _aborted(rollout: Rollout, principal: str, reason: str) -> Rollout | Unfit:
    """Go back; of one that waits for regions that do not answer: wait no longer. They go back when
    they come again, since that is their target by then."""
    why = f"aborted by {principal}" + (f": {reason}" if reason else "")
    if rollout.phase is Phase.STUCK or not rollout.may_have_other():
        return rollout.next(phase=Phase.ROLLED_BACK, why=why, pause=None)
    if rollout.phase is Phase.ROLLING_BACK:
        return Unfit(f"rollout {rollout.id} goes back already", "wait for it")
    return rollout.next(phase=Phase.ROLLING_BACK, why=why, pause=None, back_all=True)


def _paused(rollout: Rollout, principal: str, reason: str, until_ms: int) -> Rollout | Unfit:
    if rollout.phase in (Phase.ROLLING_BACK, Phase.STUCK):
        return Unfit("what goes back is not paused", "wait for it")
    return rollout.next(pause=Pause(Why.OPERATOR, principal, reason, until_ms))


def _resumed(rollout: Rollout) -> Rollout | Unfit:
    if rollout.pause is None:
        return Unfit(f"rollout {rollout.id} is not paused", "`promote` skips a bake")
    if rollout.pause.why is Why.FROZEN:
        hint = "an emergency that supersedes it is not held up; or change the document rollouts"
        return Unfit(f"rollout {rollout.id} is held by a freeze, {rollout.pause.detail}", hint)
    if rollout.pause.why is Why.APPROVAL:
        return rollout.next(pause=None, approved=rollout.approved | {rollout.wave})
    again = [
        replace(each, reached=Reached.WAITING, why="")
        for each in rollout.reached(Reached.UNREACHABLE)
    ]
    return rollout.next(pause=None, silent=0, regions=rollout.with_regions(again))


def _promoted(rollout: Rollout) -> Rollout | Unfit:
    """Skip what is left of this wave's bake and gate."""
    if rollout.phase not in (Phase.BAKING, Phase.GATING, Phase.FINAL_BAKE):
        hint = "promotion skips a bake; abort or wait"
        return Unfit(f"rollout {rollout.id} is {rollout.phase}", hint)
    if rollout.is_final:
        return rollout.next(phase=Phase.SUCCEEDED, pause=None)
    well = [
        replace(each, reached=Reached.HEALTHY)
        for each in rollout.in_wave()
        if each.reached is Reached.APPLIED
    ]
    regions = rollout.with_regions(well)
    if rollout.is_last:
        if not rollout.strategy.final_bake_ms:
            return rollout.next(phase=Phase.SUCCEEDED, regions=regions, pause=None)
        return rollout.next(
            phase=Phase.FINAL_BAKE, regions=regions, pause=None, is_final=True, baked_ms=0, good=0
        )
    entered = replace(rollout, regions=regions).entering(rollout.wave + 1)
    return rollout.next(
        phase=Phase.APPLYING, wave=rollout.wave + 1, regions=entered, pause=None,
        baked_ms=0, good=0, bad=0, silent=0, approved=rollout.approved | {rollout.wave + 1},
    )  # fmt: skip


def _superseded(rollout: Rollout, by: str) -> Rollout | Unfit:
    """Another rollout of the document takes over, with the regions as they are."""
    if rollout.phase is not Phase.PENDING and rollout.phase not in FORWARD:
        return Unfit(f"rollout {rollout.id} goes back", "wait until it has")
    return rollout.next(phase=Phase.SUPERSEDED, why=f"superseded by {by}", pause=None)
