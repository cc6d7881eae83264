"""Keys and values over HTTP: what goes in, what comes out, and what every answer says of itself."""

from __future__ import annotations

from base64 import b64decode
from urllib.parse import quote

import pytest

from controlplane.http_client import PeerReply
from controlplane.requests import (
    Compare,
    Consistency,
    Delete,
    Problem,
    Put,
    Read,
    Refused,
    Scan,
    Write,
)
from shards.position import decode, encode
from tests.api.listening import Node, document, kind

KEY = "{customer42}/orders/7"
PATH = "/v1/kv/" + quote(KEY, safe="")


def said(reply: PeerReply) -> dict[str, str]:
    """What an answer says of itself, by header."""
    return {name: text for name, text in reply.headers.items() if name.startswith("Leadplane-")}


async def test_a_value_comes_back_as_it_was_put(node: Node) -> None:
    value = bytes(range(256))
    put = await node.send("PUT", PATH, value)
    shard = put.headers["Leadplane-Shard"]
    assert put.status == 200
    assert said(put) == {
        "Leadplane-Shard": shard,
        "Leadplane-Epoch": "2",
        "Leadplane-Position": encode({shard: 1}),
        "Leadplane-Version": "1",
        "Leadplane-Staleness-Ms": "0",
        "Leadplane-Served-By": "n1",
        "Leadplane-Role": "leader",
    }
    assert put.headers["ETag"] == '"1"'
    assert document(put) == {
        "key": KEY,
        "shard": shard,
        "epoch": 2,
        "version": 1,
        "position": encode({shard: 1}),
    }
    got = await node.get(PATH)
    assert (got.status, got.body) == (200, value)
    assert got.headers["Content-Type"] == "application/octet-stream"
    assert said(got) == said(put)
    assert got.headers["ETag"] == '"1"'


async def test_the_node_is_asked_exactly_this(node: Node) -> None:
    await node.send(
        "PUT",
        PATH + f"?position={encode({'s0': 4, 's1': 5, 's2': 6, 's3': 7})}",
        b"x",
        If_Match='"3"',
        Idempotency_Key="op-1",
    )
    await node.send("DELETE", PATH, If_Match="*")
    await node.get(PATH + "?consistency=session&max_staleness_ms=90")
    write, delete, read = node.service.asked
    assert isinstance(write, Write)
    shard = write.shard
    sequence = {"s0": 4, "s1": 5, "s2": 6, "s3": 7}[shard]
    put = (Put("customer42", KEY, b"x"),)
    assert write == Write(shard, put, (Compare(KEY, 3),), "op-1", write.digest, sequence)
    assert len(write.digest) == 64
    assert delete == Write(shard, (Delete("customer42", KEY),), (Compare(KEY, -1),))
    assert read == Read(shard, (KEY,), Consistency.SESSION, 90, 0)


async def test_a_strong_read_may_ask_for_a_quorum(node: Node) -> None:
    await node.get(PATH + "?consistency=strong&quorum=true")
    await node.get(PATH + "?quorum=false")
    await node.get("/v1/kv?partition=customer42&quorum=true")
    confirmed, plain, scan = node.service.asked
    assert isinstance(confirmed, Read)
    assert confirmed == Read(confirmed.shard, (KEY,), quorum=True)
    assert plain == Read(confirmed.shard, (KEY,))
    assert scan == Scan(confirmed.shard, "customer42", quorum=True)


async def test_an_absent_key_is_said_to_be_absent_with_its_position(node: Node) -> None:
    await node.send("PUT", PATH, b"x")
    deleted = await node.send("DELETE", PATH)
    again = await node.send("DELETE", PATH)
    assert (deleted.status, again.status) == (200, 200)
    gone = await node.get(PATH)
    assert (gone.status, kind(gone)) == (404, "no-such-key")
    assert gone.headers["Leadplane-Position"] == again.headers["Leadplane-Position"]
    assert gone.headers["Leadplane-Staleness-Ms"] == "0"
    assert "Leadplane-Version" not in gone.headers


async def test_compare_and_set(node: Node) -> None:
    created = await node.send("PUT", PATH, b"1", If_None_Match="*")
    assert created.headers["Leadplane-Version"] == "1"
    refused = await node.send("PUT", PATH, b"2", If_None_Match="*")
    assert (refused.status, kind(refused)) == (412, "precondition-failed")
    assert document(refused)["version"] == 1
    assert refused.headers["Leadplane-Version"] == "1"
    assert (await node.send("PUT", PATH, b"2", If_Match='"1"')).status == 200
    assert (await node.send("PUT", PATH, b"3", If_Match='"1"')).status == 412
    assert (await node.send("DELETE", PATH, If_Match='"1"')).status == 412
    assert (await node.send("DELETE", PATH, If_Match='"2"')).status == 200
    assert (await node.send("DELETE", PATH, If_Match="*")).status == 412
    assert (await node.get(PATH)).status == 404


