"""The solver finds what trying everything finds, keeps every rule, and is sure of its bound."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shards.placement.ground import grounds_of
from shards.placement.problem import (
    AntiAffinity,
    Budget,
    Capacities,
    Problem,
    Shards,
    Survival,
    unlimited,
)
from shards.placement.problem_check import checked
from shards.placement.reference_solution import Known, exact
from shards.placement.score import PARTS, Placement, parts_of
from shards.placement.solve import TOLERANCE, Solution, solve
from shards.placement.synthetic import synthetic_problem
from tests.shards.placement.brute_force import best_usd, cost, keeps_limits, placed, ways

Change = Callable[[Problem], Problem]


def tiny(seed: int, shards: int = 3, regions: int = 4) -> Problem:
    """A problem small enough to try everything, without limits."""
    problem = synthetic_problem(shards, regions, seed)
    return replace(problem, capacities=unlimited(regions), budget=Budget())


def with_shards(problem: Problem, **columns: object) -> Problem:
    """The problem with other columns of its shards."""
    return replace(problem, shards=replace(problem.shards, **columns))


def bare(solution: Solution) -> Placement:
    """The placement without followers."""
    return replace(solution.placement, followers=np.zeros_like(solution.placement.followers))


def _leaders(problem: Problem) -> Problem:
    return replace(
        problem, capacities=replace(problem.capacities, leaders=np.full(problem.region_count, 1.0))
    )


def _writes(problem: Problem) -> Problem:
    each = problem.shards.writes_per_s.sum(axis=1)
    limit = np.full(problem.region_count, float(each.max()) * 1.01)
    return replace(problem, capacities=replace(problem.capacities, writes_per_s=limit))


def _bytes(problem: Problem) -> Problem:
    limit = np.full(problem.region_count, float(problem.shards.size_bytes.sum()) * 0.95)
    return replace(problem, capacities=replace(problem.capacities, size_bytes=limit))


def _churn(problem: Problem) -> Problem:
    return replace(problem, budget=Budget(float(problem.shards.size_bytes.min()), 1))


def _nothing_moves(problem: Problem) -> Problem:
    return replace(problem, budget=Budget(0, 0))


def _residency(problem: Problem) -> Problem:
    allowed = np.array([0b0111, 0b1110, 0b1111], dtype=np.uint64)
    return with_shards(problem, allowed=allowed)


def _pins(problem: Problem) -> Problem:
    return with_shards(problem, pin=np.array([3, -1, 2], dtype=np.int16))


def _preferences(problem: Problem) -> Problem:
    wished = replace(problem, preferences=((2, 1), (0,)))
    return with_shards(wished, preference=np.array([0, 1, -1], dtype=np.int32))


def _apart(problem: Problem) -> Problem:
    return replace(problem, anti_affinity=(AntiAffinity("apart", (0, 1, 2)),))


def _drained(problem: Problem) -> Problem:
    return replace(problem, drained=0b0001, budget=Budget(0, 0))


def _quarantined(problem: Problem) -> Problem:
    return replace(problem, quarantined=0b0011)


def _zone(problem: Problem) -> Problem:
    goals = np.array([Survival.ZONE, Survival.REGION, Survival.ZONE], dtype=np.uint8)
    return with_shards(problem, survival=goals)


def _new_shard(problem: Problem) -> Problem:
    shards = problem.shards
    leader, present = shards.leader.copy(), shards.present.copy()
    leader[1], present[1] = -1, 0
    return with_shards(problem, leader=leader, present=present)


def _one_voter(problem: Problem) -> Problem:
    return with_shards(problem, voters=np.array([1, 3, 1], dtype=np.uint8))


CHANGES: tuple[Change, ...] = (
    *(_leaders, _writes, _bytes, _churn, _nothing_moves, _residency, _pins, _preferences),
    *(_apart, _drained, _quarantined, _zone, _new_shard, _one_voter),
)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
def test_it_finds_what_trying_everything_finds(change: Change, seed: int) -> None:
    problem = checked(change(tiny(seed)))
    best = best_usd(problem)
    solution = solve(problem)
    assert solution.feasible == (best is not None)
    if best is not None:
        assert keeps_limits(problem, bare(solution))
        assert solution.bound_usd <= best * (1 + 1e-6)
        assert cost(problem, bare(solution)) <= best * (1 + TOLERANCE)
        assert np.isclose(cost(problem, bare(solution)), solution.usd, rtol=1e-5)


def test_all_kinds_of_constraints_at_once() -> None:
    problem = tiny(5, shards=4)
    shards = problem.shards
    problem = with_shards(
        replace(
            _leaders(problem),
            anti_affinity=(AntiAffinity("apart", (0, 3)),),
            budget=Budget(float(shards.size_bytes.max()), 3),
        ),
        allowed=np.array([0b1111, 0b0111, 0b1111, 0b1111], dtype=np.uint64),
        pin=np.array([-1, -1, 3, -1], dtype=np.int16),
    )
    best, solution = best_usd(checked(problem)), solve(problem)
    assert best is not None
    assert keeps_limits(problem, bare(solution))
    assert cost(problem, bare(solution)) <= best * (1 + TOLERANCE)


def test_five_voters() -> None:
    problem = tiny(4, shards=2, regions=6)
    problem = with_shards(
        problem,
        voters=np.array([5, 5], dtype=np.uint8),
        survival=np.full(2, Survival.REGION, dtype=np.uint8),
    )
    best, solution = best_usd(checked(problem)), solve(problem)
    assert best is not None
    assert cost(problem, bare(solution)) <= best * (1 + TOLERANCE)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_matrix_product_is_the_sum_of_the_parts(seed: int) -> None:
    problem = synthetic_problem(40, 6, seed)
    for ground in grounds_of(problem):
        patterns, count = ground.patterns, len(ground.patterns)
        product = ground.features.astype(np.float64) @ ground.table.astype(np.float64)
        product += ground.hysteresis
        product[np.arange(len(ground)), ground.present] -= ground.hysteresis
        number = np.tile(np.arange(count), len(ground))
        every = Placement(
            patterns.leader[number],
            patterns.voters[number],
            np.zeros(len(number), dtype=np.uint64),
        )
        parts = parts_of(problem, every, np.repeat(ground.rows, count))
        assert parts.shape[1] == len(PARTS)
        assert np.allclose(product.ravel(), parts.sum(axis=1), rtol=1e-5)


@pytest.mark.parametrize("greedy", [False, True])
def test_hundreds_of_shards_keep_every_limit(greedy: bool) -> None:
    problem = synthetic_problem(150, 5, seed=2)
    solution = solve(problem, greedy=greedy)
    assert solution.feasible
    assert keeps_limits(problem, bare(solution))
    assert solution.gap < (0.15 if greedy else 0.01)


def test_equal_input_gives_equal_output() -> None:
    once, again = (solve(synthetic_problem(300, 6, seed=4)) for _ in range(2))
    assert np.array_equal(once.placement.leader, again.placement.leader)
    assert np.array_equal(once.placement.voters, again.placement.voters)
    assert np.array_equal(once.placement.followers, again.placement.followers)
    assert once.bound_usd == again.bound_usd


def test_without_time_it_still_answers_and_says_what_it_knows() -> None:
    problem = synthetic_problem(300, 6, seed=4)
    solution = solve(problem, time_limit_s=0.0)
    assert solution.feasible
    assert keeps_limits(problem, bare(solution))
    assert solution.bound_usd <= solve(problem).usd


def test_followers_stand_where_they_are_allowed_and_pay() -> None:
    problem = replace(synthetic_problem(80, 6, seed=4), capacities=unlimited(6), budget=Budget())
    allowed = np.full(80, 0b011111, dtype=np.uint64)
    pin = np.full(80, -1, dtype=np.int16)
    problem = with_shards(problem, allowed=allowed, pin=pin, strong_share=np.zeros(80, np.float32))
    solution = solve(checked(problem))
    followers = solution.placement.followers
    assert (followers != 0).any()
    assert not (followers & ~allowed).any()
    assert not (followers & solution.placement.voters).any()
    assert cost(problem, solution.placement) < cost(problem, bare(solution))


LOADS = st.floats(0, 1000, width=32)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Problems of a few regions and shards with any loads and rules."""
    regions, count = draw(st.integers(2, 4)), draw(st.integers(1, 6))
    problem = synthetic_problem(count, regions, draw(st.integers(0, 99)))
    everywhere = (1 << regions) - 1
    rows = [[draw(LOADS) for _ in range(regions)] for _ in range(count)]
    masks = [draw(st.integers(1, everywhere)) for _ in range(count)]
    shards: Shards = replace(
        problem.shards,
        writes_per_s=np.array(rows, dtype=np.float32),
        survival=np.full(count, Survival.ZONE, dtype=np.uint8),
        allowed=np.array(masks, dtype=np.uint64),
    )
    limits = Capacities(
        leaders=np.array([float(draw(st.integers(1, 6))) for _ in range(regions)]),
        writes_per_s=np.full(regions, 1e4),
        size_bytes=np.full(regions, 1e15),
    )
    budget = Budget(moved_leaders=float(draw(st.integers(0, 6))))
    return replace(problem, shards=shards, capacities=limits, budget=budget)


