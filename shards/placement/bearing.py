"""What the nodes and zones of a region bear together: limits of regions that follow from them.

They are needed and not enough: whole shards may not fit into nodes that have room for their sum.
Whether they do is for `seating` to say.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import inf

import numpy as np

from shards.placement.nodes import Nodes, Scope
from shards.placement.problem import Floats, Problem


@dataclass(frozen=True, slots=True, eq=False)
class Gathering:
    """Shards of which a region may lead only so many, `most` for each region."""

    name: str
    shards: tuple[int, ...]
    most: Floats


def borne(nodes: Nodes | None, regions: int) -> Floats:
    """Leaders, writes and bytes of what is led, that each region's nodes may bear, `[3, R]`.

    A region without a node has no limit by it: who may lead there is not for its nodes to say.
    """
    if nodes is None:
        return np.full((3, regions), inf)
    found = np.full((3, regions), inf)
    each, together = np.array(nodes.limits.all), np.array(nodes.zone_limits.all)
    for (region, _), count in Counter(map(nodes.zone_of, range(len(nodes.names)))).items():
        before = found[:, region]
        found[:, region] = np.where(np.isinf(before), 0.0, before) + np.minimum(
            each * count, together
        )
    return found


def gatherings(problem: Problem) -> tuple[Gathering, ...]:
    """All sets of shards that must not gather: of regions first, then of nodes and zones."""
    regions = problem.region_count
    found = [
        Gathering(
            f"anti_affinity/{each.name}",
            each.shards,
            np.full(regions, float(each.leaders_per_region_max)),
        )
        for each in problem.anti_affinity
    ]
    nodes = problem.nodes
    for apart in nodes.apart if nodes is not None else ():
        places = _places(nodes, apart.scope, regions)
        most = np.where(places > 0, places, len(apart.shards))
        found.append(Gathering(f"apart/{apart.name}", apart.shards, most.astype(np.float64)))
    return tuple(found)


def _places(nodes: Nodes | None, scope: Scope, regions: int) -> Floats:
    """How many places of a scope each region has."""
    count = np.zeros(regions)
    if nodes is not None:
        numbers = range(len(nodes.names))
        named = {(nodes.region[n], n) for n in numbers} if scope is Scope.NODE else {
            nodes.zone_of(n) for n in numbers
        }  # fmt: skip
        for region, _ in named:
            count[region] += 1
    return count
