"""What of the running fleet an edit of regions or constraints is held against."""

from __future__ import annotations

from collections.abc import Mapping

from config.blast_radius import FleetFacts, GroupFacts, StoreFacts
from config.store_places import KnownStore
from controlplane.api.service import Service
from controlplane.views import FleetView


def fleet_facts(service: Service) -> FleetFacts:
    """The stores, groups and shards that this node knows of."""
    fleet, places = service.fleet(), service.places()
    shards: dict[str, list[str]] = {each.group: [] for each in fleet.groups}
    for shard, group in service.shard_groups():
        shards.setdefault(group, []).append(shard)
    members = _members(fleet)
    stores = {each.store: (each.region, each.zone) for each in fleet.stores}
    # A store that a change is about to bring in is not one of a group's yet.
    stores |= {s: (p.region, p.zone) for s, p in places.items() if s in members and s not in stores}
    leads: dict[str, int] = {}
    for node in fleet.nodes:
        leads[node.region] = leads.get(node.region, 0) + node.leads
    return FleetFacts(
        stores=tuple(
            StoreFacts(store, region, zone, members.get(store, ()))
            for store, (region, zone) in stores.items()
        ),
        groups=tuple(GroupFacts(g.group, g.voters, tuple(shards[g.group])) for g in fleet.groups),
        leads=leads,
    )


def known_stores(service: Service) -> Mapping[str, KnownStore]:
    """Where this node knows stores to be, and which groups need them there."""
    members = _members(service.fleet())
    return {
        store: KnownStore(place.address, not place.learned, members.get(store, ()))
        for store, place in service.places().items()
    }


def _members(fleet: FleetView) -> dict[str, tuple[str, ...]]:
    """By store the groups that it belongs to, or is to belong to."""
    found: dict[str, tuple[str, ...]] = {}
    for view in fleet.groups:
        stores = [*view.voters, *view.followers]
        if view.change is not None:
            stores += [*view.change.voters, *view.change.followers]
        for store in dict.fromkeys(stores):
            found[store] = (*found.get(store, ()), view.group)
    return found
