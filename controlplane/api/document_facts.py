"""What of the running fleet an edit of regions or constraints is held against."""

from __future__ import annotations

from config.blast_radius import FleetFacts, GroupFacts, StoreFacts
from controlplane.api.service import Service


def fleet_facts(service: Service) -> FleetFacts:
    """The stores, groups and shards that this node knows of."""
    fleet = service.fleet()
    shards: dict[str, list[str]] = {each.group: [] for each in fleet.groups}
    for shard, group in service.shard_groups():
        shards.setdefault(group, []).append(shard)
    members: dict[str, list[str]] = {}
    for view in fleet.groups:
        for store in (*view.voters, *view.followers):
            members.setdefault(store, []).append(view.group)
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
