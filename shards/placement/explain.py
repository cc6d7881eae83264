"""Why one shard is where it is, and what would move it.

The terms of what was chosen and of the runner-up side by side, limits with their prices included:
with everything else left as it is, the shard takes the cheapest. Each load it has, writes or reads
from one region, pulls in one direction; the term that would tip the decision with the smallest
change is named, with the load at which it tips.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from math import inf

import numpy as np

from shards.placement.bearing import gatherings
from shards.placement.ground import FORBIDDEN_FROM, Ground, ground_of
from shards.placement.patterns import Kind, Patterns, patterns_of
from shards.placement.pricing import Prices
from shards.placement.problem import Floats, Problem, Shards, Survival, names_of
from shards.placement.score import PARTS, Placement, parts_of
from shards.placement.solve import Solution

LOADS = ("writes_per_s", "reads_per_s")
LIMITS = (
    *("leaders", "writes_per_s", "size_bytes", "led_bytes"),
    *("moved_bytes", "moved_leaders", "anti_affinity"),
)
OF_REGIONS = 4
"""So many of the limits are those of each region."""


@dataclass(frozen=True, slots=True)
class Option:
    """One way for a shard to stand, in USD a month."""

    leader: str
    voters: tuple[str, ...]
    terms: dict[str, float]
    limits: dict[str, float]
    """What it takes of limits, at their prices."""
    usd_per_month: float
    """All of that together."""


@dataclass(frozen=True, slots=True)
class Binding:
    """A limit that something is paid for."""

    limit: str
    region: str | None
    usd_per_unit: float
    """What one more unit of it would save everybody, in USD a month."""


@dataclass(frozen=True, slots=True)
class Tipping:
    """The load that would tip the decision, and where."""

    load: str
    region: str
    now_per_s: float
    at_per_s: float
    then_leader: str
    then_voters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a shard is placed as it is."""

    shard: str
    chosen: Option
    runner_up: Option | None
    by_itself: bool
    """It is the cheapest for this shard; if not, the shard made room, or stays for too little."""
    binding: tuple[Binding, ...]
    tipping: Tipping | None


def explain(problem: Problem, solution: Solution, shard: str) -> Explanation:
    """Explain one shard of a solved problem. Raises ValueError for an unknown one."""
    row = problem.shards.ids.index(shard)
    alone = _alone(problem, row)
    kind = Kind(Survival(int(alone.shards.survival[0])), int(alone.shards.voters[0]))
    patterns = patterns_of(kind, problem.rtt_ms, problem.egress_usd_per_gb)
    crowd = _crowd(problem, solution.prices, row)
    limits = _limits(alone, patterns, solution.prices, crowd)
    costs = _costs(alone, patterns, solution.prices, crowd)
    leader, voters, _ = solution.placement.row(row)
    chosen = patterns.index()[leader, voters]
    others = np.where(np.arange(len(costs)) == chosen, inf, costs)
    best = int(others.argmin())
    second = best if others[best] < FORBIDDEN_FROM else None
    options = [
        None if each is None else _option(problem, alone, patterns, each, limits, row)
        for each in (chosen, second)
    ]
    assert options[0] is not None
    by_itself = second is None or bool(costs[chosen] <= costs[second] * (1 + 1e-9))
    return Explanation(
        shard=shard,
        chosen=options[0],
        runner_up=options[1],
        by_itself=by_itself,
        binding=_binding(problem, solution.prices),
        tipping=_tipping(alone, patterns, solution.prices, crowd, chosen) if by_itself else None,
    )


def _alone(problem: Problem, row: int) -> Problem:
    """The problem with this shard only."""
    one = {
        field.name: getattr(problem.shards, field.name)[row : row + 1] for field in fields(Shards)
    }
    return replace(problem, shards=Shards(**one), anti_affinity=(), nodes=None)


def _crowd(problem: Problem, prices: Prices, row: int) -> Floats:
    """What the sets of the shard ask for leading from each region."""
    total = np.zeros(problem.region_count)
    for number, group in enumerate(gatherings(problem)):
        if row in group.shards:
            total += prices.gathering[number]
    return total


def _grounded(alone: Problem, patterns: Patterns) -> Ground:
    return ground_of(alone, patterns, np.zeros(1, dtype=np.intp))


