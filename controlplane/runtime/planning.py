"""What a node needs to know before it can be one: from its settings, and from the stores."""

from __future__ import annotations

from collections.abc import Mapping

from controlplane.first_shards import FirstShards
from controlplane.node_plan import GroupPlan, NodePlan, PeerPlan, StorePlan
from controlplane.settings import NodeSettings
from regions.membership import GroupDescription
from regions.topology import Group, Topology


def make_plan(
    settings: NodeSettings, process: str, descriptions: Mapping[str, GroupDescription]
) -> NodePlan:
    """Put a node's plan together. Every group of the topology must have its description."""
    topology, site = settings.topology, settings.site
    names = [region.name for region in topology.regions]
    return NodePlan(
        node=site.id,
        region=site.region,
        url=site.url,
        process=process,
        groups=tuple(
            _group_plan(topology, group, descriptions[group.name], site.region)
            for group in topology.groups
        ),
        peers=tuple(
            PeerPlan(node.id, node.region, node.url) for node in topology.nodes if node != site
        ),
        seeds=FirstShards(topology, settings.first_shards.count, settings.first_shards.survival),
        region_rtt_ms={(a, b): topology.round_trip_ms(a, b) for a in names for b in names},
        limits=settings.limits.limits(),
    )


def _group_plan(
    topology: Topology, group: Group, description: GroupDescription, region: str
) -> GroupPlan:
    def plans(stores: tuple[str, ...]) -> tuple[StorePlan, ...]:
        sites = [topology.store(store) for store in stores]
        return tuple(
            StorePlan(site.id, site.region, site.zone, description.incarnations[site.id])
            for site in sites
        )

    return GroupPlan(
        name=group.name,
        version=description.version,
        voters=plans(group.stores),
        followers=plans(group.followers),
        ttl_ms=description.ttl_ms,
        stands=any(topology.store(store).region == region for store in group.stores),
    )
