"""Which shards hesitate: for each limit that is short, those with the least to lose for its units.

A shard is near to the limit of a region's leaders, or of writes or bytes that are led there, when
being led there costs little more or less than elsewhere; near to the limits of bytes that are held
or moved when another pattern costs little more, or when staying where it is does. Of each limit, so
many are chosen that they can make up for what is over or left of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shards.placement.field import Bound, Choice, Field, moved_copies_of
from shards.placement.ground import Matrix
from shards.placement.pricing import Prices
from shards.placement.problem import NOWHERE, Floats
from shards.placement.reckoning import Reckoned

Rows = NDArray[np.intp]
LEAST, MOST = 80, 6_000
"""Shards for each limit."""
NEAR = 3_000
"""So many of those that send bytes are asked what sending less would cost."""
DEARER = 4.0
COVER = 3.0
"""They take so many times what is over or left."""


def hesitant_of(at: Reckoned, bound: Bound, widened: int, least: int = LEAST) -> list[Rows]:
    """Rows of each ground: those who hesitate, and all members of sets that must not gather.

    `at` is what each shard would take at the bound's prices; at least so many are chosen on each
    side of a limit.
    """
    field = at.field
    total, _ = at.usage()
    off = np.where(field.counted, total - field.limits, 0.0)
    short = np.flatnonzero(field.counted & ((bound.prices.rows > 0) | (off > 0)))
    chosen = np.zeros(sum(len(ground) for ground in field.grounds), dtype=bool)
    sight = _sight_of(at, bound)
    for row in short.tolist():
        doubt, takes, taking = sight.doubt(row)
        for side, needed in ((taking, off[row]), (~taking, -off[row])):
            some = np.flatnonzero(side)
            near = some[_nearest(doubt[some], MOST * widened)]
            passed = np.cumsum(takes[near])
            enough = int(np.searchsorted(passed, COVER * widened * max(needed, 0.0)))
            chosen[near[: max(enough + 1, least * widened)]] = True
    found, base = [], 0
    for ground, pairs in zip(field.grounds, field.sets, strict=True):
        rows = np.flatnonzero(chosen[base : base + len(ground)])
        found.append(np.union1d(rows, pairs[:, 1]).astype(np.intp))
        base += len(ground)
    return found


def _nearest(doubt: Floats, most: int) -> Rows:
    """The shards with the least to lose, in order."""
    if len(doubt) <= most:
        near = np.arange(len(doubt))
    else:
        near = np.argpartition(doubt, most)[:most]
    near = near[np.isfinite(doubt[near])]
    ordered: Rows = near[np.lexsort((near, doubt[near]))]
    return ordered


@dataclass(frozen=True, slots=True, eq=False)
class _Sight:
    """What is needed to say how much shards hesitate: one entry for each, all grounds in a row."""

    at: Reckoned
    bound: Bound
    table: Matrix
    """`[R, S]`: the least that leading from each region costs."""
    least: Matrix
    second: Matrix
    led: NDArray[np.int16]
    margin: Floats
    writes: Floats
    sizes: Floats

    def doubt(self, row: int) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """What each shard loses for a unit of a coupling row; how much it takes, or would; and
        whether it does take of it."""
        regions = self.at.field.regions
        if row >= 4 * regions:
            return self._doubt_of_moving() if row == 4 * regions else self._doubt_of_leaving()
        kind, place = divmod(row, regions)
        if kind == 2:
            pairs = zip(self.at.field.grounds, self.at.choices, strict=True)
            copies = np.concatenate([ground.patterns.copies[each, place] for ground, each in pairs])
            return _each(self.margin, self.sizes), self.sizes, copies > 0
        takes = self.sizes if kind == 3 else self.writes if kind else np.ones(len(self.sizes))
        is_led = self.led == place
        return _each(self._lost(self.table[place], is_led), takes), takes, is_led

    def _doubt_of_moving(self) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        moved = np.concatenate(self.at.moved)
        takes = self.sizes * np.maximum(moved, 1.0)
        doubt = _sending(self.at.field, self.bound, _each(self.margin, takes), moved)
        return doubt, takes, moved > 0

    def _doubt_of_leaving(self) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        was = np.concatenate([ground.led for ground in self.at.field.grounds]).astype(np.intp)
        there = self.table[np.maximum(was, 0), np.arange(len(was))]
        doubt = np.where(was == NOWHERE, np.inf, self._lost(there, self.led == was))
        return doubt, np.ones(len(was)), self.led != was

    def _lost(self, there: Matrix, is_led: NDArray[np.bool_]) -> Floats:
        """What being led there costs more than elsewhere, or elsewhere than there."""
        other = np.where(is_led, self.second, self.least)
        return np.abs(there - other).astype(np.float64)


def _sight_of(at: Reckoned, bound: Bound) -> _Sight:
    grounds, passes = at.field.grounds, bound.passes
    table = np.concatenate([each.by_leader for each in passes], axis=1)
    least = np.full(table.shape[1], np.inf, dtype=np.float32)
    second = least.copy()
    for costs in table:
        second = np.minimum(second, np.maximum(least, costs))
        least = np.minimum(least, costs)
    pairs = zip(grounds, at.choices, strict=True)
    return _Sight(
        at,
        bound,
        table,
        least,
        second,
        np.concatenate([ground.patterns.leader[choice] for ground, choice in pairs]),
        np.concatenate([each.margin for each in passes]),
        np.concatenate([ground.writes for ground in grounds]),
        np.concatenate([ground.size_bytes for ground in grounds]),
    )


def _each(lost: Floats, takes: Floats) -> Floats:
    return np.where(takes > 0, lost / np.maximum(takes, 1e-15), np.inf)


def _sending(field: Field, bound: Bound, doubt: Floats, moved: Floats) -> Floats:
    """What a shard loses for a moved byte less, if it moves any; else as another pattern costs.

    Another pattern may move as much. So who is near is asked what it did if bytes were dearer.
    """
    sending = np.where(moved > 0, doubt, np.inf)
    near = np.sort(_nearest(sending, NEAR))
    rows, base = [], 0
    for ground in field.grounds:
        rows.append(near[(near >= base) & (near < base + len(ground))] - base)
        base += len(ground)
    some = field.some(rows)
    thrifty = thrifty_of(some, bound.prices)
    dearer = np.concatenate(some.priced(bound.prices, thrifty))
    passes = zip(bound.passes, rows, strict=True)
    least = np.concatenate([each.priced[chosen] for each, chosen in passes])
    pairs = zip(some.grounds, thrifty, strict=True)
    saved = moved[near] - np.concatenate([moved_copies_of(*each) for each in pairs])
    sizes = np.concatenate([ground.size_bytes for ground in some.grounds])
    found = np.where(moved > 0, np.inf, doubt)
    found[near] = _each(np.maximum(dearer - least, 0.0), sizes * saved)
    return found


def thrifty_of(field: Field, prices: Prices) -> list[Choice]:
    """What each shard would take if moving bytes were so much dearer."""
    rows = prices.rows.copy()
    rows[-2] = DEARER * max(rows[-2], float(field.unit_usd(1.0)[-2]))
    return [each.pattern for each in field.bound(Prices(rows, prices.gathering)).passes]
