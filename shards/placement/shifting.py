"""Other prices for leading, without another pass over all patterns.

A price on leaders, on writes or bytes led, on leaders moved or on a set's leaders adds the same to
every pattern that is led from one region. So the cheapest pattern of each leader region stays what
it was, and what the best of them costs is known exactly: demand for leading can be brought within
its limits shard by shard, and the bound is as good as one from a pass. Prices of bytes that are
held or moved stay.

Few shards are led from elsewhere when prices change a little: those that have the least to lose.
They say how demand for each row answers to the price of each, and so where all of them meet their
limits at once; a few such steps are enough.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.placement.field import Bound, Field
from shards.placement.ground import Ground, Matrix
from shards.placement.pricing import ROUNDING, Cheapest, Prices, constant_of
from shards.placement.problem import NOWHERE, Floats

ROUNDS = 12
STILL = 5e-6
"""Prices are good when a step betters the bound by less than this part of what all usually cost."""
NEAR = 0.03
"""Shards are asked that other prices, by this part of the dearest, might turn away."""
FEW = 300
"""If fewer than that are asked, the nearest are, so many of them."""
CHEAP = 0.01
"""No price counts as less than this part of a row's usual one where it is said how far to go."""
STRIDE = 0.5
"""No price changes at once by more than this part of the dearest."""
STEEPER = 1e-6
"""What answers to prices in the same way shares a change of them."""


def shifted(field: Field, bound: Bound, usual_usd: float, out_of_time: Callable[[], bool]) -> Bound:
    """The bound at better prices for leading."""
    leading = _leading_of(field, bound, usual_usd)
    best = first = leading.look(bound.prices)
    change, length = leading.change(best), 1.0
    for _ in range(ROUNDS):
        rows = np.maximum(best.prices.rows + length * change, 0.0)
        crowd = leading.crowd_prices(best)
        gathering = best.prices.gathering + length * (crowd - best.prices.gathering)
        found = leading.look(Prices(rows, gathering))
        gain = found.usd - best.usd
        if gain > 0:
            best, change, length = found, leading.change(found), min(2 * length, 1.0)
        else:
            length /= 4
        if abs(gain) <= STILL * usual_usd or out_of_time():
            break
    if best is first:
        return bound
    tables = [_Table(*each) for each in zip(field.grounds, field.sets, bound.passes, strict=True)]
    passes = tuple(table.shifted(bound.prices, best.prices) for table in tables)
    return field.bound_by(best.prices, passes)


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """Where all shards would be led from at some prices."""

    prices: Prices
    table: Matrix
    """`[R, S]`: what leading from each region costs then, all grounds in a row."""
    leader: NDArray[np.intp]
    least: Matrix | Floats
    usd: float
    """The bound that this shows, but for a constant."""
    off: Floats
    """How much more than its limit each row of what is led takes."""


