"""Solving again after an event is quick, keeps every limit, and is near to solving anew."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from shards.placement.changed import applied
from shards.placement.difference import difference_of
from shards.placement.field import Bound, Field
from shards.placement.incremental import GAP_MAX, solve_again
from shards.placement.moves import hash_of, plan_of
from shards.placement.nodes import Apart, Bearing, Nodes, Scope
from shards.placement.occasions import loads_changed, price_changed, region_lost
from shards.placement.problem import AntiAffinity, Budget, Problem, unlimited
from shards.placement.problem_check import checked
from shards.placement.score import parts_of
from shards.placement.shifting import shifted
from shards.placement.solve import Solution, Warm, solve
from shards.placement.synthetic import synthetic_problem
from tests.shards.placement.brute_force import cost, keeps_limits

SHARDS, REGIONS = 800, 8
SETS = (AntiAffinity("apart", (0, 5, 9)), AntiAffinity("few", tuple(range(20, 40)), 4))


@pytest.fixture(autouse=True)
def _without_the_program_over_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes seconds, and going on does without it."""
    monkeypatch.setattr("shards.placement.solve.EXACT_ENTRIES", 0)


@cache
def _first(seed: int) -> tuple[Problem, Solution]:
    problem = synthetic_problem(SHARDS, REGIONS, seed)
    problem = checked(replace(problem, anti_affinity=SETS))
    return problem, solve(problem)


def _warm(solution: Solution) -> Warm:
    assert solution.warm is not None
    return solution.warm


def _nothing(problem: Problem) -> Problem:
    return replace(problem)


def _loads(problem: Problem) -> Problem:
    return loads_changed(problem, 0.05, seed=1)


def _grown(problem: Problem) -> Problem:
    """Some shards become larger; with them, their copies and what moves."""
    sizes = problem.shards.size_bytes.copy()
    sizes[::40] *= 1.3
    return replace(problem, shards=replace(problem.shards, size_bytes=sizes))


def _latency(problem: Problem) -> Problem:
    rtt_ms = problem.rtt_ms.copy()
    rtt_ms[0, 1] = rtt_ms[1, 0] = 300.0
    return replace(problem, rtt_ms=rtt_ms)


def _limits(problem: Problem) -> Problem:
    writes = problem.capacities.writes_per_s.copy()
    writes[int(problem.shards.writes_per_s.sum(axis=0).argmax())] *= 0.93
    return replace(problem, capacities=replace(problem.capacities, writes_per_s=writes))


def _budget(problem: Problem) -> Problem:
    less = replace(problem.budget, moved_bytes=problem.budget.moved_bytes / 2, moved_leaders=500.0)
    return replace(problem, budget=less)


def _forbidden(problem: Problem) -> Problem:
    allowed = problem.shards.allowed.copy()
    allowed[100:120] = np.uint64(0b00011111)
    return replace(problem, shards=replace(problem.shards, allowed=allowed))


EVENTS: tuple[Callable[[Problem], Problem], ...] = (
    *(_nothing, _loads, _grown, region_lost, price_changed, _latency, _budget, _limits),
    _forbidden,
)


@cache
def _manned() -> tuple[Problem, Solution]:
    """Two nodes in each region but one, one in each zone: what they bear binds."""
    problem = replace(synthetic_problem(500, REGIONS, seed=1), anti_affinity=SETS)
    least = float(problem.shards.size_bytes.sum()) / REGIONS
    spots = [(region, zone) for region in range(REGIONS) for zone in "ab"][:-1]
    nodes = Nodes(
        tuple(f"{problem.regions[region]}-{zone}" for region, zone in spots),
        tuple(region for region, _ in spots),
        tuple(zone for _, zone in spots),
        limits=Bearing(size_bytes=least * 0.8),
        apart=(Apart("zones", tuple(range(50, 62)), Scope.ZONE),),
    )
    problem = checked(replace(problem, nodes=nodes, budget=Budget()))
    return problem, solve(problem)


def _is_good(problem: Problem, again: Solution | None) -> Solution:
    """Near its bound, which holds, with every limit and rule kept."""
    assert again is not None
    assert again.feasible
    bare = replace(again.placement, followers=np.zeros_like(again.placement.followers))
    assert keeps_limits(problem, bare)
    assert again.usd == pytest.approx(cost(problem, bare), rel=1e-5)
    assert 0 <= again.usd - again.bound_usd <= GAP_MAX * again.bound_usd
    with_followers = float(parts_of(problem, again.placement).sum())
    assert again.usd - again.followers_usd == pytest.approx(with_followers, rel=1e-5)
    return again


@pytest.mark.parametrize(
    ("event", "seed"), [(event, 1 + number % 3) for number, event in enumerate(EVENTS)]
)
def test_after_an_event_it_is_as_good_as_solving_anew(
    event: Callable[[Problem], Problem], seed: int
) -> None:
    problem, first = _first(seed)
    after = checked(event(problem))
    again = _is_good(after, solve_again(_warm(first), after))
    fresh = solve(after)
    assert again.usd <= fresh.usd * (1 + GAP_MAX)
    assert again.bound_usd <= fresh.usd
    assert (_held(after, again) <= after.capacities.size_bytes * (1 + 1e-9)).all()


