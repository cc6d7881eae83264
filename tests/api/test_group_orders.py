"""Orders to change which stores belong to a group: checked, taken up here, or passed on."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.requests import (
    ChangeLease,
    ChangeStores,
    ForceRecover,
    Problem,
    Refused,
    StoreAction,
)
from tests.api.listening import Node, document, kind

Pair = tuple[Node, Node]
CHANGES = "/v1/regions/groups/global/changes"
ADD = {"action": "add", "store": "eu-9"}


async def test_an_order_is_taken_up_by_a_node_that_stands_in_the_group(pair: Pair) -> None:
    here, other = pair
    reply = await here.send("POST", CHANGES + "?reason=more%20room", ADD)
    assert reply.status == 202
    assert document(reply)["begun"] is True
    wanted = ChangeStores("global", StoreAction.ADD, "eu-9", reason="more room")
    assert (here.service.changes, other.service.changes) == ([wanted], [])


async def test_a_dry_run_begins_nothing(pair: Pair) -> None:
    here, _ = pair
    reply = await here.send("POST", CHANGES + "?dry_run=true", ADD)
    assert (reply.status, document(reply)["begun"]) == (200, False)


async def test_a_node_elsewhere_passes_it_on(pair: Pair) -> None:
    here, other = pair
    for node in pair:
        node.service.voters = ("us-1",)
    assert (await here.send("POST", CHANGES, ADD)).status == 202
    assert here.service.changes == []
    assert other.service.changes == [ChangeStores("global", StoreAction.ADD, "eu-9")]
    again = await here.send("POST", CHANGES, ADD, Leadplane_Hop="1")
    assert (again.status, kind(again)) == (503, "no-member")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"store": "eu-9"}, "#/action"),
        ({"action": "grow", "store": "eu-9"}, "#/action"),
        ({"action": "add"}, "#/store"),
        ({"action": "add", "store": ""}, "#/store"),
        ({"action": "add", "store": 7}, "#/store"),
        ({"action": "add", "store": "eu-9", "by": "eu-8"}, "#/by"),
        ({"action": "replace", "store": "eu-9"}, "#/by"),
        ({"action": "remove", "store": "eu-9", "follower": True}, "#/follower"),
        ({"action": "add", "store": "eu-9", "colour": "red"}, "#/colour"),
    ],
)
async def test_what_is_wrong_with_an_order_is_named(
    node: Node, body: dict[str, Any], pointer: str
) -> None:
    reply = await node.send("POST", CHANGES, body)
    assert (reply.status, kind(reply)) == (400, "invalid")
    assert [error["pointer"] for error in document(reply)["errors"]] == [pointer]
    assert node.service.changes == []


async def test_a_group_that_there_is_not_is_named(node: Node) -> None:
    reply = await node.send("POST", "/v1/regions/groups/region%2Fmars/changes", ADD)
    assert (reply.status, kind(reply)) == (404, "unknown-group")
    assert "there are global" in document(reply)["detail"]


async def test_what_the_node_refuses_is_a_problem(node: Node) -> None:
    node.service.refuses_change = Refused(Problem.NOT_CHANGED, "a change is on: waits for eu-1")
    reply = await node.send("POST", CHANGES, ADD)
    assert (reply.status, kind(reply)) == (409, "not-changed")
    assert "waits for eu-1" in document(reply)["detail"]


# -- leases

LEASE = "/v1/regions/groups/global/lease"


async def test_another_lease_is_wanted_of_a_node_that_stands_in_the_group(pair: Pair) -> None:
    here, other = pair
    for node in pair:
        node.service.voters = ("us-1",)
    reply = await here.send("POST", LEASE + "?reason=far", {"ttl_ms": 3_000})
    assert (reply.status, document(reply)["ttl_ms"]) == (202, 3_000)
    assert here.service.changes == []
    assert other.service.changes == [ChangeLease("global", 3_000, reason="far")]
    tried = await here.send("POST", LEASE + "?dry_run=true", {"ttl_ms": 3_000})
    assert (tried.status, document(tried)["begun"]) == (200, False)


@pytest.mark.parametrize("body", [{}, {"ttl_ms": 499}, {"ttl_ms": 60_001}, {"ttl_ms": "3000"}])
async def test_what_is_no_lease_is_named(node: Node, body: dict[str, Any]) -> None:
    reply = await node.send("POST", LEASE, body)
    assert (reply.status, kind(reply)) == (400, "invalid")
    assert [error["pointer"] for error in document(reply)["errors"]] == ["#/ttl_ms"]


async def test_a_lease_that_is_unsafe_is_a_problem(node: Node) -> None:
    node.service.refuses_change = Refused(Problem.NOT_CHANGED, "a lease of 600 ms is unsafe")
    reply = await node.send("POST", LEASE, {"ttl_ms": 600})
    assert (reply.status, kind(reply)) == (409, "not-changed")
    assert "unsafe" in document(reply)["detail"]


# -- force-recover

FORCE = "/v1/regions/groups/global/force-recover"


async def test_a_lost_group_is_forced_by_a_node_that_stands_in_it(pair: Pair) -> None:
    here, other = pair
    reply = await here.send("POST", FORCE + "?reason=fire", {"accept_loss": True})
    assert reply.status == 202
    assert document(reply)["lost"].startswith("1 of the 2 dumps")
    assert here.service.forced == [ForceRecover("global", accept_loss=True, reason="fire")]
    for node in pair:
        node.service.voters = ("us-1",)
    assert (await here.send("POST", FORCE, {"accept_loss": True})).status == 202
    assert (len(here.service.forced), len(other.service.forced)) == (1, 1)


async def test_a_dry_run_of_it_needs_no_acceptance_and_begins_nothing(pair: Pair) -> None:
    reply = await pair[0].send("POST", FORCE + "?dry_run=true", {})
    assert (reply.status, document(reply)["begun"]) == (200, False)


async def test_what_accepts_a_loss_is_said_as_such(node: Node) -> None:
    for body in ({"accept_loss": "yes"}, {"accept_loss": 1}):
        reply = await node.send("POST", FORCE, body)
        assert (reply.status, kind(reply)) == (400, "invalid")
        assert [error["pointer"] for error in document(reply)["errors"]] == ["#/accept_loss"]
    assert node.service.forced == []


async def test_a_refusal_to_force_is_a_problem(node: Node) -> None:
    node.service.refuses_change = Refused(Problem.NOT_CHANGED, "only with accept_loss. 1 of 2")
    reply = await node.send("POST", FORCE, {})
    assert (reply.status, kind(reply)) == (409, "not-changed")
    assert "only with accept_loss" in document(reply)["detail"]
