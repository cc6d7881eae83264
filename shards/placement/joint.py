"""What no choice of leader, voters and followers together can cost less than.

A copy costs the same whether it votes or follows, and a read is answered by the nearest of both. So
leader, voters and followers of a shard cost as much as a leader l and a set W of all regions with a
copy, if the voters in W are those with which a majority is nearest:

    base of l + copies in W + sending from l to W + waiting of l for a majority of W + reads near W

For any prices of the limits the least of that over all l and W, summed over shards, less what the
limits are worth, bounds every placement with followers from below. Bytes of followers have the
price of bytes in their region; they are no moved bytes. Leaders that cannot be the cheapest are
left out first, by what copies and reads cost at least wherever they are. With too many sets (more
than `SETS_MAX`), each read counts as answered where that is cheapest, and followers as free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from shards.placement.field import Choice, Field
from shards.placement.followers import FOLLOWERS_MAX, copy_usd
from shards.placement.ground import FORBIDDEN, FORBIDDEN_FROM, Ground, Matrix, read_table
from shards.placement.patterns import Kind, nearest
from shards.placement.pricing import ROUNDING, Prices, cheapest, leader_prices
from shards.placement.problem import NOWHERE, Floats, Problem, Survival, usable_for
from shards.placement.solve import Solution

SETS_MAX = 4_100
"""Those of 13 regions and three voters."""
CHUNK = 2_048
DOUBT = 4.0
"""Products and sums after each other: so many times the rounding of one."""
Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class _Sets:
    """All sets of regions that may have copies of one kind of shard."""

    member: NDArray[np.bool_]
    """`[W, R]`"""
    table: Matrix
    """`[3R, W]`: copies, weak reads and their GB, as in `ground`."""
    sent: Matrix
    """`[R, W]`: what one GB costs from each leader to all of the set."""
    wait: Matrix
    """`[R, W]`: USD for each write that waits for a majority."""
    least_sent: Floats
    """`[R]`: what one GB to each region costs at least."""


@dataclass(frozen=True, slots=True)
class Total:
    """What a placement with its followers costs in USD a month, and what none can be below."""

    usd: float
    bound_usd: float

    @property
    def gap(self) -> float:
        """How far the cost may be above the least possible one, as a part of it."""
        return max(self.usd - self.bound_usd, 0.0) / max(abs(self.bound_usd), 1e-9)


def total_of(problem: Problem, solution: Solution) -> Total:
    """Certify a feasible solution with its followers; without them, it is certified already."""
    warm = solution.warm
    if problem.budget.moved_bytes <= 0 or warm is None:
        return Total(solution.usd, solution.bound_usd)
    usd = solution.usd - solution.followers_usd
    return Total(usd, joint_bound(problem, warm.field, warm.bound.prices, warm.at.choices))


def joint_bound(problem: Problem, field: Field, prices: Prices, choices: Sequence[Choice]) -> float:
    """The bound at these prices, in USD a month. `choices` only say where to look first."""
    total = -field.worth(prices)
    for ground, pairs, choice in zip(field.grounds, field.sets, choices, strict=True):
        if not len(ground):
            continue
        kind, regions = ground.patterns.kind, field.regions
        voters = kind.voters if kind.survival is Survival.REGION else 1
        sizes = range(voters, min(voters + FOLLOWERS_MAX, regions) + 1)
        if sum(comb(regions, size) for size in sizes) > SETS_MAX:
            total += _least_apart(problem, ground, prices, pairs)
            continue
        added = leader_prices(ground, prices, pairs)
        leader = ground.patterns.leader[choice].astype(np.intp)
        sets = _sets_of(problem, kind, sizes)
        for start in range(0, len(ground), CHUNK):
            part = np.arange(start, min(start + CHUNK, len(ground)))
            some = _Some(problem, ground.some(part), prices, added[part], sets)
            total += some.least(leader[part]) - some.allowance
    return total


def _sets_of(problem: Problem, kind: Kind, sizes: range) -> _Sets:
    regions, egress = problem.region_count, problem.egress_usd_per_gb
    every = [places for size in sizes for places in combinations(range(regions), size)]
    member = np.zeros((len(every), regions), dtype=bool)
    for number, places in enumerate(every):
        member[number, list(places)] = True
    own = np.diag(egress)[:, None]
    sent = egress @ member.T - own
    if kind.survival is Survival.REGION:
        ways = np.where(member[None, :, :], problem.rtt_ms[:, None, :], np.inf)
        wait = np.sort(ways, axis=2)[:, :, kind.voters // 2]
    else:
        wait = np.repeat(np.diag(problem.rtt_ms)[:, None], len(every), axis=1)
        sent = sent + own * (kind.voters - 1)
    wait = wait * problem.weights.usd_per_ms_per_million_writes / 1e6
    near = nearest(member, problem.rtt_ms).astype(np.intp)
    table = np.concatenate([member.T.astype(np.float64), read_table(problem, near)])
    return _Sets(
        member,
        table.astype(np.float32),
        sent.astype(np.float32),
        wait.astype(np.float32),
        egress.min(axis=0),
    )


class _Some:
    """Some shards of one kind, and the parts of their costs at some prices."""

    def __init__(
        self, problem: Problem, ground: Ground, prices: Prices, added: Floats, sets: _Sets
    ) -> None:
        regions, is_zonal = problem.region_count, ground.patterns.kind.survival is Survival.ZONE
        self._sets, self._voters = sets, ground.patterns.kind.voters
        features = ground.features.astype(np.float64)
        by_bytes = ground.size_bytes[:, None] * prices.of_bytes(regions)
        copies = copy_usd(problem, ground.rows) + by_bytes
        copies = np.where(usable_for(problem)[ground.rows], copies, FORBIDDEN)
        self._moved = prices.moved_bytes * ground.size_bytes
        base = features[:, :regions] + added - (self._moved * ground.forced)[:, None]
        self._held = None if is_zonal else ground.held
        if is_zonal:
            there = features[:, regions : 2 * regions] + by_bytes
            base += self._voters * there - copies
            base += self._moved[:, None] * np.maximum(self._voters - ground.held, 0.0)
        was = ground.patterns.leader[np.maximum(ground.present, 0)]
        away = (ground.present == NOWHERE)[:, None] | (was[:, None] != np.arange(regions))
        self._base = base + ground.hysteresis * away
        self._writes, self._gb = features[:, 4 * regions], features[:, 4 * regions + 1]
        self._near = np.concatenate([copies, features[:, 2 * regions : 4 * regions]], axis=1)

    @property
    def allowance(self) -> float:
        """By how much the sum of the least costs can be wrong."""
        near, base = (
            np.where(np.abs(each) < FORBIDDEN_FROM, np.abs(each), 0.0)
            for each in (self._near, self._base)
        )
        sets = self._sets
        total = float((near @ np.abs(sets.table).max(axis=1)).sum() + base.max(axis=1).sum())
        total += float(self._gb.sum()) * float(sets.sent.max())
        return DOUBT * ROUNDING * (total + float(self._writes.sum()) * float(sets.wait.max()))

    def least(self, first: Rows) -> float:
        """The sum of the least costs; `first` are leaders that are probably good."""
        sets, regions = self._sets, self._base.shape[1]
        best = np.full(len(first), np.inf)
        for place in range(regions):
            rows = np.flatnonzero(first == place)
            best[rows] = self._led_from(place, rows)
        around = self._near.copy()
        around[:, :regions] += self._gb[:, None] * sets.least_sent
        anywhere = (around.astype(np.float32) @ sets.table).min(axis=1)
        for place in range(regions):
            wait = sets.wait[place, sets.member[:, place]].min()
            below = self._base[:, place] + anywhere + self._writes * wait
            below -= self._gb * sets.least_sent[place]
            rows = np.flatnonzero((first != place) & (below < best))
            best[rows] = np.minimum(best[rows], self._led_from(place, rows))
        return float(best.sum())

    def _led_from(self, place: int, rows: Rows) -> Floats:
        """The least that each of these shards costs when it is led from a region."""
        if not len(rows):
            return np.zeros(0)
        sets = self._sets
        there = np.flatnonzero(sets.member[:, place])
        parts = (self._near[rows], self._writes[rows, None], self._gb[rows, None])
        cost = np.concatenate(parts, axis=1).astype(np.float32) @ np.concatenate(
            [sets.table[:, there], sets.wait[place][None, there], sets.sent[place][None, there]]
        )
        if self._held is not None and self._moved.any():
            held = self._held[rows] > 0
            have = held.astype(np.float32) @ sets.member[there].T.astype(np.float32)
            lacks = np.maximum(self._voters - have, (~held[:, place, None]).astype(np.float32))
            cost += self._moved[rows, None].astype(np.float32) * lacks
        least: Floats = self._base[rows, place] + cost.min(axis=1)
        return least


def _least_apart(
    problem: Problem, ground: Ground, prices: Prices, pairs: NDArray[np.intp]
) -> float:
    """A weaker bound: the cheapest pattern without its weak reads, and those at their cheapest."""
    regions = problem.region_count
    table = ground.table.copy()
    table[2 * regions : 4 * regions] = 0.0
    found = cheapest(replace(ground, table=table), prices, pairs)
    weak = ground.features[:, 2 * regions : 4 * regions].astype(np.float64)
    reads, gb = weak[:, :regions], weak[:, regions:]
    costs = read_table(problem, np.repeat(np.arange(regions)[:, None], regions, axis=1))
    usable = usable_for(problem)[ground.rows]
    least = np.full(reads.shape, np.inf)
    for place in range(regions):
        each = reads * costs[:regions, place] + gb * costs[regions:, place]
        least = np.minimum(least, np.where(usable[:, place, None], each, np.inf))
    return float((found.priced - found.allowance).sum() + least.sum())
