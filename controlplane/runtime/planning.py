"""What a node needs to know before it can be one: its plan, from the topology and from the stores.

The topology says which stores there are and where. Which *incarnation* of each store belongs to a
group is for the stores to say: it was decided when the group was made, and every store of the
group holds that decision. A store that is down now is known by what the others say of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controlplane.first_shards import first_shards
from controlplane.node_plan import GroupPlan, NodePlan, PeerPlan, StorePlan
from controlplane.settings import NodeSettings
from regions.topology import Group, Topology


@dataclass(frozen=True, slots=True)
class Membership:
    """A group as its stores hold it: version of its configuration, incarnation of every store."""

    version: int
    incarnations: Mapping[str, str]


def make_plan(
    settings: NodeSettings, process: str, memberships: Mapping[str, Membership]
) -> NodePlan:
    """Put a node's plan together. Every group of the topology must have its membership."""
    topology, site = settings.topology, settings.site
    names = [region.name for region in topology.regions]
    return NodePlan(
        node=site.id,
        region=site.region,
        url=site.url,
        process=process,
        groups=tuple(
            _group_plan(topology, group, memberships[group.name], site.region)
            for group in topology.groups
        ),
        peers=tuple(
            PeerPlan(node.id, node.region, node.url) for node in topology.nodes if node != site
        ),
        seeds=first_shards(topology, settings.first_shards.count, settings.first_shards.survival),
        region_rtt_ms={(a, b): topology.round_trip_ms(a, b) for a in names for b in names},
        limits=settings.limits.limits(),
    )


def _group_plan(topology: Topology, group: Group, membership: Membership, region: str) -> GroupPlan:
    def plans(stores: tuple[str, ...]) -> tuple[StorePlan, ...]:
        sites = [topology.store(store) for store in stores]
        return tuple(
            StorePlan(site.id, site.region, site.zone, membership.incarnations[site.id])
            for site in sites
        )

    return GroupPlan(
        name=group.name,
        version=membership.version,
        voters=plans(group.stores),
        followers=plans(group.followers),
        ttl_ms=group.ttl_ms,
        stands=any(topology.store(store).region == region for store in group.stores),
    )