def _limits(alone: Problem, patterns: Patterns, prices: Prices, crowd: Floats) -> Floats:
    """`[K, len(LIMITS)]`: what each pattern takes of limits, at their prices."""
    ground, regions = _grounded(alone, patterns), alone.region_count
    leader = patterns.leader.astype(np.intp)
    size, copies = float(ground.size_bytes[0]), patterns.copies.astype(np.float64)
    sent = np.maximum(copies - ground.held[0], 0.0).sum(axis=1) - float(ground.forced[0])
    led = int(ground.led[0])
    found = np.zeros((len(patterns), len(LIMITS)))
    found[:, 0] = prices.of_leaders(regions)[leader]
    found[:, 1] = prices.of_writes(regions)[leader] * float(ground.writes[0])
    found[:, 2] = copies @ prices.of_bytes(regions) * size
    found[:, 3] = prices.of_led_bytes(regions)[leader] * size
    found[:, 4] = prices.moved_bytes * size * np.maximum(sent, 0.0)
    found[:, 5] = prices.moved_leaders * ((led >= 0) & (leader != led))
    found[:, 6] = crowd[leader]
    return found


def _costs(alone: Problem, patterns: Patterns, prices: Prices, crowd: Floats) -> Floats:
    """What each pattern costs with the prices of limits, `[K]`."""
    ground = _grounded(alone, patterns)
    plain = ground.features[0].astype(np.float64) @ ground.table.astype(np.float64)
    plain += ground.hysteresis * (np.arange(len(patterns)) != ground.present[0])
    costs: Floats = plain + _limits(alone, patterns, prices, crowd).sum(axis=1)
    return costs


def _option(
    problem: Problem, alone: Problem, patterns: Patterns, number: int, limits: Floats, row: int
) -> Option:
    one = Placement(
        patterns.leader[number : number + 1],
        patterns.voters[number : number + 1],
        np.zeros(1, dtype=np.uint64),
    )
    terms = parts_of(alone, one)[0]
    return Option(
        leader=problem.regions[int(patterns.leader[number])],
        voters=names_of(problem, int(patterns.voters[number])),
        terms={name: float(usd) for name, usd in zip(PARTS, terms, strict=True)},
        limits={name: float(usd) for name, usd in zip(LIMITS, limits[number], strict=True)},
        usd_per_month=float(terms.sum() + limits[number].sum()),
    )


def _binding(problem: Problem, prices: Prices) -> tuple[Binding, ...]:
    """All limits that have a price, the coupling rows in their order, then sets."""
    regions = problem.region_count
    found = []
    for number, usd in enumerate(prices.rows.tolist()):
        if usd > 0:
            kind, place = divmod(number, regions)
            if kind < OF_REGIONS:
                found.append(Binding(LIMITS[kind], problem.regions[place], usd))
            else:
                name = LIMITS[OF_REGIONS + number - OF_REGIONS * regions]
                found.append(Binding(name, None, usd))
    sets = gatherings(problem)
    for group, place in zip(*np.nonzero(prices.gathering > 0), strict=True):
        usd = float(prices.gathering[group, place])
        found.append(Binding(sets[group].name, problem.regions[place], usd))
    return tuple(found)


def _tipping(
    alone: Problem, patterns: Patterns, prices: Prices, crowd: Floats, chosen: int
) -> Tipping | None:
    """The smallest change of one load, in parts of it, after which another pattern is cheaper."""
    costs = _costs(alone, patterns, prices, crowd)
    best: tuple[float, Tipping] | None = None
    for load in LOADS:
        table = getattr(alone.shards, load)
        for place, name in enumerate(alone.regions):
            now = float(table[0, place])
            more = table.copy()
            step = max(now, 1.0)
            more[0, place] = now + step
            shards = replace(alone.shards, **{load: more})
            slope = (_costs(replace(alone, shards=shards), patterns, prices, crowd) - costs) / step
            # Costs are straight lines in a load: where does the chosen one cross another?
            allowed = (costs < FORBIDDEN_FROM) & (np.arange(len(costs)) != chosen)
            lead, bend = costs - costs[chosen], slope - slope[chosen]
            crossing = allowed & (np.abs(bend) > 1e-12)
            change = np.where(crossing, -lead / np.where(crossing, bend, 1.0), np.nan)
            for sign in (-1, 1):
                reached = crossing & (np.sign(change) == sign) & (now + change >= 0)
                if not reached.any():
                    continue
                which = int(np.where(reached, np.abs(change), inf).argmin())
                part = abs(float(change[which])) / step
                if best is None or part < best[0]:
                    voters = names_of(alone, int(patterns.voters[which]))
                    leader = alone.regions[int(patterns.leader[which])]
                    at = now + float(change[which])
                    best = part, Tipping(load, name, now, at, leader, voters)
    return best[1] if best else None
