"""The audit log over HTTP: what is recorded with edits and orders, listed, filtered, and proven."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from config.audit import PARTITION, RECORDS_PREFIX, record_key
from controlplane.requests import Value
from tests.api.listening import Fleet, Node, document, kind
from tests.api.test_documents import put


async def records(node: Node, query: str = "") -> list[dict[str, Any]]:
    """What is listed."""
    found: list[dict[str, Any]] = document(await node.get(f"/v1/audit{query}"))["items"]
    return found


async def edited(node: Node, count: int) -> None:
    """A document in so many versions."""
    headers = {"If_None_Match": "*"}
    for number in range(count):
        reply = await put(node, "flags", {"n": number}, query="?reason=why", **headers)
        assert reply.status in (200, 201), reply
        headers = {"If_Match": reply.headers["ETag"]}


async def test_an_edit_is_recorded_with_who_what_before_after_and_why(node: Node) -> None:
    await edited(node, 2)
    versions = document(await node.get("/v1/config/flags/versions"))["items"]
    first, second = await records(node)
    assert (first["sequence"], first["kind"], first["subject"]) == (1, "document", "flags")
    assert (first["before"], first["after"]) == (
        None,
        {"version": 1, "digest": versions[0]["digest"]},
    )
    assert (second["principal"], second["reason"], second["previous"]) == (
        "operator", "why", first["digest"],
    )  # fmt: skip
    assert second["before"] == {"version": 1, "digest": versions[0]["digest"]}
    gone = await node.send("DELETE", "/v1/config/flags", If_Match="*")
    assert gone.status == 200
    assert (await records(node))[-1]["after"] == {"version": 3, "deleted": True}


async def test_what_is_refused_or_only_tried_leaves_no_record(node: Node) -> None:
    await edited(node, 1)
    assert (await put(node, "flags", {"n": 9})).status == 412
    assert (await put(node, "other", {"n": 9}, query="?dry_run=true")).status == 200
    assert len(await records(node)) == 1


async def test_orders_of_placement_are_recorded(node: Node) -> None:
    assert (await node.send("POST", "/v1/regions/us/drain?reason=power", {})).status == 202
    assert (await node.send("POST", "/v1/regions/us/undrain", {})).status == 200
    assert (await node.send("POST", "/v1/placement/pause?reason=busy", {})).status == 200
    assert (await node.send("POST", "/v1/placement/resume", {})).status == 200
    assert (await node.send("POST", "/v1/placement/release?reason=known", {})).status == 200
    found = [(r["kind"], r["subject"], r["reason"]) for r in await records(node)]
    assert found == [
        ("drain", "region us", "power"), ("drain", "region us", ""),
        ("pause", "placement", "busy"), ("pause", "placement", ""),
        ("brake", "placement", "known"),
    ]  # fmt: skip
    begun, ended = await records(node, "?kind=drain")
    assert (begun["before"], begun["after"]) == (None, {"state": "draining"})
    assert (ended["before"], ended["after"]) == ({"state": "draining"}, {"state": "over"})


async def test_records_come_in_pages_and_by_filters(node: Node) -> None:
    await edited(node, 7)
    await node.send("POST", "/v1/regions/us/drain?reason=power", {})
    page = document(await node.get("/v1/audit?limit=3"))
    numbers = [item["sequence"] for item in page["items"]]
    while "continue" in page:
        page = document(await node.get(f"/v1/audit?limit=3&continue={page['continue']}"))
        numbers += [item["sequence"] for item in page["items"]]
    assert numbers == list(range(1, 9))
    assert [r["sequence"] for r in await records(node, "?last=2")] == [7, 8]
    assert [r["sequence"] for r in await records(node, "?after=6")] == [7, 8]
    assert [r["sequence"] for r in await records(node, "?subject=region%20us")] == [8]
    assert await records(node, "?principal=nobody") == []
    times = [r["wall_ms"] for r in await records(node)]
    assert len(await records(node, f"?since={times[2]}&until={times[5]}")) == 3
    other = await node.get(f"/v1/audit?limit=3&kind=drain&continue={'x' * 12}")
    assert kind(other) == "invalid"


async def test_a_leadership_among_many_is_found_by_its_shard(node: Node) -> None:
    shard = node.service.fleet_of.shards["system"]
    await edited(node, 1)
    key = record_key(2)
    data = (
        b'{"sequence":2,"previous":"","kind":"leadership","subject":"2 shards",'
        b'"principal":"system","reason":"","wall_ms":1,"epoch":1,"node":"n1","before":null,'
        b'"after":{"changes":[["s1",2,"n1","expired","n2",1],["s2",2,"n1","expired","n2",1]]}}'
    )
    shard.values[key] = (PARTITION, Value(9, data))
    assert [r["sequence"] for r in await records(node, "?subject=s2")] == [2]
    assert await records(node, "?subject=s3") == []


async def test_the_log_is_proven_whole_and_where_it_is_not_is_told(node: Node) -> None:
    await edited(node, 5)
    whole = document(await node.get("/v1/audit/verify"))
    listed = await records(node)
    assert whole == {
        "valid": True, "records": 5, "first": 1, "last": 5, "head": listed[-1]["digest"],
        "holes": [], "problem": None, "at": None, "checkpoint": None,
    }  # fmt: skip
    kept = f"3:{listed[2]['digest']}"
    assert (
        document(await node.get(f"/v1/audit/verify?checkpoint={kept}"))["checkpoint"] == "matches"
    )
    values = node.service.fleet_of.shards["system"].values
    partition, value = values[record_key(3)]
    values[record_key(3)] = (
        partition, replace(value, data=value.data.replace(b"operator", b"somebody")),
    )  # fmt: skip
    broken = document(await node.get(f"/v1/audit/verify?checkpoint={kept}"))
    assert (broken["valid"], broken["at"], broken["checkpoint"]) == (False, 3, "differs")
    del values[record_key(3)]
    missing = document(await node.get("/v1/audit/verify"))
    assert (missing["valid"], missing["holes"]) == (False, [{"first": 3, "last": 3}])
    values[record_key(3)] = (partition, Value(1, b"\x00 nonsense"))
    assert (await records(node, "?after=2"))[0]["kind"] == "unreadable"
    for number in (4, 5):
        del values[record_key(number)]
    assert not document(await node.get("/v1/audit/verify"))["valid"]
    assert kind(await node.get("/v1/audit/verify?checkpoint=3")) == "invalid"


async def test_any_node_answers_by_way_of_the_leader(fleet: Fleet) -> None:
    leads, other = await fleet.node("n1", "eu"), await fleet.node("n2", "us")
    fleet.fake.lead("n1")
    await edited(leads, 2)
    assert len(await records(other, "?last=5")) == 2
    assert document(await other.get("/v1/audit/verify"))["valid"]
    assert all(RECORDS_PREFIX not in str(request) for request in other.service.asked[-1:])
