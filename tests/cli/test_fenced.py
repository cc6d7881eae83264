"""`leadplane fenced`: what is listed, what is put again and how, and what is not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cli.stub_fleet import StubFleet, leadplane

NODES = "/v1/nodes"
LIST = "/v1/nodes/{}/fenced-writes"
KEY = "/v1/kv/a"


def lost(**more: Any) -> dict[str, Any]:
    change = {
        "key": "a", "partition": "a", "deletes": False, "size_bytes": 1, "value_base64": "dg==",
    }  # fmt: skip
    return {
        "number": 1, "node": "n1", "shard": "s00", "epoch": 2, "sequence": 7, "operation": "",
        "why": "fenced", "wall_ms": 1_700_000_000_000, "changes": [change], "fate": "replaced",
        "position": None, **more,
    }  # fmt: skip


def known(fleet: StubFleet, version: int, **more: Any) -> None:
    fleet.document(LIST.format("n1") + "/1", lost(**more))
    fleet.raw("GET", KEY, b"w", {"Leadplane-Version": str(version)})
    fleet.raw("PUT", KEY, b"{}", {"Leadplane-Version": "12", "Content-Type": "application/json"})


def test_those_of_all_nodes_are_listed_and_who_did_not_answer(fleet: StubFleet) -> None:
    nodes = [{"node": name} for name in ("n1", "n2", "n3")]
    fleet.document(NODES, {"items": nodes})
    fleet.document(LIST.format("n1"), {"items": [lost()]})
    fleet.document(LIST.format("n2"), {"items": []})
    gone = {"type": "/problems/no-member", "title": "nobody", "status": 503}
    fleet.document(LIST.format("n3"), gone, status=503)
    done = leadplane("fenced")
    assert done.exit_code == 0, done.stderr
    assert "replaced" in done.stdout
    assert "n3 did not answer" in done.stdout
    assert "n2 did not" not in done.stdout


@pytest.mark.parametrize(("operation", "key"), [("", "fenced-s00-2-7-0"), ("op-1", "op-1")])
def test_one_is_put_again_once(fleet: StubFleet, operation: str, key: str) -> None:
    known(fleet, 3, operation=operation)
    done = leadplane("fenced", "replay", "n1", "1")
    assert (done.exit_code, done.stdout) == (0, "PUT a (1 bytes): version 12\n")
    put = fleet.last("PUT", KEY)
    assert (put.body, put.headers["idempotency-key"]) == (b"v", key)


def test_a_dry_run_puts_nothing(fleet: StubFleet) -> None:
    known(fleet, 3)
    done = leadplane("fenced", "replay", "n1", "1", "--dry-run")
    assert done.stdout == "PUT a (1 bytes): would be sent\n"
    assert all(asked.method == "GET" for asked in fleet.asked)


@pytest.mark.parametrize(
    ("version", "more", "said"),
    [
        (7, {}, "key 'a' was written since, as version 7"),
        (3, {"fate": "kept", "position": 7}, "it has happened, at position 7: kept"),
        (3, {"shard": "system"}, "its nodes write again by themselves"),
    ],
)
def test_what_must_not_be_put_again_is_not(
    fleet: StubFleet, version: int, more: dict[str, Any], said: str
) -> None:
    known(fleet, version, **more)
    done = leadplane("fenced", "replay", "n1", "1")
    assert done.exit_code == 1
    assert said in done.stderr
    assert all(asked.method == "GET" for asked in fleet.asked)


def test_the_values_are_in_the_document(fleet: StubFleet) -> None:
    known(fleet, 3)
    done = leadplane("fenced", "get", "n1", "1", "-o", "json")
    assert json.loads(done.stdout)["changes"][0]["value_base64"] == "dg=="
