"""Single transitions of a rollout that random histories might pass by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from config.freezes import Hold
from config.gate import Look, Verdict
from config.rollout import Pause, Phase, Reached, RegionStep, Rollout, Why
from config.rollout_orders import Order, Unfit, ordered
from config.rollout_step import Ack, Seen, next_step
from config.strategy import (
    DEFAULTS,
    OnFailure,
    RegionFacts,
    StrategyName,
    percents_of,
    waves_of,
)

PASS, FAIL = Look(Verdict.PASS), Look(Verdict.FAIL, "errors")
SPARES = OnFailure.ROLLBACK_LATER
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


@pytest.mark.parametrize(
    "states", [(Reached.DEFERRED, Reached.DEFERRED), (Reached.SKIPPED, Reached.DEFERRED)]
)
def test_a_wave_whose_regions_were_all_left_for_later_is_over(states: tuple[Reached, ...]) -> None:
    left = rollout(*states, Reached.WAITING, phase=Phase.APPLYING, waves=(("r0", "r1"), ("r2",)))
    after = step(left, Seen(5))
    assert (after.phase, after.wave) == (Phase.APPLYING, 1)
    last = rollout(Reached.HEALTHY, *states, phase=Phase.APPLYING, waves=(("r0",), ("r1", "r2")))
    assert step(replace(last, wave=1), Seen(5)).phase is Phase.FINAL_BAKE


@pytest.mark.parametrize("other", [Reached.SKIPPED, Reached.DEFERRED])
def test_where_nobody_is_left_to_be_watched_there_is_no_final_bake(other: Reached) -> None:
    record = rollout(other, other, phase=Phase.APPLYING, wave=1)
    assert step(record, Seen(5)).phase is Phase.SUCCEEDED


def test_a_step_of_the_clock_makes_no_region_late() -> None:
    record = rollout(Reached.SENT, Reached.WAITING, phase=Phase.APPLYING)
    assert next_step(record, Seen(wall_ms=10**12)) is None
    late = step(record, Seen(0, waited_ms={"r0": LINEAR.step_deadline_ms + 1}))
    assert late.pause == Pause(Why.UNREACHABLE, detail="r0")


def frozen(**until_ms: int) -> dict[str, Hold]:
    """Regions and until when each is frozen."""
    return {region: Hold(ms, "weekend") for region, ms in until_ms.items()}


def test_a_wave_does_not_begin_while_a_region_of_it_is_frozen() -> None:
    record = rollout(Reached.WAITING, Reached.WAITING, phase=Phase.APPLYING)
    assert states(step(record, Seen(5, frozen=frozen(r1=90))))[0] is Reached.SENT, "elsewhere"
    held = step(record, Seen(5, frozen=frozen(r0=90)))
    assert held.pause == Pause(Why.FROZEN, detail="weekend: r0", until_ms=90)
    assert next_step(held, Seen(50, frozen=frozen(r0=90))) is None
    longer = step(held, Seen(50, frozen=frozen(r0=120)))
    assert longer.pause == Pause(Why.FROZEN, detail="weekend: r0", until_ms=120)
    assert step(longer, Seen(60)).pause is None, "the window is over, or was taken away"


def test_a_wave_that_has_begun_is_waited_for_and_goes_to_no_further_region() -> None:
    both = (("r0", "r1"),)
    record = rollout(Reached.SENT, Reached.WAITING, phase=Phase.APPLYING, waves=both)
    ice = frozen(r1=90)
    assert next_step(record, Seen(5, frozen=ice)) is None
    has_it = step(record, Seen(5, {"r0": Ack(4, "new", 1)}, frozen=ice))
    assert states(has_it) == [Reached.APPLIED, Reached.WAITING]
    held = step(has_it, Seen(5, frozen=ice))
    assert held.pause == Pause(Why.FROZEN, detail="weekend: r1", until_ms=90)


def test_a_freeze_is_ended_by_no_order_and_holds_up_no_way_back() -> None:
    record = rollout(Reached.HEALTHY, Reached.WAITING, phase=Phase.APPLYING, wave=1)
    ice = frozen(r0=90, r1=90)
    held = step(record, Seen(5, frozen=ice))
    refused = ordered(held, Order.RESUME, "ann", "")
    assert isinstance(refused, Unfit)
    assert "weekend: r1" in refused.why
    aborted = ordered(held, Order.ABORT, "ann", "")
    assert not isinstance(aborted, Unfit)
    assert states(step(aborted, Seen(5, frozen=ice)))[0] is Reached.REVERTING


def test_a_region_that_is_removed_is_skipped_wherever_the_wave_is() -> None:
    for reached in (Reached.WAITING, Reached.SENT):
        record = rollout(reached, Reached.WAITING, phase=Phase.APPLYING)
        skipped = step(record, Seen(5, gone=["r0"]))
        assert skipped.regions[0].reached is Reached.SKIPPED
        assert skipped.regions[0].why == "the region was removed"
        after = step(skipped, Seen(5, gone=["r0"]))
        assert (after.phase, after.wave) == (Phase.APPLYING, 1), "there is nothing to watch"
    record = rollout(
        Reached.UNREACHABLE, Reached.WAITING, phase=Phase.APPLYING, pause=Pause(Why.UNREACHABLE)
    )
    assert next_step(record, Seen(5)) is None
    went_on = step(record, Seen(5, gone=["r0"]))
    assert (went_on.pause, went_on.regions[0].reached) == (None, Reached.SKIPPED)


def test_a_wave_whose_other_regions_are_there_is_watched() -> None:
    both = (("r0", "r1"),)
    record = rollout(Reached.SKIPPED, Reached.APPLIED, phase=Phase.APPLYING, waves=both)
    assert step(record, Seen(5, gone=["r0"])).phase is Phase.BAKING


def test_when_the_last_region_is_removed_the_others_have_their_final_bake() -> None:
    record = rollout(Reached.HEALTHY, Reached.SENT, phase=Phase.APPLYING, wave=1)
    skipped = step(record, Seen(5, gone=["r1"]))
    assert step(skipped, Seen(5, gone=["r1"])).phase is Phase.FINAL_BAKE


def test_a_region_that_was_skipped_with_the_version_goes_back_and_one_without_is_let_be() -> None:
    skipped = rollout(Reached.SENT, Reached.WAITING, phase=Phase.APPLYING)
    had, had_not = skipped.regions
    skipped = replace(skipped, regions=(replace(had, share=100), replace(had_not, step=0)))
    skipped = step(skipped, Seen(5, gone=["r0"]))
    aborted = ordered(skipped, Order.ABORT, "ann", "")
    assert not isinstance(aborted, Unfit)
    back = step(aborted, Seen(5, gone=["r0"]))
    assert states(back) == [Reached.REVERTING, Reached.WAITING]
    there = step(back, Seen(5, gone=["r0"]))
    assert there.regions[0].reached is Reached.REVERTED
    assert step(there, Seen(5, gone=["r0"])).phase is Phase.ROLLED_BACK


def test_what_is_not_known_holds_no_emergency_up_and_what_fails_takes_it_back() -> None:
    emergency = replace(DEFAULTS[StrategyName.EMERGENCY], bake_ms=1)
    record = rollout(Reached.APPLIED, Reached.WAITING, phase=Phase.GATING, strategy=emergency)
    for verdict in (Verdict.INCONCLUSIVE, Verdict.NO_DATA, Verdict.PASS):
        assert step(record, Seen(0, look=Look(verdict))).wave == 1
    assert step(record, Seen(0, look=FAIL)).phase is Phase.ROLLING_BACK


def by_nodes(**more: Any) -> Rollout:
    """A fifth of the nodes of both regions, then all."""
    both = ("r0", "r1")
    return rollout(
        Reached.WAITING, Reached.WAITING, phase=Phase.APPLYING, waves=(both, both),
        percents=(20, 100), **more,
    )  # fmt: skip


def test_by_nodes_each_wave_is_more_of_all_regions() -> None:
    sent = step(by_nodes(), Seen(5, within={"r0": 7, "r1": 9}))
    assert [(each.share, each.within) for each in sent.regions] == [(20, 7), (20, 9)]
    acks = {name: Ack(4, "new", sent.steps) for name in ("r0", "r1")}
    passed = step(
        replace(step(sent, Seen(5, acks)), phase=Phase.GATING), Seen(5, look=Look(Verdict.PASS))
    )
    assert (passed.wave, states(passed)) == (1, [Reached.WAITING, Reached.WAITING])
    more = step(passed, Seen(5))
    assert [(each.share, each.within, each.step) for each in more.regions] == [(100, 0, 2)] * 2


def test_by_nodes_no_node_goes_back_because_others_died() -> None:
    had = tuple(replace(each, share=20, within=7) for each in by_nodes().regions)
    again = step(by_nodes(regions=had), Seen(5, within={"r0": 3, "r1": 9}))
    assert [each.within for each in again.regions] == [7, 9]
    had = tuple(replace(each, share=20, within=0) for each in had)
    again = step(by_nodes(regions=had), Seen(5, within={"r0": 3, "r1": 9}))
    assert [each.within for each in again.regions] == [0, 0], "these were all that there were"


@pytest.mark.parametrize("other", [Reached.DEFERRED, Reached.SKIPPED])
def test_by_nodes_a_wave_is_approved_though_a_region_of_it_was_left_in_an_earlier_one(
    other: Reached,
) -> None:
    left, waits = by_nodes().regions
    record = by_nodes(
        wave=1, strategy=replace(LINEAR, approvals=(1,)),
        regions=(replace(left, reached=other, share=20, within=7), waits),
    )  # fmt: skip
    asked = step(record, Seen(5))
    assert asked.pause == Pause(Why.APPROVAL, detail="wave 2")
    approved = ordered(asked, Order.RESUME, "ann", "")
    assert not isinstance(approved, Unfit)
    assert states(step(approved, Seen(5))) == [other, Reached.SENT]


@pytest.mark.parametrize("other", [Reached.SENT, Reached.APPLIED])
def test_a_wave_that_has_begun_is_not_asked_for_again(other: Reached) -> None:
    record = rollout(
        other, Reached.WAITING, phase=Phase.APPLYING, waves=(("r0", "r1"),),
        strategy=replace(LINEAR, approvals=(0,)),
    )  # fmt: skip
    after = next_step(record, Seen(5))
    assert after is None or after.pause is None


def test_by_nodes_what_waits_for_more_goes_back_as_a_whole() -> None:
    had = tuple(replace(each, share=20, within=7) for each in by_nodes().regions)
    for order_of in ({"wave": 1}, {"wave": 1, "strategy": replace(LINEAR, on_failure=SPARES)}):
        aborted = ordered(by_nodes(regions=had, **order_of), Order.ABORT, "ann", "")
        assert not isinstance(aborted, Unfit)
        assert states(step(aborted, Seen(5))) == [Reached.REVERTING] * 2


def test_waves_by_nodes_are_of_all_regions_and_end_with_all_nodes() -> None:
    facts = [RegionFacts(name) for name in ("r0", "r1", "r2")]
    linear = replace(LINEAR, nodes_percent=30)
    assert percents_of(linear, disruptive=False) == (30, 60, 90, 100)
    assert waves_of(linear, facts, disruptive=False) == (("r0", "r1", "r2"),) * 4
    double = replace(linear, name=StrategyName.EXPONENTIAL, nodes_percent=10)
    assert percents_of(double, disruptive=False) == (10, 20, 40, 80, 100)
    assert percents_of(linear, disruptive=True) == percents_of(LINEAR, disruptive=False) == ()
    assert waves_of(linear, facts, disruptive=True) == (("r0",), ("r1",), ("r2",))


def test_waves_by_percent_of_regions_grow_until_all_are_in() -> None:
    facts = [RegionFacts(f"r{number}", number) for number in range(7)]
    linear = replace(LINEAR, regions_percent=30)
    sizes = [len(wave) for wave in waves_of(linear, facts, disruptive=False)]
    assert sizes == [3, 2, 2], "30 %, 60 %, 90 % (and so all) of 7"
    double = replace(linear, name=StrategyName.EXPONENTIAL, regions_percent=10)
    assert [len(wave) for wave in waves_of(double, facts, disruptive=False)] == [1, 1, 1, 3, 1]
    assert [len(wave) for wave in waves_of(linear, facts, disruptive=True)] == [1] * 7
    assert [len(wave) for wave in waves_of(LINEAR, facts, disruptive=False)] == [1] * 7


def test_a_region_that_is_asked_again_still_goes_back() -> None:
    sent = step(rollout(Reached.WAITING, Reached.WAITING, phase=Phase.APPLYING), Seen(5))
    late = step(sent, Seen(5, waited_ms={"r0": LINEAR.step_deadline_ms + 1}))
    again = ordered(late, Order.RESUME, "ann", "")
    assert not isinstance(again, Unfit)
    aborted = ordered(again, Order.ABORT, "ann", "")
    assert not isinstance(aborted, Unfit)
    assert states(step(aborted, Seen(5)))[0] is Reached.REVERTING