@dataclass(frozen=True, slots=True, eq=False)
class _Leading:
    """What leading from each region costs all shards at the first prices."""

    field: Field
    before: Prices
    table: Matrix
    takes: Matrix
    """`[3, S]`: one leader, its writes and its bytes."""
    was: NDArray[np.int16]
    """From where a move counts, or NOWHERE."""
    sets: NDArray[np.intp]
    """Pairs of an anti-affinity set and a shard."""
    usual: Floats
    """For each row, a price below which all are alike."""

    def look(self, prices: Prices) -> _Look:
        """What is asked for at other prices of what is led."""
        field, regions = self.field, self.field.regions
        rows = (prices.rows - self.before.rows).astype(np.float32)
        each = _by_kind(rows, regions)
        table = self.table + each[0][:, None]
        for kind in (1, 2):
            for place in np.flatnonzero(each[kind]).tolist():
                table[place] += self.takes[kind] * each[kind][place]
        if rows[-1]:
            places = np.arange(regions)[:, None]
            table += rows[-1] * ((self.was != NOWHERE) & (self.was != places))
        if len(self.sets):
            added = (prices.gathering - self.before.gathering)[self.sets[:, 0]]
            np.add.at(table.T, self.sets[:, 1], added.astype(np.float32))
        leader, least = _led(table)
        used = [np.bincount(leader, weights=load, minlength=regions) for load in self.takes]
        total = np.where(field.counted, field.limits, 0.0)
        total[: 2 * regions], total[3 * regions : 4 * regions] = np.concatenate(used[:2]), used[2]
        total[-1] = ((self.was != NOWHERE) & (self.was != leader)).sum()
        usd = float(least.sum(dtype=np.float64)) - field.worth(prices)
        off = np.where(field.counted, total - field.limits, 0.0)
        return _Look(prices, table, leader, least, usd, off)

    def change(self, at: _Look) -> Floats:
        """By how much each price of what is led should change for all to meet their limits."""
        field, regions = self.field, self.field.regions
        active = np.flatnonzero(field.counted & ((at.off > 0) | (at.prices.rows > 0)))
        active = active[
            (active < 2 * regions) | ((active >= 3 * regions) & (active != 4 * regions))
        ]
        change = np.zeros(len(at.off))
        if not len(active):
            return change
        price = np.maximum(at.prices.rows, self.usual)
        dearest = np.array([each.max() for each in _by_kind(price, regions)])
        moving = float(price[-1]) if field.counted[-1] else 0.0
        stake = dearest.astype(np.float32) @ self.takes + np.float32(moving)
        turned, window = self._turned(at, stake)
        turned = turned[:, active]
        slope = turned.T @ (turned / window[:, None])
        far = np.append(
            np.repeat([dearest[0], dearest[1], 0.0, dearest[2]], regions), [0.0, moving]
        )
        change[active] = _meeting(
            slope,
            at.off[active],
            np.maximum(-at.prices.rows, -STRIDE * far)[active],
            STRIDE * far[active],
        )
        return change

    def _turned(self, at: _Look, stake: Matrix) -> tuple[Floats, Floats]:
        """What shards that are nearly led from elsewhere would take of each row less; how near."""
        second = np.full(len(at.least), np.inf, dtype=np.float32)
        for place, costs in enumerate(at.table):
            np.minimum(second, np.where(at.leader == place, np.inf, costs), out=second)
        lost, near = second - at.least, NEAR
        few = np.flatnonzero(lost < near * stake)
        if len(few) < FEW < len(lost):
            parts = np.divide(lost, stake, out=np.full_like(lost, np.inf), where=stake > 0)
            near = min(float(np.partition(parts, FEW)[FEW]), 1.0)
            few = np.flatnonzero(lost < near * stake)
        entries, regions, leader = np.arange(len(few)), self.field.regions, at.leader[few]
        costs = at.table[:, few]
        costs[leader, entries] = np.inf
        other, was = costs.argmin(axis=0), self.was[few]
        turned = np.zeros((len(few), len(at.off)))
        for kind, first in enumerate((0, regions, 3 * regions)):
            turned[entries, first + leader] = self.takes[kind, few]
            turned[entries, first + other] = -self.takes[kind, few]
        counts = was != NOWHERE
        turned[:, -1] = (counts & (leader != was)) * 1.0 - (counts & (other != was))
        return turned, near * stake[few].astype(np.float64)

    def crowd_prices(self, at: _Look) -> Floats:
        """Prices of sets at which so many as may be led from a region are, each by itself."""
        gathering = at.prices.gathering.copy()
        if not len(self.sets):
            return gathering
        gathered = np.zeros_like(gathering)
        np.add.at(gathered, (self.sets[:, 0], at.leader[self.sets[:, 1]]), 1.0)
        live = (gathered > self.field.gathering_max) | (gathering > 0)
        for group, place in np.argwhere(live).tolist():
            members = self.sets[self.sets[:, 0] == group, 1]
            costs = at.table[:, members]
            there = costs[place].copy()
            costs[place] = np.inf
            spare = np.sort(costs.min(axis=0) - there)[::-1]
            most = int(self.field.gathering_max[group, place])
            change = float(spare[most]) if most < len(spare) else -np.inf
            gathering[group, place] = max(gathering[group, place] + change, 0.0)
        return gathering


