"""Whether a shard really tips where prices say so: asked by solving with the changed load.

At given prices a shard decides alone. Where limits bind, whole shards share them, and one that goes
makes room that nobody may need just then: its decision tips a little earlier or later. With few
shards that is looked for, between where nothing tips and where something does; with many it is as
small as one shard is among them.
"""

from __future__ import annotations

from dataclasses import replace

from shards.placement.explain import Explanation, Tipping, explain
from shards.placement.problem import Problem, names_of
from shards.placement.solve import Solution, solve

SHARDS_MAX = 300
NEAR = 0.04
"""A threshold is confirmed when so much of the change less does not tip, and so much more does."""
FARTHEST = 8.0
"""No load is looked for beyond so many times the change that prices tell."""
SOLVE_S_MAX = 5.0


def explain_surely(problem: Problem, solution: Solution, shard: str) -> Explanation:
    """Explain a shard; its tipping load is confirmed where limits bind and shards are few.

    A load that does not tip it within reach is not named.
    """
    found = explain(problem, solution, shard)
    few = len(problem.shards) <= SHARDS_MAX
    if found.tipping is None or not found.binding or not few:
        return found
    row = problem.shards.ids.index(shard)
    return replace(found, tipping=_confirmed(problem, solution, row, found.tipping))


def _confirmed(problem: Problem, solution: Solution, row: int, tipping: Tipping) -> Tipping | None:
    change = tipping.at_per_s - tipping.now_per_s
    now = solution.placement.row(row)[:2]
    least, most, then = 0.0, 1.0 + NEAR, None
    while then is None:
        if tipping.now_per_s + most * change < 0:
            most = -tipping.now_per_s / change  # to no load at all, and no farther
        then = _other(problem, row, tipping, most * change, now)
        if then is None:
            if most >= FARTHEST or tipping.now_per_s + most * change <= 0:
                return None
            least, most = most, most * 2
    probe = 1.0 - NEAR
    while most - least > 2.1 * NEAR * most:
        middle = probe if least < probe < most else (least + most) / 2
        probe = 0.0
        other = _other(problem, row, tipping, middle * change, now)
        if other is None:
            least = middle
        else:
            most, then = middle, other
    leader, voters = then
    return replace(
        tipping,
        at_per_s=tipping.now_per_s + (least + most) / 2 * change,
        then_leader=problem.regions[leader],
        then_voters=names_of(problem, voters),
    )


def _other(
    problem: Problem, row: int, tipping: Tipping, change: float, now: tuple[int, ...]
) -> tuple[int, int] | None:
    """Where the shard is put with a changed load; None where it is anyhow, or nothing is found."""
    table = getattr(problem.shards, tipping.load).copy()
    table[row, problem.regions.index(tipping.region)] = max(tipping.now_per_s + change, 0.0)
    shards = replace(problem.shards, **{tipping.load: table})
    solution = solve(replace(problem, shards=shards), time_limit_s=SOLVE_S_MAX)
    leader, voters, _ = solution.placement.row(row)
    return (leader, voters) if solution.feasible and (leader, voters) != now else None
