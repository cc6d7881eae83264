"""What a schema cannot say of the fleet's own documents: whether they make sense, and fit together.

Everything here looks at documents alone. Whether a store that a region gives up is in use is asked
of the fleet by whoever edits: see `config/blast_radius.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any, Final

from config.document import Kind, kind_of, region_of
from config.feed import Feed
from config.flag_checks import check_flags
from config.freezes import check_freezes
from config.revision import Revision
from config.store_places import check_addresses
from regions.findings import Finding, Severity, pointer_to

REGIONS_TO_LOSE_ONE: Final = 3
"""In how many regions a shard needs voters to outlive any one of them."""

MERGED_PART_MAX: Final = 4
"""What splits a shard is so many times as much as what merges two, at least."""


def check_kind(revision: Revision, feed: Feed) -> Iterator[Finding]:
    """What is wrong or doubtful in one document. `feed` holds the revision itself."""
    match kind_of(revision.name):
        case Kind.REGION:
            yield from _check_region(region_of(revision.name), revision.content)
            yield from _stores_elsewhere(region_of(revision.name), feed)
            yield from check_addresses(region_of(revision.name), feed)
        case Kind.LATENCY:
            yield from _check_latency(revision.content)
        case Kind.CONSTRAINTS:
            yield from _check_constraints(revision.content, sorted(feed.regions()))
        case Kind.PLACEMENT:
            yield from _check_placement(revision.content)
        case Kind.FLAGS:
            yield from check_flags(revision.name, revision.content, feed)
        case Kind.ROLLOUTS:
            yield from check_freezes(revision.content)


def check_gone(revision: Revision, feed: Feed) -> Iterator[Finding]:
    """What the fleet would lack without a region. `feed` holds the deletion itself."""
    if kind_of(revision.name) is not Kind.REGION:
        return
    if not feed.regions():
        yield _error("it is the last region of the fleet", "create another region first")
        return
    for found in _check_constraints(feed.content(Kind.CONSTRAINTS), sorted(feed.regions())):
        message = f"constraints{found.pointer} could not be kept: {found.message}"
        yield _error(message, "change constraints first")


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


def _stores_elsewhere(region: str, feed: Feed) -> Iterator[Finding]:
    regions = feed.regions()
    homes = {
        store["id"]: other
        for other, content in regions.items()
        if other != region
        for store in content.get("stores", ())
    }
    for at, store in enumerate(regions[region].get("stores", ())):
        if store["id"] in homes:
            message = f"store {store['id']} stands in {homes[store['id']]}"
            yield _error(message, "list it in one region", "stores", at, "id")


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


def _check_placement(content: dict[str, Any]) -> Iterator[Finding]:
    """What is merged must be far from being split again."""
    policy = content.get("split_by_load", {})
    most = policy.get("requests_per_s", 0) / MERGED_PART_MAX
    merged = policy.get("merge", {}).get("requests_per_s", 0)
    if merged > most:
        place = ("split_by_load", "merge", "requests_per_s")
        message = f"shards would be merged up to {merged:g} requests a second, and soon be split"
        yield _error(message, f"at most {most:g} is far enough from what is split", *place)


def _check_constraints(content: dict[str, Any], regions: list[str]) -> Iterator[Finding]:
    for part in ("survival", "residency", "spread", "anti_affinity", "leader_preferences"):
        yield from _named_twice(content.get(part, ()), "name", part)
    yield from _named_twice(content.get("pins", ()), "shard", "pins")
    yield from _named_twice(content.get("on_quorum_loss", ()), "shards", "on_quorum_loss")
    yield from _contradicting_goals(content.get("survival", ()))
    yield from _contradicting_pins(content)
    for at, rule in enumerate(content.get("residency", ())):
        if not allowed_regions(content, rule["shards"], regions):
            message = f"residency leaves {rule['shards']} no region of {', '.join(regions)}"
            yield _error(message, "allow one, or deny fewer", "residency", at)
    for at, rule in enumerate(content.get("survival", ())):
        left = allowed_regions(content, rule["shards"], regions)
        if rule["goal"] == "region" and len(left) < REGIONS_TO_LOSE_ONE:
            message = f"of {REGIONS_TO_LOSE_ONE} regions that this takes, there are {_listed(left)}"
            yield _error(message, "allow more regions, or ask for zone", "survival", at, "goal")
    for at, rule in enumerate(content.get("spread", ())):
        left = allowed_regions(content, rule["shards"], regions)
        if rule.get("regions_min", 1) > len(left):
            message = f"the regions that may be used are {_listed(left)}"
            yield _error(message, "ask for no more than there are", "spread", at, "regions_min")
    yield from _forbidden_preferences(content, regions)


def _forbidden_preferences(content: dict[str, Any], regions: list[str]) -> Iterator[Finding]:
    for at, rule in enumerate(content.get("leader_preferences", ())):
        left = allowed_regions(content, rule["shards"], regions)
        for place, region in enumerate(rule["regions"]):
            if region in regions and region not in left:
                message = f"residency forbids {region} to {rule['shards']}"
                where = ("leader_preferences", at, "regions", place)
                yield _error(message, "prefer regions that are allowed", *where)


def _contradicting_pins(content: dict[str, Any]) -> Iterator[Finding]:
    nodes = {pin["shard"]: pin["node"] for pin in content.get("pins", ())}
    for at, rule in enumerate(content.get("anti_affinity", ())):
        seen: dict[str, str] = {}
        for place, shard in enumerate(rule["shards"]):
            node = nodes.get(shard)
            if node is not None and node in seen:
                message = f"{shard} is pinned to {node}, and so is {seen[node]}"
                yield _error(message, "unpin one of them", "anti_affinity", at, "shards", place)
            elif node is not None:
                seen[node] = shard


def _contradicting_goals(rules: Any) -> Iterator[Finding]:
    goals: dict[str, str] = {}
    for at, rule in enumerate(rules):
        if goals.setdefault(rule["shards"], rule["goal"]) != rule["goal"]:
            message = f"another rule gives {rule['shards']} the goal {goals[rule['shards']]}"
            yield _error(message, "leave one of them", "survival", at, "goal")


def allowed_regions(content: dict[str, Any], shards: str, regions: list[str]) -> list[str]:
    """The regions in which residency, as `constraints` has it, permits a shard.

    `shards` may be a pattern too: then every rule counts that covers all of it.
    """
    left = regions
    for rule in content.get("residency", ()):
        if fnmatchcase(shards, rule["shards"]):
            allow, deny = rule.get("allow", left), rule.get("deny", ())
            left = [region for region in left if region in allow and region not in deny]
    return left


def _listed(regions: list[str]) -> str:
    return ", ".join(regions) or "none"


def _named_twice(items: Any, field: str, part: str) -> Iterator[Finding]:
    seen: set[str] = set()
    for at, item in enumerate(items):
        if item[field] in seen:
            yield _error(f"{item[field]} is given twice", "leave one of them", part, at, field)
        seen.add(item[field])


def _error(message: str, hint: str, *place: str | int) -> Finding:
    return Finding(Severity.ERROR, pointer_to(*place), message, hint)