@settings(max_examples=25)
@given(problems())
def test_any_problem_is_solved_as_by_trying_everything(problem: Problem) -> None:
    best, solution = best_usd(checked(problem)), solve(problem)
    assert solution.feasible == (best is not None)
    if best is not None:
        assert keeps_limits(problem, bare(solution))
        assert cost(problem, bare(solution)) <= best * (1 + TOLERANCE) + 1e-9


def test_the_ways_of_a_shard_are_its_patterns() -> None:
    problem = tiny(1)
    (ground,) = grounds_of(with_shards(problem, survival=np.ones(3, dtype=np.uint8)))
    assert len(ground.patterns) == 4 * 3
    everything = {(int(a), int(b)) for a, b in ground.patterns.index()}
    assert everything == set(ways(with_shards(problem, survival=np.ones(3, np.uint8)), 0))
    assert len(placed(((0, 7),)).leader) == 1


@pytest.mark.parametrize("seed", [1, 2])
def test_an_exact_program_with_all_limits_finds_nothing_much_cheaper(seed: int) -> None:
    problem = synthetic_problem(24, 5, seed)
    assert np.isfinite(problem.capacities.size_bytes).all()
    solution = solve(problem)
    usd, bound_usd = exact(problem, Known(solution.usd, solution.prices), 20.0)
    assert usd is not None
    assert bound_usd <= usd <= solution.usd * (1 + 1e-6) <= usd * (1 + TOLERANCE)
    plain_usd, _ = exact(problem, time_limit_s=20.0)
    assert plain_usd == pytest.approx(usd, rel=2e-4), "what was left out is in no cheaper one"
