"""When nothing keeps all constraints, the smallest set that conflicts is named."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from shards.placement.infeasible import conflict_of
from shards.placement.problem import AntiAffinity, Budget, Problem, Survival, unlimited
from shards.placement.problem_check import checked
from shards.placement.solve import solve
from shards.placement.synthetic import synthetic_problem


def roomy() -> Problem:
    """Twelve shards in four regions, all in region 0 and near it, without limits."""
    problem = synthetic_problem(12, 4, seed=1)
    shards = replace(
        problem.shards,
        leader=np.zeros(12, dtype=np.int16),
        present=np.full(12, 0b0111, dtype=np.uint64),
        survival=np.full(12, Survival.REGION, dtype=np.uint8),
    )
    return replace(problem, shards=shards, capacities=unlimited(4), budget=Budget())


def _leaders(problem: Problem, most: float) -> Problem:
    limits = replace(problem.capacities, leaders=np.full(4, most))
    return replace(problem, capacities=limits)


def _few_leaders(problem: Problem) -> Problem:
    return _leaders(problem, 2.0)


def _crowded_and_frozen(problem: Problem) -> Problem:
    return replace(_leaders(problem, 4.0), budget=Budget(moved_leaders=3))


def _no_room_and_frozen(problem: Problem) -> Problem:
    most = float(problem.shards.size_bytes.sum()) * 0.9
    limits = np.array([most, np.inf, np.inf, np.inf])
    return replace(
        problem,
        capacities=replace(problem.capacities, size_bytes=limits),
        budget=Budget(moved_bytes=0),
    )


def _pinned_and_apart(problem: Problem) -> Problem:
    pin = np.full(12, -1, dtype=np.int16)
    pin[:2] = 1
    apart = (AntiAffinity("apart", (0, 1, 2)), AntiAffinity("others", (4, 5)))
    shards = replace(problem.shards, pin=pin)
    return replace(problem, shards=shards, anti_affinity=apart)


CASES: tuple[tuple[Callable[[Problem], Problem], set[str]], ...] = (
    (_few_leaders, {f"/capacities/leaders/{place}" for place in range(4)}),
    (_crowded_and_frozen, {"/budget/moved_leaders", "/capacities/leaders/0"}),
    (_no_room_and_frozen, {"/budget/moved_bytes", "/capacities/size_bytes/0"}),
    (_pinned_and_apart, {"/anti_affinity/0", "/shards/pin"}),
)


@pytest.mark.parametrize(
    ("change", "constraints"), CASES, ids=lambda case: getattr(case, "__name__", "")
)
def test_the_constraints_that_conflict_are_named_and_no_others(
    change: Callable[[Problem], Problem], constraints: set[str]
) -> None:
    problem = checked(change(roomy()))
    solution = solve(problem)
    assert not solution.feasible
    conflict = conflict_of(problem, solution)
    assert set(conflict.constraints) == constraints
    assert conflict.split == ()


def test_a_shard_that_no_region_can_bear_is_to_be_split() -> None:
    problem = roomy()
    loads = problem.shards.writes_per_s.copy()
    heavy = int(loads.sum(axis=1).argmax())
    loads[heavy] *= 3
    writes = loads.sum(axis=1)
    problem = replace(problem, shards=replace(problem.shards, writes_per_s=loads))
    between = float(np.sort(writes)[-2:].mean())
    limits = replace(problem.capacities, writes_per_s=np.full(4, between))
    problem = replace(problem, capacities=limits)
    conflict = conflict_of(problem, solve(problem))
    assert conflict.split == (f"s{heavy}",)
    assert conflict.constraints == ("/capacities/writes_per_s",)


def test_bytes_that_fit_in_parts_only_are_said_to() -> None:
    problem = roomy()
    shards = replace(problem.shards, size_bytes=np.full(12, 10.0))
    limits = replace(problem.capacities, size_bytes=np.array([94.0, 94, 94, 78]))
    problem = replace(problem, shards=shards, capacities=limits)
    solution = solve(problem)
    assert not solution.feasible
    assert "parts of shards" in conflict_of(problem, solution).message
