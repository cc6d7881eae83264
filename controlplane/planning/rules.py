"""What the documents say of placement, as a question of placement has it.

The document `constraints` names shards by patterns; the first entry that fits a shard holds. What a
plan by regions cannot keep, since it is about nodes or zones, is listed as such, not dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from config.document import Kind
from config.feed import Feed

GOALS: Final = ("zone", "region")


@dataclass(frozen=True, slots=True)
class ShardRules:
    """What holds for one shard."""

    goal: str | None
    allowed: frozenset[str] | None
    """Regions where its data may be; None: anywhere."""
    pin: str | None
    """The node that leads it."""
    preference: int
    """Which order of leader regions; -1: none."""


class Rules:
    """The constraints in force, for a fleet of these regions."""

    def __init__(self, feed: Feed, regions: Iterable[str]) -> None:
        content = feed.content(Kind.CONSTRAINTS)
        self._regions = frozenset(regions)
        self._content = content
        self._pins = {each["shard"]: each["node"] for each in content.get("pins", [])}
        self._found: dict[str, ShardRules] = {}

    @property
    def preferences(self) -> list[list[str]]:
        """Orders of leader regions, by number."""
        return [list(each["regions"]) for each in self._entries("leader_preferences")]

    @property
    def region_capacity(self) -> Mapping[str, float]:
        """What any one region takes at most."""
        capacity: Mapping[str, float] = self._content.get("capacity", {}).get("region", {})
        return capacity

    @property
    def gathering(self) -> list[dict[str, Any]]:
        """Sets of shards that are not led from the same region."""
        return [
            {"name": each["name"], "shards": list(each["shards"])}
            for each in self._entries("anti_affinity")
            if each["scope"] == "region"
        ]

    @property
    def not_kept(self) -> list[str]:
        """JSON pointers into `constraints` of what a plan by regions does not keep."""
        found = [
            f"/anti_affinity/{index}"
            for index, each in enumerate(self._entries("anti_affinity"))
            if each["scope"] != "region"
        ]
        found += [f"/spread/{index}" for index, _ in enumerate(self._entries("spread"))]
        capacity = self._content.get("capacity", {})
        return found + [f"/capacity/{place}" for place in ("node", "zone") if capacity.get(place)]

    def of(self, shard: str) -> ShardRules:
        """What holds for a shard."""
        goal = self._first("survival", shard)
        residency = self._first("residency", shard)
        allowed = None
        if residency is not None:
            allowed = frozenset(residency.get("allow", self._regions))
            allowed -= frozenset(residency.get("deny", ()))
        orders = self._entries("leader_preferences")
        preference = next(
            (n for n, each in enumerate(orders) if fnmatchcase(shard, each["shards"])), -1
        )
        return ShardRules(
            goal["goal"] if goal is not None else None, allowed, self._pins.get(shard), preference
        )

    def _entries(self, name: str) -> Sequence[dict[str, Any]]:
        entries: Sequence[dict[str, Any]] = self._content.get(name, [])
        return entries

    def _first(self, name: str, shard: str) -> dict[str, Any] | None:
        return next((e for e in self._entries(name) if fnmatchcase(shard, e["shards"])), None)
