"""Solve again after something happened, from the prices and candidates of the last time.

What changed decides what is done again:

* loads of some shards: these are prepared and priced anew, all others keep their candidates;
* regions drained or let back in, prices, capacities, budget: everything is prepared anew, the old
  candidates are priced anew and joined by the cheapest pattern of each shard, and the prices of
  limits go on from where they were.

The bound is certified as for a fresh solve: by a pass over every pattern of every shard. More
regions, other shards, or other kinds of them are another problem; then the answer is None.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray

from shards.placement.ascent import ascend
from shards.placement.field import Field, field_of
from shards.placement.ground import Ground, ground_of, limits_of
from shards.placement.pool import Pool, plain_costs
from shards.placement.pricing import Candidates, candidates_of, moved_of
from shards.placement.problem import Problem, Shards
from shards.placement.solve import TIME_LIMIT_S, Solution, Warm, Watch, finish

ROUNDS = 12
FEW = 0.3
"""With more changed shards than this part, everything is prepared anew."""
LOADS = ("writes_per_s", "reads_per_s", "write_bytes", "read_bytes", "size_bytes", "strong_share")
PLACES = ("leader", "present", "allowed", "pin", "preference")
KINDS = ("survival", "voters")
PRICED = (
    *("rtt_ms", "egress_usd_per_gb", "storage_usd_per_gb_month", "instance_usd_per_hour"),
    *("weights", "preferences", "drained", "quarantined"),
)


def solve_again(
    warm: Warm,
    problem: Problem,
    *,
    time_limit_s: float = TIME_LIMIT_S,
    clock: Callable[[], float] = time.monotonic,
) -> Solution | None:
    """Solve a problem like the one before; None when it is too different."""
    watch = Watch(clock, time_limit_s)
    before = warm.problem
    if not _is_alike(before, problem):
        return None
    changed = _changed_rows(before.shards, problem.shards)
    same_prices = all(_equal(getattr(before, name), getattr(problem, name)) for name in PRICED)
    few = len(changed) <= FEW * len(problem.shards)
    if same_prices and few:
        field, pools = _with_rows(warm, problem, changed)
        watch.did("prepare")
    else:
        field = field_of(problem)
        watch.did("prepare")
        pools = _repriced(warm, field)
        watch.did("candidates")
    prices = warm.prices
    usual_usd = max(abs(field.bound(warm.prices).usd + field.worth(warm.prices)), 1.0)
    prices = ascend(field, pools, prices, usual_usd, ROUNDS, watch.out)
    watch.did("ascent")
    return finish(problem, field, pools, prices, usual_usd, watch, polish=1)


def _is_alike(before: Problem, after: Problem) -> bool:
    same = before.regions == after.regions and before.anti_affinity == after.anti_affinity
    same = same and before.nodes == after.nodes
    if not same or before.shards.ids != after.shards.ids:
        return False
    return all(_equal(getattr(before.shards, n), getattr(after.shards, n)) for n in KINDS)


def _equal(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one is other or bool(np.array_equal(one, other))
    return one == other


def _changed_rows(before: Shards, after: Shards) -> NDArray[np.intp]:
    changed = np.zeros(len(after), dtype=bool)
    for field in fields(Shards):
        if field.name in (*LOADS, *PLACES):
            old, new = getattr(before, field.name), getattr(after, field.name)
            if old is not new:
                differs = old != new
                changed |= differs.any(axis=1) if differs.ndim == 2 else differs
    return np.flatnonzero(changed).astype(np.intp)


def _with_rows(
    warm: Warm, problem: Problem, changed: NDArray[np.intp]
) -> tuple[Field, tuple[Pool, ...]]:
    """The old field and candidates with these shards replaced."""
    grounds, pools = [], []
    for pool in warm.pools:
        ground, few = pool.ground, pool.candidates
        at = np.flatnonzero(np.isin(ground.rows, changed))
        if len(at):
            fresh = ground_of(problem, ground.patterns, ground.rows[at])
            none = np.zeros((0, 2), dtype=np.intp)
            found = candidates_of(fresh, warm.prices, none)
            ground = _replaced(ground, at, fresh)
            pattern, cost, moved = few.pattern.copy(), few.cost.copy(), few.moved.copy()
            pattern[at], cost[at], moved[at] = found.pattern, found.cost, found.moved
            few = Candidates(pattern, cost, moved)
        grounds.append(ground)
        pools.append(Pool(ground, pool.sets, few))
    field = replace(warm.field, grounds=tuple(grounds), limits=limits_of(problem))
    return field, tuple(pools)


def _replaced(ground: Ground, at: NDArray[np.intp], fresh: Ground) -> Ground:
    columns = {}
    for name in ("features", "writes", "size_bytes", "present", "led", "held", "forced"):
        column = getattr(ground, name).copy()
        column[at] = getattr(fresh, name)
        columns[name] = column
    return replace(ground, **columns)


def _repriced(warm: Warm, field: Field) -> tuple[Pool, ...]:
    """The old candidates at their new costs, and the cheapest pattern of each shard now."""
    passes = field.bound(warm.prices).passes
    pools = []
    for old, ground, pairs, cheapest in zip(
        warm.pools, field.grounds, field.sets, passes, strict=True
    ):
        last = old.candidates.pattern.shape[1] - 1
        pattern = old.candidates.pattern.copy()
        # The dearest of the old ones makes room; what is there now must stay a candidate.
        pattern[:, last - 1] = cheapest.pattern
        pattern[:, last] = np.where(ground.present >= 0, ground.present, cheapest.pattern)
        cost = plain_costs(ground, pattern)
        pools.append(Pool(ground, pairs, Candidates(pattern, cost, moved_of(ground, pattern))))
    return tuple(pools)
