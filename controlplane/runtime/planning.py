"""What a node needs to know before it can be one: from its settings, and from the stores."""

from __future__ import annotations

from collections.abc import Mapping

from controlplane.first_documents import first_documents
from controlplane.first_shards import FirstShards
from controlplane.node_plan import NodePlan, PeerPlan, Place, group_plan
from controlplane.settings import NodeSettings
from regions.membership import GroupDescription


def make_plan(
    settings: NodeSettings, process: str, descriptions: Mapping[str, GroupDescription]
) -> NodePlan:
    """Put a node's plan together. Every group of the topology must have its description, and
    every store of it must be in the topology."""
    topology, site = settings.topology, settings.site
    names = [region.name for region in topology.regions]
    places = {store.id: Place(store.region, store.zone) for store in topology.stores}
    return NodePlan(
        node=site.id,
        region=site.region,
        url=site.url,
        process=process,
        groups=tuple(
            group_plan(descriptions[group.name], places, site.region) for group in topology.groups
        ),
        peers=tuple(
            PeerPlan(node.id, node.region, node.url, node.zone or "")
            for node in topology.nodes
            if node != site
        ),
        seeds=FirstShards(topology, settings.first_shards.count, settings.first_shards.survival),
        places=places,
        region_rtt_ms={(a, b): topology.round_trip_ms(a, b) for a in names for b in names},
        limits=settings.limits.limits(),
        documents=first_documents(topology),
        zone=site.zone or "",
    )