async def test_a_retry_under_its_key_gets_the_first_outcome(node: Node) -> None:
    first = await node.send("PUT", PATH, b"1", Idempotency_Key="a")
    await node.send("PUT", PATH, b"2", Idempotency_Key="b")
    retry = await node.send("PUT", PATH, b"1", Idempotency_Key="a")
    assert "Idempotency-Replayed" not in first.headers
    assert retry.headers["Idempotency-Replayed"] == "true"
    assert (retry.status, retry.body) == (first.status, first.body)
    assert said(retry) == said(first)
    assert (await node.get(PATH)).body == b"2"


@pytest.mark.parametrize(
    ("method", "path", "body", "headers"),
    [
        ("PUT", PATH, b"other", {}),
        ("DELETE", PATH, b"", {}),
        ("PUT", PATH + "x", b"1", {}),
        ("PUT", PATH, b"1", {"If_Match": '"1"'}),
    ],
)
async def test_another_request_under_the_same_key_is_refused(
    node: Node, method: str, path: str, body: bytes, headers: dict[str, str]
) -> None:
    await node.send("PUT", PATH, b"1", Idempotency_Key="a")
    reply = await node.send(method, path, body, Idempotency_Key="a", **headers)
    assert (reply.status, kind(reply)) == (422, "idempotency-mismatch")


async def test_a_position_takes_in_what_the_client_had_seen(node: Node) -> None:
    before = {"elsewhere": 7, "s0": 0, "s1": 0, "s2": 0, "s3": 0}
    put = await node.send("PUT", PATH + f"?position={encode(before)}", b"x")
    shard = put.headers["Leadplane-Shard"]
    assert decode(put.headers["Leadplane-Position"]) == before | {shard: 1}
    seen = put.headers["Leadplane-Position"]
    got = await node.get(PATH + f"?position={seen}")
    assert got.headers["Leadplane-Position"] == seen
    scanned = await node.get(f"/v1/kv?partition=customer42&position={seen}")
    assert scanned.headers["Leadplane-Position"] == seen


async def test_a_value_that_is_still_the_same_is_not_sent_again(node: Node) -> None:
    put = await node.send("PUT", PATH, b"x")
    same = await node.get(PATH, If_None_Match=put.headers["ETag"])
    assert (same.status, same.body) == (304, b"")
    assert same.headers["ETag"] == put.headers["ETag"]
    assert same.headers["Leadplane-Position"] == put.headers["Leadplane-Position"]
    await node.send("PUT", PATH, b"y")
    assert (await node.get(PATH, If_None_Match=put.headers["ETag"])).body == b"y"


@pytest.mark.parametrize(
    "key", ["a/b//c", "/a", "a b", "a+b", "ä%", "?", "#", "a;b&c=d", "..", "a/../b", "%2F", "{}"]
)
async def test_a_key_is_taken_to_the_letter(node: Node, key: str) -> None:
    path = "/v1/kv/" + quote(key, safe="")
    put = await node.send("PUT", path, b"x")
    assert document(put)["key"] == key
    (write,) = node.service.asked
    assert isinstance(write, Write)
    assert write.mutations[0].key == key
    assert (await node.get(path)).body == b"x"


async def test_slashes_of_a_key_may_be_escaped_or_not(node: Node) -> None:
    await node.send("PUT", "/v1/kv/a%2Fb", b"x")
    assert (await node.get("/v1/kv/a/b")).body == b"x"


async def test_a_scan_lists_a_partition_page_by_page(node: Node) -> None:
    keys = [f"{{p}}/{number:02}" for number in range(7)]
    for key in reversed(keys):
        await node.send("PUT", "/v1/kv/" + quote(key, safe=""), key.encode())
    await node.send("PUT", "/v1/kv/other", b"x")
    path = f"/v1/kv?partition=p&prefix={quote('{p}/')}&limit=3"
    found, token = [], ""
    for size in (3, 3, 1):
        reply = await node.get(path + (f"&continue={token}" if token else ""))
        page = document(reply)
        assert len(page["items"]) == size
        found += page["items"]
        token = page.get("continue", "")
    assert not token
    assert [item["key"] for item in found] == keys
    assert [item["value"] for item in found] == keys
    assert [item["version"] for item in found] == [7, 6, 5, 4, 3, 2, 1]
    assert said(reply).keys() == {
        "Leadplane-Shard",
        "Leadplane-Epoch",
        "Leadplane-Position",
        "Leadplane-Staleness-Ms",
        "Leadplane-Served-By",
        "Leadplane-Role",
    }
    scan = node.service.asked[-1]
    assert scan == Scan(scan.shard, "p", "{p}/", keys[5], 3)


