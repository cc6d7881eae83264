"""The checkers of rollouts find what they are for, in histories made by hand; a good one passes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import pytest

from config.effect import EVERYWHERE, PARTITION, Target, target_key
from config.rollout import Phase, Reached, RegionStep, Rollout
from config.strategy import DEFAULTS, OnFailure, StrategyName
from controlplane.simulator.checkers.applied import Applied, check_applied
from controlplane.simulator.checkers.findings import Findings
from controlplane.simulator.checkers.replay import Replay
from controlplane.simulator.checkers.rollouts import Change, RolloutChecker
from controlplane.simulator.rollout_watch import are_related
from regions.codec import pack

STRATEGY = replace(DEFAULTS[StrategyName.LINEAR], final_bake_ms=0)
FIRST = Rollout(
    1, "a", 1, "new", STRATEGY, (("eu",), ("us",)), (RegionStep("eu", 0), RegionStep("us", 0)),
    "ada",
)  # fmt: skip


def states(rollout: Rollout, **reached: Reached) -> tuple[RegionStep, ...]:
    return tuple(
        replace(each, reached=reached.get(each.region, each.reached)) for each in rollout.regions
    )


def sent(rollout: Rollout, *regions: str, back: bool = False, epoch: int = 1) -> Change:
    """The next step, ordered of these regions."""
    step, state = rollout.steps + 1, Reached.REVERTING if back else Reached.SENT
    after = rollout.next(
        steps=step,
        regions=tuple(
            replace(each, reached=state, step=step) if each.region in regions else each
            for each in rollout.regions
        ),
    )
    wanted = (0, "") if back else (rollout.version, rollout.digest)
    targets = [
        (rollout.document, region, Target(*wanted, rollout.id, step, epoch)) for region in regions
    ]
    return Change(0, [after], list(targets))


def good(first: Rollout = FIRST) -> list[Change]:
    """A rollout to two regions, one after the other, that succeeds."""
    found = [Change(0, [first]), Change(0, [first.next(phase=Phase.APPLYING)])]

    def then(change: Change) -> Rollout:
        found.append(change)
        return change.records[0]

    now = found[-1].records[0]
    for wave, region in enumerate(("eu", "us")):
        now = then(sent(now, region))
        now = then(Change(0, [now.next(regions=states(now, **{region: Reached.APPLIED}))]))
        now = then(Change(0, [now.next(phase=Phase.BAKING)]))
        now = then(Change(0, [now.next(phase=Phase.GATING)]))
        well = states(now, **{region: Reached.HEALTHY})
        if wave == 0:
            now = then(Change(0, [now.next(phase=Phase.APPLYING, wave=1, regions=well)]))
    over = now.next(phase=Phase.SUCCEEDED, regions=well)
    everywhere = Target(first.version, first.digest, first.id, now.steps, 1)
    then(
        Change(
            0,
            [over],
            [(first.document, EVERYWHERE, everywhere)]
            + [(first.document, region, None) for region in ("eu", "us")],
        )
    )
    return [replace(change, position=at) for at, change in enumerate(found, 1)]


def found(changes: Iterable[Change], bad: Sequence[str] = ()) -> set[str]:
    findings = Findings()
    RolloutChecker(findings, are_related, bad).check(changes)
    return {violation.invariant for violation in findings.violations}


def test_a_rollout_as_it_should_be_is_fine() -> None:
    assert found(good()) == set()
    second = replace(
        FIRST, id=2, version=2, digest="newer",
        regions=tuple(replace(r, before=1, before_digest="new") for r in FIRST.regions),
    )  # fmt: skip
    assert found([*good(), *good(second)]) == set()


def without(at: int) -> list[Change]:
    return [change for number, change in enumerate(good()) if number != at]


def changed(at: int, change: Callable[[Change], Change]) -> list[Change]:
    return [change(each) if number == at else each for number, each in enumerate(good())]


def test_a_transition_that_is_left_out_is_found() -> None:
    for at in range(1, len(good()) - 1):
        assert "a rollout goes step by step" in found(without(at)), at


def test_a_record_that_changes_once_it_is_over_is_found() -> None:
    over = good()[-1].records[0]
    assert found([*good(), Change(99, [over.next()])]) == {"a rollout goes step by step"}


def test_a_phase_that_comes_before_its_time_is_found() -> None:
    def early(change: Change) -> Change:
        return replace(change, records=[replace(change.records[0], phase=Phase.FINAL_BAKE)])

    assert "a rollout goes step by step" in found(changed(2, early))


def test_a_region_of_a_later_wave_is_found() -> None:
    def both(_: Change) -> Change:
        return sent(good()[1].records[0], "eu", "us")

    assert "no wave before its time" in found(changed(2, both)[:3])


def test_a_wave_that_begins_though_the_one_before_is_not_well_is_found() -> None:
    def not_yet(change: Change) -> Change:
        record = change.records[0]
        return replace(
            change, records=[replace(record, regions=states(record, eu=Reached.APPLIED))]
        )

    assert "no wave before its time" in found(changed(6, not_yet)[:7])


def test_a_step_that_is_made_twice_is_found() -> None:
    again = sent(good()[2].records[0], "eu")
    assert "no step twice" in found([*good()[:3], again])
    target = replace(good()[2], records=[good()[2].records[0].next()])
    assert "no step twice" in found([*good()[:3], target])


def test_rollouts_that_go_on_at_the_same_time_are_found() -> None:
    other = replace(FIRST, id=2, version=2, digest="newer")
    assert found([*good()[:2], *good(other)[:2]]) == {"one rollout at a time"}
    held, schema = (replace(FIRST, id=n, document=d) for n, d in ((1, "held"), (2, "schema.s")))
    assert found([*good(held)[:2], *good(schema)[:2]]) == {"one rollout at a time"}
    assert found([*good(held)[:2], *good(schema)[:1]]) == set()
    assert found([*good()[:2], *good(schema)[:2]]) == set()


def test_a_target_that_no_record_speaks_of_is_found() -> None:
    wrong = Target(1, "new", 1, 7, 1)
    invariant = "targets follow from records"
    assert invariant in found([*good()[:3], Change(9, [], [("a", "us", wrong)])])
    record = good()[3].records[0]
    assert invariant in found([*good()[:3], Change(9, [record], [("a", "us", wrong)])])


def test_a_target_of_an_older_leader_is_found() -> None:
    first = [*good()[:2], sent(good()[1].records[0], "eu", epoch=3)]
    rest = [replace(change, targets=change.targets) for change in good()[3:]]
    assert "epochs of targets never go back" in found([*first, *rest])


def test_what_a_region_would_go_back_to_by_mistake_is_found() -> None:
    other = replace(FIRST, id=2, version=2, digest="newer")
    assert found([*good(), *good(other)]) == {"regions go back to what they ran"}


def test_a_bad_revision_in_a_second_wave_is_found() -> None:
    assert found(good(), bad=["new"]) == {"a bad revision reaches the first wave alone"}
    assert found(good()[:7], bad=["new"]) == set()


def aborted(strategy: OnFailure = OnFailure.ROLLBACK_ALL) -> list[Change]:
    """It goes back after its first region had it."""
    begun = good()[:3]
    now = begun[-1].records[0]
    back = now.next(phase=Phase.ROLLING_BACK, back_all=strategy is OnFailure.ROLLBACK_ALL)
    reverted = sent(back, "eu", back=True)
    there = reverted.records[0]
    done = there.next(regions=states(there, eu=Reached.REVERTED))
    over = done.next(phase=Phase.ROLLED_BACK)
    return [
        *begun, Change(4, [back]), reverted, Change(6, [done]), Change(7, [over]),
    ]  # fmt: skip


def test_a_rollback_is_fine_and_one_that_forgets_a_region_is_found() -> None:
    assert found(aborted()) == set()
    *begun, back = aborted()[:4]
    over = back.records[0].next(phase=Phase.ROLLED_BACK)
    assert found([*begun, back, Change(5, [over])]) == {"regions are to run what rollouts come to"}


# -- what nodes have


def entry(*effects: list[object]) -> bytes:
    return pack([1, "", "", 0, None, list(effects)])


def put(position: int, target: Target, region: str = EVERYWHERE) -> list[object]:
    return ["p", PARTITION, target_key("a", region), target.packed(), position]


LOG = Replay(
    [
        entry(put(1, Target(1, "one", 1, 1, 1))),
        entry(put(2, Target(2, "two", 2, 1, 1), "eu")),
        entry(put(3, Target(1, "one", 2, 2, 1), "eu")),
    ]
)


def seen(
    *had: tuple[int, str, int], told: int = 0, known: int = 0, elsewhere: tuple[int, int] = (0, 0)
) -> set[str]:
    """What is found of a process that had these: version, digest, and where it had read to.

    `told` and `known` are of its own region, `elsewhere` is both of another one.
    """
    findings = Findings()
    applied = [
        Applied("n1-1", "eu", "a", (version, digest), position, position)
        for version, digest, position in had
    ]
    tolds, knowns = {"eu": told, "us": elsewhere[0]}, {"eu": known, "us": elsewhere[1]}
    check_applied(
        applied,
        LOG,
        lambda region, _position: tolds[region],
        lambda region, _ms: knowns[region],
        tolds,
        findings,
    )
    return {violation.invariant for violation in findings.violations}


def test_a_node_that_reads_on_is_fine() -> None:
    assert seen((1, "one", 1), (2, "two", 2), (1, "one", 3)) == set()


@pytest.mark.parametrize(
    ("had", "invariant"),
    [
        ([(2, "two", 1)], "nodes run what was decided"),
        ([(2, "other", 2)], "nodes run what was decided"),
        ([(2, "two", 3)], "nodes run what was decided"),
        ([(2, "two", 2), (1, "one", 1)], "nodes only read on"),
    ],
)
def test_a_node_that_has_something_else_is_found(
    had: list[tuple[int, str, int]], invariant: str
) -> None:
    assert seen(*had) == {invariant}


def test_a_node_that_slept_and_did_not_read_on_first_is_found() -> None:
    assert seen((2, "two", 2), known=2) == set()
    assert seen((2, "two", 2), known=3) == {"who was away reads on first"}


def test_a_node_that_has_what_was_taken_back_by_then_is_found() -> None:
    assert seen((2, "two", 2), told=2) == set()
    assert seen((2, "two", 2), told=3) == {"what was taken back is not run"}


def test_a_node_whose_store_does_not_know_as_much_has_read_at_another_one() -> None:
    took_up, taken_back = (2, "two", 2), {"what was taken back is not run"}
    assert seen(took_up, told=3, known=1, elsewhere=(2, 2)) == set()
    assert seen(took_up, told=3, known=1, elsewhere=(3, 2)) == taken_back
    assert seen(took_up, told=3, known=2, elsewhere=(2, 2)) == taken_back
    assert seen(took_up, told=3, known=1, elsewhere=(2, 1)) == taken_back
