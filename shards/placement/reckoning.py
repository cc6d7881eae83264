"""Choices with what each of them costs and sends: of others, only what differs is reckoned anew.

A solve looks at many choices that differ from each other in a few shards; adding up what all cost
takes longer than finding out which do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from shards.placement.field import Choice, Field, cost_of, moved_copies_of, usage_of
from shards.placement.ground import FORBIDDEN_FROM
from shards.placement.problem import Floats

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Reckoned:
    """Choices of all shards of a field; one array for each ground."""

    field: Field
    choices: tuple[Choice, ...]
    costs: tuple[Floats, ...]
    """Of each shard, in USD a month, without prices."""
    moved: tuple[Floats, ...]
    """Copies that each sends beyond what is forced."""

    def other(self, choices: Sequence[Choice]) -> Reckoned:
        """Other choices of the same shards."""
        rows = [
            np.flatnonzero(before != after)
            for before, after in zip(self.choices, choices, strict=True)
        ]
        return self.updated(self.field, choices, rows)

    def updated(self, field: Field, choices: Sequence[Choice], rows: Sequence[Rows]) -> Reckoned:
        """Choices that differ in no other than these rows, of a field that does not either."""
        costs, moved = [], []
        known = zip(self.costs, self.moved, strict=True)
        for ground, choice, at, (cost, sent) in zip(
            field.grounds, choices, rows, known, strict=True
        ):
            if len(at):
                some, taken = ground.some(at), choice[at]
                cost, sent = cost.copy(), sent.copy()
                cost[at], sent[at] = cost_of(some, taken), moved_copies_of(some, taken)
            costs.append(cost)
            moved.append(sent)
        return Reckoned(field, tuple(choices), tuple(costs), tuple(moved))

    def usage(self) -> tuple[Floats, Floats]:
        """How much of each coupling row, and of each anti-affinity set, they take."""
        total = self.field.taken.copy()
        for ground, choice, moved in zip(self.field.grounds, self.choices, self.moved, strict=True):
            total += usage_of(ground, choice, moved)
        return total, self.field.gathered(self.choices)

    @property
    def usd(self) -> float:
        """What they cost in USD a month, without prices."""
        return float(sum(cost.sum() for cost in self.costs))

    @property
    def allowed_usd(self) -> float:
        """The same if they keep every rule and every limit; infinite if they do not."""
        over, crowd = self.field.beyond(*self.usage())
        broken = over.any() or crowd.any()
        if broken or any(bool((cost >= FORBIDDEN_FROM).any()) for cost in self.costs):
            return inf
        return self.usd


def reckoned(field: Field, choices: Sequence[Choice]) -> Reckoned:
    """Reckon these choices from nothing."""
    pairs = list(zip(field.grounds, choices, strict=True))
    costs = tuple(cost_of(*each) for each in pairs)
    return Reckoned(field, tuple(choices), costs, tuple(moved_copies_of(*each) for each in pairs))
