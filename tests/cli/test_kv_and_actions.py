"""Keys and orders: what is sent for what was typed, and what is shown of the answer."""

from __future__ import annotations

import json

import pytest

from tests.cli.stub_fleet import StubFleet, leadplane

PROVENANCE = {
    "Leadplane-Shard": "s03",
    "Leadplane-Epoch": "7",
    "Leadplane-Position": "Zm9v",
    "Leadplane-Version": "4711",
    "Leadplane-Staleness-Ms": "212",
    "Leadplane-Served-By": "us-east-1-n1",
    "Leadplane-Role": "follower",
}
KEY = "{customer42}/orders/7"
PATH = "/v1/kv/%7Bcustomer42%7D%2Forders%2F7"


def test_get_prints_the_value_alone(fleet: StubFleet) -> None:
    fleet.raw("GET", PATH, b"\x00\xffvalue", PROVENANCE)
    result = leadplane("kv", "get", KEY, "-c", "bounded", "--max-staleness-ms", "500")
    assert result.stdout_bytes == b"\x00\xffvalue"
    assert result.stderr == (
        "# version 4711, at most 212 ms old, from the follower us-east-1-n1; "
        "shard s03, epoch 7, position Zm9v\n"
    )
    assert fleet.last("GET", PATH).query == {"consistency": "bounded", "max_staleness_ms": "500"}


def test_a_read_may_ask_for_a_quorum(fleet: StubFleet) -> None:
    fleet.raw("GET", PATH, b"value", PROVENANCE)
    leadplane("kv", "get", KEY, "--quorum")
    assert fleet.last("GET", PATH).query == {"quorum": "true"}


@pytest.mark.parametrize(
    ("staleness", "words"),
    [("0", "current"), ("unknown", "of unknown age"), ("1500", "at most 1.5 s old")],
)
def test_age_in_words(fleet: StubFleet, staleness: str, words: str) -> None:
    fleet.raw("GET", "/v1/kv/k", b"v", PROVENANCE | {"Leadplane-Staleness-Ms": staleness})
    assert words in leadplane("kv", "get", "k").stderr


def test_get_as_json_tells_everything(fleet: StubFleet) -> None:
    fleet.raw("GET", "/v1/kv/k", "grün".encode(), PROVENANCE)
    assert json.loads(leadplane("kv", "get", "k", "-o", "json").stdout) == {
        "key": "k",
        "value": "grün",
        "encoding": "utf-8",
        "shard": "s03",
        "epoch": 7,
        "position": "Zm9v",
        "version": 4711,
        "staleness_ms": 212,
        "served_by": "us-east-1-n1",
        "role": "follower",
    }


def test_get_as_json_keeps_every_byte(fleet: StubFleet) -> None:
    fleet.raw("GET", "/v1/kv/k", b"\xff\xad", PROVENANCE)
    document = json.loads(leadplane("kv", "get", "k", "-o", "json").stdout)
    assert (document["value"], document["encoding"]) == ("/60=", "base64")


@pytest.mark.parametrize(
    ("options", "header", "value"),
    [
        (("--create",), "if-none-match", "*"),
        (("--if-version", "12"), "if-match", '"12"'),
        (("--idempotency-key", "once"), "idempotency-key", "once"),
    ],
)
def test_put_sends_its_conditions(
    fleet: StubFleet, options: tuple[str, ...], header: str, value: str
) -> None:
    fleet.raw("PUT", PATH, b"{}", PROVENANCE)
    result = leadplane("kv", "put", KEY, "hello", *options)
    assert result.exit_code == 0, result.output
    assert "shard s03, epoch 7, version 4711" in result.stdout
    asked = fleet.last("PUT", PATH)
    assert asked.body == b"hello"
    assert asked.headers[header] == value
    assert asked.headers["idempotency-key"]


def test_a_replay_is_called_one(fleet: StubFleet) -> None:
    fleet.raw("PUT", PATH, b"{}", PROVENANCE | {"Idempotency-Replayed": "true"})
    said = leadplane("kv", "put", KEY, "hello", "--idempotency-key", "once").stdout
    assert said.startswith("An earlier attempt did it: shard s03, epoch 7, version 4711")


def test_put_reads_standard_input(fleet: StubFleet) -> None:
    fleet.raw("PUT", "/v1/kv/k", b"{}", PROVENANCE)
    leadplane("kv", "put", "k", stdin=b"\xde\xad")
    assert fleet.last("PUT", "/v1/kv/k").body == b"\xde\xad"


def test_put_refuses_two_conditions() -> None:
    result = leadplane("kv", "put", "k", "v", "--create", "--if-version", "3")
    assert result.exit_code == 2
    assert "exclude each other" in result.stderr


def test_delete(fleet: StubFleet) -> None:
    fleet.raw("DELETE", "/v1/kv/k", b"{}", PROVENANCE)
    assert leadplane("kv", "del", "k", "--if-version", "3").exit_code == 0
    assert fleet.last("DELETE", "/v1/kv/k").headers["if-match"] == '"3"'


def test_scan_lists_and_says_when_there_is_more(fleet: StubFleet) -> None:
    document = {
        "items": [
            {"key": f"a/{n}", "version": n, "value": f"v{n}", "encoding": "utf-8"} for n in (1, 2)
        ],
        "continue": "more",
    }
    fleet.raw("GET", "/v1/kv", json.dumps(document).encode(), PROVENANCE)
    result = leadplane("kv", "scan", "a", "--prefix", "a/", "--limit", "2")
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["KEY", "VERSION", "VALUE"],
        ["a/1", "1", "v1"],
        ["a/2", "2", "v2"],
    ]
    assert "there are more" in result.stderr
    assert fleet.last("GET", "/v1/kv").query == {"partition": "a", "prefix": "a/", "limit": "2"}


def test_a_scan_of_a_name_in_braces_says_what_was_meant(fleet: StubFleet) -> None:
    fleet.raw("GET", "/v1/kv", b'{"items": []}', PROVENANCE)
    result = leadplane("kv", "scan", "{a}")
    assert result.stderr.splitlines()[-1] == "# keys like {a}/... are of the partition a"


def test_transfer_sends_target_and_reason(fleet: StubFleet) -> None:
    answer = {"shard": "s03", "from_epoch": 7, "to_node": "us-east-1-n2", "paused_ms": 12}
    fleet.document("/v1/shards/s03/transfer", answer, "POST")
    result = leadplane("shards", "transfer", "s03", "--to-region", "us-east-1", "--reason", "near")
    assert result.exit_code == 0, result.output
    assert "handed over to us-east-1-n2; no write was taken for 12 ms" in result.stdout
    asked = fleet.last("POST", "/v1/shards/s03/transfer")
    assert json.loads(asked.body) == {"to_region": "us-east-1"}
    assert asked.query == {"reason": "near"}


def test_transfer_takes_one_target(fleet: StubFleet) -> None:
    result = leadplane("shards", "transfer", "s03", "--to-region", "a", "--to-node", "b")
    assert result.exit_code == 2
    assert fleet.asked == []


def test_evict_can_be_tried_without_effect(fleet: StubFleet) -> None:
    trial = {
        "dry_run": True,
        "shard": "s03",
        "from_node": "n1",
        "from_epoch": 7,
        "to_node": None,
        "to_region": None,
    }
    fleet.document("/v1/shards/s03/evict", trial, "POST")
    result = leadplane("shards", "evict", "s03", "--dry-run")
    assert result.stdout == ("Shard s03: would be taken from n1 (epoch 7). Nothing was done.\n")
    assert fleet.last("POST", "/v1/shards/s03/evict").query == {"dry_run": "true"}