def _by_kind(rows: NDArray[Any], regions: int) -> NDArray[Any]:
    """Of the rows, those of leaders, of writes and of bytes that are led, `[3, R]`."""
    return rows[:-2].reshape(4, regions)[[0, 1, 3]]


def _meeting(slope: Floats, off: Floats, least: Floats, most: Floats) -> Floats:
    """The change of prices, within limits, by which demand of this slope meets its limits."""
    change, free = np.zeros(len(off)), np.ones(len(off), dtype=bool)
    steep = slope + np.diag(STEEPER * slope.diagonal() + 1e-12)
    while free.any():
        rest = off[free] - slope[np.ix_(free, ~free)] @ change[~free]
        change[free] = np.linalg.solve(steep[np.ix_(free, free)], rest)
        within = (change >= least) & (change <= most)
        change = np.clip(change, least, most)
        if within[free].all():
            break
        free &= within
    return change


def _leading_of(field: Field, bound: Bound, usual_usd: float) -> _Leading:
    base, sets = 0, []
    for ground, pairs in zip(field.grounds, field.sets, strict=True):
        sets.append(pairs + np.array([0, base]))
        base += len(ground)
    writes = np.concatenate([ground.writes for ground in field.grounds])
    sizes = np.concatenate([ground.size_bytes for ground in field.grounds])
    return _Leading(
        field,
        bound.prices,
        np.concatenate([each.by_leader for each in bound.passes], axis=1),
        np.array([np.ones(base), writes, sizes], dtype=np.float32),
        np.concatenate([ground.led for ground in field.grounds]),
        np.concatenate(sets),
        CHEAP * field.unit_usd(usual_usd),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """What leading from each region costs the shards of one ground."""

    ground: Ground
    sets: NDArray[np.intp]
    cheapest: Cheapest

    def shifted(self, before: Prices, after: Prices) -> Cheapest:
        """What a pass would say at the other prices; margins are about right."""
        each, ground = self.cheapest, self.ground
        cost = self._cost(before, after)
        leader, least = _led(cost)
        return replace(
            each,
            pattern=each.pattern_by_leader[leader, np.arange(len(leader))],
            priced=least + constant_of(ground, after),
            allowance=each.allowance + ROUNDING * np.abs(least),
            by_leader=cost.astype(np.float32),
        )

    def _cost(self, before: Prices, after: Prices) -> Floats:
        """What leading from each region costs each shard then, `[R, n]`."""
        ground, by_leader = self.ground, self.cheapest.by_leader
        regions = len(by_leader)
        leaders = after.of_leaders(regions) - before.of_leaders(regions)
        each_write = after.of_writes(regions) - before.of_writes(regions)
        each_byte = after.of_led_bytes(regions) - before.of_led_bytes(regions)
        moved = after.moved_leaders - before.moved_leaders
        cost = np.empty(by_leader.shape)
        for place in range(regions):
            np.multiply(ground.writes, each_write[place], out=cost[place])
            cost[place] += leaders[place]
            cost[place] += by_leader[place]
            if each_byte[place]:
                cost[place] += ground.size_bytes * each_byte[place]
            if moved:
                cost[place] += moved * ((ground.led != NOWHERE) & (ground.led != place))
        if len(self.sets):
            gathering = (after.gathering - before.gathering)[self.sets[:, 0]]
            np.add.at(cost.T, self.sets[:, 1], gathering)
        return cost


def _led(cost: Matrix | Floats) -> tuple[NDArray[np.intp], Matrix | Floats]:
    """From where each shard is led cheapest, the first of equals, and for how much."""
    least = cost.min(axis=0)
    leader = np.zeros(len(least), dtype=np.int8)
    for place in range(len(cost) - 1, -1, -1):
        np.copyto(leader, np.int8(place), where=cost[place] == least)
    return leader.astype(np.intp), least
