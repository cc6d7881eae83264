"""Drains over HTTP: begun, shown, refused with the reason, ended; and nodes that can be stopped."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from config.builtin import builtin_content
from config.document import Kind
from config.revision import Revision
from controlplane.planning.mover import Mover
from controlplane.requests import Outcome, Request
from tests.api.fake_service import SHARDS
from tests.api.listening import Fleet, Node, document, kind
from tests.api.test_placement_plans import ready
from tests.config.sample_fleet import put

Trio = tuple[Node, Node, Node]


@pytest.fixture
async def trio(fleet: Fleet) -> Trio:
    """n1 and n3 in eu, n2 in us; n1 leads everything."""
    started = (
        await fleet.node("n1", "eu"), await fleet.node("n2", "us"), await fleet.node("n3", "eu"),
    )  # fmt: skip
    fleet.fake.lead("n1")
    await ready(started[0])
    return started


def set_moves(node: Node, **moves: Any) -> None:
    for service in node.service.fleet_of.nodes.values():
        content = builtin_content(Kind.PLACEMENT)
        content = content | {"moves": content["moves"] | moves}
        assert isinstance(put(service.feed, "placement", content), Revision)


async def drain(node: Node, place: str, body: dict[str, Any] | None = None, query: str = "") -> Any:
    return await node.send("POST", f"/v1/{place}/drain{query}", body or {})


async def drains(node: Node) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document(await node.get("/v1/placement"))["drains"]
    return found


async def test_a_drain_is_begun_shown_and_gone_on_with_to_its_end(trio: Trio) -> None:
    n1, n2, _ = trio
    n1.service.fleet_of.lead("n2", "system", *SHARDS)
    n1.service.reported, n2.service.reported = None, n1.service.reported
    n1.service.fleet_of.lead("n1", "s0", "s2")
    mover = Mover(n2.service, n2.edge.planner)
    reply = await drain(n1, "nodes/n1", {"deadline_ms": 60_000}, "?reason=kernel")
    assert reply.status == 202, reply
    begun = document(reply)
    assert (begun["state"], begun["total"], begun["left"], begun["reason"]) == (
        "draining", 2, 2, "kernel",
    )  # fmt: skip
    assert begun["eta_ms"] <= 60_000
    for _ in range(200):
        await mover.turn(0.5)
        for shard in ("s0", "s2"):  # as its node does with what is released
            if n1.service.drains()[0][0].releases(shard) and shard in n1.service.led_by({"n1"}):
                n1.service.fleet_of.lead("n3", shard)
    (found,) = await drains(n1)
    assert (found["state"], found["left"], found["eta_ms"]) == ("drained", 0, None)
    assert document(await n1.get("/v1/nodes/n1"))["drained"]


async def test_pace_follows_from_the_deadline(trio: Trio) -> None:
    n1, n2, _ = trio
    n1.service.fleet_of.lead("n2", "system")
    n1.service.reported, n2.service.reported = None, n1.service.reported
    begun = document(await drain(n2, "nodes/n1", {"deadline_ms": 43_000}))
    assert begun["per_minute"] == pytest.approx(len(SHARDS) * 60 / 40, rel=0.02)
    passed_s, released = 0.0, []
    mover = Mover(n2.service, n2.edge.planner, lambda: time.time() + passed_s)
    for _ in range(45):
        passed_s += 1.0
        await mover.turn(1.0)
        released.append(sum(n1.service.drains()[0][0].releases(shard) for shard in SHARDS))
    assert released[9:40:10] == pytest.approx([1, 2, 3, 4], abs=1)
    assert released[8] < released[40]


async def test_a_deadline_that_cannot_be_kept_is_refused_with_one_that_can(trio: Trio) -> None:
    n1 = trio[0]
    set_moves(n1, drain_per_minute_max=10)
    reply = await drain(n1, "nodes/n1", {"deadline_ms": 5_000})
    assert (reply.status, kind(reply)) == (409, "drain-refused")
    refused = document(reply)
    assert refused["reason"] == "deadline"
    assert await drains(n1) == []
    kept = {"deadline_ms": refused["soonest_ms"]}
    assert (await drain(n1, "nodes/n1", kept)).status == 202


async def test_a_bound_on_the_99th_percentile_slows_a_drain_down(trio: Trio) -> None:
    n1 = trio[0]
    free = document(await drain(n1, "nodes/n1", {}, "?dry_run=true"))
    bound = document(await drain(n1, "nodes/n1", {"added_p99_ms": 1}, "?dry_run=true"))
    assert bound["per_minute"] < free["per_minute"] / 10


async def test_draining_all_there_is_is_refused(trio: Trio) -> None:
    n1 = trio[0]
    assert (await drain(n1, "regions/eu")).status == 202
    reply = await drain(n1, "nodes/n2")
    assert (reply.status, kind(reply)) == (409, "drain-refused")
    assert document(reply)["reason"] == "nothing-left"


async def test_draining_all_there_is_is_refused_though_this_region_has_not_heard_of_the_others(
    trio: Trio,
) -> None:
    n1 = trio[0]
    before = n1.service.fleet()
    n1.service.fleet = lambda: before  # type: ignore[method-assign]
    assert (await drain(n1, "regions/eu")).status == 202
    reply = await drain(n1, "nodes/n2")
    assert (reply.status, document(reply)["reason"]) == (409, "nothing-left")


async def test_of_drains_at_the_same_moment_one_is_left_somewhere_to_go(trio: Trio) -> None:
    n1 = trio[0]
    submit = n1.service.submit

    async def slow(request: Request) -> Outcome:
        await asyncio.sleep(0.02)
        return await submit(request)

    n1.service.submit = slow  # type: ignore[method-assign]
    both = await asyncio.gather(drain(n1, "regions/eu"), drain(n1, "nodes/n2"))
    assert sorted(reply.status for reply in both) == [202, 409]
    assert {document(reply).get("reason") for reply in both} == {"", "nothing-left"}


async def test_a_drain_that_another_one_contradicts_is_refused(trio: Trio) -> None:
    n1 = trio[0]
    assert (await drain(n1, "regions/eu", {"deadline_ms": 90_000})).status == 202
    assert (await drain(n1, "regions/eu", {"deadline_ms": 90_000})).status == 200, "the same one"
    other = await drain(n1, "regions/eu", {"deadline_ms": 60_000})
    inside = await drain(n1, "nodes/n3")
    leads = await n1.send("POST", "/v1/nodes/n3/undrain", {})
    for reply in (other, inside, leads):
        assert (reply.status, kind(reply)) == (409, "drain-refused")
        assert document(reply)["reason"] == "contradicts"


async def test_shards_that_nobody_else_can_lead_are_counted_and_not_waited_for(trio: Trio) -> None:
    n1 = trio[0]
    for service in n1.service.fleet_of.nodes.values():
        service.voters = ("eu-1", "eu-1", "eu-1")
    reply = await drain(n1, "regions/eu")
    assert (reply.status, document(reply)["reason"]) == (409, "nothing-left")
    assert document(await drain(n1, "nodes/n1"))["stays"] == 0, "n3 can"


async def test_a_zone_is_drained_by_its_name(trio: Trio) -> None:
    n1, _, n3 = trio
    n1.service.zone, n3.service.zone = "a", "b"
    assert (await drain(n1, "regions/eu", {"zone": "c"})).status == 404
    begun = document(await drain(n1, "regions/eu", {"zone": "a"}))
    assert (begun["scope"], begun["name"], begun["within"]) == ("zone", "a", "eu")
    nodes = document(await n1.get("/v1/nodes"))["items"]
    assert {node["node"]: node["drained"] for node in nodes} == {
        "n1": True, "n2": False, "n3": False,
    }  # fmt: skip


async def test_undrain_takes_the_mark_away_and_leaves_preferences_alone(trio: Trio) -> None:
    n1 = trio[0]
    before = [n1.service.map_row(shard) for shard in SHARDS]
    assert (await drain(n1, "regions/eu")).status == 202
    reply = await trio[1].send("POST", "/v1/regions/eu/undrain?reason=done", {})
    assert (reply.status, document(reply)["state"]) == (200, "over")
    assert await drains(n1) == []
    assert [n1.service.map_row(shard) for shard in SHARDS] == before
    again = await n1.send("POST", "/v1/regions/eu/undrain", {})
    assert document(again)["state"] == "over"


async def test_a_trial_changes_nothing(trio: Trio) -> None:
    n1 = trio[0]
    tried = await drain(n1, "regions/eu", {}, "?dry_run=true")
    assert (tried.status, document(tried)["dry_run"]) == (200, True)
    assert await drains(n1) == []


async def test_a_node_is_stoppable_beside_those_that_were_promised(trio: Trio) -> None:
    n1, n2, _ = trio

    async def stop(name: str, query: str = "") -> Any:
        return document(await n2.send("POST", f"/v1/nodes/{name}/stoppable{query}", {}))

    leads = await stop("n1")
    assert (leads["stoppable"], [r["why"] for r in leads["reasons"]]) == (False, ["leads-shards"])
    assert (await stop("n3", "?dry_run=true"))["stoppable"]
    first = await stop("n3")
    assert first["promised_until_wall_ms"] is not None
    n1.service.fleet_of.lead("n2")
    second = await stop("n1")
    assert [(r["why"], r["place"], r["promised"]) for r in second["reasons"]] == [
        ("last-of-region", "eu", ["n3"])
    ]
    assert (await stop("n3"))["stoppable"], "that one was promised"


async def test_nothing_is_handed_to_a_drained_node(trio: Trio) -> None:
    n1 = trio[0]
    assert (await drain(n1, "nodes/n3")).status == 202
    reply = await n1.send("POST", "/v1/shards/s0/transfer?dry_run=true", {"to_node": "n3"})
    assert (reply.status, kind(reply)) == (409, "no-candidate")
    reply = await n1.send("POST", "/v1/shards/s0/transfer?dry_run=true", {"to_region": "eu"})
    assert (reply.status, kind(reply)) == (409, "no-candidate")
    reply = await n1.send("POST", "/v1/shards/s0/transfer?dry_run=true", {})
    assert document(reply)["to_node"] == "n2"


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("nodes/n1/drain", {"deadline_ms": 0}, "#/deadline_ms"),
        ("nodes/n1/drain", {"zone": "a"}, "#/zone"),
        ("regions/eu/drain", {"added_p99_ms": 0}, "#/added_p99_ms"),
        ("nodes/n1/stoppable", {"promise_ms": "long"}, "#/promise_ms"),
    ],
)
async def test_what_makes_no_sense_is_named(
    trio: Trio, path: str, body: dict[str, Any], pointer: str
) -> None:
    reply = await trio[0].send("POST", f"/v1/{path}", body)
    assert (reply.status, kind(reply)) == (400, "invalid")
    assert document(reply)["errors"][0]["pointer"] == pointer


async def test_what_is_not_there_is_not_drained(trio: Trio) -> None:
    assert kind(await drain(trio[0], "nodes/none")) == "unknown-node"
    assert kind(await drain(trio[0], "regions/mars")) == "unknown-region"
