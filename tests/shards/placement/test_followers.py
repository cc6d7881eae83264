"""Costs and bounds with followers are those of all that leader, voters and followers may be."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest

from shards.placement.followers import FOLLOWERS_MAX
from shards.placement.joint import joint_bound, total_of
from shards.placement.problem import Budget, Problem, Survival, mask_of, unlimited, usable_for
from shards.placement.score import Placement, copies_of, parts_of
from shards.placement.solve import solve
from shards.placement.synthetic import synthetic_problem
from tests.shards.placement.brute_force import ways

Way = tuple[int, int, int]
"""Leader, voters and followers."""


def few(seed: int, regions: int = 5) -> Problem:
    problem = synthetic_problem(3, regions, seed)
    return replace(problem, capacities=unlimited(regions), budget=Budget())


def _zonal(problem: Problem) -> Problem:
    goals = np.array([Survival.ZONE, Survival.REGION, Survival.ZONE], dtype=np.uint8)
    return replace(problem, shards=replace(problem.shards, survival=goals))


def _residency(problem: Problem) -> Problem:
    allowed = np.array([0b01111, 0b11110, 0b11111], dtype=np.uint64)
    return replace(problem, shards=replace(problem.shards, allowed=allowed))


def _read_much(problem: Problem) -> Problem:
    shards = problem.shards
    return replace(problem, shards=replace(shards, reads_per_s=shards.reads_per_s * 50))


def _five(problem: Problem) -> Problem:
    voters = np.array([5, 3, 1], dtype=np.uint8)
    return replace(problem, shards=replace(problem.shards, voters=voters))


def _full(problem: Problem) -> Problem:
    most = np.full(problem.region_count, float(problem.shards.size_bytes.max()) * 3.3)
    return replace(problem, capacities=replace(problem.capacities, size_bytes=most))


def _churn(problem: Problem) -> Problem:
    return replace(problem, budget=Budget(float(problem.shards.size_bytes.min()), 1))


CHANGES = (lambda each: each, _zonal, _residency, _read_much, _five)


def every_way(problem: Problem, row: int) -> dict[Way, float]:
    """All that one shard may be, with followers, and its cost."""
    usable = usable_for(problem)[row]
    found: list[Way] = []
    for leader, voters in ways(problem, row):
        free = [r for r in range(problem.region_count) if usable[r] and not voters >> r & 1]
        for count in range(min(FOLLOWERS_MAX, len(free)) + 1):
            found += [(leader, voters, mask_of(some)) for some in combinations(free, count)]
    every = Placement(
        np.array([way[0] for way in found], dtype=np.int16),
        np.array([way[1] for way in found], dtype=np.uint64),
        np.array([way[2] for way in found], dtype=np.uint64),
    )
    costs = parts_of(problem, every, np.full(len(found), row)).sum(axis=1)
    return dict(zip(found, costs.tolist(), strict=True))


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("change", CHANGES, ids=["plain", "zonal", "residency", "reads", "five"])
def test_without_limits_the_bound_is_the_best_of_all_three(
    change: Callable[[Problem], Problem], seed: int
) -> None:
    problem = change(few(seed))
    warm = solve(problem).warm
    assert warm is not None
    best = sum(min(every_way(problem, row).values()) for row in range(3))
    bound = joint_bound(problem, warm.field, warm.field.free(), warm.at.choices)
    hysteresis = 3 * problem.weights.hysteresis_usd_per_month
    assert best - hysteresis - 1e-4 * abs(best) <= bound <= best


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("change", [_full, _churn], ids=["full", "churn"])
def test_with_limits_the_bound_is_below_the_best_that_keeps_them(
    change: Callable[[Problem], Problem], seed: int
) -> None:
    problem = change(_read_much(few(seed, regions=4)))
    solution = solve(problem)
    total = total_of(problem, solution)
    tables = [every_way(problem, row) for row in range(3)]
    every = [list(table.items()) for table in tables]
    priced = [(sum(usd for _, usd in some), some) for some in product(*every)]
    in_order = sorted(priced, key=lambda each: each[0])
    best = next(usd for usd, some in in_order if keeps(problem, tuple(way for way, _ in some)))
    assert total.bound_usd <= best * (1 + 1e-9)
    assert total.usd >= best * (1 - 1e-6)


def keeps(problem: Problem, choice: tuple[Way, ...]) -> bool:
    """Bytes of regions, and of what is moved, for which followers do not count."""
    rows, sizes = np.arange(3), problem.shards.size_bytes
    voters = np.array([way[1] for way in choice], dtype=np.uint64)
    followers = np.array([way[2] for way in choice], dtype=np.uint64)
    held = sizes @ copies_of(problem, rows, voters, followers)
    away = np.bitwise_count(voters & ~problem.shards.present)
    led = sum(way[0] != was for way, was in zip(choice, problem.shards.leader, strict=True))
    kept = (
        held <= problem.capacities.size_bytes
    ).all() and sizes @ away <= problem.budget.moved_bytes
    return bool(kept) and led <= problem.budget.moved_leaders


@pytest.mark.parametrize("regions", [6, 15])
def test_the_cost_is_that_of_what_is_placed_and_above_the_bound(regions: int) -> None:
    problem = synthetic_problem(60, regions, 1)
    problem = replace(problem, capacities=unlimited(regions), budget=Budget())
    solution = solve(problem)
    total = total_of(problem, solution)
    assert solution.placement.followers.any()
    assert total.usd == pytest.approx(parts_of(problem, solution.placement).sum(), rel=1e-6)
    assert 0 < total.gap < (0.1 if regions == 6 else 0.3)
    assert total.usd < solution.usd


def test_where_no_byte_may_be_sent_nothing_follows() -> None:
    problem = replace(synthetic_problem(60, 6, 1), budget=Budget(moved_bytes=0.0))
    solution = solve(problem)
    total = total_of(problem, solution)
    assert not solution.placement.followers.any()
    assert (total.usd, total.bound_usd) == (solution.usd, solution.bound_usd)
