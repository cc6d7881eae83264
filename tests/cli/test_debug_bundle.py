"""`leadplane debug bundle`: what is in the archive, and what never is."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from controlplane.cli.debug import REDACTED, redacted, redacted_lines
from tests.cli.stub_fleet import StubFleet, leadplane

KEY = "AKIA" + "ABCDEFGHIJKLMNOP"
EVENTS = b'retry: 1000\n\nid: 1\nevent: elected\ndata: {"shard": "s00"}\n\n'
EVENTS += b'id: 2\nevent: hot-partition\ndata: {"detail": {"partition": "plain"}}\n\n'


@pytest.fixture
def whole(fleet: StubFleet) -> StubFleet:
    """The sample fleet, with all that a bundle asks for."""
    documents = {
        "/v1/regions/groups": {"items": []},
        "/v1/reshardings": {"items": []},
        "/v1/config": {"items": [{"name": "flags", "version": 3, "reason": f"use {KEY}"}]},
        "/v1/rollouts": {"items": []},
        "/v1/audit": {"items": [{"kind": "document", "before": None, "after": {"a": "plain"}}]},
        "/v1/placement": {"paused": False},
        "/livez": {"ok": True, "release": "0.1"},
        "/readyz": {"ok": True, "url": "http://me:pass@10.0.0.1:7101/"},
    }
    for path, document in documents.items():
        fleet.document(path, document)
    fleet.raw("GET", "/metrics", b"leadplane_up 1\n", {"Content-Type": "text/plain"})
    fleet.raw("GET", "/v1/events", EVENTS, {"Content-Type": "text/event-stream"})
    return fleet


def held(file: Path) -> dict[str, str]:
    """The members of the archive."""
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_all_that_is_needed_is_in_it(whole: StubFleet, tmp_path: Path) -> None:
    file = tmp_path / "b.zip"
    result = leadplane("debug", "bundle", str(file))
    assert result.exit_code == 0, result.output
    found = held(file)
    assert json.loads(found["bundle.json"])["failed"] == {}
    assert len(json.loads(found["shards.json"])["items"]) == 12
    assert json.loads(found["status.json"])["shards_total"] == 13
    nodes = {name.split("/")[1] for name in found if name.startswith("nodes/")}
    assert len(nodes) == 5  # the sixth is silent
    assert found["nodes/us-east-1-n1/metrics.txt"] == "leadplane_up 1\n"
    assert "event: elected" in found["nodes/us-east-1-n1/events.txt"]
    assert {each.method for each in whole.asked} == {"GET"}


def test_nothing_secret_is_in_it(whole: StubFleet, tmp_path: Path) -> None:
    leadplane("debug", "bundle", str(tmp_path / "b.zip"))
    found = held(tmp_path / "b.zip")
    everything = "\n".join(found.values())
    assert KEY not in everything
    assert "plain" not in everything
    assert "me:pass" not in everything
    assert json.loads(found["documents.json"])["items"][0]["reason"] == REDACTED
    assert json.loads(found["audit.json"])["items"][0] == {
        "kind": "document", "before": None, "after": REDACTED,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({"token": "s3cretEnough"}, {"token": REDACTED}),
        ({"a": [{"db_password": "s3cretEnough"}]}, {"a": [{"db_password": REDACTED}]}),
        ({"content": {"x": 1}, "shard": "s00"}, {"content": REDACTED, "shard": "s00"}),
        ({"url": "redis://u:p@h:1/0", "n": 7}, {"url": "redis://h:1/0", "n": 7}),
    ],
)
def test_what_is_redacted(given: Any, left: Any) -> None:
    assert redacted(given) == left


def test_lines_with_a_secret_are_left_out() -> None:
    assert redacted_lines(f"a 1\nb {KEY}\nc 2\n") == f"a 1\n{REDACTED}\nc 2\n"


def test_what_nobody_gives_is_named(whole: StubFleet, tmp_path: Path) -> None:
    problem = {"type": "/problems/no-leader", "title": "nobody leads", "status": 503}
    whole.document("/v1/audit", problem, status=503)
    result = leadplane("debug", "bundle", str(tmp_path / "b.zip"))
    assert result.exit_code == 0
    assert "not in it: audit.json: nobody leads" in result.stderr
    found = held(tmp_path / "b.zip")
    assert json.loads(found["bundle.json"])["failed"] == {"audit.json": "nobody leads"}
    assert "audit.json" not in found


def test_a_file_that_is_there_is_kept(whole: StubFleet, tmp_path: Path) -> None:
    file = tmp_path / "b.zip"
    file.write_bytes(b"precious")
    refused = leadplane("debug", "bundle", str(file))
    assert refused.exit_code == 1
    assert file.read_bytes() == b"precious"
    assert leadplane("debug", "bundle", str(file), "--force").exit_code == 0
    assert zipfile.is_zipfile(file)
