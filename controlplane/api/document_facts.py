"""What of the running fleet an edit of regions or constraints is held against."""

from __future__ import annotations

from config.blast_radius import FleetFacts, GroupFacts, StoreFacts
from controlplane.api.service import Service


def fleet_facts(service: Service) -> FleetFacts:
    """The stores, groups and shards that this node knows of."""
    fleet = service.fleet()
    shards: dict[str, list[str]] = {group.group: [] for group in fleet.groups}
    for view in service.shard_views():
        shards.setdefault(view.group, []).append(view.shard)
    members: dict[str, list[str]] = {}
    for group in fleet.groups:
        for store in (*group.voters, *group.followers):
            members.setdefault(store, []).append(group.group)
    leads: dict[str, int] = {}
    for node in fleet.nodes:
        leads[node.region] = leads.get(node.region, 0) + node.leads
    return FleetFacts(
        stores=tuple(
            StoreFacts(s.store, s.region, s.zone, tuple(members.get(s.store, ())))
            for s in fleet.stores
        ),
        groups=tuple(GroupFacts(g.group, g.voters, tuple(shards[g.group])) for g in fleet.groups),
        leads=leads,
    )
