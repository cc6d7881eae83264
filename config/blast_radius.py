"""What an edit of regions or constraints would do to shards and groups, before it is made.

The documents before and after are held against the fleet as it runs: which stores of which group
stand in a region that would go, or would no longer be listed there, and what that leaves of
quorums, of survival, and of the regions that may lead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from config.document import Kind, kind_of, region_of
from config.feed import Feed
from config.kind_checks import allowed_regions
from regions.findings import Finding, Severity, pointer_to

NAMED_MAX = 5
"""How many shards or groups a sentence names; the lists are whole."""


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """Where a store stands, and which groups it votes in or follows."""

    store: str
    region: str
    zone: str
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """A group's voters, and what it decides about."""

    group: str
    voters: tuple[str, ...]
    shards: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FleetFacts:
    """What of the running fleet matters here. `leads` counts shards led, by region."""

    stores: tuple[StoreFacts, ...]
    groups: tuple[GroupFacts, ...]
    leads: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BlastRadius:
    """What would be worse than it is. `summary` says it in sentences; empty when nothing is."""

    summary: tuple[str, ...]
    shards_losing_region_survival: tuple[str, ...]
    shards_without_leader_region: tuple[str, ...]
    groups_losing_quorum: tuple[str, ...]
    groups_losing_spread: tuple[str, ...]


@dataclass(slots=True)
class _Standing:
    survive: set[str] = field(default_factory=set)  # shards that outlive any one region
    led: set[str] = field(default_factory=set)  # shards that some region may lead
    quorate: set[str] = field(default_factory=set)
    spread: dict[str, tuple[int, int]] = field(default_factory=dict)  # regions, zones of voters


def blast_radius(before: Feed, after: Feed, facts: FleetFacts) -> BlastRadius:
    """What shards and groups would lose by going over from these documents to those."""
    old, new = _standing(before, facts), _standing(after, facts)
    survival = tuple(sorted(old.survive - new.survive))
    led = tuple(sorted(old.led - new.led))
    quorum = tuple(sorted(old.quorate - new.quorate))
    spread = tuple(
        sorted(name for name in old.spread if _is_less(new.spread[name], old.spread[name]))
    )
    had = set(_over_capacity(before, facts))
    sentences = (
        _sentence(survival, "shard", "loses region survival", "lose region survival"),
        _sentence(led, "shard", "would have no leader region", "would have no leader region"),
        _sentence(quorum, "group", "loses its quorum", "lose their quorum"),
        _sentence(spread, "group", "loses quorum spread", "lose quorum spread"),
        *(told for told in _over_capacity(after, facts) if told not in had),
    )
    summary = tuple(sentence for sentence in sentences if sentence)
    return BlastRadius(summary, survival, led, quorum, spread)


def _standing(feed: Feed, facts: FleetFacts) -> _Standing:
    regions = feed.regions()
    constraints = feed.content(Kind.CONSTRAINTS)
    places = {s.store: (s.region, s.zone) for s in facts.stores if _stands(s, regions)}
    standing = _Standing()
    for group in facts.groups:
        left = [places[voter] for voter in group.voters if voter in places]
        quorum = len(group.voters) // 2 + 1
        in_regions = {region for region, _ in left}
        standing.spread[group.group] = (len(in_regions), len(set(left)))
        if len(left) >= quorum:
            standing.quorate.add(group.group)
        worst = max((sum(r == region for r, _ in left) for region in in_regions), default=0)
        for shard in group.shards:
            if len(left) - worst >= quorum:
                standing.survive.add(shard)
            if len(left) >= quorum and allowed_regions(constraints, shard, sorted(in_regions)):
                standing.led.add(shard)
    return standing


def _stands(store: StoreFacts, regions: Mapping[str, dict[str, Any]]) -> bool:
    """Whether the documents still have it; a region that lists no stores has those of its zones."""
    content = regions.get(store.region)
    if content is None or store.zone not in content["zones"]:
        return False
    listed = content.get("stores")
    return listed is None or any(each["id"] == store.store for each in listed)


def _is_less(new: tuple[int, int], old: tuple[int, int]) -> bool:
    return new[0] < old[0] or new[1] < old[1]


def _over_capacity(after: Feed, facts: FleetFacts) -> Iterator[str]:
    for region, content in after.regions().items():
        most = content.get("capacity", {}).get("leaders")
        leads = facts.leads.get(region, 0)
        if most is not None and leads > most:
            yield f"{region} leads {leads} shards, {leads - most} more than it then may"


def stores_given_up(before: Feed, after: Feed, name: str, facts: FleetFacts) -> Iterator[Finding]:
    """Stores that a region's document would no longer have, and that belong to a group."""
    if kind_of(name) is not Kind.REGION:
        return
    old, new = before.regions(), after.regions()
    content = new.get(region_of(name))
    for store in facts.stores:
        if store.region != region_of(name) or not store.groups:
            continue
        if _stands(store, old) and not _stands(store, new):
            groups = ", ".join(store.groups)
            message = f"store {store.store} stands there and belongs to {groups}"
            hint = "take the store out of its groups first: `leadplane regions stores remove`"
            gone = content is not None and store.zone not in content["zones"]
            place = ("zones",) if gone else ("stores",)
            pointer = pointer_to(*place) if content is not None else ""
            yield Finding(Severity.ERROR, pointer, message, hint)


def _sentence(names: Iterable[str], thing: str, one: str, many: str) -> str:
    listed = list(names)
    if not listed:
        return ""
    shown = ", ".join(listed[:NAMED_MAX]) + (", ..." if len(listed) > NAMED_MAX else "")
    things, does = (thing, one) if len(listed) == 1 else (f"{thing}s", many)
    return f"{len(listed)} {things} {does}: {shown}"
