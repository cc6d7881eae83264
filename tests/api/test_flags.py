"""Flags over HTTP: what is in force, waiting for something else, and evaluation by the node."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from config.document import canonical
from config.revision import Revision
from controlplane.api import flag_pages
from controlplane.api.settings import ApiSettings
from controlplane.http_client import PeerReply
from tests.api.listening import Fleet, Node, document, kind, until
from tests.api.test_openapi import assert_described

ALL = "/ofrep/v1/evaluate/flags"
HALVES = [{"serve": "on", "percent": 50}, {"serve": "off", "percent": 50}]
FLAGS: dict[str, Any] = {
    "plain": {"default": "on"},
    "split": {"split": HALVES},
    "here": {"default": "off", "rules": [{"regions": ["eu"], "serve": "on"}]},
    "price": {"variants": {"low": 9.5, "high": 12}, "off": "high", "default": "low"},
}
TOLD = {"document": "flags.web", "version": 1}


def in_force(node: Node, flags: dict[str, Any], version: int = 1, name: str = "flags.web") -> None:
    """Have these flags in force at a node."""
    node.service.feed.apply(Revision(name, version, canonical({"flags": flags})))


async def evaluate(node: Node, flag: str, **context: Any) -> PeerReply:
    """Have a node evaluate a flag; what it answers is as it is described."""
    reply = await node.send("POST", f"{ALL}/{flag}", {"context": context})
    assert_described("POST", f"{ALL}/{{flag}}", reply)
    return reply


async def evaluate_all(node: Node, body: dict[str, Any], **headers: str) -> PeerReply:
    """Have a node evaluate all flags; what it answers is as it is described."""
    reply = await node.send("POST", ALL, body, **headers)
    assert_described("POST", ALL, reply)
    return reply


async def test_a_flag_is_evaluated_as_the_protocol_has_it(node: Node) -> None:
    in_force(node, FLAGS)
    reply = await evaluate(node, "plain")
    assert reply.status == 200
    assert document(reply) == {
        "key": "plain", "value": True, "variant": "on", "reason": "STATIC", "metadata": TOLD,
    }  # fmt: skip
    split = document(await evaluate(node, "split", targetingKey="ada"))
    assert (split["reason"], split["value"]) == ("SPLIT", split["variant"] == "on")
    assert document(await evaluate(node, "price"))["value"] == 9.5


async def test_rules_by_region_fit_where_the_node_stands(pair: tuple[Node, Node]) -> None:
    for node in pair:
        in_force(node, FLAGS)
    found = [document(await evaluate(node, "here"))["value"] for node in pair]
    assert found == [True, False]


@pytest.mark.parametrize(
    ("flag", "body", "status", "code"),
    [
        ("none", {}, 404, "FLAG_NOT_FOUND"),
        ("a%2Fb", {}, 404, "FLAG_NOT_FOUND"),
        ("split", {}, 400, "TARGETING_KEY_MISSING"),
        ("split", {"context": {"targetingKey": 7}}, 400, "INVALID_CONTEXT"),
        ("split", {"context": []}, 400, "INVALID_CONTEXT"),
        ("split", b"[]", 400, "PARSE_ERROR"),
        ("split", b"{", 400, "PARSE_ERROR"),
        ("plain?colour=blue", {}, 400, "GENERAL"),
    ],
)
async def test_what_cannot_be_evaluated_is_told_in_the_words_of_the_protocol(
    node: Node, flag: str, body: Any, status: int, code: str
) -> None:
    in_force(node, FLAGS)
    reply = await node.send("POST", f"{ALL}/{flag}", body, Content_Type="application/json")
    assert (reply.status, document(reply)["errorCode"]) == (status, code)
    assert document(reply)["errorDetails"]
    assert_described("POST", f"{ALL}/{{flag}}", reply)


async def test_all_flags_are_evaluated_and_told_again_only_when_they_may_differ(node: Node) -> None:
    in_force(node, FLAGS)
    first = await evaluate_all(node, {"context": {}})
    found = {each["key"]: each for each in document(first)["flags"]}
    assert list(found) == ["here", "plain", "price", "split"]
    assert found["split"]["errorCode"] == "TARGETING_KEY_MISSING"
    assert found["here"]["reason"] == "TARGETING_MATCH"
    tag = first.headers["ETag"]
    same = await evaluate_all(node, {"context": {}}, If_None_Match=f'"other", {tag}')
    assert (same.status, same.body, same.headers["ETag"]) == (304, b"", tag)
    somebody = await evaluate_all(node, {"context": {"targetingKey": "ada"}}, If_None_Match=tag)
    assert somebody.status == 200
    in_force(node, FLAGS | {"plain": {"default": "off"}}, version=2)
    changed = await evaluate_all(node, {"context": {}}, If_None_Match=tag)
    assert changed.status == 200
    bad = await evaluate_all(node, {"context": 3})
    assert (bad.status, document(bad)["errorCode"]) == (400, "INVALID_CONTEXT")


async def test_what_is_in_force_is_told_with_a_tag_that_nodes_of_a_region_share(
    fleet: Fleet,
) -> None:
    nodes = [await fleet.node(name, region) for name, region in
             (("n1", "eu"), ("n2", "eu"), ("n3", "us"))]  # fmt: skip
    for node in nodes:
        in_force(node, FLAGS)
    replies = [await node.get("/v1/flags") for node in nodes]
    (told,) = document(replies[0])["documents"]
    assert (told["name"], told["version"], told["content"]) == ("flags.web", 1, {"flags": FLAGS})
    tags = [reply.headers["ETag"] for reply in replies]
    assert tags[0] == tags[1] != tags[2]
    same = await nodes[1].get("/v1/flags", If_None_Match=tags[0])
    assert (same.status, same.body) == (304, b"")


async def test_who_waits_is_answered_as_soon_as_something_else_is_in_force(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flag_pages, "LOOK_S", 60.0)
    in_force(node, FLAGS)
    tag = (await node.get("/v1/flags")).headers["ETag"]
    waiting = asyncio.create_task(node.get("/v1/flags?wait_ms=60000", If_None_Match=tag))
    await until(lambda: node.edge.streams == 1)
    node.service.happen("elected")
    in_force(node, {}, version=2)
    node.service.happen("document-applied")
    reply = await waiting
    assert (reply.status, document(reply)["documents"][0]["version"]) == (200, 2)
    assert node.edge.streams == 0


async def test_who_waits_is_answered_too_when_nobody_tells_of_a_change(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flag_pages, "LOOK_S", 0.01)
    tag = (await node.get("/v1/flags")).headers["ETag"]
    waiting = asyncio.create_task(node.get("/v1/flags?wait_ms=60000", If_None_Match=tag))
    await until(lambda: node.edge.streams == 1)
    in_force(node, FLAGS)
    assert (await waiting).status == 200


async def test_who_waits_long_enough_is_told_that_it_is_still_the_same(node: Node) -> None:
    tag = (await node.get("/v1/flags")).headers["ETag"]
    reply = await node.get("/v1/flags?wait_ms=30", If_None_Match=tag)
    assert (reply.status, reply.headers["ETag"]) == (304, tag)
    other = await node.get("/v1/flags?wait_ms=60000", If_None_Match='"other"')
    assert other.status == 200


async def test_no_more_wait_than_may(fleet: Fleet) -> None:
    node = await fleet.node("n1", "eu", ApiSettings(streams_max=0))
    tag = (await node.get("/v1/flags")).headers["ETag"]
    refused = await node.get("/v1/flags?wait_ms=60000", If_None_Match=tag)
    assert (refused.status, kind(refused)) == (503, "too-many-streams")
    assert (await node.get("/v1/flags", If_None_Match=tag)).status == 304


async def test_a_node_that_knows_no_documents_yet_does_not_pass_for_a_fleet_without_flags(
    node: Node,
) -> None:
    node.service.map_version = 0
    for reply in (
        await node.get("/v1/flags"),
        await node.send("POST", ALL, {}),
        await node.send("POST", f"{ALL}/plain", {}),
    ):
        assert (reply.status, kind(reply)) == (503, "not-ready")
    assert document(reply)["errorCode"] == "PROVIDER_NOT_READY"


async def test_a_body_that_is_not_json_by_its_type_is_refused_as_everywhere(node: Node) -> None:
    reply = await node.send("POST", f"{ALL}/plain", orjson.dumps({}), Content_Type="text/plain")
    assert (reply.status, kind(reply)) == (415, "unsupported-media-type")


async def test_a_flag_that_goes_with_its_document_is_gone(node: Node) -> None:
    in_force(node, FLAGS)
    assert (await evaluate(node, "plain")).status == 200
    node.service.feed.apply(Revision("flags.web", 2, b"", deleted=True))
    assert (await evaluate(node, "plain")).status == 404
