"""Given prices on the coupling rows: the cheapest pattern of every shard, out of all there are.

A price says what one more unit of a row is worth: one leader, one write per second, one byte in a
region; one moved byte, one moved leader. For *any* prices that are not negative,

    bound = sum of every shard's least priced cost - sum of prices times limits

is at most what any placement costs that keeps the limits. That is the certificate. The product is
taken in 32 bits; what that can be wrong by is subtracted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shards.placement.ground import FORBIDDEN_FROM, Ground, Matrix
from shards.placement.problem import NOWHERE, Floats

ENTRIES_MAX = 1 << 21
"""Priced costs that are held at once."""
BEST = 8
"""So many of the cheapest patterns of a shard are candidates, beside the best of each leader."""
ROUNDING = 2.0**-23


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """What one unit of each coupling row costs, in USD a month; see `ground` for their order."""

    rows: Floats
    gathering: Floats
    """`[A, R]`: of each anti-affinity set in each region."""

    def of_leaders(self, regions: int) -> Floats:
        """For each leader in a region."""
        return self.rows[:regions]

    def of_writes(self, regions: int) -> Floats:
        """For each write per second led in a region."""
        return self.rows[regions : 2 * regions]

    def of_bytes(self, regions: int) -> Floats:
        """For each byte held in a region."""
        return self.rows[2 * regions : 3 * regions]

    def of_led_bytes(self, regions: int) -> Floats:
        """For each byte of the shards led in a region."""
        return self.rows[3 * regions : 4 * regions]

    @property
    def moved_bytes(self) -> float:
        """For each byte that is moved."""
        return float(self.rows[-2])

    @property
    def moved_leaders(self) -> float:
        """For each leader that is moved."""
        return float(self.rows[-1])


@dataclass(frozen=True, slots=True, eq=False)
class Cheapest:
    """The answer of one pass over all patterns of the shards of a ground."""

    pattern: NDArray[np.int32]
    priced: Floats
    """What it costs with the prices, less what is forced anyway."""
    margin: Floats
    """What the second cheapest costs more."""
    allowance: Floats
    """By how much `priced` can be wrong."""
    by_leader: Matrix
    """`[R, n]`: the least that leading from each region costs, without `constant_of`."""
    pattern_by_leader: NDArray[np.int32]
    """`[R, n]`: the pattern that costs it."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """A few patterns of each shard, with what they cost without prices."""

    pattern: NDArray[np.int32]
    """`[n, C]`; the first R columns are the best of each leader region."""
    cost: Matrix
    """`[n, C]`; at least `FORBIDDEN_FROM` for what a rule forbids."""
    moved: NDArray[np.int8]
    """`[n, C]`: copies that are sent and count."""


def leader_prices(ground: Ground, prices: Prices, sets: NDArray[np.intp]) -> Floats:
    """What the rows add to leading each shard from each region, `[n, R]`.

    `sets` are pairs of an anti-affinity set and a row of the ground, `[P, 2]`.
    """
    regions = ground.patterns.copies.shape[1]
    added = ground.writes[:, None] * prices.of_writes(regions)
    added = added + prices.of_leaders(regions)
    if prices.of_led_bytes(regions).any():
        added += ground.size_bytes[:, None] * prices.of_led_bytes(regions)
    away = (ground.led[:, None] != np.arange(regions)) & (ground.led[:, None] != NOWHERE)
    added += prices.moved_leaders * away
    if len(sets):
        np.add.at(added, sets[:, 1], prices.gathering[sets[:, 0]])
    return added


def _chunks(ground: Ground) -> Iterator[slice]:
    step = max(1, ENTRIES_MAX // max(len(ground.patterns), 1))
    for start in range(0, len(ground), step):
        yield slice(start, start + step)


def _priced(ground: Ground, prices: Prices, leaders: Floats, part: slice) -> tuple[Matrix, Matrix]:
    """Priced costs of all patterns of some shards, `[n, K]`, and the features they come from."""
    regions = ground.patterns.copies.shape[1]
    features = ground.features[part].copy()
    features[:, :regions] += leaders[part]
    sizes = ground.size_bytes[part, None]
    features[:, regions : 2 * regions] += sizes * prices.of_bytes(regions)
    if prices.moved_bytes:
        each = np.float32(ground.patterns.copies.max())
        missing = np.maximum(each - ground.held[part], 0.0) / each
        features[:, regions : 2 * regions] += prices.moved_bytes * sizes * missing
    cost: Matrix = features @ ground.table
    at = np.flatnonzero(ground.present[part] != NOWHERE)
    cost[at, ground.present[part][at]] -= np.float32(ground.hysteresis)
    return cost, features


def cheapest(ground: Ground, prices: Prices, sets: NDArray[np.intp]) -> Cheapest:
    """One pass: the cheapest pattern of each shard with these prices."""
    regions, each = ground.patterns.copies.shape[1], ground.patterns.per_leader
    margin, allowance = np.zeros(len(ground)), np.zeros(len(ground))
    by_leader = np.zeros((regions, len(ground)), dtype=np.float32)
    pattern_by_leader = np.zeros((regions, len(ground)), dtype=np.int32)
    leaders = leader_prices(ground, prices, sets)
    scale = np.abs(ground.table).max(axis=1, initial=0.0)
    first = np.arange(regions)[:, None] * each
    for part in _chunks(ground):
        cost, features = _priced(ground, prices, leaders, part)
        best = cost.reshape(len(cost), regions, each).argmin(axis=2).T + first
        at = np.arange(len(cost))
        least = cost[at, best]
        pattern_by_leader[:, part], by_leader[:, part] = best, least
        leader = least.argmin(axis=0)
        cost[at, best[leader, at]] = np.inf
        margin[part] = cost.min(axis=1) - least[leader, at]
        usual = np.where(np.abs(features) < FORBIDDEN_FROM, np.abs(features), 0.0)
        allowance[part] = ROUNDING * (usual @ scale)
    leader, at = by_leader.argmin(axis=0), np.arange(len(ground))
    priced = by_leader[leader, at] + constant_of(ground, prices)
    return Cheapest(
        pattern_by_leader[leader, at], priced, margin, allowance, by_leader, pattern_by_leader
    )


def constant_of(ground: Ground, prices: Prices) -> Floats:
    """What is added to the product for each shard, whatever it takes."""
    forced: Floats = prices.moved_bytes * ground.size_bytes * ground.forced
    return ground.hysteresis - forced


def candidates_of(ground: Ground, prices: Prices, sets: NDArray[np.intp]) -> Candidates:
    """One pass: the patterns of each shard that are worth looking at near these prices."""
    regions, each = ground.patterns.copies.shape[1], ground.patterns.per_leader
    leaders = leader_prices(ground, prices, sets)
    width = regions + min(BEST, len(ground.patterns)) + 1
    pattern = np.zeros((len(ground), width), dtype=np.int32)
    cost = np.zeros((len(ground), width), dtype=np.float32)
    bare = Prices(np.zeros_like(prices.rows), np.zeros_like(prices.gathering))
    unpriced = np.zeros_like(leaders)
    for part in _chunks(ground):
        priced, _ = _priced(ground, prices, leaders, part)
        by_leader = priced.reshape(len(priced), regions, each)
        pattern[part, :regions] = by_leader.argmin(axis=2) + np.arange(regions) * each
        last = width - 1
        few = np.argpartition(priced, last - regions - 1, axis=1)[:, : last - regions]
        pattern[part, regions:last] = np.sort(few, axis=1)
        now = ground.present[part]
        pattern[part, last] = np.where(now == NOWHERE, pattern[part, regions], now)
        plain, _ = _priced(ground, bare, unpriced, part)
        cost[part] = np.take_along_axis(plain, pattern[part], axis=1)
    cost += np.float32(ground.hysteresis)
    return Candidates(pattern, cost, moved_of(ground, pattern))


def moved_of(ground: Ground, pattern: NDArray[np.int32]) -> NDArray[np.int8]:
    """How many copies each of these patterns sends beyond what is forced, `[n, C]`."""
    moved = np.zeros(pattern.shape, dtype=np.float32)
    for place in range(ground.held.shape[1]):
        copies = ground.patterns.copies[:, place][pattern]
        moved += np.maximum(copies - ground.held[:, place, None], 0.0)
    moved -= ground.forced[:, None]
    counted: NDArray[np.int8] = np.maximum(moved, 0.0).astype(np.int8)
    return counted
