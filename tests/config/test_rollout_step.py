"""Single transitions of a rollout that random histories might pass by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from config.gate import Look, Verdict
from config.rollout import Pause, Phase, Reached, RegionStep, Rollout, Why
from config.rollout_orders import Order, Unfit, ordered
from config.rollout_step import Ack, Seen, next_step
from config.strategy import DEFAULTS, OnFailure, StrategyName

PASS, FAIL = Look(Verdict.PASS), Look(Verdict.FAIL, "errors")
LINEAR = replace(DEFAULTS[StrategyName.LINEAR], bake_ms=1_000, final_bake_ms=1_000)


def rollout(*reached: Reached, **more: Any) -> Rollout:
    """One region in each wave, in these states."""
    names = [f"r{number}" for number in range(len(reached))]
    regions = [
        RegionStep(name, 3, "old", state, step=number + 1)
        for number, (name, state) in enumerate(zip(names, reached, strict=True))
    ]
    found = Rollout(
        1, "flags", 4, "new", LINEAR, tuple((name,) for name in names), tuple(regions), "ann"
    )
    return replace(found, **more)


def step(record: Rollout, seen: Seen) -> Rollout:
    """The next transition; there is one."""
    after = next_step(record, seen)
    assert after is not None
    return after


def states(record: Rollout) -> list[Reached]:
    return [each.reached for each in record.regions]


def test_a_failed_final_bake_takes_back_all_whatever_the_strategy_spares() -> None:
    spares = replace(LINEAR, on_failure=OnFailure.ROLLBACK_LATER)
    record = rollout(
        Reached.HEALTHY, Reached.HEALTHY, phase=Phase.FINAL_BAKE, wave=1, is_final=True,
        strategy=spares,
    )  # fmt: skip
    back = step(step(record, Seen(0, look=FAIL)), Seen(0))
    assert states(back) == [Reached.REVERTING, Reached.REVERTING]


def test_an_abort_takes_back_all_and_a_failed_wave_what_the_strategy_says() -> None:
    spares = replace(LINEAR, on_failure=OnFailure.ROLLBACK_LATER)
    record = rollout(Reached.HEALTHY, Reached.APPLIED, phase=Phase.BAKING, wave=1, strategy=spares)
    failed = step(step(record, Seen(0, look=FAIL)), Seen(0))
    assert states(failed) == [Reached.HEALTHY, Reached.REVERTING]
    aborted = ordered(record, Order.ABORT, "ann", "")
    assert not isinstance(aborted, Unfit)
    assert states(step(aborted, Seen(0))) == [Reached.REVERTING, Reached.REVERTING]


def test_a_pause_that_ends_by_itself_approves_nothing() -> None:
    careful = replace(LINEAR, approvals=(1,))
    record = rollout(
        Reached.HEALTHY, Reached.WAITING, phase=Phase.APPLYING, wave=1, strategy=careful,
        pause=Pause(Why.APPROVAL),
    )  # fmt: skip
    paused = ordered(record, Order.PAUSE, "bob", "lunch", until_ms=10)
    assert not isinstance(paused, Unfit)
    resumed = step(paused, Seen(wall_ms=20))
    assert resumed.pause is None
    asked = step(resumed, Seen(wall_ms=20))
    assert asked.pause is not None
    assert asked.pause.why is Why.APPROVAL
    approved = ordered(asked, Order.RESUME, "ann", "")
    assert not isinstance(approved, Unfit)
    assert states(step(approved, Seen(20)))[1] is Reached.SENT


def test_a_pause_that_ends_by_itself_skips_no_region() -> None:
    record = rollout(
        Reached.UNREACHABLE, Reached.WAITING, phase=Phase.APPLYING,
        pause=Pause(Why.OPERATOR, until_ms=10),
    )  # fmt: skip
    again = step(step(record, Seen(wall_ms=20)), Seen(wall_ms=20))
    assert (again.phase, again.pause) == (Phase.APPLYING, Pause(Why.UNREACHABLE, detail="r0"))
    came = Seen(20, {"r0": Ack(4, "new", 1)})
    assert states(step(again, came))[0] is Reached.APPLIED


def test_a_region_that_is_to_be_tried_again_is_taken_back_all_the_same() -> None:
    """It was given the version, and may run it whenever it answers."""
    record = rollout(
        Reached.UNREACHABLE, Reached.WAITING, phase=Phase.APPLYING, pause=Pause(Why.UNREACHABLE)
    )
    record = replace(record, regions=(record.regions[0], replace(record.regions[1], step=0)))
    resumed = ordered(record, Order.RESUME, "ann", "")
    assert not isinstance(resumed, Unfit)
    aborted = ordered(resumed, Order.ABORT, "ann", "")
    assert not isinstance(aborted, Unfit)
    assert aborted.phase is Phase.ROLLING_BACK
    assert states(step(aborted, Seen(0))) == [Reached.REVERTING, Reached.WAITING]


def test_the_final_bake_is_had_though_the_last_wave_was_left_for_later() -> None:
    record = rollout(Reached.HEALTHY, Reached.DEFERRED, phase=Phase.GATING, wave=1)
    assert step(record, Seen(0, look=PASS)).phase is Phase.FINAL_BAKE


def test_a_step_of_the_clock_makes_no_region_late() -> None:
    record = rollout(Reached.SENT, Reached.WAITING, phase=Phase.APPLYING)
    assert next_step(record, Seen(wall_ms=10**12)) is None
    late = step(record, Seen(0, waited_ms={"r0": LINEAR.step_deadline_ms + 1}))
    assert late.pause == Pause(Why.UNREACHABLE, detail="r0")
