"""The candidates of the shards of one ground, priced again and again while prices are sought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shards.placement.field import Choice, Field
from shards.placement.ground import Ground, Matrix
from shards.placement.pricing import (
    ENTRIES_MAX,
    Candidates,
    Prices,
    candidates_of,
    leader_prices,
    moved_of,
)
from shards.placement.problem import NOWHERE


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """A ground with a few patterns for each of its shards."""

    ground: Ground
    sets: NDArray[np.intp]
    candidates: Candidates

    def priced(self, prices: Prices) -> Matrix:
        """What each candidate costs with these prices, `[n, C]`."""
        ground, few = self.ground, self.candidates
        regions = ground.held.shape[1]
        leaders = leader_prices(ground, prices, self.sets).astype(np.float32)
        cost = few.cost.copy()
        cost[:, :regions] += leaders
        led_from = few.pattern[:, regions:] // ground.patterns.per_leader
        cost[:, regions:] += np.take_along_axis(leaders, led_from, axis=1)
        by_bytes = prices.of_bytes(regions)
        sizes = ground.size_bytes.astype(np.float32)[:, None]
        if by_bytes.any():
            cost += sizes * (ground.patterns.copies @ by_bytes).astype(np.float32)[few.pattern]
        if prices.moved_bytes:
            cost += np.float32(prices.moved_bytes) * sizes * few.moved
        return cost

    def chosen(self, columns: NDArray[np.intp]) -> Choice:
        """The patterns in these columns, one for each shard."""
        choice: Choice = np.take_along_axis(self.candidates.pattern, columns[:, None], axis=1)[:, 0]
        return choice


def pools_of(field: Field, prices: Prices) -> tuple[Pool, ...]:
    """Candidates of all shards near these prices: one pass over all patterns."""
    return tuple(
        Pool(ground, pairs, candidates_of(ground, prices, pairs))
        for ground, pairs in zip(field.grounds, field.sets, strict=True)
    )


def with_patterns(pools: Sequence[Pool], more: Sequence[Choice]) -> tuple[Pool, ...]:
    """The pools with one more candidate of each shard, in the last column."""
    found = []
    for pool, choice in zip(pools, more, strict=True):
        few, column = pool.candidates, choice[:, None]
        added = Candidates(
            np.hstack([few.pattern, column]),
            np.hstack([few.cost, plain_costs(pool.ground, column)]),
            np.hstack([few.moved, moved_of(pool.ground, column)]),
        )
        found.append(Pool(pool.ground, pool.sets, added))
    return tuple(found)


def every_pattern(field: Field) -> tuple[Pool, ...]:
    """All patterns of all shards as candidates; for few shards only."""
    pools = []
    for ground, pairs in zip(field.grounds, field.sets, strict=True):
        each = ground.patterns.per_leader
        numbers = np.arange(len(ground.patterns), dtype=np.int32)
        # The best of each leader region must come first: here, any of that leader will do.
        first = np.arange(ground.held.shape[1], dtype=np.int32) * each
        row = np.concatenate([first, np.setdiff1d(numbers, first)]).astype(np.int32)
        pattern = np.repeat(row[None, :], len(ground), axis=0)
        cost = (ground.features @ ground.table)[:, row] + np.float32(ground.hysteresis)
        at = np.flatnonzero(ground.present != NOWHERE)
        column = np.argsort(row)[ground.present[at]]
        cost[at, column] -= np.float32(ground.hysteresis)
        pools.append(Pool(ground, pairs, Candidates(pattern, cost, moved_of(ground, pattern))))
    return tuple(pools)


def plain_costs(ground: Ground, pattern: NDArray[np.int32]) -> Matrix:
    """What these patterns, `[n, C]`, cost without prices."""
    cost = np.empty(pattern.shape, dtype=np.float32)
    step = max(1, ENTRIES_MAX // max(len(ground.patterns), 1))
    for start in range(0, len(ground), step):
        part = slice(start, start + step)
        every = ground.features[part] @ ground.table
        cost[part] = np.take_along_axis(every, pattern[part], axis=1)
    cost += np.float32(ground.hysteresis) * (pattern != ground.present[:, None])
    return cost


def leaders_away(ground: Ground, pattern: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which of these patterns, `[n, C]`, count as a leader that was moved."""
    leader = pattern // ground.patterns.per_leader
    away: NDArray[np.bool_] = leader != ground.led[:, None]
    away &= ground.led[:, None] != NOWHERE
    return away
