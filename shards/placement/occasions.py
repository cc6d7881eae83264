"""What happens to a fleet, and what others would do about it: for measurements and comparisons.

Events change a problem as an outage, a price list or traffic would. The other ways to place are
those that a person would try first: every shard led from one region, and one shard after the
other, each where it is cheapest of what is left.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from shards.placement.field import field_of
from shards.placement.ground import FORBIDDEN_FROM
from shards.placement.problem import Problem
from shards.placement.repair import all_takes
from shards.placement.score import Placement
from shards.placement.solve import placement_of

SWING = 0.7
DEARER = 1.5


def loads_changed(problem: Problem, part: float, seed: int) -> Problem:
    """Part of the shards get other loads, half as much or twice as much or so."""
    draw = np.random.default_rng(seed)
    count = len(problem.shards)
    rows = draw.choice(count, size=int(part * count), replace=False)
    factor = np.ones(count, dtype=np.float32)
    factor[rows] = draw.lognormal(0.0, SWING, len(rows))
    shards = problem.shards
    loads = {
        name: getattr(shards, name) * factor[:, None] for name in ("writes_per_s", "reads_per_s")
    }
    return replace(problem, shards=replace(shards, **loads))


def region_lost(problem: Problem) -> Problem:
    """The region that leads least is gone; the others take as much more as it took.

    Its bytes must be put elsewhere, so the others are given room for them.
    """
    led = np.bincount(problem.shards.leader[problem.shards.leader >= 0], minlength=1)
    lost = int(np.pad(led, (0, problem.region_count - len(led))).argmin())
    caps = problem.capacities
    grown = {name: getattr(caps, name) * (1 + 2 / problem.region_count) for name in caps.__slots__}
    return replace(problem, drained=1 << lost, capacities=replace(caps, **grown))


def price_changed(problem: Problem) -> Problem:
    """Sending from the first region becomes dearer."""
    egress = problem.egress_usd_per_gb.copy()
    egress[0] *= DEARER
    return replace(problem, egress_usd_per_gb=egress)


def standing(problem: Problem, placement: Placement) -> Problem:
    """The problem with this placement as what is there now."""
    shards = replace(problem.shards, leader=placement.leader, present=placement.voters)
    return replace(problem, shards=shards)


def home_placement(problem: Problem) -> Placement:
    """Every shard led from the region that writes most, voters in the nearest two; no limits."""
    home = int(problem.shards.writes_per_s.sum(axis=0).argmax())
    order = np.argsort(problem.rtt_ms[home], kind="stable").tolist()
    order.remove(home)
    count = len(problem.shards)
    near = 1 << home | 1 << order[0] | 1 << order[1]
    zone = problem.shards.survival == 0
    return Placement(
        leader=np.full(count, home, dtype=np.int16),
        voters=np.where(zone, np.uint64(1 << home), np.uint64(near)),
        followers=np.zeros(count, dtype=np.uint64),
    )


def one_by_one(problem: Problem) -> Placement:
    """The heaviest shard first, each takes the cheapest pattern that the limits still allow.

    A shard that nothing is left for takes what is cheapest regardless.
    """
    field = field_of(problem)
    limits = np.where(field.counted, field.limits, np.inf)
    usage = np.zeros(len(limits))
    choices = [np.zeros(len(ground), dtype=np.int32) for ground in field.grounds]
    order = [
        (-float(writes), number, row)
        for number, ground in enumerate(field.grounds)
        for row, writes in enumerate(ground.writes.tolist())
    ]
    for _, number, row in sorted(order):
        ground = field.grounds[number]
        costs = ground.features[row] @ ground.table
        cheapest = np.argsort(costs, kind="stable")
        choices[number][row] = cheapest[0]
        for pattern in cheapest.tolist():
            if costs[pattern] >= FORBIDDEN_FROM:
                break
            takes = all_takes(field, ground, field.sets[number][:0], row, pattern)[: len(limits)]
            if (usage + takes <= limits).all():
                choices[number][row] = pattern
                usage += takes
                break
    return placement_of(problem, field, choices)
