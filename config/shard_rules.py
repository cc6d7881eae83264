"""What the document `constraints` says of one shard, also where its name is another one by now.

A shard that was split, merged or moved goes on under new names. So a rule holds for a shard if it
fits its name or that of any shard that it continues: `names` are its own and its ancestors', the
nearest first. Of rules by pattern the first that fits holds, as ever; of pins, that of the nearest.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

from config.document import canonical

BY_PATTERN: Final = ("survival", "residency", "spread", "leader_preferences", "on_quorum_loss")


def rule_of(content: Mapping[str, Any], part: str, names: Sequence[str]) -> int | None:
    """Which entry of a part holds for a shard, by its number; None if none does."""
    for number, entry in enumerate(content.get(part, ())):
        if any(fnmatchcase(name, entry["shards"]) for name in names):
            return number
    return None


def pin_of(content: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any] | None:
    """The pin that holds for a shard."""
    return nearest({pin["shard"]: pin for pin in content.get("pins", ())}, names)


def nearest(pins: Mapping[str, dict[str, Any]], names: Sequence[str]) -> dict[str, Any] | None:
    """Of pins by shard, that of the first of these names which has one."""
    return next((pins[name] for name in names if name in pins), None)


def said_of(content: Mapping[str, Any], names: Sequence[str]) -> Hashable:
    """All that is said of a shard; equal for shards of which the same is said."""
    if not content:
        return ()
    rules = tuple(rule_of(content, part, names) for part in BY_PATTERN)
    pin = pin_of(content, names)
    return rules, None if pin is None else canonical({**pin, "shard": ""})


def differing(content: Mapping[str, Any], one: Sequence[str], other: Sequence[str]) -> str:
    """In which part of the document two shards differ; empty if in none."""
    for part in BY_PATTERN:
        if rule_of(content, part, one) != rule_of(content, part, other):
            return part
    return "" if said_of(content, one) == said_of(content, other) else "pins"


def is_named(content: Mapping[str, Any], name: str) -> bool:
    """Whether anything is said of this very shard, or of shards like it, but not of all."""
    patterns = {entry["shards"] for part in BY_PATTERN for entry in content.get(part, ())} - {"*"}
    named = any(fnmatchcase(name, pattern) for pattern in patterns)
    return named or any(pin["shard"] == name for pin in content.get("pins", ()))
