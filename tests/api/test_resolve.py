"""GET /v1/route: where a key lives, and where to go."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from controlplane.api.settings import ApiSettings
from shards.position import encode
from tests.api.listening import Fleet, Node, document

Pair = tuple[Node, Node]


async def route(node: Node, query: str) -> Any:
    """The answer of a node to a question about a route."""
    reply = await node.get(f"/v1/route?{query}")
    assert reply.status == 200, reply
    return document(reply)


async def test_the_whole_answer(pair: Pair) -> None:
    leader, follower = pair
    answer = await route(leader, "key=a")
    shard = answer["shard"]
    here = {"node": "n1", "region": "eu", "url": leader.url}
    there = {"node": "n2", "region": "us", "url": follower.url}
    assert answer == {
        "shard": shard,
        "epoch": 2,
        "map_version": 1,
        "leader": here | {"epoch": 2},
        "target": here | {"role": "leader"},
        "replicas": [
            here | {"role": "leader", "position": encode({shard: 0}), "staleness_ms": 0},
            there | {"role": "follower", "position": encode({shard: 0}), "staleness_ms": 90},
        ],
        "lease_remaining_ms": 850,
        "valid_for_ms": 850,
    }
    away = await route(follower, "key=a")
    assert (away["lease_remaining_ms"], away["valid_for_ms"]) == (None, 2_000)


async def test_an_answer_is_given_again_until_something_changes(fleet: Fleet) -> None:
    node = await fleet.node("n1", "eu", ApiSettings(route_kept_ms=60_000))
    other = await fleet.node("n2", "us")
    fleet.fake.lead("n1")
    first = await route(node, "key=a")
    node.service.fleet_of.shards[first["shard"]].sequence = 9
    assert await route(node, "key=a") == first
    assert (first["lease_remaining_ms"], first["replicas"][1]["staleness_ms"]) == (0, 60_040)
    # Another question, another answer.
    assert (await route(node, "key=a&region=us"))["target"]["node"] == "n2"
    assert (await route(node, "key=a&intent=write&region=us"))["target"]["node"] == "n1"
    position = encode({first["shard"]: 9})
    exact = await route(node, f"key=a&position={position}")
    assert exact["replicas"][0]["position"] == position
    # A new leader, or another map, is told at once.
    fleet.fake.lead("n2")
    moved = await route(node, "key=a&intent=write")
    assert (moved["leader"]["node"], moved["leader"]["url"]) == ("n2", other.url)
    node.service.map_version += 1
    assert (await route(node, "key=a"))["map_version"] == 2


async def test_an_answer_is_not_given_again_for_long(fleet: Fleet) -> None:
    node = await fleet.node("n1", "eu", ApiSettings(route_kept_ms=0))
    fleet.fake.lead("n1")
    first = await route(node, "key=a")
    node.service.fleet_of.shards[first["shard"]].sequence = 9
    again = await route(node, "key=a")
    assert again["replicas"][0]["position"] == encode({first["shard"]: 9})
    assert again["lease_remaining_ms"] == 900


@pytest.mark.parametrize(
    ("query", "target"),
    [
        ("", "n2"),
        ("intent=read", "n2"),
        ("intent=write", "n1"),
        ("region=eu", "n1"),
        ("region=us", "n2"),
        ("region=moon", "n1"),
        ("max_staleness_ms=40", "n2"),
        ("max_staleness_ms=39", "n1"),
        ("region=us&intent=write", "n1"),
    ],
)
async def test_the_target_fits_the_intent(pair: Pair, query: str, target: str) -> None:
    _, follower = pair
    answer = await route(follower, f"key=a&{query}")
    assert answer["target"]["node"] == target
    assert answer["target"]["role"] == ("leader" if target == "n1" else "follower")


async def test_a_read_of_what_the_client_wrote_goes_to_a_copy_that_has_it(pair: Pair) -> None:
    leader, follower = pair
    seen = (await leader.send("PUT", "/v1/kv/a", b"x")).headers["Leadplane-Position"]
    assert (await route(follower, f"key=a&position={seen}"))["target"]["node"] == "n2"
    follower.service.lag = 1
    assert (await route(follower, f"key=a&position={seen}"))["target"]["node"] == "n1"
    other = encode({"s-other": 17})
    assert (await route(follower, f"key=a&position={other}"))["target"]["node"] == "n2"


async def test_without_a_leader_there_is_still_somebody_to_read_from(fleet: Fleet) -> None:
    node = await fleet.node("n1", "eu")
    answer = await route(node, "key=a")
    assert (answer["leader"], answer["valid_for_ms"]) == (None, 0)
    assert answer["target"]["node"] == "n1"
    assert (await route(node, "key=a&intent=write"))["target"] is None


async def test_what_is_not_known_is_null(pair: Pair) -> None:
    _, follower = pair
    follower.service.staleness_ms = None
    answer = await route(follower, "key=a")
    assert answer["replicas"][1]["staleness_ms"] is None


async def test_keys_of_a_partition_live_together(node: Node) -> None:
    shards = {
        (await route(node, "key=" + quote(key)))["shard"]
        for key in ("{customer42}/a", "b/{customer42}", "customer42", "{customer42}")
    }
    assert len(shards) == 1


async def test_names_are_written_as_json(fleet: Fleet) -> None:
    name = 'n"1\\ä'
    node = await fleet.node(name, 'e"u')
    fleet.fake.lead(name)
    answer = await route(node, "key=a")
    assert answer["leader"]["node"] == name
    assert answer["replicas"][0]["region"] == 'e"u'
