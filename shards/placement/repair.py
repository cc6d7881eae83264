"""Choices that keep every limit: shards are moved out of what is too full, the cheapest first.

Needs no solver. What a step costs is counted with prices, so that nothing is moved into what will
be too full next. Each step relieves the row that is worked on and makes no other row worse.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shards.placement.field import SLACK, Choice, Field, cost_of, moved_copies_of
from shards.placement.ground import FORBIDDEN_FROM, Ground, Matrix
from shards.placement.pool import Pool, leaders_away
from shards.placement.pricing import Prices
from shards.placement.problem import NOWHERE, Floats
from shards.placement.reckoning import Reckoned, Rows

IDLE = 1e-6
"""A gain of less than this part of the cost is within the rounding of the prices."""
STEPS_MAX = 10_000
"""Shards that are looked at before it is asked again which are the cheapest."""
TURNS_MAX = 40
"""Rows worked on, one after the other, before it is given up."""
TOGETHER = 64
"""Shards that are asked at once whether they can go back."""
Step = tuple[float, int, int, int]
"""What it costs, with prices; ground and row of a shard; the pattern that it takes."""


def repaired(
    field: Field,
    pools: Sequence[Pool],
    prices: Prices,
    choices: Sequence[Choice],
    priced: Sequence[Matrix] | None = None,
) -> list[Choice]:
    """Better choices; `field.allows` says whether they are good enough."""
    choices = [choice.copy() for choice in choices]
    priced = [pool.priced(prices) for pool in pools] if priced is None else priced
    total, gathered = field.usage(choices)
    usage = np.concatenate([total, gathered.ravel()])
    crowd = field.gathering_max.ravel()
    limits = np.concatenate([np.where(field.counted, field.limits, np.inf), crowd])
    scale = np.where(np.isfinite(limits), np.maximum(limits, 1e-9), 1.0)
    stuck: set[int] = set()
    for _ in range(TURNS_MAX):
        over = np.where(np.isfinite(limits), (usage - limits) / scale, 0.0)
        over[list(stuck)] = 0.0
        worst = int(over.argmax())
        if over[worst] <= SLACK:
            break
        steps = _steps(field, pools, priced, choices, worst)
        if not _relieve(field, pools, choices, usage, limits, worst, steps):
            stuck.add(worst)
        else:
            stuck.clear()
    return choices


def improved(
    field: Field,
    pools: Sequence[Pool],
    prices: Prices,
    choices: Sequence[Choice],
    least_part: float,
) -> list[Choice]:
    """The same with each displaced shard where it is cheapest, if it fits there.

    Displaced is one that costs more than `least_part` beyond its best place.
    """
    displaced: list[Step] = []
    for number, pool in enumerate(pools):
        cost = pool.priced(prices)
        is_now = pool.candidates.pattern == choices[number][:, None]
        now = np.where(is_now, cost, np.inf).min(axis=1)
        allowed = pool.candidates.cost < FORBIDDEN_FROM
        column = np.where(allowed, cost, np.inf).argmin(axis=1)
        least = cost[np.arange(len(cost)), column]
        rows = np.flatnonzero(now - least > least_part * np.abs(least) + pool.ground.hysteresis)
        pattern = pool.candidates.pattern
        displaced += [
            (float(least[row] - now[row]), number, row, int(pattern[row, column[row]]))
            for row in rows.tolist()
        ]
    return put_right(field, choices, displaced)


def put_right(field: Field, choices: Sequence[Choice], steps: Sequence[Step]) -> list[Choice]:
    """The same with these steps taken, what gains most first, as far as limits allow."""
    choices = [choice.copy() for choice in choices]
    total, gathered = field.usage(choices)
    usage = np.concatenate([total, gathered.ravel()])
    crowd = field.gathering_max.ravel()
    limits = np.concatenate([np.where(field.counted, field.limits, np.inf), crowd])
    for _, number, row, wanted in sorted(steps):
        ground, pairs = field.grounds[number], field.sets[number]
        change = all_takes(field, ground, pairs, row, wanted)
        change -= all_takes(field, ground, pairs, row, int(choices[number][row]))
        if ((usage + change <= limits * (1 + SLACK)) | (change <= 0)).all():
            usage += change
            choices[number][row] = wanted
    return choices


def without_idle_moves(at: Reckoned) -> Reckoned:
    """The same with every shard left where it is that gains nothing and makes room for nobody."""
    field, choices = at.field, [choice.copy() for choice in at.choices]
    total, gathered = at.usage()
    usage = np.concatenate([total, gathered.ravel()])
    crowd = field.gathering_max.ravel()
    limits = np.concatenate([np.where(field.counted, field.limits, np.inf), crowd]) * (1 + SLACK)
    for number, (ground, pairs) in enumerate(zip(field.grounds, field.sets, strict=True)):
        choice = choices[number]
        moved = np.flatnonzero((ground.present != choice) & (ground.present != NOWHERE))
        now = cost_of(ground.some(moved), ground.present[moved])
        idle = now - at.costs[number][moved] <= IDLE * np.abs(now)
        rows = moved[idle & (now < FORBIDDEN_FROM)]
        for start in range(0, len(rows), TOGETHER):
            some = rows[start : start + TOGETHER]
            change = takes_of_all(field, ground, pairs, some, ground.present[some])
            change -= takes_of_all(field, ground, pairs, some, choice[some])
            back = some[_fitting(usage, limits, change)]
            choice[back] = ground.present[back]
    return at.other(choices)


def _fitting(usage: Floats, limits: Floats, change: Floats) -> list[int]:
    """Which of these changes fit, each after those before it; adds them to `usage`."""
    fitting, start = [], 0
    relieves = change <= 0
    while start < len(change):
        fits = ((usage + change[start:] <= limits) | relieves[start:]).all(axis=1)
        if not fits.any():
            break
        first = start + int(fits.argmax())
        usage += change[first]
        fitting.append(first)
        start = first + 1
    return fitting


def fallen_back(
    field: Field, pools: Sequence[Pool], prices: Prices, choices: Sequence[Choice]
) -> list[Choice]:
    """Choices that keep the limits, without a solver: repaired, or built on what is there now.

    What is there now is within every budget, which cannot always be said after a repair.
    """
    mended = repaired(field, pools, prices, choices)
    present = [ground.present for ground in field.grounds]
    if field.allows(mended) or any((each == NOWHERE).any() for each in present):
        return mended
    kept = repaired(field, pools, prices, present)
    return improved(field, pools, prices, kept, 0.0) if field.allows(kept) else mended


def _steps(
    field: Field,
    pools: Sequence[Pool],
    priced: Sequence[Matrix],
    choices: Sequence[Choice],
    row: int,
) -> list[tuple[float, int, int, int]]:
    """For each shard that takes of the row: its cheapest way to take less, the cheapest first."""
    found: list[tuple[float, int, int, int]] = []
    for number, (pool, cost, choice) in enumerate(zip(pools, priced, choices, strict=True)):
        takes = takes_of(field, pool, row, pool.candidates.pattern)
        now = takes_of(field, pool, row, choice[:, None])[:, 0]
        gain = now[:, None] - takes
        is_now = pool.candidates.pattern == choice[:, None]
        at = np.where(is_now, cost, np.inf).min(axis=1)
        allowed = (gain > 0) & (pool.candidates.cost < FORBIDDEN_FROM)
        each = np.where(allowed, (cost - at[:, None]) / np.where(allowed, gain, 1.0), np.inf)
        column = each.argmin(axis=1)
        ratio = each[np.arange(len(each)), column]
        rows = np.flatnonzero(np.isfinite(ratio))
        found += [
            (ratio[shard], number, shard, int(column[shard]))
            for shard in rows[np.argsort(ratio[rows], kind="stable")][:STEPS_MAX].tolist()
        ]
    return sorted(found)


def _relieve(
    field: Field,
    pools: Sequence[Pool],
    choices: list[Choice],
    usage: Floats,
    limits: Floats,
    row: int,
    steps: list[tuple[float, int, int, int]],
) -> bool:
    """Take steps until the row fits; True if any was taken."""
    moved = False
    for _, number, shard, column in steps:
        if usage[row] <= limits[row] * (1 + SLACK):
            break
        pool = pools[number]
        wanted = int(pool.candidates.pattern[shard, column])
        change = all_takes(field, pool.ground, pool.sets, shard, wanted)
        change -= all_takes(field, pool.ground, pool.sets, shard, int(choices[number][shard]))
        after = usage + change
        if ((after <= limits * (1 + SLACK)) | (change <= 0)).all():
            usage += change
            choices[number][shard] = wanted
            moved = True
    return moved


def takes_of(field: Field, pool: Pool, row: int, pattern: NDArray[np.int32]) -> Floats:
    """What these patterns, `[n, C]`, take of one row; those of anti-affinity sets come last."""
    ground, regions = pool.ground, field.regions
    leader = pattern // ground.patterns.per_leader
    place = row % regions
    if row >= len(field.limits):
        group, place = divmod(row - len(field.limits), regions)
        member = np.zeros(len(ground), dtype=bool)
        member[pool.sets[pool.sets[:, 0] == group, 1]] = True
        gathered: Floats = (member[:, None] & (leader == place)).astype(np.float64)
        return gathered
    if row == len(field.limits) - 1:
        return leaders_away(ground, pattern).astype(np.float64)
    sizes = ground.size_bytes[:, None]
    if row == len(field.limits) - 2:
        sent = np.zeros(pattern.shape)
        for each in range(regions):
            copies = ground.patterns.copies[:, each][pattern]
            sent += np.maximum(copies - ground.held[:, each, None], 0.0)
        counted: Floats = sizes * np.maximum(sent - ground.forced[:, None], 0.0)
        return counted
    if row >= 3 * regions:
        led: Floats = sizes * (leader == place)
        return led
    if row >= 2 * regions:
        held: Floats = sizes * ground.patterns.copies[:, place][pattern]
        return held
    load = ground.writes[:, None] if row >= regions else np.ones((len(ground), 1))
    taken: Floats = load * (leader == place)
    return taken


def all_takes(
    field: Field, ground: Ground, sets: NDArray[np.intp], shard: int, pattern: int
) -> Floats:
    """What one pattern of one shard takes of every row."""
    regions = field.regions
    takes = np.zeros(len(field.limits) + len(field.gathering_max) * regions)
    leader = pattern // ground.patterns.per_leader
    takes[leader] = 1.0
    takes[regions + leader] = ground.writes[shard]
    copies, size = ground.patterns.copies[pattern], ground.size_bytes[shard]
    takes[2 * regions : 3 * regions] = copies * size
    sent = float(np.maximum(copies - ground.held[shard], 0.0).sum() - ground.forced[shard])
    takes[3 * regions + leader] = size
    takes[4 * regions] = size * max(sent, 0.0)
    takes[4 * regions + 1] = 0 <= ground.led[shard] != leader
    for group in sets[sets[:, 1] == shard, 0].tolist():
        takes[len(field.limits) + group * regions + leader] = 1.0
    return takes


def takes_of_all(
    field: Field, ground: Ground, sets: NDArray[np.intp], rows: Rows, pattern: Choice
) -> Floats:
    """What a pattern of each of these shards, one at least, takes of every row: as `all_takes`."""
    regions, entries = field.regions, np.arange(len(rows))
    takes = np.zeros((len(rows), len(field.limits) + len(field.gathering_max) * regions))
    leader = pattern // ground.patterns.per_leader
    sizes, copies = ground.size_bytes[rows], ground.patterns.copies[pattern]
    takes[entries, leader] = 1.0
    takes[entries, regions + leader] = ground.writes[rows]
    takes[:, 2 * regions : 3 * regions] = copies * sizes[:, None]
    takes[entries, 3 * regions + leader] = sizes
    takes[:, 4 * regions] = sizes * moved_copies_of(ground.some(rows), pattern)
    takes[:, 4 * regions + 1] = (ground.led[rows] != NOWHERE) & (ground.led[rows] != leader)
    at = np.minimum(np.searchsorted(rows, sets[:, 1]), len(rows) - 1)
    mine = rows[at] == sets[:, 1]
    group, member = sets[mine, 0], at[mine]
    takes[member, len(field.limits) + group * regions + leader[member]] = 1.0
    return takes
