"""The global leader is killed in the middle of what operators ordered: it is done, and done once.

Drains, orders and reshardings have their own tests (test_drain, test_placement, test_resharding).
"""

from __future__ import annotations

import json
import signal
import time
from typing import Any

import pytest

from controlplane.cli.connection import FleetAccess
from tests.integration.fleet_on_test import MEND_S_MAX, SHARDS, FleetOnTest, wait_for

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("fleet")]

HOME = "region/eu-central-1"
AFTER = 50
HOMECOMING_S_MAX = 120.0
REST_S = 15.0


def send(access: FleetAccess, path: str, **body: Any) -> Any:
    """An order. Raises Problem."""
    headers = {"Content-Type": "application/json"}
    return access.send("POST", path, headers=headers, body=json.dumps(body).encode()).document()


def global_leader(fleet: FleetOnTest) -> str:
    """The node that leads the system shard."""
    return fleet.leader()


def leaders(fleet: FleetOnTest) -> dict[str, str]:
    """Who leads what."""
    rows = fleet.access.items("/v1/shards", limit=1_000)["items"]
    return {row["shard"]: row["leader"]["node"] for row in rows if row["leader"]}


def at_rest(fleet: FleetOnTest) -> dict[str, str]:
    """Who leads what, when everybody has been trusted for long enough to be at home."""
    since_s, seen = time.monotonic(), leaders(fleet)

    def look() -> bool:
        nonlocal since_s, seen
        now = leaders(fleet)
        if now != seen or len(now) < SHARDS:
            since_s, seen = time.monotonic(), now
        return time.monotonic() - since_s > REST_S

    wait_for(look, "leaders are at rest", HOMECOMING_S_MAX)
    return seen


def kill(fleet: FleetOnTest, node: str) -> FleetAccess:
    """Kill a node; the way to all others."""
    assert fleet.process("nodes", node).signal(signal.SIGKILL)
    return fleet.without(node)


def test_leaders_come_home_though_the_global_leader_dies_as_their_node_is_undrained(
    fleet: FleetOnTest,
) -> None:
    settled = at_rest(fleet)
    place = next(node for node in settled.values() if node != settled["system"])
    home = {shard for shard, node in settled.items() if node == place}

    def left() -> bool:
        drains = fleet.access.get("/v1/placement")["drains"]
        return [drain["state"] for drain in drains] == ["drained"]

    def at_place() -> set[str]:
        return {shard for shard, node in leaders(fleet).items() if node == place}

    send(fleet.access, f"/v1/nodes/{place}/drain")
    wait_for(left, "the place is drained", HOMECOMING_S_MAX)
    wait_for(lambda: not home & at_place(), "whoever is asked knows it")
    leader = global_leader(fleet)
    send(fleet.by_way_of(leader), f"/v1/nodes/{place}/undrain")
    kill(fleet, leader)
    wait_for(lambda: home <= at_place(), "leaders are at home", HOMECOMING_S_MAX)
    fleet.until_whole()


def test_a_pinned_shard_gets_to_its_node_though_the_global_leader_dies(fleet: FleetOnTest) -> None:
    leader = global_leader(fleet)
    rows = fleet.access.items("/v1/shards", limit=1_000)["items"]
    shard, target = next(
        (row, node["id"])
        for row in rows
        for node in fleet.state()["nodes"]
        if row["end_slot"]
        and row["leader"]
        and row["leader"]["region"] == node["region"]
        and node["id"] not in (leader, row["leader"]["node"])
    )
    path = f"/v1/shards/{shard['shard']}/pin"
    before = len(pins(fleet))
    send(fleet.by_way_of(leader), path, node=target)
    others = kill(fleet, leader)

    def is_there() -> bool:
        found = others.get(f"/v1/shards/{shard['shard']}")
        return found["leader"] is not None and found["leader"]["node"] == target

    wait_for(is_there, "it is led by its node", HOMECOMING_S_MAX)
    assert len(pins(fleet)) == before + 1, "it is pinned once"
    send(fleet.access, path, node=None)
    fleet.until_whole()


def pins(fleet: FleetOnTest) -> list[Any]:
    """As the document has them."""
    document = wait_for(lambda: fleet.access.get("/v1/config/constraints"), "the constraints")
    found: list[Any] = document["content"].get("pins", [])
    return found


@pytest.mark.parametrize(
    ("order", "back"),
    [
        (
            {"action": "replace", "store": "eu-central-1-s2", "by": "us-east-1-s2"},
            {"action": "replace", "store": "us-east-1-s2", "by": "eu-central-1-s2"},
        ),
        (
            {"action": "add", "store": "us-east-1-s3"},
            {"action": "remove", "store": "us-east-1-s3"},
        ),
    ],
    ids=["replace", "add and remove"],
)
def test_a_groups_stores_are_changed_though_whoever_does_it_is_killed(
    fleet: FleetOnTest, order: dict[str, str], back: dict[str, str]
) -> None:
    shard, before = fleet.shard(HOME), voters(fleet.access)
    present = before
    with fleet.writes(shard, f"headless-{order['action']}") as writer:
        for number, each in enumerate((order, back)):
            wanted = present = after(present, each)
            leader = global_leader(fleet)
            path = f"/v1/regions/groups/{HOME.replace('/', '%2F')}/changes"
            send(fleet.by_way_of(leader), path, **each)
            others = kill(fleet, leader)

            def is_so(
                others: FleetAccess = others, wanted: set[str] = wanted, each: Any = each,
                path: str = path,
            ) -> bool:  # fmt: skip
                if voters(others) == wanted:
                    return True
                group = others.get(path.removesuffix("/changes"))
                if group["change"] is None:
                    send(others, path, **each)  # it was lost before it was decided
                return False

            wait_for(is_so, f"change {number} of the store set", 2 * MEND_S_MAX)
            assert writer.wait_for_number(len(writer.acks) + AFTER, MEND_S_MAX)
            fleet.until_whole()
    wait_for(lambda: voters(fleet.access) == before, "all are as they were")
    assert fleet.lost(shard, f"headless-{order['action']}", writer) == set()


def voters(access: FleetAccess) -> set[str]:
    """Who votes in the group of the first region."""
    groups = access.items("/v1/regions/groups")["items"]
    return next((set(group["voters"]) for group in groups if group["group"] == HOME), set())


def after(present: set[str], order: dict[str, str]) -> set[str]:
    """Who votes when the order is done."""
    if order["action"] == "add":
        return present | {order["store"]}
    return present - {order["store"]} | ({order["by"]} if "by" in order else set())
