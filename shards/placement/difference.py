"""What is known of a problem from the one before it: what stays, and what is looked at anew."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.placement.field import Bound, Field, field_of
from shards.placement.ground import Ground, ground_of, limits_of
from shards.placement.pricing import Cheapest
from shards.placement.problem import Problem, Shards
from shards.placement.reckoning import Reckoned, reckoned
from shards.placement.score import Placement
from shards.placement.solve import Warm

FEW = 0.3
"""With more changed shards than this part, everything is prepared anew."""
LOADS = ("writes_per_s", "reads_per_s", "write_bytes", "read_bytes", "size_bytes", "strong_share")
PLACES = ("leader", "present", "allowed", "pin", "preference")
KINDS = ("survival", "voters")
PRICED = (
    *("rtt_ms", "egress_usd_per_gb", "storage_usd_per_gb_month", "instance_usd_per_hour"),
    *("weights", "preferences", "drained", "quarantined"),
)
"""What the costs of all shards rest on."""
Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """A problem prepared, priced as the last one was, with the choices of the last time."""

    bound: Bound
    at: Reckoned
    """The old choices; the cheapest where the shard changed."""
    changed: Rows
    """Shards whose own row changed."""
    is_priced_anew: bool
    """What costs rest on changed, for all shards."""

    @property
    def field(self) -> Field:
        """The problem prepared."""
        return self.at.field

    def followed_anew(self, placement: Placement, before: Placement) -> Rows | None:
        """Which shards' followers must be chosen anew; None for all."""
        if self.is_priced_anew:
            return None
        moved = (placement.leader != before.leader) | (placement.voters != before.voters)
        moved[self.changed] = True
        return np.flatnonzero(moved).astype(np.intp)


def difference_of(warm: Warm, problem: Problem) -> Difference | None:
    """Prepare a problem like the one before; None when it is too different."""
    before = warm.problem
    if not _is_alike(before, problem):
        return None
    changed = _changed_rows(before.shards, problem.shards)
    anew = any(not _equal(getattr(before, name), getattr(problem, name)) for name in PRICED)
    # With no budget for bytes, voters may be elsewhere than with some.
    anew |= (before.budget.moved_bytes > 0) != (problem.budget.moved_bytes > 0)
    if anew or len(changed) > FEW * len(problem.shards):
        field = field_of(problem)
        bound = field.bound(warm.bound.prices)
        choices = [
            np.where(np.isin(ground.rows, changed), each.pattern, choice)
            for ground, each, choice in zip(
                field.grounds, bound.passes, warm.at.choices, strict=True
            )
        ]
        return Difference(bound, reckoned(field, choices), changed, True)
    return _with_rows(warm, problem, changed)


def _is_alike(before: Problem, after: Problem) -> bool:
    same = before.regions == after.regions and before.anti_affinity == after.anti_affinity
    # Nodes say what may be led in a region, and how many of a set that must not gather.
    same = same and before.nodes == after.nodes
    if not same or before.shards.ids != after.shards.ids:
        return False
    return all(_equal(getattr(before.shards, n), getattr(after.shards, n)) for n in KINDS)


def _equal(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one is other or bool(np.array_equal(one, other))
    return one == other


def _changed_rows(before: Shards, after: Shards) -> Rows:
    changed = np.zeros(len(after), dtype=bool)
    for field in fields(Shards):
        if field.name in (*LOADS, *PLACES):
            old, new = getattr(before, field.name), getattr(after, field.name)
            if old is not new:
                differs = old != new
                changed |= differs.any(axis=1) if differs.ndim == 2 else differs
    return np.flatnonzero(changed).astype(np.intp)


def _with_rows(warm: Warm, problem: Problem, changed: Rows) -> Difference:
    """The old field with these shards replaced, and priced."""
    is_changed = np.zeros(len(problem.shards), dtype=bool)
    is_changed[changed] = True
    rows = [np.flatnonzero(is_changed[ground.rows]) for ground in warm.field.grounds]
    grounds = []
    for ground, at in zip(warm.field.grounds, rows, strict=True):
        fresh = ground_of(problem, ground.patterns, ground.rows[at])
        grounds.append(_replaced(ground, at, fresh) if len(at) else ground)
    field = replace(warm.field, grounds=tuple(grounds), limits=limits_of(problem))
    prices = warm.bound.prices
    found = field.some(rows).bound(prices).passes
    passes, choices = [], []
    for old, choice, at, new in zip(warm.bound.passes, warm.at.choices, rows, found, strict=True):
        passes.append(_joined(old, at, new))
        choices.append(choice.copy())
        choices[-1][at] = new.pattern
    bound = field.bound_by(prices, tuple(passes))
    return Difference(bound, warm.at.updated(field, choices, rows), changed, False)


def _replaced(ground: Ground, at: Rows, fresh: Ground) -> Ground:
    names = ("features", "writes", "size_bytes", "present", "led", "held", "forced")
    columns = {name: getattr(ground, name).copy() for name in names}
    for name, column in columns.items():
        column[at] = getattr(fresh, name)
    return replace(ground, **columns)


def _joined(old: Cheapest, at: Rows, fresh: Cheapest) -> Cheapest:
    names = [field.name for field in fields(Cheapest)]
    return Cheapest(**{name: _put(getattr(old, name), at, getattr(fresh, name)) for name in names})


def _put(column: NDArray[Any], at: Rows, values: NDArray[Any]) -> NDArray[Any]:
    """With other values for these shards, which come last in a table."""
    changed = column.copy()
    changed[..., at] = values
    return changed
