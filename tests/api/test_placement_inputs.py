"""Load by region of origin is counted where clients come in, and shown by the global leader."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.node.load_reports import Gathered
from regions.latency_matrix import LatencyMatrix, Measured
from shards.load import Rates
from shards.load_table import LoadTable
from tests.api.listening import Node, document, kind

Pair = tuple[Node, Node]
NOW_MS = 70_000


def gathered(node: Node) -> Gathered:
    """Three shards, told by nodes of two regions."""
    table = LoadTable()
    of_n1 = [("s0", Rates(10, 2, 1_000, 200)), ("s1", Rates(1, 0, 10, 0))]
    of_n2 = [("s0", Rates(30, 0, 300, 0)), ("s2", Rates(0, 9, 0, 9_000))]
    table.take("n1", "eu", of_n1, 0, 65_000)
    table.take("n2", "us", of_n2, 0, 69_000)
    matrix = LatencyMatrix({("eu", "us"): 90.0, ("us", "eu"): 90.0})
    matrix.take("n1", "eu", {"us": Measured(240.0, 260.0, 32)}, 69_000)
    node.service.reported = Gathered(4, 10_000, NOW_MS, table, matrix)
    return node.service.reported


def counted(node: Node, shard: str) -> tuple[int, int, int, int]:
    load = node.service.load.of(shard)
    return load.reads, load.writes, load.read_bytes, load.write_bytes


async def shard_of(node: Node, key: str) -> str:
    return str(document(await node.get(f"/v1/route?key={key}"))["shard"])


async def test_a_request_counts_where_its_client_came_in_and_nowhere_else(pair: Pair) -> None:
    leader, follower = pair
    shard = await shard_of(follower, "orders")
    assert (await follower.send("PUT", "/v1/kv/orders", b"12345")).status == 200
    assert (await follower.get("/v1/kv/orders")).body == b"12345"  # strong: from the leader
    assert (await follower.get("/v1/kv/orders?consistency=any")).body == b"12345"
    assert (await follower.get("/v1/kv?partition=orders")).status == 200
    assert counted(leader, shard) == (0, 0, 0, 0)
    reads, writes, read_bytes, write_bytes = counted(follower, shard)
    assert (reads, writes, write_bytes) == (3, 1, 5)
    assert read_bytes >= 10


async def test_what_is_asked_for_in_vain_is_asked_for(node: Node) -> None:
    shard = await shard_of(node, "nothing")
    assert (await node.get("/v1/kv/nothing")).status == 404
    assert counted(node, shard) == (1, 0, 0, 0)


async def test_every_shard_by_name_with_who_said_it(node: Node) -> None:
    gathered(node)
    page = document(await node.get("/v1/placement/load?limit=2"))
    assert [item["shard"] for item in page["items"]] == ["s0", "s1"]
    assert page["items"][0] == {
        "shard": "s0",
        "requests_per_s": 42.0,
        "bytes_per_s": 1_500.0,
        "origins": [
            {
                "region": "us", "reads_per_s": 30.0, "writes_per_s": 0.0,
                "read_bytes_per_s": 300.0, "write_bytes_per_s": 0.0,
            },
            {
                "region": "eu", "reads_per_s": 10.0, "writes_per_s": 2.0,
                "read_bytes_per_s": 1_000.0, "write_bytes_per_s": 200.0,
            },
        ],
    }  # fmt: skip
    assert (page["node"], page["epoch"], page["gathered_for_ms"]) == ("n1", 4, 60_000)
    assert page["reporters"] == [
        {"node": "n1", "region": "eu", "age_ms": 5_000, "shards": 2, "behind": 0},
        {"node": "n2", "region": "us", "age_ms": 1_000, "shards": 2, "behind": 0},
    ]
    last = document(await node.get(f"/v1/placement/load?limit=2&continue={page['continue']}"))
    assert [item["shard"] for item in last["items"]] == ["s2"]
    assert "continue" not in last


@pytest.mark.parametrize(
    ("by", "order"),
    [("requests", ["s0", "s2"]), ("writes", ["s2", "s0"]), ("bytes", ["s2", "s0"])],
)
async def test_the_busiest_first(node: Node, by: str, order: list[str]) -> None:
    gathered(node)
    page = document(await node.get(f"/v1/placement/load?busiest_by={by}&limit=2"))
    assert [item["shard"] for item in page["items"]] == order
    reply = await node.get("/v1/placement/load?busiest_by=reads&continue=abc")
    assert (reply.status, kind(reply)) == (400, "invalid")


async def test_it_is_whole_when_nobody_alive_is_missing(pair: Pair) -> None:
    node = pair[0]
    table = gathered(node).load
    assert document(await node.get("/v1/placement/load"))["whole"] is True
    table.take("n2", "us", [], 17, NOW_MS)
    assert document(await node.get("/v1/placement/load"))["whole"] is False


async def test_another_node_passes_the_question_on(pair: Pair) -> None:
    leader, other = pair
    gathered(leader)
    for path in ("/v1/placement/load?busiest_by=bytes", "/v1/placement/latency"):
        there: Any = document(await leader.get(path))
        assert document(await other.get(path)) == there
        assert there["node"] == "n1"
    reply = await other.send("GET", "/v1/placement/load", Leadplane_Hop="1")
    assert (reply.status, kind(reply)) == (503, "no-member")


async def test_without_a_global_leader_nobody_knows(node: Node) -> None:
    node.service.known["system"] = (3, None)
    reply = await node.get("/v1/placement/load")
    assert (reply.status, kind(reply)) == (503, "no-leader")


async def test_distances_say_where_they_come_from(node: Node) -> None:
    gathered(node)
    page = document(await node.get("/v1/placement/latency"))
    assert page["items"] == [
        {
            "from_region": "eu", "to_region": "us", "round_trip_ms": 240.0, "source": "measured",
            "samples": 32, "p50_ms": 240.0, "p99_ms": 260.0, "prior_ms": 90.0, "override_ms": None,
        },
        {
            "from_region": "us", "to_region": "eu", "round_trip_ms": 90.0, "source": "prior",
            "samples": 0, "p50_ms": None, "p99_ms": None, "prior_ms": 90.0, "override_ms": None,
        },
    ]  # fmt: skip
