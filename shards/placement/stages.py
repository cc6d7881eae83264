"""A placement in two stages: the region that leads each shard, then the node in it.

Regions are chosen as if nodes shared what their limits add up to; then seats are looked for. Where
whole shards do not fit, few shards are placed once more with regions and nodes together; of many,
those that found no room are barred from that region, and regions are chosen again. The bound is
that of the first choice: it holds for whatever keeps the limits of nodes as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from shards.placement.problem import NOWHERE, Problem
from shards.placement.seat_program import is_small, together
from shards.placement.seating import Numbers, natural_seats, seated
from shards.placement.solve import (
    TIME_LIMIT_S,
    Solution,
    Watch,
    followed_by,
    solution_of,
    solve,
)

BARRED_MAX = 6
"""Times that shards are barred from regions where they found no room."""


def solve_both(
    problem: Problem,
    *,
    time_limit_s: float = TIME_LIMIT_S,
    clock: Callable[[], float] = time.monotonic,
) -> Solution:
    """Solve a problem that was checked, down to the nodes."""
    watch = Watch(clock, time_limit_s)
    return with_seats(problem, solve(problem, time_limit_s=time_limit_s, clock=clock), watch)


def with_seats(problem: Problem, solution: Solution, watch: Watch | None = None) -> Solution:
    """A solution with a node for each shard, changed where that takes other regions."""
    watch = Watch(time.monotonic, TIME_LIMIT_S) if watch is None else watch
    if problem.nodes is None or not solution.feasible:
        return solution
    first, barred = solution, set(problem.nodes.barred)
    for _ in range(BARRED_MAX):
        seats = seated(problem, solution.placement.leader)
        if not len(seats.unplaced):
            return replace(solution, seats=seats.node, seconds=watch.limit_s - watch.left_s())
        if first.warm is not None and is_small(problem, first.warm.field):
            return _together(problem, first, watch)
        barred |= {(int(s), int(solution.placement.leader[s])) for s in seats.unplaced}
        nodes = replace(problem.nodes, barred=tuple(sorted(barred)))
        left_s = max(watch.left_s(), 0.0)
        solution = solve(replace(problem, nodes=nodes), time_limit_s=left_s, clock=watch.clock)
        solution = replace(solution, bound_usd=first.bound_usd, warm=first.warm)
        if not solution.feasible or watch.out():
            break
    return replace(first, feasible=False)


def _together(problem: Problem, solution: Solution, watch: Watch) -> Solution:
    warm = solution.warm
    assert warm is not None
    found = together(problem, warm.field, natural_table(problem))
    if found is None:
        return replace(solution, feasible=False)
    at = warm.at.other(found.choices)
    followed = followed_by(problem, at, watch)
    again = solution_of(problem, at, warm.bound, followed, watch)
    return replace(again, seats=found.node)


def natural_table(problem: Problem) -> Numbers:
    """The node that leads each shard in each region if nothing is done about it, `[S, R]`."""
    count = len(problem.shards)
    regions = range(problem.region_count)
    columns = [natural_seats(problem, np.full(count, r, dtype=np.int16)) for r in regions]
    return np.column_stack(columns) if count else np.full((0, len(regions)), NOWHERE, np.int32)
