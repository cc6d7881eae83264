"""What a node needs to know before it can be one: from its settings, and from the stores."""

from __future__ import annotations

from controlplane.first_documents import first_documents
from controlplane.first_shards import FirstShards
from controlplane.node_plan import NodePlan, PeerPlan, group_plan
from controlplane.runtime.membership import KnownFleet
from controlplane.settings import NodeSettings


def make_plan(settings: NodeSettings, process: str, fleet: KnownFleet) -> NodePlan:
    """Put a node's plan together, of what the stores said of the fleet."""
    topology, site = settings.topology, settings.site
    names = [region.name for region in topology.regions]
    return NodePlan(
        node=site.id,
        region=site.region,
        url=site.url,
        process=process,
        groups=tuple(
            group_plan(fleet.descriptions[group.name], fleet.places, site.region)
            for group in topology.groups
            if group.name in fleet.descriptions
        ),
        peers=tuple(
            PeerPlan(node.id, node.region, node.url, node.zone or "")
            for node in topology.nodes
            if node != site
        ),
        seeds=FirstShards(topology, settings.first_shards.count, settings.first_shards.survival),
        places=fleet.places,
        region_rtt_ms={(a, b): topology.round_trip_ms(a, b) for a in names for b in names},
        limits=settings.limits.limits(),
        documents=first_documents(topology),
        zone=site.zone or "",
    )
