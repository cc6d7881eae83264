"""What a schema cannot say of the fleet's own documents: whether they make sense, and fit together.

Everything here looks at documents alone. Whether a store that a region gives up is in use is asked
of the fleet by whoever edits: see `config/blast_radius.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from config.document import Kind, kind_of, region_of
from config.feed import Feed
from config.revision import Revision
from regions.findings import Finding, Severity, pointer_to


def check_kind(revision: Revision, feed: Feed) -> Iterator[Finding]:
    """What is wrong or doubtful in one document. `feed` holds the revision itself."""
    match kind_of(revision.name):
        case Kind.REGION:
            yield from _check_region(region_of(revision.name), revision.content)
        case Kind.LATENCY:
            yield from _check_latency(revision.content)
        case Kind.CONSTRAINTS:
            yield from _check_constraints(revision.content, sorted(feed.regions()))


def check_last_region(revision: Revision, feed: Feed) -> Iterator[Finding]:
    """A fleet keeps a region. `feed` holds the deletion itself."""
    if kind_of(revision.name) is Kind.REGION and not feed.regions():
        yield _error("it is the last region of the fleet", "create another region first")


def _check_region(region: str, content: dict[str, Any]) -> Iterator[Finding]:
    if region in content["egress_usd_per_gb"]:
        place = ("egress_usd_per_gb", region)
        yield _error("a region does not send to itself", "leave it out", *place)
    zones = content["zones"]
    for at, store in enumerate(content.get("stores", ())):
        if store["zone"] not in zones:
            hint = f"{region} has {', '.join(zones)}"
            yield _error(f"there is no zone {store['zone']}", hint, "stores", at, "zone")
    yield from _named_twice(content.get("stores", ()), "id", "stores")


def _check_latency(content: dict[str, Any]) -> Iterator[Finding]:
    """A pair has a figure each way or none: a matrix has no holes."""
    matrix = content.get("round_trip_ms", {})
    for here, row in matrix.items():
        for there in row:
            place = ("round_trip_ms", here, there)
            if here == there:
                yield _error("a region has no way to itself", "leave it out", *place)
            elif here not in matrix.get(there, {}):
                message = f"there is no figure for the way back, from {there} to {here}"
                yield _error(message, "give one each way, or none", *place)


def _check_constraints(content: dict[str, Any], regions: list[str]) -> Iterator[Finding]:
    for part in ("survival", "residency", "spread", "anti_affinity", "leader_preferences"):
        yield from _named_twice(content.get(part, ()), "name", part)
    yield from _named_twice(content.get("pins", ()), "shard", "pins")
    yield from _contradicting_goals(content.get("survival", ()))
    for at, rule in enumerate(content.get("residency", ())):
        if not _left(rule, regions):
            message = f"it leaves no region of {', '.join(regions)}"
            yield _error(message, "allow one, or deny fewer", "residency", at)
    for at, rule in enumerate(content.get("leader_preferences", ())):
        for other in content.get("residency", ()):
            denied = [r for r in rule["regions"] if r not in _left(other, regions)]
            if denied and _overlap(rule["shards"], other["shards"]):
                place = ("leader_preferences", at, "regions", rule["regions"].index(denied[0]))
                message = f"{denied[0]} is forbidden by residency {other['name']}"
                yield _error(message, "prefer regions that are allowed", *place)
    for at, rule in enumerate(content.get("spread", ())):
        if rule.get("regions_min", 1) > len(regions):
            message = f"the fleet has {len(regions)} regions"
            yield _error(message, "ask for no more than there are", "spread", at, "regions_min")


def _contradicting_goals(rules: Any) -> Iterator[Finding]:
    goals: dict[str, str] = {}
    for at, rule in enumerate(rules):
        if goals.setdefault(rule["shards"], rule["goal"]) != rule["goal"]:
            message = f"another rule gives {rule['shards']} the goal {goals[rule['shards']]}"
            yield _error(message, "leave one of them", "survival", at, "goal")


def allowed_regions(content: dict[str, Any], shard: str, regions: list[str]) -> list[str]:
    """The regions in which residency, as `constraints` has it, permits a shard."""
    left = regions
    for rule in content.get("residency", ()):
        if fnmatchcase(shard, rule["shards"]):
            left = _left(rule, left)
    return left


def _left(rule: dict[str, Any], regions: list[str]) -> list[str]:
    allow, deny = rule.get("allow", regions), rule.get("deny", ())
    return [region for region in regions if region in allow and region not in deny]


def _overlap(one: str, other: str) -> bool:
    """Whether two patterns surely have shards in common: one covers the other."""
    return fnmatchcase(one, other) or fnmatchcase(other, one)


def _named_twice(items: Any, field: str, part: str) -> Iterator[Finding]:
    seen: set[str] = set()
    for at, item in enumerate(items):
        if item[field] in seen:
            yield _error(f"{item[field]} is given twice", "leave one of them", part, at, field)
        seen.add(item[field])


def _error(message: str, hint: str, *place: str | int) -> Finding:
    return Finding(Severity.ERROR, pointer_to(*place), message, hint)
