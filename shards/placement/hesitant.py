"""Which shards hesitate: for each limit that is short, those with the least to lose for its units.

A shard is near to the limit of a region's leaders, or of writes or bytes that are led there, when
being led there costs little more or less than elsewhere; near to the limits of bytes that are held
or moved when another pattern costs little more, or when staying where it is does. Of each limit, so
many are chosen that they can make up for what is over or left of it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from shards.placement.field import Bound, Choice, Field, moved_copies_of
from shards.placement.pricing import Prices
from shards.placement.problem import NOWHERE, Floats

Rows = NDArray[np.intp]
LEAST, MOST = 80, 6_000
"""Shards for each limit."""
NEAR = 3_000
"""So many of those that send bytes are asked what sending less would cost."""
DEARER = 4.0
COVER = 3.0
"""They take so many times what is over or left."""


def hesitant_of(field: Field, bound: Bound, widened: int) -> list[Rows]:
    """Rows of each ground: those who hesitate, and all members of sets that must not gather."""
    choices = [each.pattern for each in bound.passes]
    total, _ = field.usage(choices)
    off = np.where(field.counted, total - field.limits, 0.0)
    chosen = np.zeros(sum(len(ground) for ground in field.grounds), dtype=bool)
    for row, doubt, takes, taking in _doubts(field, bound):
        is_short = field.counted[row] and (bound.prices.rows[row] > 0 or off[row] > 0)
        for side in (taking, ~taking) if is_short else ():
            near = _nearest(np.where(side, doubt, np.inf), MOST * widened)
            needed = off[row] if side is taking else -off[row]
            passed = np.cumsum(takes[near])
            enough = int(np.searchsorted(passed, COVER * widened * max(needed, 0.0)))
            chosen[near[: max(enough + 1, LEAST * widened)]] = True
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


def _doubts(field: Field, bound: Bound) -> Iterator[tuple[int, Floats, Floats, NDArray[np.bool_]]]:
    """For each coupling row: what each shard loses for a unit of it; how much it takes, or would;
    and whether it does take of it."""
    regions, passes = field.regions, bound.passes
    table = np.concatenate([each.by_leader for each in passes], axis=1)
    margin = np.concatenate([each.margin for each in passes])
    writes = np.concatenate([ground.writes for ground in field.grounds])
    sizes = np.concatenate([ground.size_bytes for ground in field.grounds])
    ones, everybody = np.ones(len(writes)), np.arange(len(writes))
    least, second = _two_least(table)
    led = table.argmin(axis=0)
    copies = np.concatenate(
        [
            ground.patterns.copies[each.pattern]
            for ground, each in zip(field.grounds, passes, strict=True)
        ]
    )
    for place in range(regions):
        lost = np.abs(table[place] - np.where(led == place, second, least))
        yield place, lost, ones, led == place
        yield regions + place, _each(lost, writes), writes, led == place
        yield 2 * regions + place, _each(margin, sizes), sizes, copies[:, place] > 0
        yield 3 * regions + place, _each(lost, sizes), sizes, led == place
    was = np.concatenate([ground.led for ground in field.grounds]).astype(np.intp)
    lost = np.abs(table[np.maximum(was, 0), everybody] - np.where(led == was, second, least))
    yield 4 * regions + 1, np.where(was == NOWHERE, np.inf, lost), ones, led != was
    pairs = zip(field.grounds, passes, strict=True)
    moved = np.concatenate([moved_copies_of(ground, each.pattern) for ground, each in pairs])
    takes = sizes * np.maximum(moved, 1.0)
    yield 4 * regions, _sending(field, bound, _each(margin, takes), moved), takes, moved > 0


def _two_least(table: NDArray[np.float32]) -> tuple[Floats, Floats]:
    if len(table) == 1:
        return table[0].astype(np.float64), np.full(table.shape[1], np.inf)
    two = np.partition(table, 1, axis=0)
    return two[0].astype(np.float64), two[1].astype(np.float64)


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
