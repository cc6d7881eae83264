"""Nodes that may lead, and what each of them, and each of their zones, may bear.

Only nodes that live and do not drain are here. A node carries the shards that it leads: how many,
what they write, and how large they are; so does a zone, with all its nodes together. Copies are in
stores, and count for regions alone. A node without a zone is in its region's nameless one.

Values of a `Problem`, beside its regions: `bearing` adds them up, `seating` shares shards out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import inf, isfinite

Pairs = tuple[tuple[int, int], ...]
"""Of a shard and a node, by their numbers, sorted."""


class Scope(StrEnum):
    """From what place shards of a set are not led together."""

    NODE = "node"
    ZONE = "zone"


@dataclass(frozen=True, slots=True)
class Bearing:
    """What one place may bear at most, of the shards that are led there; `inf`: no limit."""

    leaders: float = inf
    writes_per_s: float = inf
    size_bytes: float = inf

    @property
    def is_limited(self) -> bool:
        """Whether there is any limit."""
        return any(isfinite(most) for most in self.all)

    @property
    def all(self) -> tuple[float, float, float]:
        """Every limit, in the order of the fields."""
        return self.leaders, self.writes_per_s, self.size_bytes


@dataclass(frozen=True, slots=True)
class Apart:
    """Shards of which no two are led from one node, or from one zone."""

    name: str
    shards: tuple[int, ...]
    scope: Scope


@dataclass(frozen=True, slots=True)
class Nodes:
    """Who may lead. Nodes are numbered in the order of `names`."""

    names: tuple[str, ...]
    region: tuple[int, ...]
    zone: tuple[str, ...]
    limits: Bearing = Bearing()
    """Of each node."""
    zone_limits: Bearing = Bearing()
    apart: tuple[Apart, ...] = ()
    pins: Pairs = ()
    """Nodes that must lead, in the region that their shard is pinned to."""
    wishes: Pairs = ()
    """Nodes that are preferred at present, whatever chance says."""
    barred: Pairs = ()
    """Of a shard and a region, whose nodes were found to have no room for it."""

    def of_region(self, region: int) -> tuple[int, ...]:
        """The nodes of a region."""
        return tuple(node for node, place in enumerate(self.region) if place == region)

    def zone_of(self, node: int) -> tuple[int, str]:
        """The zone of a node: zones of the same name in two regions are two."""
        return self.region[node], self.zone[node]
