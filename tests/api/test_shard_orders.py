"""Orders about a shard: transfer and eviction, tried out, given, repeated."""

from __future__ import annotations

import asyncio

import pytest

from controlplane.api.replay import Replays
from controlplane.api.responses import json_response
from controlplane.api.shard_orders import TransferOrder, choose_heir
from controlplane.problems import RequestRefused
from controlplane.requests import Evict, LeaderHint, Problem, Refused, Transfer
from controlplane.views import NodeView, ShardView
from tests.api.listening import Node, document, kind, until

Pair = tuple[Node, Node]
TRANSFER, EVICT = "/v1/shards/s0/transfer", "/v1/shards/s0/evict"


@pytest.mark.parametrize("body", [{"to_node": "n2"}, {"to_region": "us"}, {}])
@pytest.mark.parametrize("asked", [0, 1])
async def test_a_shard_is_handed_over(pair: Pair, body: dict[str, str], asked: int) -> None:
    leader, _ = pair
    reply = await pair[asked].send("POST", TRANSFER + "?reason=tidy%20up", body)
    assert reply.status == 200
    assert document(reply) == {"shard": "s0", "from_epoch": 2, "to_node": "n2", "paused_ms": 12}
    assert leader.service.asked == [Transfer("s0", "n2", "operator", "tidy up")]
    assert leader.service.fleet_of.shards["s0"].leader == "n2"


async def test_the_global_leader_admits_what_is_led_elsewhere(pair: Pair) -> None:
    leader, follower = pair
    leader.service.fleet_of.lead("n2", "s0")
    for node, to in ((follower, "n1"), (leader, "n2")):
        reply = await node.send("POST", TRANSFER + "?reason=x", {"to_node": to})
        assert document(reply)["to_node"] == to
    assert follower.service.asked == [Transfer("s0", "n1", "operator", "x")]
    assert leader.service.asked == [Transfer("s0", "n2", "operator", "x")]
    admission = leader.edge.planner.admission
    assert (admission.on_way, [g.node for g in admission.given]) == ((), ["n1", "n2"])
    assert [moved.shard for moved in leader.edge.planner.to_remember] == ["s0", "s0"]


async def test_what_is_not_admitted_is_refused_and_nothing_is_on_its_way(pair: Pair) -> None:
    leader, follower = pair
    follower.service.suspect = True
    for query in ("", "?dry_run=true"):
        refused = await follower.send("POST", TRANSFER + query, {"to_node": "n2"})
        assert (refused.status, kind(refused)) == (409, "move-refused")
        assert document(refused)["reason"] == "suspect"
    assert leader.service.asked == []
    forced = await follower.send("POST", TRANSFER, {"to_node": "n2", "force": True})
    assert forced.status == 200, "an operator may know better"


async def test_a_transfer_that_was_not_made_leaves_room_for_the_next(pair: Pair) -> None:
    leader, _ = pair
    leader.service.answer = lambda request: Refused(Problem.TRANSFERRING, "busy")
    assert (await leader.send("POST", TRANSFER, {})).status == 503
    leader.service.answer = None
    assert leader.edge.planner.admission.on_way == ()
    assert (await leader.send("POST", TRANSFER, {})).status == 200


async def test_without_a_global_leader_only_force_hands_over(pair: Pair) -> None:
    leader, _ = pair
    leader.service.known["system"] = (9, None)
    refused = await leader.send("POST", TRANSFER, {})
    assert (refused.status, kind(refused)) == (503, "no-leader")
    assert (await leader.send("POST", TRANSFER, {"force": True})).status == 200


async def test_an_order_may_come_without_a_body(pair: Pair) -> None:
    leader, _ = pair
    assert (await leader.send("POST", TRANSFER)).status == 200


async def test_a_shard_is_taken_away_by_any_node(pair: Pair) -> None:
    _, follower = pair
    reply = await follower.send("POST", EVICT, {})
    assert document(reply) == {"shard": "s0", "epoch": 2, "holder": "n1"}
    assert follower.service.asked == [Evict("s0", "operator", "")]


async def test_an_eviction_that_cannot_be_done_here_goes_to_the_leader(pair: Pair) -> None:
    leader, follower = pair
    follower.service.answer = lambda request: Refused(Problem.NO_QUORUM, "not in the group")
    assert (await follower.send("POST", EVICT)).status == 200
    assert leader.service.asked == [Evict("s0", "operator", "")]


async def test_a_dry_run_says_what_would_be_done_and_does_nothing(pair: Pair) -> None:
    leader, follower = pair
    for node in pair:
        tried = await node.send("POST", TRANSFER + "?dry_run=true", {"to_region": "us"})
        assert document(tried) == {
            "dry_run": True,
            "shard": "s0",
            "from_node": "n1",
            "from_epoch": 2,
            "to_node": "n2",
            "to_region": "us",
        }
        evicted = document(await node.send("POST", EVICT + "?dry_run=true"))
        assert evicted == document(tried) | {"to_node": None, "to_region": None}
        refused = await node.send("POST", TRANSFER + "?dry_run=true", {"to_node": "n1"})
        assert (refused.status, kind(refused)) == (409, "no-candidate")
    assert leader.service.asked == follower.service.asked == []
    leader.service.known["s0"] = (3, None)
    nobody = await leader.send("POST", EVICT + "?dry_run=true")
    assert (nobody.status, kind(nobody)) == (503, "no-leader")


