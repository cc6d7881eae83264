"""Requests generated from the OpenAPI document: every answer is described in it, none is a defect.

Half of the requests fit the document and half do not; half of either name things that exist. The
server runs in a thread of its own and serves no streams, which would not end.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import load_all_checks
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from controlplane.api.openapi import openapi_document
from controlplane.api.route_table import ROUTES
from controlplane.api.settings import ApiSettings
from tests.api.listening import Node
from tests.fuzz.served_node import served_node

load_all_checks()
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
DOCUMENT = openapi_document(ROUTES, "http://127.0.0.1")
OPERATIONS = {
    found.ok().label: found.ok()
    for found in schemathesis.openapi.from_dict(DOCUMENT).get_all_operations()
}
ANSWER_S = 40
KNOWN = {
    "key": "a",
    "shard": "s0",
    "role": "leader",
    "node": "n1",
    "region": "eu",
    "group": "global",
    "name": "flags",
    "flag": "plain",
    "version": "1",
    "resharding": "1",
    "number": "1",
    "rollout": "1",
}
SURELY = {"/v1/kv": "?partition=a", "/v1/route": "?key=a"}
"""What has to be said besides the path."""
CONDITION = {"If-Match": "*"}
ALWAYS_THE_SAME = frozenset(
    {
        "GET /v1/status",
        "GET /v1/leader",
        "GET /livez",
        "HEAD /livez",
        "GET /metrics",
        "GET /openapi.json",
    }
)
"""These take no input, so there is one request to each."""
NEEDS_A_PLAN = "POST /v1/placement/apply"
"""Which plan there is depends on who leads by then."""
EVENTS = ("GET /v1/events", "GET /v1/rollouts/{rollout}/events")
"""These are always streams, of which the server serves none."""
PROMOTION = "POST /v1/rollouts/{rollout}/promote"
"""Nothing bakes where nobody goes on with rollouts."""

REQUESTS = int(os.environ.get("LEADPLANE_FUZZ_REQUESTS", "3000"))
SHARE = -(-REQUESTS // (len(OPERATIONS) - len(ALWAYS_THE_SAME)))
NO_DEFECTS = frozenset({"/problems/wrong-role", "/problems/too-many-streams"})
"""What a node in the best of states says with a status of 5xx, and rightly."""


def shard_orders(session: requests.Session, url: str, operation: Any) -> list[int]:
    """Of orders that chance seldom makes good, give one that surely is."""
    order = operation.path.rpartition("/")[2]
    body = {"pin": {"node": None}, "preempt": {}}.get(order)
    if body is None:
        return []
    if order == "preempt":  # who is drained gives it to anybody
        session.post(f"{url}/v1/nodes/n1/drain", json={}, timeout=ANSWER_S)
    path = operation.path.format(shard="s0")
    return [session.post(url + path, json=body, timeout=ANSWER_S).status_code]


def rollouts(session: requests.Session, url: str, operation: Any) -> list[int]:
    """Have one rollout that is not over; of an order about it, give one that is surely good."""
    if "/rollouts" not in operation.path:
        return []
    for each in session.get(f"{url}/v1/rollouts?limit=1000", timeout=ANSWER_S).json()["items"]:
        if not each["over"]:
            session.post(f"{url}/v1/rollouts/{each['rollout']}/abort", json={}, timeout=ANSWER_S)
    begun = session.post(f"{url}/v1/rollouts", json={"document": "flags"}, timeout=ANSWER_S)
    if operation.method != "post" or not operation.path.startswith("/v1/rollouts/"):
        return [begun.status_code]
    path = f"{url}/v1/rollouts/{begun.json()['rollout']}"
    if operation.path.endswith("/resume"):
        session.post(f"{path}/pause", json={}, timeout=ANSWER_S)
    order = operation.path.rpartition("/")[2]
    return [session.post(f"{path}/{order}", json={}, timeout=ANSWER_S).status_code]


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with served_node(ApiSettings(streams_max=0)) as started:
        yield started


def requests_to(operation: Any) -> st.SearchStrategy[Any]:
    """Requests to one operation, good and bad."""
    known = {name: KNOWN[name] for name in KNOWN if "{" + name + "}" in operation.path}
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    fixed = [{}, {"path_parameters": known}] if known else [{}]
    return st.one_of(
        *(operation.as_strategy(generation_mode=mode, **more) for mode in modes for more in fixed)
    )


def drained(session: requests.Session, url: str, operation: Any) -> list[int]:
    """Have nothing drained, and, of a drain, order one that is surely good."""
    for place in ("nodes/n1", "nodes/n2", "regions/eu", "regions/us"):
        session.post(f"{url}/v1/{place}/undrain", json={}, timeout=ANSWER_S)
    if not operation.path.endswith("/drain"):
        return []
    done = session.post(
        url + operation.path.format(node="n2", region="us"), json={}, timeout=ANSWER_S
    )
    return [done.status_code]


def edits(session: requests.Session, url: str, operation: Any) -> list[int]:
    """Have the document there that is asked for, and, of an edit, make one that is surely good."""
    new = {"If-None-Match": "*"}
    session.put(f"{url}/v1/config/flags", json={"content": {}}, headers=new, timeout=ANSWER_S)
    if operation.method in ("get", "head", "post") or "/kv/" in operation.path:
        return []
    region = session.get(f"{url}/v1/config/region.eu", timeout=ANSWER_S).json()["content"]
    spare = {**region, "stores": [], "egress_usd_per_gb": {}}
    session.put(f"{url}/v1/regions/spare", json=spare, headers=new, timeout=ANSWER_S)
    path = operation.path.format(region="spare", name="flags")
    body = {"content": {"a": 1}} if "config" in path else spare
    sent = None if operation.method == "delete" else body
    done = session.request(
        operation.method, url + path, json=sent, headers=CONDITION, timeout=ANSWER_S
    )
    return [done.status_code]


@pytest.mark.parametrize("label", OPERATIONS)
def test_every_answer_is_described_and_none_is_a_defect(node: Node, label: str) -> None:
    operation = OPERATIONS[label]
    statuses: list[int] = []
    with requests.Session() as session:
        session.put(f"{node.url}/v1/kv/{KNOWN['key']}", data=b"v", timeout=ANSWER_S)
        statuses += edits(session, node.url, operation)
        statuses += drained(session, node.url, operation)
        statuses += rollouts(session, node.url, operation)
        statuses += shard_orders(session, node.url, operation)
        if operation.method in ("get", "head"):  # surely good, where the path says it all
            for role in ("leader", "follower"):  # which it is, depends on what was done before
                path = operation.path.format(**(KNOWN | {"role": role}))
                url = node.url + path + SURELY.get(operation.path, "")
                with session.request(operation.method, url, timeout=ANSWER_S, stream=True) as plain:
                    statuses.append(plain.status_code)

        @settings(max_examples=SHARE, suppress_health_check=list(HealthCheck))
        @given(requests_to(operation))
        def send(case: Any) -> None:
            reply = case.call(base_url=node.url, session=session, allow_redirects=False)
            statuses.append(reply.status_code)
            if reply.status_code >= 500 and operation.method.upper() != "HEAD":
                assert reply.json()["type"] in NO_DEFECTS, reply.content
            case.validate_response(reply, checks=CHECKS)

        send()
    assert len(statuses) >= (1 if label in ALWAYS_THE_SAME else SHARE)
    assert 500 not in statuses
    is_refused = label in (*EVENTS, NEEDS_A_PLAN, PROMOTION)
    assert is_refused or min(statuses) < 400, "no request was good enough to be served"
