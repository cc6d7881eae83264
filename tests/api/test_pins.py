"""Pinning a shard over HTTP: an entry of `constraints`, one for each shard, for nodes that can."""

from __future__ import annotations

from typing import Any

import pytest

from config.revision import HEAD_PREFIX, read_revision
from tests.api.listening import Node, document, kind

Pair = tuple[Node, Node]
PATH = "/v1/shards/s0/pin"


def kept(node: Node) -> list[dict[str, str]]:
    """The pins in the system shard."""
    found = node.service.fleet_of.shards["system"].values.get(HEAD_PREFIX + "constraints")
    if found is None:
        return []
    pins: list[dict[str, str]] = read_revision(found[1].data).content["pins"]
    return pins


@pytest.mark.parametrize("asked", [0, 1])
async def test_a_pin_is_kept_replaced_and_taken_away(pair: Pair, asked: int) -> None:
    node = pair[asked]
    orders: list[tuple[dict[str, Any], list[dict[str, str]]]] = [
        ({"node": "n2"}, [{"shard": "s0", "node": "n2"}]),
        (
            {"node": "n1", "failover": "operator"},
            [{"shard": "s0", "node": "n1", "failover": "operator"}],
        ),
        ({"node": None}, []),
    ]
    for order, pins in orders:
        reply = await node.send("POST", PATH + "?reason=its%20disk", order)
        assert reply.status == 200, reply
        assert kept(node) == pins


async def test_a_dry_run_changes_nothing(pair: Pair) -> None:
    leader, _ = pair
    tried = await leader.send("POST", PATH + "?dry_run=true", {"node": "n2"})
    assert document(tried)["dry_run"]
    assert kept(leader) == []


@pytest.mark.parametrize(
    ("path", "body", "status", "problem"),
    [
        (PATH, {"node": "n9"}, 404, "unknown-node"),
        (PATH, {}, 400, "invalid"),
        (PATH, {"node": "n1", "failover": "luck"}, 400, "invalid"),
        ("/v1/shards/system/pin", {"node": "n1"}, 400, "invalid"),
        ("/v1/shards/s99/pin", {"node": "n1"}, 404, "unknown-shard"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    pair: Pair, path: str, body: dict[str, Any], status: int, problem: str
) -> None:
    reply = await pair[0].send("POST", path, body)
    assert (reply.status, kind(reply)) == (status, problem)


async def test_a_node_that_cannot_stand_for_it_is_refused(pair: Pair) -> None:
    leader, _ = pair
    leader.service.voters = ("eu-1",)
    reply = await leader.send("POST", PATH, {"node": "n2"})
    assert (reply.status, kind(reply)) == (409, "no-candidate")


async def test_a_shard_that_is_unpinned_leaves_an_inherited_pin_to_its_siblings(pair: Pair) -> None:
    leader, _ = pair
    await leader.send("POST", "/v1/shards/s3/pin?reason=x", {"node": "n2"})
    leader.service.continued = {"s1": ("s3",), "s2": ("s3",)}
    await leader.send("POST", "/v1/shards/s1/pin?reason=x", {"node": None})
    assert kept(leader) == [{"shard": "s2", "node": "n2"}]
