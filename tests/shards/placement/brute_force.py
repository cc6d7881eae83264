"""The best placement of a few shards by trying every combination: what the solver must find."""

from itertools import combinations, product

import numpy as np

from shards.placement.problem import (
    NOWHERE,
    Problem,
    Survival,
    leads_for,
    mask_of,
    places_of,
    usable_for,
)
from shards.placement.score import Placement, copies_of, parts_of, present_copies

One = tuple[int, int]
"""A leader and a mask of voters."""


def ways(problem: Problem, row: int) -> list[One]:
    """Everything the rules of one shard allow."""
    usable = usable_for(problem)
    return _ways(problem, row, usable[row], leads_for(problem, usable)[row])


def _ways(problem: Problem, row: int, usable: np.ndarray, leads: np.ndarray) -> list[One]:
    voters = int(problem.shards.voters[row])
    regions = range(problem.region_count)
    if problem.shards.survival[row] == Survival.ZONE:
        return [(place, 1 << place) for place in regions if leads[place]]
    return [
        (leader, mask_of(places))
        for places in combinations([r for r in regions if usable[r]], voters)
        for leader in places
        if leads[leader]
    ]


def placed(choice: tuple[One, ...]) -> Placement:
    """A combination as a placement."""
    return Placement(
        np.array([leader for leader, _ in choice], dtype=np.int16),
        np.array([mask for _, mask in choice], dtype=np.uint64),
        np.zeros(len(choice), dtype=np.uint64),
    )


def keeps_limits(problem: Problem, placement: Placement) -> bool:
    """Capacities, budget and anti-affinity, written down once more, and slowly."""
    shards, rows = problem.shards, np.arange(len(problem.shards))
    usable, leads = usable_for(problem), leads_for(problem, usable_for(problem))
    copies = copies_of(problem, rows, placement.voters, np.zeros_like(placement.voters))
    before = present_copies(problem, rows)
    led = {place: np.flatnonzero(placement.leader == place) for place in range(copies.shape[1])}
    for place, members in led.items():
        writes = float(shards.writes_per_s[members].sum(dtype=np.float64))
        held = float(shards.size_bytes @ copies[:, place])
        if (
            len(members) > problem.capacities.leaders[place]
            or writes > problem.capacities.writes_per_s[place] * (1 + 1e-6)
            or held > problem.capacities.size_bytes[place] * (1 + 1e-6)
        ):
            return False
        for group in problem.anti_affinity:
            if len(set(group.shards) & set(members.tolist())) > group.leaders_per_region_max:
                return False
    moved_bytes = moved_leaders = 0.0
    tables: dict[tuple[int, int, bytes, bytes], np.ndarray] = {}
    for row in rows:
        if shards.present[row]:
            moved = _sent(copies[row], before[row])
            rules = usable[row].tobytes(), leads[row].tobytes()
            kind = int(shards.survival[row]), int(shards.voters[row]), *rules
            if kind not in tables:
                allowed = {mask for _, mask in _ways(problem, int(row), usable[row], leads[row])}
                tables[kind] = np.array([_copies(problem, row, (0, mask)) for mask in allowed])
            least = float(np.maximum(tables[kind] - before[row], 0).sum(axis=1).min())
            moved_bytes += float(shards.size_bytes[row]) * (moved - least)
        was = int(shards.leader[row])
        if was != NOWHERE and leads[row, was] and usable[row, was]:
            moved_leaders += was != placement.leader[row]
    budget = problem.budget
    return moved_bytes <= budget.moved_bytes * (1 + 1e-6) and moved_leaders <= budget.moved_leaders


def _copies(problem: Problem, row: int, one: One) -> np.ndarray:
    copies = np.zeros(problem.region_count)
    zone = problem.shards.survival[row] == Survival.ZONE
    for place in places_of(one[1]):
        copies[place] = problem.shards.voters[row] if zone else 1
    return copies


def _sent(copies: np.ndarray, before: np.ndarray) -> float:
    return float(np.maximum(copies - before, 0).sum())


def cost(problem: Problem, placement: Placement) -> float:
    """All parts together."""
    return float(parts_of(problem, placement).sum())


def best_usd(problem: Problem) -> float | None:
    """The least cost of all combinations that keep everything; None when there is none."""
    table = [
        {one: float(parts_of(problem, placed((one,)), np.array([row])).sum()) for one in all_ways}
        for row, all_ways in enumerate(ways(problem, row) for row in range(len(problem.shards)))
    ]
    best: float | None = None
    for choice in product(*(each.keys() for each in table)):
        usd = sum(costs[one] for costs, one in zip(table, choice, strict=True))
        if (best is None or usd < best) and keeps_limits(problem, placed(choice)):
            best = usd
    return best
