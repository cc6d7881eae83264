"""What a starting node takes from its stores: who belongs to a group, and how long its lease is."""

from __future__ import annotations

import logging

import pytest

from controlplane.errors import StoresNotReady
from controlplane.runtime.membership import learn_memberships
from controlplane.runtime.planning import make_plan
from controlplane.settings import NodeSettings
from regions.codec import FORMAT
from regions.conversation import MakeLane
from regions.membership import GroupDescription, write_description
from regions.reference import default_topology
from regions.topology import StoreSite, Topology
from tests.runtime.twin_stores import TwinStore

TOPOLOGY = default_topology(("eu-central-1", "us-east-1", "ap-southeast-1"), zones=1)
WAIT_MS = 300


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


async def plan_of(topology: Topology, stores: dict[str, TwinStore]) -> dict[str, int]:
    """Leases by group, as a node of this topology would start with them."""

    def make_lane(site: StoreSite) -> MakeLane:
        return stores[site.id].make_lane

    known = await learn_memberships(topology, make_lane, WAIT_MS)
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
        known = await learn_memberships(edited, lambda site: stores[site.id].make_lane, WAIT_MS)
    assert set(known[first.name].voters) == set(first.stores)
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
    known = await learn_memberships(edited, lambda site: stores[site.id].make_lane, WAIT_MS)
    assert set(known[first.name].voters) == set(first.stores)
