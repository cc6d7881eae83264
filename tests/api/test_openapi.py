"""The OpenAPI document is valid, complete, and true of every answer."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from controlplane.api.application import create_app
from controlplane.api.documents import Route
from controlplane.api.openapi import openapi_document
from controlplane.api.route_table import ROUTES
from controlplane.http_client import PeerReply
from controlplane.problems import KINDS
from tests.api.fake_service import FakeFleet
from tests.api.listening import Node, document
from tests.api.test_placement_plans import ready

DOCUMENT = openapi_document(ROUTES, "http://127.0.0.1:7101")


PATHS = (
    "/internal/v1/peer",
    "/livez",
    "/metrics",
    "/ofrep/v1/evaluate/flags",
    "/ofrep/v1/evaluate/flags/{flag}",
    "/openapi.json",
    "/readyz",
    "/v1/audit",
    "/v1/audit/verify",
    "/v1/config",
    "/v1/config/{name}",
    "/v1/config/{name}/diff",
    "/v1/config/{name}/effective",
    "/v1/config/{name}/versions",
    "/v1/config/{name}/versions/{version}",
    "/v1/events",
    "/v1/events/kept",
    "/v1/events/summary",
    "/v1/flags",
    "/v1/kv",
    "/v1/kv/{key}",
    "/v1/leader",
    "/v1/nodes",
    "/v1/nodes/{node}",
    "/v1/nodes/{node}/drain",
    "/v1/nodes/{node}/fenced-writes",
    "/v1/nodes/{node}/fenced-writes/{number}",
    "/v1/nodes/{node}/stoppable",
    "/v1/nodes/{node}/undrain",
    "/v1/placement",
    "/v1/placement/apply",
    "/v1/placement/history",
    "/v1/placement/latency",
    "/v1/placement/load",
    "/v1/placement/pause",
    "/v1/placement/picture",
    "/v1/placement/plan",
    "/v1/placement/release",
    "/v1/placement/resume",
    "/v1/regions",
    "/v1/regions/groups",
    "/v1/regions/groups/{group}",
    "/v1/regions/groups/{group}/changes",
    "/v1/regions/groups/{group}/drop",
    "/v1/regions/groups/{group}/force-recover",
    "/v1/regions/groups/{group}/lease",
    "/v1/regions/{region}",
    "/v1/regions/{region}/drain",
    "/v1/regions/{region}/undrain",
    "/v1/reshardings",
    "/v1/reshardings/{resharding}",
    "/v1/reshardings/{resharding}/cancel",
    "/v1/rollouts",
    "/v1/rollouts/{rollout}",
    "/v1/rollouts/{rollout}/abort",
    "/v1/rollouts/{rollout}/events",
    "/v1/rollouts/{rollout}/pause",
    "/v1/rollouts/{rollout}/promote",
    "/v1/rollouts/{rollout}/resume",
    "/v1/rollouts/{rollout}/rollback",
    "/v1/route",
    "/v1/routes",
    "/v1/shards",
    "/v1/shards/{shard}",
    "/v1/shards/{shard}/evict",
    "/v1/shards/{shard}/explain",
    "/v1/shards/{shard}/history",
    "/v1/shards/{shard}/merge",
    "/v1/shards/{shard}/move",
    "/v1/shards/{shard}/pin",
    "/v1/shards/{shard}/preempt",
    "/v1/shards/{shard}/role/{role}",
    "/v1/shards/{shard}/split",
    "/v1/shards/{shard}/transfer",
    "/v1/status",
)


def test_the_document_is_valid() -> None:
    validate(DOCUMENT)
    assert DOCUMENT["openapi"] == "3.1.0"


async def test_the_document_is_served(node: Node) -> None:
    served = document(await node.get("/openapi.json"))
    assert served["paths"].keys() == DOCUMENT["paths"].keys()
    assert served["components"] == DOCUMENT["components"]


def test_a_route_that_is_not_described_does_not_exist() -> None:
    app = create_app(FakeFleet().add("n1", "eu"))
    served = {
        (route.method.lower(), re.sub(r":[^{}]*\}", "}", route.resource.canonical))
        for route in app.router.routes()
        if route.resource is not None and route.method != "*"
    }
    described = {
        (method, path) for path, methods in DOCUMENT["paths"].items() for method in methods
    }
    assert {(method, _unpatterned(path)) for method, path in served} == described


def _unpatterned(path: str) -> str:
    return re.sub(r"\{(\w+)[^/]*\}", r"{\1}", path)


def test_only_what_was_fixed_is_there() -> None:
    assert tuple(sorted(DOCUMENT["paths"])) == PATHS


def operation(method: str, path: str) -> dict[str, Any]:
    """The description of one operation."""
    found: dict[str, Any] = DOCUMENT["paths"][path][method.lower()]
    return found


def assert_described(method: str, path: str, reply: PeerReply) -> None:
    """The status, headers, media type and body of an answer are as the document says."""
    responses = operation(method, path)["responses"]
    assert str(reply.status) in responses, (method, path, reply)
    told = responses[str(reply.status)]
    for name, header in told.get("headers", {}).items():
        assert not header["required"] or name in reply.headers, (path, name, reply)
    if not reply.body:
        return
    media = reply.headers["Content-Type"].partition(";")[0]
    assert media in told["content"], (path, media)
    if media.endswith("json"):
        schema = told["content"][media]["schema"] | {"components": DOCUMENT["components"]}
        OAS31Validator(schema).validate(document(reply))


GOOD: tuple[tuple[str, str, str, int], ...] = (
    ("GET", "/v1/route", "/v1/route?key=a&intent=write", 200),
    ("GET", "/v1/routes", "/v1/routes", 200),
    ("PUT", "/v1/kv/{key}", "/v1/kv/a", 200),
    ("GET", "/v1/kv/{key}", "/v1/kv/a", 200),
    ("GET", "/v1/kv/{key}", "/v1/kv/none", 404),
    ("GET", "/v1/kv/{key}", "/v1/kv/a?x=1", 400),
    ("GET", "/v1/kv", "/v1/kv?partition=a", 200),
    ("DELETE", "/v1/kv/{key}", "/v1/kv/a", 200),
    ("GET", "/v1/shards", "/v1/shards", 200),
    ("GET", "/v1/shards", "/v1/shards?limit=2", 200),
    ("GET", "/v1/shards/{shard}", "/v1/shards/s0", 200),
    ("GET", "/v1/shards/{shard}", "/v1/shards/none", 404),
    ("GET", "/v1/shards/{shard}/history", "/v1/shards/s0/history", 200),
    ("GET", "/v1/shards/{shard}/role/{role}", "/v1/shards/s0/role/leader", 200),
    ("GET", "/v1/shards/{shard}/role/{role}", "/v1/shards/s0/role/follower", 503),
    ("HEAD", "/v1/shards/{shard}/role/{role}", "/v1/shards/s0/role/follower", 503),
    ("POST", "/v1/shards/{shard}/transfer", "/v1/shards/s0/transfer?dry_run=true", 409),
    ("POST", "/v1/shards/{shard}/preempt", "/v1/shards/s0/preempt?dry_run=true", 409),
    ("POST", "/v1/shards/{shard}/evict", "/v1/shards/s0/evict?dry_run=true", 200),
    ("POST", "/v1/shards/{shard}/evict", "/v1/shards/s0/evict", 200),
    ("POST", "/v1/shards/{shard}/pin", "/v1/shards/s0/pin", 400),
    ("POST", "/v1/shards/{shard}/split", "/v1/shards/s0/split?dry_run=true", 200),
    ("POST", "/v1/shards/{shard}/split", "/v1/shards/s0/split", 202),
    ("POST", "/v1/shards/{shard}/merge", "/v1/shards/s0/merge", 400),
    ("POST", "/v1/shards/{shard}/move", "/v1/shards/none/move", 400),
    ("GET", "/v1/reshardings", "/v1/reshardings", 200),
    ("GET", "/v1/reshardings/{resharding}", "/v1/reshardings/1", 200),
    ("GET", "/v1/reshardings/{resharding}", "/v1/reshardings/x", 404),
    ("POST", "/v1/reshardings/{resharding}/cancel", "/v1/reshardings/1/cancel", 202),
    ("POST", "/v1/reshardings/{resharding}/cancel", "/v1/reshardings/7/cancel", 404),
    ("GET", "/v1/nodes", "/v1/nodes", 200),
    ("GET", "/v1/nodes/{node}", "/v1/nodes/n1", 200),
    ("GET", "/v1/nodes/{node}/fenced-writes", "/v1/nodes/n1/fenced-writes", 200),
    ("GET", "/v1/nodes/{node}/fenced-writes/{number}", "/v1/nodes/n1/fenced-writes/1", 404),
    ("POST", "/v1/nodes/{node}/drain", "/v1/nodes/n1/drain?dry_run=true", 409),
    ("POST", "/v1/nodes/{node}/drain", "/v1/nodes/none/drain", 404),
    ("POST", "/v1/nodes/{node}/undrain", "/v1/nodes/n1/undrain", 200),
    ("POST", "/v1/nodes/{node}/stoppable", "/v1/nodes/n1/stoppable", 200),
    ("POST", "/v1/regions/{region}/drain", "/v1/regions/us/drain", 202),
    ("POST", "/v1/regions/{region}/drain", "/v1/regions/eu/drain", 409),
    ("POST", "/v1/regions/{region}/undrain", "/v1/regions/eu/undrain", 200),
    ("GET", "/v1/regions", "/v1/regions", 200),
    ("GET", "/v1/regions/{region}", "/v1/regions/eu", 200),
    ("GET", "/v1/regions/groups", "/v1/regions/groups", 200),
    ("POST", "/v1/regions/groups", "/v1/regions/groups", 400),
    ("GET", "/v1/regions/groups/{group}", "/v1/regions/groups/global", 200),
    ("GET", "/v1/regions/groups/{group}", "/v1/regions/groups/region%2Fnone", 404),
    ("POST", "/v1/regions/groups/{group}/drop", "/v1/regions/groups/multi%2Fa/drop", 202),
    ("PUT", "/v1/regions/{region}", "/v1/regions/eu", 428),
    ("PATCH", "/v1/regions/{region}", "/v1/regions/eu", 428),
    ("DELETE", "/v1/regions/{region}", "/v1/regions/eu", 428),
    ("GET", "/v1/audit", "/v1/audit?kind=document&last=5", 200),
    ("GET", "/v1/audit", "/v1/audit?since=x", 400),
    ("GET", "/v1/audit/verify", "/v1/audit/verify", 200),
    ("GET", "/v1/audit/verify", "/v1/audit/verify?checkpoint=1", 400),
    ("GET", "/v1/config", "/v1/config?limit=3", 200),
    ("GET", "/v1/config/{name}", "/v1/config/placement", 200),
    ("GET", "/v1/config/{name}", "/v1/config/none", 404),
    ("PUT", "/v1/config/{name}", "/v1/config/flags", 428),
    ("DELETE", "/v1/config/{name}", "/v1/config/flags", 428),
    ("GET", "/v1/config/{name}/versions", "/v1/config/placement/versions", 200),
    ("GET", "/v1/config/{name}/versions/{version}", "/v1/config/placement/versions/0", 200),
    ("GET", "/v1/config/{name}/versions/{version}", "/v1/config/placement/versions/7", 404),
    ("GET", "/v1/config/{name}/diff", "/v1/config/placement/diff", 200),
    ("GET", "/v1/config/{name}/effective", "/v1/config/placement/effective", 200),
    ("GET", "/v1/config/{name}/effective", "/v1/config/placement/effective?region=mars", 404),
    ("GET", "/v1/rollouts", "/v1/rollouts", 200),
    ("GET", "/v1/rollouts/{rollout}", "/v1/rollouts/1", 404),
    ("GET", "/v1/rollouts/{rollout}/events", "/v1/rollouts/1/events", 404),
    ("POST", "/v1/rollouts", "/v1/rollouts", 400),
    ("POST", "/v1/rollouts/{rollout}/pause", "/v1/rollouts/1/pause", 404),
    ("POST", "/v1/rollouts/{rollout}/resume", "/v1/rollouts/1/resume", 404),
    ("POST", "/v1/rollouts/{rollout}/promote", "/v1/rollouts/1/promote", 404),
    ("POST", "/v1/rollouts/{rollout}/abort", "/v1/rollouts/1/abort", 404),
    ("POST", "/v1/rollouts/{rollout}/rollback", "/v1/rollouts/1/rollback", 404),
    ("GET", "/v1/flags", "/v1/flags", 200),
    ("POST", "/ofrep/v1/evaluate/flags", "/ofrep/v1/evaluate/flags", 200),
    ("POST", "/ofrep/v1/evaluate/flags/{flag}", "/ofrep/v1/evaluate/flags/none", 404),
    ("GET", "/v1/status", "/v1/status", 200),
    ("GET", "/v1/leader", "/v1/leader", 200),
    ("GET", "/v1/placement/load", "/v1/placement/load?busiest_by=bytes", 200),
    ("GET", "/v1/placement/latency", "/v1/placement/latency", 200),
    ("GET", "/v1/placement", "/v1/placement", 200),
    ("GET", "/v1/placement/history", "/v1/placement/history", 200),
    ("POST", "/v1/placement/plan", "/v1/placement/plan", 200),
    ("POST", "/v1/placement/picture", "/v1/placement/picture?what=map", 200),
    ("GET", "/v1/shards/{shard}/explain", "/v1/shards/s0/explain", 200),
    ("POST", "/v1/placement/apply", "/v1/placement/apply", 400),
    ("POST", "/v1/placement/pause", "/v1/placement/pause", 200),
    ("POST", "/v1/placement/resume", "/v1/placement/resume", 200),
    ("POST", "/v1/placement/release", "/v1/placement/release", 200),
    ("GET", "/v1/events", "/v1/events?from=1", 410),
    ("GET", "/v1/events/kept", "/v1/events/kept?shard=s0&kind=elected&since=1", 200),
    ("GET", "/v1/events/summary", "/v1/events/summary", 200),
    ("GET", "/livez", "/livez", 200),
    ("HEAD", "/livez", "/livez", 200),
    ("GET", "/readyz", "/readyz", 200),
    ("GET", "/readyz", "/readyz?verbose", 200),
    ("HEAD", "/readyz", "/readyz", 200),
    ("GET", "/metrics", "/metrics", 200),
    ("GET", "/openapi.json", "/openapi.json", 200),
)


@pytest.mark.parametrize(("method", "path", "target", "status"), GOOD)
async def test_answers_are_as_described(
    node: Node, method: str, path: str, target: str, status: int
) -> None:
    if path == "/v1/kv/{key}" and method != "PUT":
        await node.send("PUT", "/v1/kv/a", b"x")
    await ready(node)
    body: Any = b"x" if method == "PUT" else b""
    if status == 428 and method != "DELETE":
        body = {"content": {}}
    reply = await node.send(method, target, body)
    assert reply.status == status
    assert_described(method, path, reply)


async def test_edits_of_documents_are_as_described(node: Node) -> None:
    path = "/v1/config/flags"
    created = await node.send("PUT", path, {"content": {"a": 1}}, If_None_Match="*")
    gone = await node.send("DELETE", path, If_Match=created.headers["ETag"])
    tag = (await node.get("/v1/regions/eu")).headers["ETag"]
    patched = await node.send("PATCH", "/v1/regions/eu", {"zones": ["a"]}, If_Match=tag)
    refused = await node.send("DELETE", "/v1/regions/us", If_Match="*")
    assert [each.status for each in (created, gone, patched, refused)] == [201, 200, 200, 409]
    assert_described("PUT", "/v1/config/{name}", created)
    assert_described("DELETE", "/v1/config/{name}", gone)
    assert_described("PATCH", "/v1/regions/{region}", patched)
    assert_described("DELETE", "/v1/regions/{region}", refused)


async def test_rollouts_are_as_described(node: Node) -> None:
    await node.send("PUT", "/v1/config/flags", {"content": {"a": 1}}, If_None_Match="*")
    begun = await node.send("POST", "/v1/rollouts", {"document": "flags"})
    assert_described("POST", "/v1/rollouts", begun)
    assert_described("GET", "/v1/rollouts/{rollout}", await node.get("/v1/rollouts/1"))
    for order, status in (("pause", 200), ("resume", 200), ("promote", 409), ("abort", 200)):
        done = await node.send("POST", f"/v1/rollouts/1/{order}", {})
        assert done.status == status
        assert_described("POST", f"/v1/rollouts/{{rollout}}/{order}", done)


async def test_a_transfer_and_a_message_are_as_described(pair: tuple[Node, Node]) -> None:
    leader, _ = pair
    told = await leader.send("POST", "/internal/v1/peer", {"sender": "n2", "message": {"a": [1]}})
    assert told.status == 204
    assert leader.service.messages == [("n2", {"a": [1]})]
    assert_described("POST", "/internal/v1/peer", told)
    moved = await leader.send("POST", "/v1/shards/s0/transfer", {"to_region": "us"})
    assert_described("POST", "/v1/shards/{shard}/transfer", moved)


@pytest.mark.parametrize(("query", "status"), [("", 202), ("?dry_run=true", 200)])
async def test_a_change_of_stores_is_as_described(node: Node, query: str, status: int) -> None:
    path = "/v1/regions/groups/global/changes"
    changed = await node.send("POST", path + query, {"action": "add", "store": "eu-9"})
    assert changed.status == status
    assert_described("POST", "/v1/regions/groups/{group}/changes", changed)
    path = "/v1/regions/groups/global/lease"
    leased = await node.send("POST", path + query, {"ttl_ms": 3_000})
    assert leased.status == status
    assert_described("POST", "/v1/regions/groups/{group}/lease", leased)
    path = "/v1/regions/groups/global/force-recover"
    forced = await node.send("POST", path, {"accept_loss": True})
    assert_described("POST", "/v1/regions/groups/{group}/force-recover", forced)


def test_every_operation_was_tried() -> None:
    tried = {(method.lower(), path) for method, path, *_ in GOOD}
    tried |= {("post", "/internal/v1/peer"), ("post", "/v1/shards/{shard}/transfer")}
    tried.add(("post", "/v1/regions/groups/{group}/changes"))
    tried.add(("post", "/v1/regions/groups/{group}/force-recover"))
    tried.add(("post", "/v1/regions/groups/{group}/lease"))
    described = {
        (method, path) for path, methods in DOCUMENT["paths"].items() for method in methods
    }
    assert tried == described


async def test_the_quick_answer_is_the_described_one(pair: tuple[Node, Node]) -> None:
    """/v1/route is put together from pieces: they must add up to a Route, field by field."""
    for node in pair:
        answer = document(await node.get("/v1/route?key=a"))
        assert [*answer] == [*Route.__dataclass_fields__]
        assert_described("GET", "/v1/route", await node.get("/v1/route?key=a"))


@pytest.mark.parametrize("endpoint", ROUTES, ids=lambda each: f"{each.method} {each.path}")
def test_every_parameter_and_problem_is_described(endpoint: Any) -> None:
    told = operation(endpoint.method, endpoint.path)
    names = {(each["in"], each["name"]) for each in told["parameters"]}
    assert {("query", each.name) for each in endpoint.parameters.all} <= names
    assert {("header", each.name) for each in endpoint.headers} <= names
    assert {("path", name) for name in re.findall(r"\{(\w+)\}", endpoint.path)} <= names
    for problem in (*endpoint.problems, "internal"):
        assert f"`{problem}`" in told["responses"][str(KINDS[problem].status)]["description"]
    assert told["summary"]
    assert told["x-leadplane-needs"] == endpoint.needs.value


def test_every_kind_of_problem_has_a_status_and_a_meaning() -> None:
    for name, kind in KINDS.items():
        assert name == kind.name
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)
        assert HTTPStatus(kind.status) >= HTTPStatus.BAD_REQUEST
        assert kind.title[0].isupper()
        not_now = (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.INSUFFICIENT_STORAGE)
        assert not kind.retry or kind.status in not_now
