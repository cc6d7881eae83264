"""Whom a fault is for, said by role: who leads a shard is not known when a scenario is written.

leader of s00       the node that leads this shard when the fault comes
others of s00       every other node
voter of s00        one store that votes about it, where possible beside its leader
majority of s00     as many voters as it takes to stop it
node N, store N     one process by its name
region N, zone N    all that stands there
all nodes           every node; also: all stores
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator

from regions.topology import Topology

_NAME = r"[a-z0-9][a-z0-9-]*"
_OF_SHARD = re.compile(rf"(leader|others|voter|majority) of ({_NAME})")
_NAMED = re.compile(rf"(node|store|region|zone) ({_NAME})")
_ALL = re.compile(r"all (nodes|stores)")
FORMS = (
    "leader of SHARD, others of SHARD, voter of SHARD, majority of SHARD, node NAME, store NAME, "
    "region NAME, zone NAME, all nodes, all stores"
)


def _role(text: str) -> str:
    if not any(form.fullmatch(text) for form in (_OF_SHARD, _NAMED, _ALL)):
        raise ValueError(f"nobody can be meant by this; write one of: {FORMS}")
    return text


Role = Annotated[str, AfterValidator(_role)]


class Kind(StrEnum):
    """What a site is."""

    NODE = "node"
    STORE = "store"


@dataclass(frozen=True, slots=True)
class Site:
    """One process of the fleet, and where it stands."""

    id: str
    kind: Kind
    region: str
    zone: str


@dataclass(frozen=True, slots=True)
class ShardNow:
    """What must be known of a shard to find those around it."""

    leader: str | None
    voters: Sequence[str]


class NobodyThere(Exception):
    """At this moment a role is nobody's; the message says whose it was to be."""


def sites_of(topology: Topology) -> tuple[Site, ...]:
    """All sites of a topology, nodes first."""
    nodes = (Site(n.id, Kind.NODE, n.region, n.zone or "") for n in topology.nodes)
    stores = (Site(s.id, Kind.STORE, s.region, s.zone) for s in topology.stores)
    return (*nodes, *stores)


def shard_in(role: str) -> str | None:
    """The shard by which a role is found, None for one that is fixed."""
    found = _OF_SHARD.fullmatch(role)
    return found[2] if found else None


def resolve(role: str, sites: Sequence[Site], shards: Mapping[str, ShardNow]) -> tuple[str, ...]:
    """The sites that have a role now, in the topology's order. Raises NobodyThere."""
    if found := _OF_SHARD.fullmatch(role):
        chosen = _around(found[1], sites, shards[found[2]])
    elif found := _NAMED.fullmatch(role):
        what, name = found.groups()
        chosen = [site.id for site in sites if _is_named(site, what, name)]
    else:
        kind = Kind(role.removeprefix("all ").removesuffix("s"))
        chosen = [site.id for site in sites if site.kind is kind]
    if not chosen:
        raise NobodyThere(f"nobody is {role!r}; there are {', '.join(s.id for s in sites)}")
    return tuple(chosen)


def _is_named(site: Site, what: str, name: str) -> bool:
    match what:
        case "region":
            return site.region == name
        case "zone":
            return site.zone == name
    return site.kind == what and site.id == name


def _around(who: str, sites: Sequence[Site], shard: ShardNow) -> list[str]:
    nodes = [site.id for site in sites if site.kind is Kind.NODE]
    match who:
        case "leader":
            return [node for node in nodes if node == shard.leader]
        case "others":
            return [node for node in nodes if node != shard.leader]
        case "majority":
            return list(shard.voters[: len(shard.voters) // 2 + 1])
    places = {site.id: (site.region, site.zone) for site in sites}
    here = places.get(shard.leader or "", ("", ""))
    beside = [v for v in shard.voters if places[v] == here]
    near = [v for v in shard.voters if places[v][0] == here[0]]
    return list((*beside, *near, *shard.voters)[:1])


def parts(sites: Sequence[Site]) -> list[tuple[str, ...]]:
    """The sites by where they stand: by region, or by zone where there is one region."""
    several = len({site.region for site in sites}) > 1
    found: dict[str, list[str]] = {}
    for site in sites:
        found.setdefault(site.region if several else site.zone, []).append(site.id)
    return [tuple(found[place]) for place in sorted(found)]
