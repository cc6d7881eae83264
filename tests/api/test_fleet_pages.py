"""Reading the fleet: lists in pages, single documents, roles for load balancers."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.requests import History, Problem, Refused, Tenures
from controlplane.views import NodeView
from shards.position import encode
from tests.api.listening import Fleet, Node, document, kind

Pair = tuple[Node, Node]


async def pages(node: Node, path: str, limit: int) -> list[list[Any]]:
    """Every page of a list."""
    found = []
    query = f"?limit={limit}"
    while True:
        page = document(await node.get(path + query))
        found.append(page["items"])
        if "continue" not in page:
            return found
        query = f"?limit={limit}&continue={page['continue']}"


@pytest.mark.parametrize(("limit", "sizes"), [(1, [1] * 5), (2, [2, 2, 1]), (5, [5]), (1000, [5])])
async def test_a_list_comes_in_pages_by_name(node: Node, limit: int, sizes: list[int]) -> None:
    found = await pages(node, "/v1/shards", limit)
    assert [len(page) for page in found] == sizes
    names = [item["shard"] for page in found for item in page]
    assert names == ["s0", "s1", "s2", "s3", "system"]


async def test_a_page_goes_on_where_the_last_ended_whatever_happened_since(node: Node) -> None:
    first = document(await node.get("/v1/shards?limit=2"))
    del node.service.known["s1"]
    second = document(await node.get(f"/v1/shards?limit=2&continue={first['continue']}"))
    assert [item["shard"] for item in second["items"]] == ["s2", "s3"]
    reply = await node.get(f"/v1/nodes?continue={first['continue']}")
    assert (reply.status, kind(reply)) == (400, "invalid")


async def test_a_shard(pair: Pair) -> None:
    leader, follower = pair
    here = {"node": "n1", "region": "eu", "url": leader.url}
    there = {"node": "n2", "region": "us", "url": follower.url}
    shown = document(await leader.get("/v1/shards/s1"))
    assert shown == {
        "shard": "s1",
        "group": "global",
        "goal": "region",
        "first_slot": 4_194_304,
        "end_slot": 8_388_608,
        "regions": ["eu", "us"],
        "epoch": 2,
        "state": "led",
        "why": "",
        "rests_in": [],
        "leader": here | {"epoch": 2},
        "lease_remaining_ms": 900,
        "position": encode({"s1": 0}),
        "sequence": 0,
        "size_bytes": 0,
        "replicas": [
            here | {"role": "leader", "position": encode({"s1": 0}), "staleness_ms": 0},
            there | {"role": "follower", "position": encode({"s1": 0}), "staleness_ms": 40},
        ],
    }
    (listed,) = (
        item for item in document(await leader.get("/v1/shards"))["items"] if item["shard"] == "s1"
    )
    assert listed == shown | {"replicas": None, "rests_in": None}
    away = document(await follower.get("/v1/shards/s1"))
    assert (away["position"], away["sequence"]) == (None, None)


async def test_the_history_is_read_at_any_node(pair: Pair) -> None:
    leader, follower = pair
    tenure = {"epoch": 1, "leader": "n1", "why": "expired"}
    for node in pair:
        shown = document(await node.get("/v1/shards/s1/history"))
        checked = {"overlap_free": True, "problems": []}
        assert shown == {"shard": "s1", "items": [tenure]} | checked
        assert node.service.asked == [History("s1")]
    follower.service.answer = lambda request: Refused(Problem.NO_QUORUM, "no store here")
    assert document(await follower.get("/v1/shards/s1/history"))["items"] == [tenure]
    assert leader.service.asked == [History("s1")] * 2


async def test_the_history_comes_in_pages_oldest_first(node: Node) -> None:
    tenures = tuple({"epoch": epoch, "node": "n1"} for epoch in (2, 9, 10, 11, 100))
    node.service.answer = lambda request: Tenures("s1", tenures)
    found: list[int] = []
    query = "limit=2"
    while query:
        page = document(await node.get(f"/v1/shards/s1/history?{query}"))
        found += [tenure["epoch"] for tenure in page["items"]]
        query = f"limit=2&continue={page['continue']}" if "continue" in page else ""
    assert found == [2, 9, 10, 11, 100]
    wrong = await node.get("/v1/shards/s0/history?continue=x")
    assert (wrong.status, kind(wrong)) == (400, "invalid")


async def test_a_load_balancer_sees_the_role_of_the_answering_node(pair: Pair) -> None:
    leader, follower = pair
    for node, role, other in ((leader, "leader", "follower"), (follower, "follower", "leader")):
        has = await node.get(f"/v1/shards/s0/role/{role}")
        name = node.service.node
        assert has.status == 200
        assert document(has) == {"shard": "s0", "node": name, "role": role, "epoch": 2}
        lacks = await node.get(f"/v1/shards/s0/role/{other}")
        assert (lacks.status, kind(lacks)) == (503, "wrong-role")
        assert document(lacks)["role"] == role
        for wanted, status in ((role, 200), (other, 503)):
            head = await node.send("HEAD", f"/v1/shards/s0/role/{wanted}")
            assert (head.status, head.body) == (status, b"")


async def test_a_node_without_a_copy_has_no_role(fleet: Fleet) -> None:
    node = await fleet.node("n1", "eu")
    node.service.region = "moon"
    node.service.fleet_of.nodes = {}
    for role in ("leader", "follower"):
        reply = await node.get(f"/v1/shards/s0/role/{role}")
        assert (reply.status, kind(reply)) == (503, "wrong-role")
        assert document(reply)["role"] is None


async def test_nodes_and_regions(pair: Pair) -> None:
    leader, follower = pair
    nodes = document(await follower.get("/v1/nodes"))["items"]
    assert nodes[0] == {
        "node": "n1",
        "region": "eu",
        "url": leader.url,
        "alive": True,
        "silent_ms": 3,
        "leads": 5,
        "zone": "",
        "draining": False,
        "drained": False,
        "suspect": False,
        "process": "",
        "left": "",
    }
    assert document(await follower.get("/v1/nodes/n2")) == nodes[1]
    regions = document(await follower.get("/v1/regions"))["items"]
    assert regions[0] == {
        "region": "eu",
        "location": "EU",
        "latitude": 1.5,
        "longitude": 2.5,
        "zones": ["a", "b"],
        "nodes": 1,
        "nodes_alive": 1,
        "stores": 1,
        "stores_up": 1,
        "leads": 5,
        "rtt_ms": {"eu": 1.0},
        "egress_usd_per_gb": {"eu": 0.02},
        "alone": {
            "goes_on": 0,
            "reads_only": 5,
            "stops": 0,
            "nothing": 0,
            "strong_reads_ms": 2_000,
            "stops_after_ms": None,
        },
        "document": None,
    }
    one = await follower.get("/v1/regions/us")
    shown = document(one).pop("document")
    assert document(one) | {"document": None} == regions[1]
    assert (shown["name"], shown["version"], shown["etag"]) == ("region.us", 0, one.headers["ETag"])


async def test_the_fleet_on_one_page(pair: Pair) -> None:
    leader, follower = pair
    page = document(await follower.get("/v1/status"))
    groups, regions = page.pop("groups"), page.pop("regions")
    nodes, stores = page.pop("nodes"), page.pop("stores")
    assert page == {
        "node": "n2",
        "region": "us",
        "global_leader": {"node": "n1", "region": "eu", "url": leader.url, "epoch": 2},
        "groups_coming": [],
        "map_version": 1,
        "leadership_revision": follower.service.leadership_revision,
        "restless": [],
        "shards_total": 5,
        "shards_led": 5,
        "shards_here": 0,
        "spare_stores": 0,
    }
    assert (groups[0]["spare"], groups[0]["full"]) == (0, "")
    assert [region["region"] for region in regions] == ["eu", "us"]
    assert [node["node"] for node in nodes] == ["n1", "n2"]
    assert [store["state"] for store in stores] == ["up", "up"]


async def test_the_global_leader(fleet: Fleet) -> None:
    node = await fleet.node("n1", "eu")
    nobody = await node.get("/v1/leader")
    assert (nobody.status, kind(nobody)) == (503, "no-leader")
    assert document(await node.get("/v1/status"))["global_leader"] is None
    fleet.fake.lead("n1", "system")
    leader = document(await node.get("/v1/leader"))
    assert leader == {"node": "n1", "region": "eu", "url": node.url, "epoch": 2}


def test_views_are_answered_with_all_they_hold() -> None:
    """What is answered as it is must stay fit for the outside."""
    assert [*NodeView.__dataclass_fields__] == [
        "node",
        "region",
        "url",
        "alive",
        "silent_ms",
        "leads",
        "zone",
        "draining",
        "drained",
        "suspect",
        "process",
        "left",
    ]
