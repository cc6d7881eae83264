"""A few shards that stand for all: how demand answers to prices, at a small part of the effort.

The heaviest shards and those of anti-affinity sets are all there; of the others, ordered by what
they take, every so many-th is, and counts for so many. What all shards ask for at the first prices
is known exactly; the sketch says only how that changes from there, so what is heavy or rare does
not spoil it. Prices found by a sketch are as good as any: a pass over all shards says how good.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shards.placement.ascent import Demand, demand_of
from shards.placement.field import Bound, Field
from shards.placement.pool import Pool, pools_of
from shards.placement.pricing import Prices
from shards.placement.problem import Floats

HEAVY = 3_000
LIGHT = 5_000
Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some shards, each of which counts for so many."""

    times: float
    field: Field
    pools: tuple[Pool, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """Shards that stand for all near some prices."""

    parts: tuple[Part, ...]
    missing: Floats
    """What all shards ask for at the first prices beyond what these do."""

    def asked(self, prices: Prices) -> Demand:
        """What all shards would ask for, about; and what that costs, but for a constant."""
        demand = self._of_parts(prices)
        priced_usd = demand.priced_usd + float(prices.rows @ self.missing)
        return Demand(priced_usd, demand.total + self.missing, demand.gathered)

    def _of_parts(self, prices: Prices) -> Demand:
        found = [(part.times, demand_of(part.field, part.pools, prices)) for part in self.parts]
        return Demand(
            sum(times * each.priced_usd for times, each in found),
            np.sum([times * each.total for times, each in found], axis=0),
            np.sum([times * each.gathered for times, each in found], axis=0),
        )


def sketch_of(field: Field, bound: Bound) -> Sketch:
    """Shards that stand for those of a field near the prices of a bound."""
    heavy = _heaviest(field)
    light, times = _sampled(field, heavy)
    parts = []
    for each, rows in ((1.0, heavy), (times, light)):
        some = field.some(rows)
        if any(len(ground) for ground in some.grounds):
            parts.append(Part(each, some, pools_of(some, bound.prices)))
    drawn = Sketch(tuple(parts), np.zeros(len(field.limits)))
    everything, _ = field.usage([each.pattern for each in bound.passes])
    return Sketch(drawn.parts, everything - drawn.asked(bound.prices).total)


def _heaviest(field: Field) -> list[Rows]:
    heft = field.heft()
    everything = np.concatenate(heft)
    least = np.partition(everything, -HEAVY)[-HEAVY] if len(everything) > HEAVY else -np.inf
    return [
        np.union1d(np.flatnonzero(each >= least), pairs[:, 1]).astype(np.intp)
        for each, pairs in zip(heft, field.sets, strict=True)
    ]


def _sampled(field: Field, heavy: list[Rows]) -> tuple[list[Rows], float]:
    """Some of the others, and how many each stands for."""
    heft = field.heft()
    others = [
        np.setdiff1d(np.argsort(-each, kind="stable"), rows, assume_unique=True)
        for each, rows in zip(heft, heavy, strict=True)
    ]
    count = sum(map(len, others))
    every = max(1, -(-count // LIGHT))
    light = [np.sort(each[every // 2 :: every]) for each in others]
    return light, count / max(sum(map(len, light)), 1)