@pytest.mark.parametrize("target", [{"to_region": "us"}, {"to_node": "n2"}])
@pytest.mark.parametrize("query", ["", "?dry_run=true"])
async def test_a_node_that_cannot_stand_for_a_shard_is_no_heir(
    pair: Pair, target: dict[str, str], query: str
) -> None:
    leader, _ = pair
    leader.service.voters = ("eu-1",)
    reply = await leader.send("POST", TRANSFER + query, target)
    assert (reply.status, kind(reply)) == (409, "no-candidate")
    assert "only a node of eu can lead it" in document(reply)["detail"]
    assert leader.service.asked == []


@pytest.mark.parametrize("reason", ["a%0ab", "%1b[2J", "%00"])
async def test_a_reason_is_one_line_of_text(node: Node, reason: str) -> None:
    for path in (TRANSFER, EVICT):
        reply = await node.send("POST", f"{path}?reason={reason}", {})
        assert (reply.status, kind(reply)) == (400, "invalid")
        (error,) = document(reply)["errors"]
        assert error["parameter"] == "reason"
    assert node.service.asked == []


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (Problem.UNKNOWN_NODE, 404),
        (Problem.TRANSFERRING, 503),
        (Problem.UNKNOWN_OUTCOME, 504),
        (Problem.NO_QUORUM, 503),
    ],
)
async def test_a_refused_order_says_why(node: Node, problem: Problem, status: int) -> None:
    node.service.answer = lambda request: Refused(problem, "because")
    reply = await node.send("POST", EVICT)
    assert (reply.status, kind(reply)) == (status, problem.value)


async def test_an_order_repeated_under_its_key_is_done_once(pair: Pair) -> None:
    leader, _ = pair
    for node in pair:
        first = await node.send("POST", EVICT, {}, Idempotency_Key="k")
        again = await node.send("POST", EVICT, {}, Idempotency_Key="k")
        assert "Idempotency-Replayed" not in first.headers
        assert again.headers["Idempotency-Replayed"] == "true"
        assert (again.status, again.body) == (first.status, first.body)
        assert len(node.service.asked) == 1
    for path, body in ((EVICT + "?reason=x", {}), ("/v1/shards/s1/evict", {}), (TRANSFER, {})):
        reply = await leader.send("POST", path, body, Idempotency_Key="k")
        assert (reply.status, kind(reply)) == (422, "idempotency-mismatch")
    assert len(leader.service.asked) == 1


async def test_an_order_that_was_not_done_is_tried_again(node: Node) -> None:
    node.service.answer = lambda request: Refused(Problem.TRANSFERRING, "busy")
    assert (await node.send("POST", EVICT, Idempotency_Key="k")).status == 503
    node.service.answer = None
    done = await node.send("POST", EVICT, Idempotency_Key="k")
    assert done.status == 200
    assert "Idempotency-Replayed" not in done.headers


async def test_a_retry_joins_the_order_under_way(node: Node) -> None:
    node.service.gate = asyncio.Event()
    first = asyncio.create_task(node.send("POST", EVICT, Idempotency_Key="k"))
    second = asyncio.create_task(node.send("POST", EVICT, Idempotency_Key="k"))
    await until(lambda: node.service.asked)
    assert (await node.get("/livez")).status == 200
    node.service.gate.set()
    replies = [await first, await second]
    assert [reply.status for reply in replies] == [200, 200]
    assert [reply.headers.get("Idempotency-Replayed") for reply in replies] == [None, "true"]
    assert len(node.service.asked) == 1


async def test_outcomes_are_forgotten_by_number_and_by_age() -> None:
    done = 0

    async def carry_out() -> object:
        nonlocal done
        done += 1
        return json_response({"done": done})

    few = Replays(kept_max=2, kept_ms=60_000)
    for key in ("a", "b", "a", "b", "c", "a"):
        await few.once(key, "digest", carry_out)  # type: ignore[arg-type]
    assert done == 4
    brief = Replays(kept_max=10, kept_ms=0)
    for _ in range(2):
        await brief.once("a", "digest", carry_out)  # type: ignore[arg-type]
    assert done == 6


# ---------------------------------------------------------------- who takes over


def node_view(name: str, region: str, leads: int = 0, alive: bool = True) -> NodeView:
    """A node as the fleet sees it."""
    return NodeView(name, region, f"http://{name}", alive, 0, leads)


NODES = (
    node_view("e1", "eu", 5),
    node_view("e2", "eu", 9),
    node_view("e3", "eu", 1, alive=False),
    node_view("u1", "us", 2),
    node_view("u2", "us", 2),
    node_view("a1", "ap", 0),
)
HEIRS: tuple[tuple[str | None, str | None, str], ...] = (
    (None, None, "e2"),
    (None, "us", "u1"),
    (None, "ap", "a1"),
    (None, "eu", "e2"),
    ("u2", None, "u2"),
    ("e3", None, "no-candidate"),
    ("e1", None, "no-candidate"),
    ("x", None, "unknown-node"),
    (None, "moon", "unknown-region"),
)


@pytest.mark.parametrize(("to_node", "to_region", "expected"), HEIRS)
def test_the_best_live_candidate_takes_over(
    to_node: str | None, to_region: str | None, expected: str
) -> None:
    leader = LeaderHint("e1", "eu", "u", 4)
    view = ShardView("s", "g", "region", 0, 1, ("eu", "us"), 4, leader, "led", "", None, None, None)
    order = TransferOrder(to_node=to_node, to_region=to_region)
    if expected in {node.node for node in NODES}:
        assert choose_heir(view, order, NODES, {"eu", "us", "ap"}).node == expected
    else:
        with pytest.raises(RequestRefused) as refused:
            choose_heir(view, order, NODES, {"eu", "us", "ap"})
        assert refused.value.kind.name == expected
