"""All shards ready to be priced, the rows that couple them, and the bound that prices certify."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shards.placement.bearing import gatherings
from shards.placement.ground import CHUNK, FORBIDDEN_FROM, Ground, grounds_of, limits_of
from shards.placement.pricing import Cheapest, Prices, cheapest, leader_prices
from shards.placement.problem import NOWHERE, Floats, Problem

Choice = NDArray[np.int32]
"""The pattern of each shard of a ground."""
SLACK = 1e-9
"""Rounding of sums: a limit counts as kept when it is passed by no more than this part of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """What no placement can cost less than, and the pass that shows it."""

    usd: float
    prices: Prices
    passes: tuple[Cheapest, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A problem prepared: one ground for each kind of shard."""

    regions: int
    grounds: tuple[Ground, ...]
    limits: Floats
    """Of the coupling rows, in the order of `ground`."""
    sets: tuple[NDArray[np.intp], ...]
    """For each ground: pairs of a set that must not gather and a row of the ground, `[P, 2]`."""
    gathering_max: Floats
    """`[A, R]`: leaders of each set that must not gather that may be in each region."""
    taken: Floats
    """Of the limits, by shards that are not here."""

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Which coupling rows have a limit at all."""
        return np.isfinite(self.limits)

    def free(self) -> Prices:
        """Prices of nothing."""
        return Prices(np.zeros(len(self.limits)), np.zeros_like(self.gathering_max))

    def bound(self, prices: Prices) -> Bound:
        """Price every pattern of every shard; see `pricing` for what follows."""
        passes = tuple(
            cheapest(ground, prices, pairs)
            for ground, pairs in zip(self.grounds, self.sets, strict=True)
        )
        return self.bound_by(prices, passes)

    def bound_by(self, prices: Prices, passes: tuple[Cheapest, ...]) -> Bound:
        """What is shown by passes over all shards that were made at these prices."""
        usd = sum(float(each.priced.sum()) - float(each.allowance.sum()) for each in passes)
        return Bound(usd - self.worth(prices), prices, passes)

    def some(self, rows: Sequence[NDArray[np.intp]], taken: Floats | None = None) -> Field:
        """These rows of each ground, in order; `taken` is what others take of the limits."""
        sets = []
        for pairs, chosen in zip(self.sets, rows, strict=True):
            at = np.searchsorted(chosen, pairs[:, 1])
            known = at < len(chosen)
            known[known] = chosen[at[known]] == pairs[known, 1]
            sets.append(np.column_stack((pairs[known, 0], at[known])))
        grounds = tuple(g.some(chosen) for g, chosen in zip(self.grounds, rows, strict=True))
        taken = self.taken if taken is None else taken
        return replace(self, grounds=grounds, sets=tuple(sets), taken=taken)

    def heft(self) -> list[Floats]:
        """How much each shard of each ground takes, all limits taken together."""
        weight = np.where(self.counted, 1.0 / np.maximum(self.limits, 1e-9), 0.0)
        by_kind = weight[:-2].reshape(4, self.regions)
        leaders, writes, held, led = by_kind.mean(axis=1)
        return [
            leaders + ground.writes * writes + ground.size_bytes * (held + led + weight[-2])
            for ground in self.grounds
        ]

    def worth(self, prices: Prices) -> float:
        """What the limits are worth at these prices."""
        rows = float(prices.rows[self.counted] @ self.limits[self.counted])
        return rows + float((prices.gathering * self.gathering_max).sum())

    def unit_usd(self, usual_usd: float) -> Floats:
        """For each row: a price at which its limit is worth `usual_usd` spread over regions."""
        sizes = sum(float(ground.size_bytes.sum()) for ground in self.grounds)
        least = np.full(len(self.limits), 1.0)
        least[2 * self.regions : -1] = max(sizes * 1e-3, 1.0)
        spread = np.where(self.counted, np.maximum(self.limits, least), 1.0) * self.regions
        return np.where(self.counted, max(usual_usd, 1e-6) / spread, 0.0)

    def usage(self, choices: Sequence[Choice]) -> tuple[Floats, Floats]:
        """How much of each coupling row, and of each anti-affinity set, choices take."""
        total = self.taken.copy()
        for ground, choice in zip(self.grounds, choices, strict=True):
            total += usage_of(ground, choice, moved_copies_of(ground, choice))
        return total, self.gathered(choices)

    def gathered(self, choices: Sequence[Choice]) -> Floats:
        """How many leaders of each anti-affinity set choices put in each region, `[A, R]`."""
        gathered = np.zeros_like(self.gathering_max)
        for ground, pairs, choice in zip(self.grounds, self.sets, choices, strict=True):
            leader = ground.patterns.leader[choice[pairs[:, 1]]]
            np.add.at(gathered, (pairs[:, 0], leader.astype(np.intp)), 1.0)
        return gathered

    def excess(self, choices: Sequence[Choice]) -> tuple[Floats, Floats]:
        """By how much limits are passed; zeros where they are kept."""
        return self.beyond(*self.usage(choices))

    def beyond(self, total: Floats, gathered: Floats) -> tuple[Floats, Floats]:
        """By how much limits are passed by those who take so much."""
        over = np.where(self.counted, total - self.limits * (1 + SLACK), 0.0)
        crowd = gathered - self.gathering_max
        return np.where(over > SLACK, over, 0.0), np.maximum(crowd, 0.0)

    def priced(self, prices: Prices, choices: Sequence[Choice]) -> list[Floats]:
        """What the choice of each shard costs with prices, less what is forced anyway."""
        found = []
        for ground, pairs, choice in zip(self.grounds, self.sets, choices, strict=True):
            leader = ground.patterns.leader[choice].astype(np.intp)
            held = ground.patterns.copies @ prices.of_bytes(self.regions)
            each = prices.moved_bytes * moved_copies_of(ground, choice) + held[choice]
            added = leader_prices(ground, prices, pairs)[np.arange(len(choice)), leader]
            found.append(cost_of(ground, choice) + added + ground.size_bytes * each)
        return found

    def cost(self, choices: Sequence[Choice]) -> float:
        """What choices cost, in USD a month, without prices."""
        return float(sum(cost_of(g, c).sum() for g, c in zip(self.grounds, choices, strict=True)))

    def allows(self, choices: Sequence[Choice]) -> bool:
        """True when every rule and every limit is kept."""
        return self.allowed_usd(choices) < np.inf

    def allowed_usd(self, choices: Sequence[Choice]) -> float:
        """What choices cost that keep every rule and every limit; infinite if they do not."""
        over, crowd = self.excess(choices)
        if over.any() or crowd.any():
            return float("inf")
        costs = [cost_of(g, c) for g, c in zip(self.grounds, choices, strict=True)]
        if any(bool((cost >= FORBIDDEN_FROM).any()) for cost in costs):
            return float("inf")
        return float(sum(cost.sum() for cost in costs))


def field_of(problem: Problem) -> Field:
    """Prepare a problem that was checked."""
    grounds = grounds_of(problem)
    where = np.full((len(problem.shards), 2), NOWHERE, dtype=np.intp)
    for number, ground in enumerate(grounds):
        where[ground.rows, 0] = number
        where[ground.rows, 1] = np.arange(len(ground))
    gathering = gatherings(problem)
    members = [(a, s) for a, group in enumerate(gathering) for s in group.shards]
    pairs = np.array(members, dtype=np.intp).reshape(-1, 2)
    homes = where[pairs[:, 1], 0]
    sets = tuple(
        np.column_stack((pairs[homes == n, 0], where[pairs[homes == n, 1], 1]))
        for n in range(len(grounds))
    )
    most = np.array([group.most for group in gathering]).reshape(-1, problem.region_count)
    limits = limits_of(problem)
    taken = np.zeros(len(limits))
    return Field(problem.region_count, grounds, limits, sets, most, taken)


def usage_of(ground: Ground, choice: Choice, moved: Floats) -> Floats:
    """How much of each coupling row one ground's choices take, that move so many copies."""
    patterns, regions = ground.patterns, ground.held.shape[1]
    leader = patterns.leader[choice].astype(np.intp)
    by_pattern = np.bincount(choice, weights=ground.size_bytes, minlength=len(patterns))
    away = (ground.led != NOWHERE) & (leader != ground.led)
    return np.concatenate(
        [
            np.bincount(leader, minlength=regions),
            np.bincount(leader, weights=ground.writes, minlength=regions),
            by_pattern @ patterns.copies.astype(np.float64),
            np.bincount(leader, weights=ground.size_bytes, minlength=regions),
            [float((ground.size_bytes * moved).sum()), float(away.sum())],
        ]
    )


def moved_copies_of(ground: Ground, choice: Choice) -> Floats:
    """How many copies each shard's choice sends beyond what is forced."""
    counted = np.empty(len(ground))
    for start in range(0, len(ground), CHUNK):
        part = slice(start, start + CHUNK)
        copies = ground.patterns.copies[choice[part]]
        copies -= ground.held[part]
        np.maximum(copies, 0.0, out=copies)
        counted[part] = copies.sum(axis=1) - ground.forced[part]
    return np.maximum(counted, 0.0, out=counted)


def cost_of(ground: Ground, choice: Choice) -> Floats:
    """What each shard's choice costs in USD a month, without prices, in 64 bits."""
    cost = np.zeros(len(ground))
    table = ground.table.T.astype(np.float64)
    for start in range(0, len(ground), CHUNK):
        part = slice(start, start + CHUNK)
        cost[part] = np.einsum("nf,nf->n", ground.features[part], table[choice[part]])
    cost += ground.hysteresis * (choice != ground.present)
    return cost
