"""What solving again takes from what is known is what reckoning it from nothing says."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from shards.placement.difference import difference_of
from shards.placement.field import Field, field_of
from shards.placement.ground import grounds_of
from shards.placement.hesitant import hesitant_of
from shards.placement.incremental import solve_again
from shards.placement.master import options_of, solve_program
from shards.placement.nodes import Nodes
from shards.placement.occasions import loads_changed, price_changed, region_lost
from shards.placement.pool import pools_of
from shards.placement.pricing import Prices
from shards.placement.problem import AntiAffinity, Budget, Problem, leads_for, usable_for
from shards.placement.problem_check import checked
from shards.placement.reckoning import Reckoned, reckoned
from shards.placement.repair import all_takes, takes_of_all
from shards.placement.rounding import taken_by_others
from shards.placement.shifting import shifted
from shards.placement.solve import Solution, Warm, solve
from shards.placement.synthetic import synthetic_problem

SHARDS, REGIONS = 800, 8
SETS = (AntiAffinity("apart", (0, 5, 9)), AntiAffinity("few", tuple(range(20, 40)), 4))


@cache
def _solved() -> tuple[Problem, Solution]:
    problem = synthetic_problem(SHARDS, REGIONS, 1)
    problem = checked(replace(problem, anti_affinity=SETS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shards.placement.solve.EXACT_ENTRIES", 0)
        return problem, solve(problem)


def _warm() -> Warm:
    warm = _solved()[1].warm
    assert warm is not None
    return warm


def _loads(problem: Problem) -> Problem:
    return loads_changed(problem, 0.05, seed=1)


def _budget(problem: Problem) -> Problem:
    budget = Budget(problem.budget.moved_bytes / 2, moved_leaders=300.0)
    return replace(problem, budget=budget)


EVENTS = (_loads, region_lost, price_changed, _budget)


@pytest.mark.parametrize("event", EVENTS)
def test_the_bound_is_what_a_pass_over_everything_shows_at_its_prices(
    event: Callable[[Problem], Problem],
) -> None:
    after = checked(event(_solved()[0]))
    again = solve_again(_warm(), after)
    assert again is not None
    passed = field_of(after).bound(again.prices)
    unsure = sum(float(each.allowance.sum()) for each in passed.passes)
    assert again.bound_usd == pytest.approx(passed.usd, rel=1e-6)
    assert again.bound_usd <= passed.usd + 2 * unsure
    assert again.usd >= passed.usd


@pytest.mark.parametrize("event", EVENTS)
def test_what_is_told_is_what_reckoning_from_nothing_says(
    event: Callable[[Problem], Problem],
) -> None:
    after = checked(event(_solved()[0]))
    again = solve_again(_warm(), after)
    assert again is not None
    assert again.warm is not None
    afresh = reckoned(field_of(after), again.warm.at.choices)
    _are_equal(again.warm.at, afresh)
    assert again.usd == pytest.approx(afresh.allowed_usd, rel=1e-12)
    assert again.spent_bytes <= after.budget.moved_bytes * (1 + 1e-9)
    assert again.spent_leaders <= after.budget.moved_leaders


def _are_equal(one: Reckoned, other: Reckoned) -> None:
    for name in ("choices", "costs", "moved"):
        for mine, theirs in zip(getattr(one, name), getattr(other, name), strict=True):
            assert np.allclose(mine, theirs, rtol=1e-12)
    for mine, theirs in zip(one.usage(), other.usage(), strict=True):
        assert np.allclose(mine, theirs, rtol=1e-12)


def test_other_choices_are_reckoned_as_from_nothing() -> None:
    at = _warm().at
    chance = np.random.default_rng(1)
    others = []
    for ground, choice in zip(at.field.grounds, at.choices, strict=True):
        some = chance.random(len(choice)) < 0.2
        others.append(np.where(some, chance.integers(0, len(ground.patterns), len(choice)), choice))
    changed = [each.astype(np.int32) for each in others]
    _are_equal(at.other(changed), reckoned(at.field, changed))
    assert at.allowed_usd == pytest.approx(at.field.allowed_usd(at.choices))
    assert at.other(changed).allowed_usd == at.field.allowed_usd(changed) == np.inf


def test_what_many_take_is_what_each_takes() -> None:
    at = _warm().at
    for ground, pairs, choice in zip(at.field.grounds, at.field.sets, at.choices, strict=True):
        rows = np.unique(np.concatenate([np.arange(0, len(ground), 7), pairs[:, 1]]))
        for pattern in (choice, np.where(ground.present < 0, choice, ground.present)):
            together = takes_of_all(at.field, ground, pairs, rows, pattern[rows])
            for number, row in enumerate(rows.tolist()):
                alone = all_takes(at.field, ground, pairs, row, int(pattern[row]))
                assert np.allclose(together[number], alone, rtol=1e-12)


@pytest.mark.parametrize("event", [_loads, price_changed, _budget])
def test_no_price_of_leading_could_be_much_better(event: Callable[[Problem], Problem]) -> None:
    difference = difference_of(_warm(), event(_solved()[0]))
    assert difference is not None
    field, usual = difference.field, _solved()[1].usd
    found = shifted(field, difference.bound, usual, lambda: False)
    assert found.usd >= difference.bound.usd
    unit = field.unit_usd(usual)
    for row in [*range(2 * REGIONS), len(field.limits) - 1]:
        for change in (-0.02, 0.02) if field.counted[row] else ():
            rows = found.prices.rows.copy()
            rows[row] = max(rows[row] * (1 + change) + change * 0.02 * unit[row], 0.0)
            moved = field.bound(Prices(rows, found.prices.gathering))
            assert moved.usd <= found.usd + 2e-4 * usual


def test_a_program_that_begins_near_its_end_ends_where_another_does() -> None:
    difference = difference_of(_warm(), _loads(_solved()[0]))
    assert difference is not None
    field, prices = difference.field, difference.bound.prices
    at = difference.at.other([each.pattern for each in difference.bound.passes])
    rows = hesitant_of(at, difference.bound, 1)
    some = field.some(rows, taken_by_others(field, at.choices, rows)[0])
    pools = pools_of(some, prices)
    chosen = [np.arange(len(each)) for each in rows]
    options = options_of(some, pools, chosen)
    left = some.limits - some.taken
    for part in (1.0, 0.9):
        answers = [
            solve_program(some, options, left * part, some.gathering_max, 1e6, near=near)
            for near in (None, prices)
        ]
        assert answers[0] is not None
        assert answers[1] is not None
        assert answers[1].usd == pytest.approx(answers[0].usd, rel=1e-9)
        assert answers[1].passed == pytest.approx(answers[0].passed, abs=1e-6)


def test_few_rows_are_prepared_as_all_are(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = synthetic_problem(300, REGIONS, 2)
    pin = problem.shards.pin.copy()
    pin[::50] = 3
    shards = replace(problem.shards, pin=pin)
    nodes = Nodes(("a", "b"), (0, 1), ("a", "a"), barred=((10, 2), (50, 1)))
    problem = replace(problem, shards=shards, drained=2, quarantined=4, nodes=nodes)
    rows = np.array([0, 3, 10, 50, 51, 299])
    usable = usable_for(problem)
    assert np.array_equal(usable_for(problem, rows), usable[rows])
    some = leads_for(problem, usable[rows], rows)
    assert np.array_equal(some, leads_for(problem, usable)[rows])
    assert not some[2, 2]
    whole = _features(field_of(problem))
    monkeypatch.setattr("shards.placement.ground.CHUNK", 7)
    assert np.array_equal(_features(field_of(problem)), whole)
    here = {int(row): ground for ground in grounds_of(problem, rows) for row in ground.rows}
    assert set(here) == set(rows.tolist())


def _features(field: Field) -> np.ndarray:
    return np.concatenate([ground.features for ground in field.grounds])


def test_the_number_of_a_pattern_is_found_by_leader_and_voters() -> None:
    for ground in _warm().field.grounds:
        patterns = ground.patterns
        numbers = patterns.numbers(patterns.leader, patterns.voters)
        assert numbers.tolist() == list(range(len(patterns)))
        none = patterns.numbers(np.array([-1, 0], np.int16), np.array([1, 2], np.uint64))
        assert none.tolist() == [-1, -1]
