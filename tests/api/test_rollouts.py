"""Rollouts over HTTP: begun, previewed, refused, ordered about, and read at any node."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from config.document import canonical
from config.effect import live_key
from config.revision import Revision
from config.rollout_record import PARTITION as ROLLOUTS
from config.rollout_record import rollout_key
from controlplane.http_client import PeerReply
from controlplane.requests import Put, Write
from tests.api.listening import Fleet, Node, document, kind

STEADY = {"name": "canary", "bake_ms": 60_000, "final_bake_ms": 0}


@pytest.fixture
async def leader(fleet: Fleet) -> Node:
    """The global leader of three regions; a document has two versions, of which none was rolled
    out."""
    leader = await fleet.node("n1", "eu")
    await fleet.node("n2", "us")
    await fleet.node("n3", "ap")
    fleet.fake.lead("n1")
    for number, headers in ((1, {"If_None_Match": "*"}), (2, {"If_Match": "*"})):
        body = {"content": {"n": number}}
        made = await leader.send("PUT", "/v1/config/flags", body, **headers)
        assert made.status in (200, 201)
    return leader


async def start(node: Node, query: str = "", **order: Any) -> PeerReply:
    """POST /v1/rollouts about the document."""
    return await node.send("POST", f"/v1/rollouts{query}", {"document": "flags", **order})


async def test_a_rollout_is_begun_of_the_newest_version_and_can_be_read(leader: Node) -> None:
    begun = await start(leader, "?reason=blue", strategy=STEADY)
    assert (begun.status, begun.headers["Location"]) == (201, "/v1/rollouts/1")
    page = document(await leader.get("/v1/rollouts/1"))
    assert page == document(begun)
    assert (page["document"], page["version"], page["phase"]) == ("flags", 2, "pending")
    assert [wave["regions"] for wave in page["waves"]] == [["ap"], ["eu"], ["us"]]
    assert [wave["expected_ms"] for wave in page["waves"]] == [0, 61_000, 122_000]
    assert {each["before"] for each in page["regions"]} == {0}
    assert (page["reason"], page["principal"]) == ("blue", "operator")
    listed = document(await leader.get("/v1/rollouts"))["items"]
    assert [each["rollout"] for each in listed] == [1]


async def test_a_preview_is_the_rollout_that_would_be_begun(leader: Node) -> None:
    tried = await start(leader, "?dry_run=true", version=1, strategy="linear")
    assert (tried.status, document(tried)["dry_run"]) == (200, True)
    assert document(tried)["strategy"]["bake_ms"] == 360_000
    assert document(await leader.get("/v1/rollouts"))["items"] == []
    assert kind(await leader.get("/v1/rollouts/1")) == "unknown-rollout"


async def test_a_second_one_is_refused_or_queues_or_supersedes(leader: Node) -> None:
    await start(leader, version=1)
    refused = await start(leader)
    assert (refused.status, kind(refused)) == (409, "rollout-unfinished")
    assert document(refused)["rollout"] == 1
    queued = document(await start(leader, queue=True))
    assert (queued["rollout"], queued["phase"]) == (2, "pending")
    both = await start(leader, queue=True, supersede=True)
    assert kind(both) == "invalid"
    await leader.send("POST", "/v1/rollouts/2/abort", {})
    assert document(await start(leader, supersede=True))["rollout"] == 3
    first = document(await leader.get("/v1/rollouts/1"))
    assert (first["phase"], first["why"]) == ("superseded", "superseded by rollout 3")
    assert first["ended_wall_ms"] is not None


async def test_what_one_rollout_leaves_behind_is_not_what_the_next_one_needs(
    fleet: Fleet, leader: Node
) -> None:
    await start(leader, version=1)
    await start(leader, version=2, queue=True)
    await leader.send("POST", "/v1/rollouts/1/abort", {})
    kept = fleet.fake.shards["system"].values
    assert live_key("flags", 2) in kept
    assert live_key("flags", 1) not in kept
    await leader.send("POST", "/v1/rollouts/2/abort", {})
    assert live_key("flags", 2) not in kept


async def test_those_that_wait_are_superseded_with_the_one_they_wait_for(leader: Node) -> None:
    await start(leader, version=1)
    await start(leader, queue=True)
    await start(leader, version=1, queue=True)
    assert document(await start(leader, supersede=True))["rollout"] == 4
    for number in (1, 2, 3):
        page = document(await leader.get(f"/v1/rollouts/{number}"))
        assert (page["phase"], page["why"]) == ("superseded", "superseded by rollout 4")
    assert document(await leader.get("/v1/rollouts/4"))["phase"] == "pending"


async def test_what_names_the_document_is_not_superseded_with_it(leader: Node) -> None:
    schema = {"content": {"type": "object"}}
    await leader.send("PUT", "/v1/config/schema.list", schema, If_None_Match="*")
    body = {"content": {"of": "flags"}, "schema": "list"}
    made = await leader.send("PUT", "/v1/config/listing", body, If_None_Match="*")
    assert made.status == 201
    await start(leader, document="schema.list")
    begun = await start(leader, document="listing", queue=True)
    assert document(begun)["related"] == ["schema.list"]
    refused = await start(leader, document="schema.list", supersede=True)
    assert (kind(refused), document(refused)["rollout"]) == ("rollout-unfinished", 2)


async def test_an_edit_can_begin_its_rollout_itself_and_else_has_no_effect(leader: Node) -> None:
    path = "/v1/config/flags?rollout=linear&bake_ms=5000"
    edited = document(await leader.send("PUT", path, {"content": {"n": 3}}, If_Match="*"))
    assert (edited["effect"], edited["rollout"]) == ("rollout", 1)
    page = document(await leader.get("/v1/rollouts/1"))
    assert (page["version"], page["strategy"]["bake_ms"]) == (3, 5_000)
    alone = await leader.send(
        "PUT", "/v1/config/flags?bake_ms=5000", {"content": {"n": 4}}, If_Match="*"
    )
    assert kind(alone) == "invalid"
    assert document(await leader.get("/v1/config/flags"))["version"] == 3


async def test_an_edit_that_is_repeated_begins_no_second_rollout(leader: Node) -> None:
    path, body = "/v1/config/flags?rollout=all-at-once&final_bake_ms=0", {"content": {"n": 3}}
    first = document(await leader.send("PUT", path, body, If_Match="*"))
    again = document(await leader.send("PUT", path, body, If_Match="*"))
    assert (first["changed"], again["changed"]) == (True, False)
    assert first["rollout"] == again["rollout"] == 1
    assert document(await leader.get("/v1/rollouts/1"))["gates"] == [], "nothing is watched"
    await leader.send("POST", "/v1/rollouts/1/abort", {})
    anew = document(await leader.send("PUT", path, body, If_Match="*"))
    assert (anew["changed"], anew["rollout"]) == (False, 2), "it is in force nowhere"


async def test_what_would_refuse_the_rollout_refuses_the_edit(leader: Node) -> None:
    path = "/v1/config/flags?rollout=emergency"
    refused = await leader.send("PUT", path, {"content": {"n": 3}}, If_Match="*")
    assert kind(refused) == "invalid"
    assert document(await leader.get("/v1/config/flags"))["version"] == 2
    made = await leader.send("PUT", f"{path}&reason=fire", {"content": {"n": 3}}, If_Match="*")
    assert document(made)["rollout"] == 1


async def test_an_emergency_needs_a_reason_and_is_a_record_of_its_own(leader: Node) -> None:
    for reason in ("", "?reason=", "?reason=%20"):
        refused = await start(leader, reason, strategy="emergency")
        assert kind(refused) == "invalid"
        (error,) = document(refused)["errors"]
        assert error["parameter"] == "reason"
    begun = document(await start(leader, "?reason=logins+fail", strategy="emergency"))
    assert [wave["regions"] for wave in begun["waves"]] == [["ap"], ["eu", "us"]]
    assert begun["strategy"]["bake_ms"] == 60_000
    assert [gate["measures"] for gate in begun["gates"]] == [["nodes", "leaders"]]
    records = document(await leader.get("/v1/audit?kind=emergency"))["items"]
    assert [(each["subject"], each["reason"]) for each in records] == [("1/flags", "logins fail")]
    await leader.send("POST", "/v1/rollouts/1/abort", {})
    back = {"strategy": "emergency"}
    assert kind(await leader.send("POST", "/v1/rollouts/1/rollback", back)) == "invalid"


async def test_a_freeze_is_counted_into_what_is_expected(leader: Node) -> None:
    begins_ms = int(time.time() * 1_000)
    ends = datetime.fromtimestamp(begins_ms / 1_000 + 3_600, UTC).isoformat(timespec="seconds")
    once = {"from": "2020-01-01T00:00:00Z", "until": ends}
    until_ms = round(datetime.fromisoformat(ends).timestamp() * 1_000)
    window = {"name": "sale", "once": once, "regions": ["eu"]}
    leader.service.feed.apply(Revision("rollouts", 1, canonical({"freezes": [window]})))
    tried = document(await start(leader, "?dry_run=true", strategy=STEADY))
    assert [wave["frozen_until_wall_ms"] for wave in tried["waves"]] == [None, until_ms, None]
    first, second, third = (wave["expected_ms"] for wave in tried["waves"])
    assert (first, second, third) == (0, until_ms - tried["began_wall_ms"], second + 61_000)
    assert tried["expected_ms"] == third + 61_000
    begun = document(await start(leader, strategy=STEADY))
    assert begun["waves"] == document(await leader.get("/v1/rollouts/1"))["waves"]
    assert document(await leader.get("/v1/rollouts"))["items"][0]["waves"] == begun["waves"]
    emergency = {"name": "emergency", "final_bake_ms": 0}
    tried = await start(leader, "?dry_run=true&reason=fire", strategy=emergency, queue=True)
    assert {wave["frozen_until_wall_ms"] for wave in document(tried)["waves"]} == {None}


@pytest.mark.parametrize(
    "content", [{}, {"x": 1}, {"freezes": 3}, {"freezes": [{"name": 1}]}, [1], None]
)
async def test_a_document_of_freezes_that_cannot_be_read_stands_in_no_ones_way(
    leader: Node, content: Any
) -> None:
    data, gone = canonical(content), content is None
    leader.service.feed.apply(Revision("rollouts", 1, b"" if gone else data, deleted=gone))
    tried = document(await start(leader, "?dry_run=true", strategy=STEADY))
    assert {wave["frozen_until_wall_ms"] for wave in tried["waves"]} == {None}
    begun = await start(leader, strategy=STEADY)
    assert begun.status == 201
    for path in ("/v1/rollouts", "/v1/rollouts/1"):
        assert (await leader.get(path)).status == 200
    assert (await leader.send("POST", "/v1/rollouts/1/pause", {})).status == 200


async def test_a_rollout_by_nodes_says_how_many_of_them_are_in_each_wave(leader: Node) -> None:
    how = {"name": "exponential", "nodes_percent": 25, "approvals": [3]}
    tried = document(await start(leader, "?dry_run=true", strategy=how))
    assert [wave["nodes_percent"] for wave in tried["waves"]] == [25, 50, 100]
    assert {tuple(wave["regions"]) for wave in tried["waves"]} == {("ap", "eu", "us")}
    how = {"name": "linear", "regions_percent": 50}
    tried = document(await start(leader, "?dry_run=true", strategy=how))
    assert [wave["regions"] for wave in tried["waves"]] == [["ap", "eu"], ["us"]]
    for how in (
        {"name": "canary", "nodes_percent": 10},
        {"name": "emergency", "regions_percent": 10},
        {"name": "linear", "nodes_percent": 10, "regions_percent": 10},
        {"name": "linear", "nodes_percent": 0},
        {"name": "linear", "nodes_percent": 101},
    ):
        assert kind(await start(leader, strategy=how)) == "invalid"


async def test_orders_change_the_record_and_those_that_make_no_sense_are_refused(
    leader: Node,
) -> None:
    await start(leader)
    paused = document(await leader.send("POST", "/v1/rollouts/1/pause?reason=lunch", {}))
    assert (paused["phase"], paused["pause"]["why"], paused["pause"]["detail"]) == (
        "paused", "operator", "lunch",
    )  # fmt: skip
    assert kind(await leader.send("POST", "/v1/rollouts/1/promote", {})) == "rollout-refused"
    resumed = document(await leader.send("POST", "/v1/rollouts/1/resume", {}))
    assert (resumed["phase"], resumed["pause"]) == ("pending", None)
    assert kind(await leader.send("POST", "/v1/rollouts/1/resume", {})) == "rollout-refused"
    tried = await leader.send("POST", "/v1/rollouts/1/abort?dry_run=true", {})
    assert document(tried)["phase"] == "rolled-back"
    assert not document(await leader.get("/v1/rollouts/1"))["over"]
    aborted = document(await leader.send("POST", "/v1/rollouts/1/abort", {}))
    assert (aborted["phase"], aborted["over"]) == ("rolled-back", True)
    assert kind(await leader.send("POST", "/v1/rollouts/1/pause", {})) == "rollout-refused"
    assert kind(await leader.send("POST", "/v1/rollouts/9/abort", {})) == "unknown-rollout"
    assert kind(await leader.send("POST", "/v1/rollouts/x/abort", {})) == "invalid"


async def test_a_rollout_that_is_over_is_rolled_back_by_another_one(leader: Node) -> None:
    await start(leader)
    await leader.send("POST", "/v1/rollouts/1/abort", {})
    nothing = await leader.send("POST", "/v1/rollouts/1/rollback", {})
    assert kind(nothing) == "rollout-refused", "it is in force nowhere"


async def test_a_record_of_a_newer_release_is_no_error_of_this_one(leader: Node) -> None:
    await start(leader)
    strange = Write("system", (Put(ROLLOUTS, rollout_key(1), b"?"),))
    await leader.service.submit(strange)
    for reply in (await start(leader), await leader.send("POST", "/v1/rollouts/1/abort", {})):
        assert (reply.status, kind(reply)) == (503, "not-ready")


async def test_any_node_passes_orders_on_and_reads_its_own_copy(fleet: Fleet, leader: Node) -> None:
    other = await fleet.node("n4", "us")
    assert (await start(other)).status == 201
    other.service.catch_up()
    assert document(await other.get("/v1/rollouts/1"))["document"] == "flags"


@pytest.mark.parametrize(
    ("order", "place"),
    [
        ({"strategy": "bold"}, "strategy"),
        ({"strategy": {"name": "canary", "bake_ms": -1}}, "bake_ms"),
        ({"gates": [{"name": "p", "kind": "prometheus", "url": "http://x"}]}, "gates"),
        ({"gates": [{"name": "p", "kind": "http", "url": "ftp://x"}]}, "url"),
        ({"gates": [{"name": "p", "kind": "fleet"}, {"name": "p", "kind": "fleet"}]}, ""),
        ({"gates": [{"name": "f", "measures": []}]}, "measures"),
        ({"version": -1}, "version"),
        ({"colour": "blue"}, "colour"),
    ],
)
async def test_what_is_wrong_with_an_order_is_named(
    leader: Node, order: dict[str, Any], place: str
) -> None:
    refused = await start(leader, **order)
    assert kind(refused) == "invalid"
    assert any(place in error["pointer"] for error in document(refused)["errors"])
    assert document(await leader.get("/v1/rollouts"))["items"] == []


async def test_regions_and_waves_that_there_are_not_are_refused(leader: Node) -> None:
    for strategy in ({"order": ["mars"]}, {"approvals": [4]}):
        assert kind(await start(leader, strategy=strategy)) == "rollout-refused"


async def test_unknown_documents_and_versions_are_not_rolled_out(leader: Node) -> None:
    assert kind(await start(leader, document="none")) == "unknown-document"
    assert kind(await start(leader, version=99)) == "unknown-version"
    assert kind(await start(leader, document="No!")) == "invalid"