async def test_a_scan_shows_what_is_not_text(node: Node) -> None:
    await node.send("PUT", "/v1/kv/p", b"\xff\x00")
    (item,) = document(await node.get("/v1/kv?partition=p"))["items"]
    assert item["encoding"] == "base64"
    assert b64decode(item["value"]) == b"\xff\x00"


@pytest.mark.parametrize("partition", ["{x", "a{b}c", "{a}", "}"])
async def test_a_partition_is_found_by_its_own_name(node: Node, partition: str) -> None:
    """Also one that, taken for a key, would be of another partition."""
    balanced = partition.count("{") == partition.count("}")
    key = "{" + partition + "}" if balanced else partition
    await node.send("PUT", "/v1/kv/" + quote(key, safe=""), b"x")
    page = document(await node.get(f"/v1/kv?partition={quote(partition)}"))
    assert [item["key"] for item in page["items"]] == [key]


@pytest.mark.parametrize(
    "query",
    ["partition=q&prefix=a", "partition=p&prefix=b", "partition=p"],
)
async def test_a_page_of_another_scan_is_refused(node: Node, query: str) -> None:
    for key in ("{p}a1", "{p}a2"):
        await node.send("PUT", "/v1/kv/" + quote(key), b"x")
    first = document(await node.get(f"/v1/kv?partition=p&prefix={quote('{p}a')}&limit=1"))
    reply = await node.get(f"/v1/kv?{query}&continue={first['continue']}")
    assert (reply.status, kind(reply)) == (400, "invalid")
    assert document(reply)["errors"][0]["parameter"] == "continue"


REFUSALS: tuple[tuple[Problem, int, str, bool], ...] = (
    (Problem.INVALID, 400, "invalid", False),
    (Problem.UNKNOWN_SHARD, 404, "unknown-shard", False),
    (Problem.NO_LEADER, 503, "no-leader", True),
    (Problem.NOT_LEADER, 503, "no-leader", True),
    (Problem.NO_QUORUM, 503, "no-quorum", True),
    (Problem.TRANSFERRING, 503, "transferring", True),
    (Problem.STALE, 503, "stale", True),
    (Problem.PRECONDITION_FAILED, 412, "precondition-failed", False),
    (Problem.IDEMPOTENCY_MISMATCH, 422, "idempotency-mismatch", False),
    (Problem.TOO_OLD, 409, "too-old", False),
    (Problem.TOO_LARGE, 413, "too-large", False),
    (Problem.QUOTA_EXCEEDED, 507, "quota-exceeded", False),
    (Problem.STORE_FULL, 507, "store-full", True),
    (Problem.OVERLOADED, 503, "overloaded", True),
    (Problem.UNKNOWN_OUTCOME, 504, "unknown-outcome", False),
)


@pytest.mark.parametrize(("problem", "status", "name", "retry"), REFUSALS)
async def test_every_refusal_has_its_status(
    node: Node, problem: Problem, status: int, name: str, retry: bool
) -> None:
    node.service.answer = lambda request: Refused(problem, "because", None)
    reply = await node.send("PUT", PATH, b"x")
    assert (reply.status, kind(reply)) == (status, name)
    told = document(reply)
    assert told["detail"] == "because"
    assert told["title"]
    assert told["instance"] == PATH
    assert ("retry_after_ms" in told) == retry
    assert ("Retry-After" in reply.headers) == retry
    assert reply.headers["Leadplane-Served-By"] == "n1"
    assert reply.headers["Leadplane-Shard"]


def test_every_refusal_of_the_node_is_tried() -> None:
    tried = {problem for problem, *_ in REFUSALS}
    of_groups = {
        Problem.UNKNOWN_GROUP, Problem.UNKNOWN_STORE, Problem.NOT_CHANGED, Problem.GROUP_NOT_MADE,
        Problem.GROUP_NOT_DROPPED,
    }  # fmt: skip
    of_reshardings = {
        Problem.NOT_RESHARDED, Problem.UNKNOWN_RESHARDING, Problem.UNSPLITTABLE,
    }  # fmt: skip
    elsewhere = of_groups | of_reshardings | {Problem.UNKNOWN_NODE, Problem.NOT_READY}
    assert tried | elsewhere == set(Problem)


async def test_the_node_says_when_to_try_again(node: Node) -> None:
    node.service.answer = lambda request: Refused(Problem.OVERLOADED, "busy", None, 1_200)
    reply = await node.send("PUT", PATH, b"x")
    assert document(reply)["retry_after_ms"] == 1_200
    assert reply.headers["Retry-After"] == "2"
