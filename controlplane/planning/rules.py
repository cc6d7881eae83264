"""What the documents say of placement, as a question of placement has it.

The document `constraints` names shards by patterns; the first entry that fits a shard, or one that
it continues, holds (config/shard_rules).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from config.document import Kind
from config.feed import Feed
from config.shard_rules import nearest, rule_of

GOALS: Final = ("zone", "region")


@dataclass(frozen=True, slots=True)
class Spread:
    """Over how many places voters are spread at least; `number` is the entry that says so."""

    number: int
    name: str
    regions_min: int
    zones_min: int


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
    spread: Spread | None = None
    """Over how many places its voters are spread."""


class Rules:
    """The constraints in force, for a fleet of these regions."""

    def __init__(
        self, feed: Feed, regions: Iterable[str], ancestors: Mapping[str, Sequence[str]]
    ) -> None:
        """`ancestors`: shards that a shard continues, of those that continue any."""
        content = feed.content(Kind.CONSTRAINTS)
        self._regions = frozenset(regions)
        self._content = content
        self._ancestors = ancestors
        self._pins = {each["shard"]: each for each in content.get("pins", [])}
        self._found: dict[str, ShardRules] = {}

    @property
    def preferences(self) -> list[list[str]]:
        """Orders of leader regions, by number."""
        return [list(each["regions"]) for each in self._entries("leader_preferences")]

    @property
    def region_capacity(self) -> Mapping[str, float]:
        """What any one region takes at most."""
        return self._capacity("region")

    @property
    def node_limits(self) -> dict[str, float | None]:
        """What any one node may lead at most, as the question names it."""
        return _limits(self._capacity("node"))

    @property
    def zone_limits(self) -> dict[str, float | None]:
        """What the nodes of any one zone may lead at most."""
        return _limits(self._capacity("zone"))

    @property
    def gathering(self) -> list[dict[str, Any]]:
        """Sets of shards that are not led from the same region."""
        return [
            {"name": each["name"], "shards": list(each["shards"])}
            for each in self._entries("anti_affinity")
            if each["scope"] == "region"
        ]

    @property
    def apart(self) -> list[dict[str, Any]]:
        """Sets of shards that are not led from the same node, or from the same zone."""
        return [
            {"name": each["name"], "shards": list(each["shards"]), "scope": each["scope"]}
            for each in self._entries("anti_affinity")
            if each["scope"] != "region"
        ]

    @property
    def speak_of_nodes(self) -> bool:
        """Whether it matters which node of a region leads a shard."""
        limits = (*self.node_limits.values(), *self.zone_limits.values())
        return bool(self.apart or self._pins or any(most is not None for most in limits))

    def of(self, shard: str) -> ShardRules:
        """What holds for a shard."""
        names = (shard, *self._ancestors.get(shard, ()))
        goal, residency = self._first("survival", names), self._first("residency", names)
        allowed = None
        if residency is not None:
            allowed = frozenset(residency.get("allow", self._regions))
            allowed -= frozenset(residency.get("deny", ()))
        preference = rule_of(self._content, "leader_preferences", names)
        pin = nearest(self._pins, names)
        return ShardRules(
            goal["goal"] if goal is not None else None,
            allowed,
            None if pin is None else pin["node"],
            -1 if preference is None else preference,
            self._spread(names),
        )

    def _spread(self, names: Sequence[str]) -> Spread | None:
        number = rule_of(self._content, "spread", names)
        if number is None:
            return None
        each = self._content["spread"][number]
        return Spread(number, each["name"], each.get("regions_min", 1), each.get("zones_min", 1))

    def _capacity(self, place: str) -> Mapping[str, float]:
        capacity: Mapping[str, float] = self._content.get("capacity", {}).get(place, {})
        return capacity

    def _entries(self, name: str) -> Sequence[dict[str, Any]]:
        entries: Sequence[dict[str, Any]] = self._content.get(name, [])
        return entries

    def _first(self, name: str, names: Sequence[str]) -> dict[str, Any] | None:
        number = rule_of(self._content, name, names)
        return None if number is None else self._entries(name)[number]


def _limits(capacity: Mapping[str, float]) -> dict[str, float | None]:
    return {
        "leaders": capacity.get("leaders"),
        "writes_per_s": capacity.get("writes_per_s"),
        "size_bytes": capacity.get("bytes"),
    }
