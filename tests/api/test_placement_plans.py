"""Plans over HTTP: made, explained, drawn, carried out; and refused where they make no sense."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from config.revision import Revision
from controlplane.node.directory import MAP, MAP_PREFIX
from controlplane.node.load_reports import Gathered
from controlplane.planning.mover import Mover
from controlplane.planning.order_book import OrderBook
from controlplane.planning.orders import ShardMove
from controlplane.planning.planner import Planner
from controlplane.requests import Outcome, Put, Request, Write, Written
from regions.latency_matrix import LatencyMatrix
from shards.load import Rates
from shards.load_table import LoadTable
from tests.api.fake_service import SHARDS, FakeService
from tests.api.listening import Node, document, kind
from tests.config.sample_fleet import put, region

Pair = tuple[Node, Node]
BUSY = Rates(0.0, 500.0, 0.0, 50_000.0)


def gathering(leader: FakeService) -> None:
    """The leader gathers: all writes of s0 come in far away from it."""
    table = LoadTable()
    table.take("n2", "us", [("s0", BUSY)], 0, 1_000)
    table.take("n1", "eu", [("s1", BUSY)], 0, 1_000)
    far = {("eu", "us"): 90.0, ("eu", "ap"): 200.0, ("us", "ap"): 200.0}
    matrix = LatencyMatrix(far | {(b, a): ms for (a, b), ms in far.items()})
    leader.reported = Gathered(1, 0, 1_000, table, matrix)
    for service in leader.fleet_of.nodes.values():
        service.also = ("ap",)
        assert isinstance(put(service.feed, "region.ap", region("ap")), Revision)


async def ready(leader: Node) -> None:
    """The leader gathers, and its map is written down."""
    gathering(leader.service)
    for shard in SHARDS:
        row = leader.service.map_row(shard)
        assert row is not None
        write = Write("system", (Put(MAP, MAP_PREFIX + shard, row.packed()),))
        assert isinstance(await leader.service.submit(write), Written)


async def planned(node: Node, body: dict[str, Any] | None = None) -> dict[str, Any]:
    reply = await node.send("POST", "/v1/placement/plan", body or {})
    assert reply.status == 200, reply
    found: dict[str, Any] = document(reply)
    return found


async def applied(node: Node, plan: str, query: str = "") -> Any:
    return await node.send("POST", f"/v1/placement/apply{query}", {"plan": plan})


async def test_a_plan_leads_a_shard_where_its_clients_are_and_says_what_that_saves(
    pair: Pair,
) -> None:
    leader, follower = pair
    await ready(leader)
    for node in (leader, follower):  # whoever is asked
        plan = await planned(node)
        assert [(m["shard"], m["to_leader"], m["reason"]) for m in plan["moves"]] == [
            ("s0", "us", "latency")
        ]
        assert plan["after"]["usd_per_month"] < plan["before"]["usd_per_month"]
        assert not plan["hypothetical"]
    assert leader.service.map_row("s0").regions[0] == "eu", "nothing has moved"


async def test_a_plan_gives_a_drained_region_nothing(pair: Pair) -> None:
    leader, _ = pair
    await ready(leader)
    assert [move["to_leader"] for move in (await planned(leader))["moves"]] == ["us"]
    assert (await leader.send("POST", "/v1/regions/us/drain", {})).status == 202
    assert (await planned(leader))["moves"] == []


async def test_the_same_fleet_has_the_same_plan(pair: Pair) -> None:
    await ready(pair[0])
    assert (await planned(pair[0]))["plan"] == (await planned(pair[1]))["plan"]


async def test_a_plan_that_was_carried_out_leaves_nothing_to_move(pair: Pair) -> None:
    leader, _ = pair
    await ready(leader)
    plan = (await planned(leader))["plan"]
    reply = await applied(leader, plan, "?reason=cheaper")
    assert reply.status == 202
    assert document(reply)["total"] == 1
    mover = Mover(leader.service, Planner(leader.service))
    await mover.turn(1.0)
    assert leader.service.map_row("s0").regions[0] == "us"
    leader.service.fleet_of.lead("n2", "s0")
    await mover.turn(1.0)
    assert (await planned(leader))["moves"] == []
    history = document(await leader.get("/v1/placement/history"))["items"]
    assert [(o["plan"], o["state"], o["moved"], o["reason"]) for o in history] == [
        (plan, "done", 1, "cheaper")
    ]


async def test_what_was_supposed_is_what_comes_of_it(pair: Pair) -> None:
    leader, _ = pair
    await ready(leader)
    dear = dict(leader.service.feed.regions()["us"], egress_usd_per_gb={"eu": 9.0})
    supposed = await planned(leader, {"what_if": {"documents": {"region.us": dear}}})
    assert supposed["hypothetical"]
    assert isinstance(put(leader.service.feed, "region.us", dear), Revision)
    real = await planned(leader, {})
    parts = ("plan", "moves", "before", "after", "after_losing")
    assert {part: supposed[part] for part in parts} == {part: real[part] for part in parts}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"scope": "some"}, "#/scope"),
        ({"what_if": {"lost": ["mars"]}}, "#/what_if/lost/0"),
        ({"what_if": {"loads": [{"factor": -1}]}}, "#/what_if/loads/0/factor"),
        ({"what_if": {"loads": [{"factor": 2, "region": "mars"}]}}, "#/what_if/loads/0/region"),
        ({"what_if": {"documents": {"placement": {}}}}, "#/what_if/documents/placement"),
        ({"time_limit_s": 0}, "#/time_limit_s"),
        ({"wish": 1}, "#/wish"),
    ],
)
async def test_what_makes_no_sense_is_named(pair: Pair, body: dict[str, Any], pointer: str) -> None:
    await ready(pair[0])
    reply = await pair[1].send("POST", "/v1/placement/plan", body)
    assert (reply.status, kind(reply)) == (400, "invalid")
    assert document(reply)["errors"][0]["pointer"].startswith(pointer)


async def test_a_hypothetical_plan_cannot_be_carried_out(pair: Pair) -> None:
    leader, _ = pair
    await ready(leader)
    plan = await planned(leader, {"what_if": {"loads": [{"factor": 2}]}})
    reply = await applied(leader, plan["plan"])
    assert reply.status in (404, 409)
    assert leader.service.map_row("s0").regions[0] == "eu"


async def test_a_plan_of_a_fleet_that_has_changed_is_refused_and_nothing_moves(pair: Pair) -> None:
    leader, follower = pair
    await ready(leader)
    plan = (await planned(leader))["plan"]
    leader.service.fleet_of.lead("n2", "s0")
    reply = await applied(follower, plan)
    assert (reply.status, kind(reply)) == (409, "plan-outdated")
    assert document(reply)["shards"] == ["s0"]
    assert (await OrderBook(leader.service).read()).order is None


async def test_one_plan_is_carried_out_at_a_time_and_the_same_one_once(pair: Pair) -> None:
    leader, _ = pair
    await ready(leader)
    plan = (await planned(leader))["plan"]
    assert (await applied(leader, plan, "?dry_run=true")).status == 200
    assert (await applied(leader, plan)).status == 202
    again = await applied(leader, plan)
    assert (again.status, document(again)["number"]) == (200, 1)
    other = await applied(leader, "0" * 64)
    assert (other.status, kind(other)) == (409, "placement-busy")


async def test_of_plans_applied_at_the_same_moment_one_is_carried_out_with_its_own_moves(
    pair: Pair,
) -> None:
    leader, _ = pair
    await ready(leader)
    kept = leader.edge.planner.kept((await planned(leader))["plan"])
    row, submit = leader.service.map_row("s1"), leader.service.submit
    assert kept is not None
    assert row is not None
    other = replace(kept, hash="1" * 64, moves=(ShardMove("s1", "eu", "us", row.revision),))
    leader.edge.planner._kept[other.hash] = other

    async def slow(request: Request) -> Outcome:
        await asyncio.sleep(0.02)
        return await submit(request)

    leader.service.submit = slow  # type: ignore[method-assign]
    both = await asyncio.gather(applied(leader, kept.hash), applied(leader, other.hash))
    assert sorted(reply.status for reply in both) == [202, 409]
    book = OrderBook(leader.service)
    order = (await book.read()).order
    assert order is not None
    moves = {kept.hash: kept.moves, other.hash: other.moves}
    assert tuple(await book.moves(order, 0)) == moves[order.plan]


async def test_a_plan_that_nobody_made_is_unknown(pair: Pair) -> None:
    await ready(pair[0])
    reply = await applied(pair[0], "0" * 64)
    assert (reply.status, kind(reply)) == (404, "unknown-plan")


async def test_moves_are_held_up_and_let_go_again(pair: Pair) -> None:
    leader, follower = pair
    await ready(leader)
    held = await follower.send("POST", "/v1/placement/pause?reason=maintenance", {"for_ms": 60_000})
    assert document(held)["pause"]["reason"] == "maintenance"
    assert document(await leader.get("/v1/placement"))["pause"] is not None
    assert (await follower.send("POST", "/v1/placement/resume", {})).status == 200
    assert document(await leader.get("/v1/placement"))["pause"] is None


async def test_a_shard_says_why_it_is_best_where_a_plan_has_it(pair: Pair) -> None:
    await ready(pair[0])
    found = document(await pair[1].get("/v1/shards/s0/explain"))
    assert (found["now"], found["chosen"]["leader"]) == ("eu", "us")
    assert found["runner_up"]["usd_per_month"] >= found["chosen"]["usd_per_month"]
    assert found["tipping"]["load"] == "writes_per_s"


async def test_pictures_are_drawn(pair: Pair) -> None:
    await ready(pair[0])
    for what in ("map", "frontier"):
        reply = await pair[0].send("POST", f"/v1/placement/picture?what={what}", {})
        assert reply.headers["Content-Type"].startswith("image/svg+xml")
        assert reply.body.startswith(b"<svg")


async def test_a_fleet_whose_groups_have_no_common_shape_has_no_plan(pair: Pair) -> None:
    await ready(pair[0])
    for service in pair[0].service.fleet_of.nodes.values():
        service.voters = ("eu-1", "us-1")
    reply = await pair[0].send("POST", "/v1/placement/plan", {})
    assert (reply.status, kind(reply)) == (409, "not-appliable")


async def test_an_order_that_is_sent_again_under_its_key_is_answered_as_the_first_time(
    pair: Pair,
) -> None:
    leader, follower = pair
    await ready(leader)
    path, key = "/v1/placement/pause", {"Idempotency_Key": "held"}
    first = await follower.send("POST", path, {"for_ms": 60_000}, **key)
    again = await follower.send("POST", path, {"for_ms": 60_000}, **key)
    assert (first.body, first.status) == (again.body, 200)
    assert again.headers["Idempotency-Replayed"] == "true"
    other = await follower.send("POST", path, {"for_ms": 70_000}, **key)
    assert (other.status, kind(other)) == (422, "idempotency-mismatch")