def test_what_nodes_bear_together_is_kept_when_going_on() -> None:
    problem, solution = _manned()
    nodes = problem.nodes
    assert nodes is not None
    count = np.bincount(nodes.region, minlength=REGIONS)
    for event in (_loads, price_changed):
        after = checked(event(problem))
        again = _is_good(after, solve_again(_warm(solution), after))
        led, sizes = again.placement.leader, after.shards.size_bytes
        led_bytes = np.bincount(led, weights=sizes, minlength=REGIONS)
        assert (led_bytes <= count * nodes.limits.size_bytes * (1 + 1e-9)).all()
        apart = np.bincount(led[list(nodes.apart[0].shards)], minlength=REGIONS)
        assert (apart <= count).all()


def test_other_nodes_are_solved_anew() -> None:
    problem, first = _manned()
    assert problem.nodes is not None
    more = replace(problem.nodes, limits=Bearing(leaders=SHARDS))
    others = (replace(problem, nodes=None), replace(problem, nodes=more))
    assert [solve_again(_warm(first), other) for other in others] == [None, None]


def _held(problem: Problem, solution: Solution) -> np.ndarray:
    """Bytes in each region, followers included."""
    followers = solution.placement.followers
    zone = problem.shards.survival == 0
    copies = np.zeros((SHARDS, REGIONS))
    for place in range(REGIONS):
        votes = solution.placement.voters >> np.uint64(place) & np.uint64(1)
        follows = followers >> np.uint64(place) & np.uint64(1)
        copies[:, place] = votes * np.where(zone, problem.shards.voters, 1) + follows
    return problem.shards.size_bytes @ copies


@pytest.mark.parametrize("seed", [1, 2])
def test_one_event_after_another_stays_near_the_bound(seed: int) -> None:
    problem, solution = _first(seed)
    for event in (_loads, region_lost, _grown, _back, price_changed, _limits):
        after = checked(event(problem))
        problem, solution = after, _is_good(after, solve_again(_warm(solution), after))


def _back(problem: Problem) -> Problem:
    return replace(problem, drained=0)


@pytest.mark.parametrize("seed", [1, 2])
def test_carrying_out_what_was_found_leaves_nothing_to_move(seed: int) -> None:
    problem, first = _first(seed)
    after = _loads(problem)
    again = solve_again(_warm(first), after)
    assert again is not None
    assert plan_of(after, again.placement).moves
    done = applied(after, again)
    once_more = solve_again(_warm(again), done)
    assert once_more is not None
    assert plan_of(done, once_more.placement).moves == ()


def test_where_no_limit_forces_it_only_changed_shards_are_placed_anew() -> None:
    problem, _ = _first(1)
    problem = replace(problem, capacities=unlimited(REGIONS), budget=Budget(), anti_affinity=())
    first = solve(problem)
    after = _loads(problem)
    again = solve_again(_warm(first), after)
    assert again is not None
    changed = (after.shards.writes_per_s != problem.shards.writes_per_s).any(axis=1)
    same = ~changed
    for column in ("leader", "voters", "followers"):
        before, now = (getattr(each.placement, column) for each in (first, again))
        assert np.array_equal(before[same], now[same])
    fresh = solve(after)
    assert again.usd == pytest.approx(fresh.usd)
    assert np.array_equal(again.placement.followers, fresh.placement.followers)


def test_equal_events_give_equal_answers() -> None:
    problem, first = _first(2)
    once, twice = (solve_again(_warm(first), _loads(problem)) for _ in range(2))
    assert once is not None
    assert twice is not None
    assert hash_of(problem, once.placement) == hash_of(problem, twice.placement)
    assert once.bound_usd == twice.bound_usd


@pytest.mark.parametrize("event", [_limits, price_changed])
def test_a_bound_at_other_prices_is_what_a_pass_at_them_shows(
    event: Callable[[Problem], Problem],
) -> None:
    problem, first = _first(3)
    difference = difference_of(_warm(first), event(problem))
    assert difference is not None
    field = difference.field
    _is_shown_by_a_pass(field, difference.bound, shifted(field, difference.bound, first.usd, _on))


def test_so_is_one_at_other_prices_for_bytes_that_are_led() -> None:
    problem, first = _manned()
    difference = difference_of(_warm(first), price_changed(problem))
    assert difference is not None
    moved = shifted(difference.field, difference.bound, first.usd, _on)
    before, after = (each.prices.of_led_bytes(REGIONS) for each in (difference.bound, moved))
    assert not np.array_equal(before, after)
    _is_shown_by_a_pass(difference.field, difference.bound, moved)


def _on() -> bool:
    return False


def _is_shown_by_a_pass(field: Field, before: Bound, moved: Bound) -> None:
    passed = field.bound(moved.prices)
    assert not np.array_equal(moved.prices.rows, before.prices.rows)
    assert moved.usd == pytest.approx(passed.usd, rel=1e-6)
    unsure = sum(float(each.allowance.sum()) for each in passed.passes)
    assert moved.usd <= passed.usd + 2 * unsure


def test_another_fleet_is_not_solved_from_where_the_last_was() -> None:
    problem, first = _first(1)
    others = (
        synthetic_problem(SHARDS + 1, REGIONS, seed=1),
        synthetic_problem(SHARDS, REGIONS - 1, seed=1),
        replace(problem, anti_affinity=()),
        replace(problem, shards=replace(problem.shards, voters=problem.shards.voters * 0 + 1)),
    )
    assert [solve_again(_warm(first), other) for other in others] == [None] * len(others)
