"""Other prices for leading, without another pass over all patterns.

A price on leaders, on writes or bytes led, on leaders moved or on a set's leaders adds the same to
every pattern that is led from one region. So the cheapest pattern of each leader region stays what
it was, and what the best of them costs is known exactly: demand for leading can be brought within
its limits shard by shard, and the bound is as good as one from a pass. Prices of bytes that are
held or moved stay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shards.placement.ascent import Demand, ascend
from shards.placement.field import Bound, Field
from shards.placement.ground import Ground, Matrix
from shards.placement.pricing import ROUNDING, Cheapest, Prices, constant_of
from shards.placement.problem import NOWHERE, Floats

ROUNDS = 30
STEP = 0.1
KNEE = 0.01


def shifted(field: Field, bound: Bound, usual_usd: float, out_of_time: Callable[[], bool]) -> Bound:
    """The bound at better prices for leading."""
    tables = [_Table(*each) for each in zip(field.grounds, field.sets, bound.passes, strict=True)]

    def asked(prices: Prices) -> Demand:
        return _asked(field, tables, bound.prices, prices)

    prices = ascend(
        field, asked, bound.prices, usual_usd, ROUNDS, out_of_time, step=STEP, knee=KNEE
    )
    passes = tuple(table.shifted(bound.prices, prices) for table in tables)
    return field.bound_by(prices, passes)


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """What leading from each region costs the shards of one ground."""

    ground: Ground
    sets: NDArray[np.intp]
    cheapest: Cheapest

    def cost(self, before: Prices, after: Prices, exact: bool) -> Matrix | Floats:
        """What leading from each region costs each shard then, `[R, n]`; in 64 bits if `exact`."""
        ground, by_leader = self.ground, self.cheapest.by_leader
        regions, kind = len(by_leader), np.float64 if exact else np.float32
        leaders = (after.of_leaders(regions) - before.of_leaders(regions)).astype(kind)
        each_write = (after.of_writes(regions) - before.of_writes(regions)).astype(kind)
        each_byte = (after.of_led_bytes(regions) - before.of_led_bytes(regions)).astype(kind)
        moved = kind(after.moved_leaders - before.moved_leaders)
        writes = ground.writes.astype(kind, copy=False)
        sizes = ground.size_bytes.astype(kind, copy=False)
        cost = np.empty(by_leader.shape, dtype=kind)
        for place in range(regions):
            np.multiply(writes, each_write[place], out=cost[place])
            cost[place] += leaders[place]
            cost[place] += by_leader[place]
            if each_byte[place]:
                cost[place] += sizes * each_byte[place]
            if moved:
                cost[place] += moved * ((ground.led != NOWHERE) & (ground.led != place))
        if len(self.sets):
            gathering = (after.gathering - before.gathering)[self.sets[:, 0]].astype(kind)
            np.add.at(cost.T, self.sets[:, 1], gathering)
        return cost

    def led(self, cost: Matrix | Floats) -> tuple[NDArray[np.int16], Matrix | Floats]:
        """From where each shard is led cheapest, the first of equals, and for how much."""
        least = cost.min(axis=0)
        leader = np.zeros(len(least), dtype=np.int16)
        for place in range(len(cost) - 1, -1, -1):
            np.copyto(leader, np.int16(place), where=cost[place] == least)
        return leader, least

    def shifted(self, before: Prices, after: Prices) -> Cheapest:
        """What a pass would say at the other prices; margins are about right."""
        each = self.cheapest
        cost = self.cost(before, after, exact=True)
        leader, least = self.led(cost)
        return replace(
            each,
            pattern=each.pattern_by_leader[leader, np.arange(len(leader))],
            priced=least + constant_of(self.ground, after),
            allowance=each.allowance + ROUNDING * np.abs(least),
            by_leader=cost.astype(np.float32),
        )


def _asked(field: Field, tables: list[_Table], before: Prices, prices: Prices) -> Demand:
    """What is asked for of what is led; of all else, as much as there is."""
    regions = field.regions
    total = np.where(field.counted, field.limits, 0.0)
    total[: 2 * regions] = total[3 * regions : 4 * regions] = total[-1] = 0.0
    gathered = np.zeros_like(field.gathering_max)
    usd = 0.0
    for table in tables:
        ground = table.ground
        leader, least = table.led(table.cost(before, prices, exact=False))
        usd += float(least.sum(dtype=np.float64))
        total[:regions] += np.bincount(leader, minlength=regions)
        total[regions : 2 * regions] += np.bincount(
            leader, weights=ground.writes, minlength=regions
        )
        total[3 * regions : 4 * regions] += np.bincount(
            leader, weights=ground.size_bytes, minlength=regions
        )
        if field.counted[-1]:
            total[-1] += float(((ground.led != NOWHERE) & (ground.led != leader)).sum())
        np.add.at(gathered, (table.sets[:, 0], leader[table.sets[:, 1]]), 1.0)
    return Demand(usd, total, gathered)
