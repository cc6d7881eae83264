"""What a starting node takes from its stores: who belongs to a group, and how long its lease is."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from config.document import canonical
from config.effect import PARTITION, live_key, target_key
from config.revision import Revision
from controlplane.errors import StoresNotReady
from controlplane.node.following import SYSTEM
from controlplane.node_plan import Place
from controlplane.runtime.membership import KnownFleet, learn_fleet
from controlplane.runtime.planning import make_plan
from controlplane.settings import NodeSettings
from regions.codec import FORMAT
from regions.conversation import MakeLane
from regions.membership import GroupDescription, write_description
from regions.reference import default_topology
from regions.store import StoreAddress
from regions.topology import GLOBAL_GROUP, Topology
from shards.scripts.state import Shard
from tests.runtime.twin_stores import TwinStore

REGIONS = ("eu-central-1", "us-east-1", "ap-southeast-1")
TOPOLOGY = default_topology(REGIONS, zones=1)
WAIT_MS = 300
ELSEWHERE = StoreAddress("127.0.0.1", 9)


def made_for(topology: Topology) -> dict[str, TwinStore]:
    """The stores of a fleet, as they were initialised for this topology."""
    stores = {site.id: TwinStore(site.id, []) for site in topology.stores}
    for group in topology.groups:
        description = GroupDescription(
            group.name, 1, group.ttl_ms,
            {store: stores[store].incarnation for store in group.stores},
            {store: stores[store].incarnation for store in group.followers},
        )  # fmt: skip
        command = ["install", group.name, 1, write_description(description)]
        for store in (*group.stores, *group.followers):
            twin = stores[store]
            reply = twin.model.call([FORMAT, twin.incarnation, "", 0], [command])
            assert reply.results[0][0] == "OK"
    return stores


def with_ttl(topology: Topology, ttl_ms: int) -> Topology:
    groups = tuple(group.model_copy(update={"ttl_ms": ttl_ms}) for group in topology.groups)
    return topology.model_copy(update={"groups": groups})


async def known_to(topology: Topology, stores: dict[str, TwinStore]) -> KnownFleet:
    """What a node of this topology finds out at its start."""
    at = {site.listens_at: site.id for site in topology.stores} | {ELSEWHERE: "new"}

    def lane_to(address: StoreAddress) -> MakeLane:
        return stores[at[address]].make_lane

    return await learn_fleet(topology, lane_to, WAIT_MS)


async def plan_of(topology: Topology, stores: dict[str, TwinStore]) -> dict[str, int]:
    """Leases by group, as a node of this topology would start with them."""
    known = await known_to(topology, stores)
    settings = NodeSettings(node=topology.nodes[0].id, topology=topology)
    return {group.name: group.ttl_ms for group in make_plan(settings, "p", known).groups}


async def test_all_nodes_have_the_lease_that_the_stores_were_given(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stores = made_for(TOPOLOGY)
    decided = {group.name: group.ttl_ms for group in TOPOLOGY.groups}
    with caplog.at_level(logging.INFO, "leadplane"):
        assert await plan_of(TOPOLOGY, stores) == decided
        assert "lease-decided-before" not in caplog.text
        edited = with_ttl(TOPOLOGY, 1_000)  # shorter: such a node would take over from a leader
        assert await plan_of(edited, stores) == decided
        assert "lease-decided-before group=global ttl_ms=6000 in_topology_ms=1000" in caplog.text


async def test_who_belongs_to_a_group_is_what_its_stores_say(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stores = made_for(TOPOLOGY)
    (first, *others) = TOPOLOGY.groups
    fewer = first.model_copy(update={"stores": first.stores[:1], "followers": first.stores[1:]})
    edited = TOPOLOGY.model_copy(update={"groups": (fewer, *others)})
    with caplog.at_level(logging.INFO, "leadplane"):
        known = await known_to(edited, stores)
    assert set(known.descriptions[first.name].voters) == set(first.stores)
    assert f"members-changed-since group={first.name} version=1" in caplog.text


async def test_a_member_that_the_topology_does_not_know_is_named() -> None:
    stores = made_for(TOPOLOGY)
    gone = TOPOLOGY.stores[0].id
    left = tuple(site for site in TOPOLOGY.stores if site.id != gone)
    groups = tuple(
        group.model_copy(update={"stores": tuple(s for s in group.stores if s != gone)})
        for group in TOPOLOGY.groups
    )
    edited = TOPOLOGY.model_copy(update={"stores": left, "groups": groups})
    with pytest.raises(StoresNotReady, match=f"by its stores, {gone} belong to it"):
        await plan_of(edited, stores)


async def test_a_group_is_known_by_stores_that_came_to_it_later() -> None:
    stores = made_for(TOPOLOGY)
    first = TOPOLOGY.groups[0]
    left = (*first.stores, *first.followers)[-1]
    stores[left] = TwinStore(left, [])  # all that the topology names, and not of the group
    moved = first.model_copy(update={"stores": (left,), "followers": ()})
    groups = (moved, *TOPOLOGY.groups[1:])
    edited = TOPOLOGY.model_copy(update={"groups": groups})
    known = await known_to(edited, stores)
    assert set(known.descriptions[first.name].voters) == set(first.stores)


def take_in(stores: dict[str, TwinStore], old: str) -> GroupDescription:
    """The store `new` has come to the global group for another one, which is left sealed."""
    stores["new"] = TwinStore("new", [])
    first = next(group for group in TOPOLOGY.groups if group.name == GLOBAL_GROUP)
    voters = {s: stores[s].incarnation for s in first.stores}
    kept = {store: incarnation for store, incarnation in voters.items() if store != old}
    later = GroupDescription(
        first.name, 2, first.ttl_ms, {**kept, "new": stores["new"].incarnation}, {}, voters
    )
    for store in first.stores:
        do(stores[store], ["seal", first.name, 1, write_description(later), 2])
    return later


def document(stores: dict[str, TwinStore], store: str, version: int, *listed: str) -> None:
    """What a store's copy of the system shard has applied: the region's document, and others."""
    entry = [{"id": name, "zone": "a", "host": ELSEWHERE.host, "port": 9} for name in listed]
    data = canonical({"stores": entry})
    record = Revision("region.eu-central-1", version, data).packed()
    shards = stores[store].model.state.groups[GLOBAL_GROUP].shards
    shard = shards.setdefault(SYSTEM, Shard())
    for key, value in (
        (live_key("placement", 1), b"?"), (live_key("region.eu-central-1", 1), record),
        (live_key("schema.x", 1), b"?"), (target_key("region.eu-central-1"), b"?"),
    ):  # fmt: skip
        shard.data.put(PARTITION, key, value, 1)


def do(twin: TwinStore, command: list[Any]) -> None:
    reply = twin.model.call([FORMAT, twin.incarnation, "", 0], [command])
    assert reply.results[0][0] == "OK", reply


async def test_a_member_that_the_topology_does_not_know_is_where_a_document_says() -> None:
    stores = made_for(TOPOLOGY)
    later = take_in(stores, TOPOLOGY.stores[0].id)
    document(stores, TOPOLOGY.stores[1].id, 1)
    document(stores, TOPOLOGY.stores[2].id, 2, "new")  # the greatest version counts
    known = await known_to(TOPOLOGY, stores)
    assert known.descriptions[GLOBAL_GROUP] == later
    assert known.places["new"] == Place("eu-central-1", "a", ELSEWHERE, learned=True)
    settings = NodeSettings(node=TOPOLOGY.nodes[0].id, topology=TOPOLOGY)
    plan = make_plan(settings, "p", known)
    (group,) = (group for group in plan.groups if group.name == GLOBAL_GROUP)
    assert group.stands, "the store that came is in this node's region"
    document(stores, TOPOLOGY.stores[1].id, 3)  # and there it is said that it is gone
    with pytest.raises(StoresNotReady, match="new belong to it, and no document") as refused:
        await known_to(TOPOLOGY, stores)
    assert "topology" in refused.value.hint


async def test_the_group_of_a_region_that_came_later_is_left_out_until_it_is_made(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its store follows the global group by now: it was made, and knows of no group of its own."""
    grown = default_topology((*REGIONS, "sa-east-1"), zones=1)
    stores = made_for(TOPOLOGY)
    (later,) = grown.stores_in("sa-east-1")
    own = grown.group("region/sa-east-1")
    stores[later.id] = TwinStore(later.id, [])
    with caplog.at_level(logging.INFO, "leadplane"):
        known = await known_to(grown, stores)
    assert known.descriptions.keys() == {group.name for group in TOPOLOGY.groups}
    assert f"group-not-made group={own.name}" in caplog.text
    stores[later.id].down = True
    with pytest.raises(StoresNotReady, match=f"no store tells who belongs to {own.name}"):
        await known_to(grown, stores)
