"""`leadplane nodes drain`, `undrain`, `stoppable`, and of regions: what is sent and shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cli.stub_fleet import StubFleet, leadplane

DRAIN: dict[str, Any] = {
    "scope": "node", "name": "n1", "within": "", "state": "draining", "principal": "operator",
    "reason": "kernel", "began_wall_ms": 1, "deadline_wall_ms": 90_001, "added_p99_ms": None,
    "ended_wall_ms": None, "total": 12, "left": 7, "stays": 0, "per_minute": 8.0,
    "eta_ms": 52_000, "waits_for": None, "canaries": [], "dry_run": False,
}  # fmt: skip
ZONE = {**DRAIN, "scope": "zone", "name": "us-east-1-a", "within": "us-east-1"}
ADMISSION: dict[str, Any] = {
    "cold": False, "braked": False, "crashes": 0, "in_flight": 0, "suspects": [],
    "waits_for": None,
}  # fmt: skip


def placement(*drains: dict[str, Any], **admission: Any) -> dict[str, Any]:
    return {
        "order": None, "pause": None, "drains": [*drains], "admission": ADMISSION | admission,
    }  # fmt: skip


def test_a_drain_is_waited_for_and_says_how_far_it_is(fleet: StubFleet) -> None:
    fleet.document("/v1/nodes/n1/drain", DRAIN, "POST", 202)
    done = {**DRAIN, "state": "drained", "left": 0, "eta_ms": None, "per_minute": None}
    fleet.document("/v1/placement", placement(done))
    result = leadplane("nodes", "drain", "n1", "--deadline-s", "90", "--reason", "kernel")
    assert result.exit_code == 0, result.output
    asked = fleet.last("POST", "/v1/nodes/n1/drain")
    assert (json.loads(asked.body), asked.query) == ({"deadline_ms": 90_000}, {"reason": "kernel"})
    assert result.stderr == "7 of 12 leaders left\n"
    assert "node n1" in result.stdout
    assert "drained" in result.stdout
    assert "0 of 12" in result.stdout


def test_a_zone_of_a_region_is_drained_without_waiting(fleet: StubFleet) -> None:
    fleet.document("/v1/regions/us-east-1/drain", ZONE, "POST", 202)
    result = leadplane(
        "regions", "drain", "us-east-1", "--zone", "us-east-1-a", "--added-p99-ms", "20",
        "--no-wait",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    body = json.loads(fleet.last("POST", "/v1/regions/us-east-1/drain").body)
    assert body == {"added_p99_ms": 20, "zone": "us-east-1-a"}
    assert "zone us-east-1-a of us-east-1" in result.stdout
    assert "52.0 s" in result.stdout


def test_a_trial_is_asked_for_and_not_waited_for(fleet: StubFleet) -> None:
    fleet.document("/v1/nodes/n1/drain", {**DRAIN, "dry_run": True}, "POST")
    assert leadplane("nodes", "drain", "n1", "--dry-run").exit_code == 0
    assert fleet.last("POST", "/v1/nodes/n1/drain").query == {"dry_run": "true"}


def test_a_refusal_says_why_and_what_to_look_at(fleet: StubFleet) -> None:
    problem = {
        "type": "/problems/drain-refused", "status": 409, "title": "The place cannot be drained",
        "detail": "12 shards take at least 15.0 s at the rate allowed", "reason": "deadline",
        "soonest_ms": 15_000,
    }  # fmt: skip
    fleet.document("/v1/nodes/n1/drain", problem, "POST", 409)
    result = leadplane("nodes", "drain", "n1", "--deadline-s", "2")
    assert result.exit_code == 1
    assert "at least 15.0 s" in result.stderr
    assert "leadplane placement show" in result.stderr


@pytest.mark.parametrize(
    ("words", "path", "body"),
    [
        (("nodes", "undrain", "n1"), "/v1/nodes/n1/undrain", {}),
        (("regions", "undrain", "eu"), "/v1/regions/eu/undrain", {}),
        (("regions", "undrain", "eu", "--zone", "a"), "/v1/regions/eu/undrain", {"zone": "a"}),
    ],
)
def test_a_place_may_lead_again(
    fleet: StubFleet, words: tuple[str, ...], path: str, body: dict[str, str]
) -> None:
    fleet.document(path, {**DRAIN, "state": "over"}, "POST")
    result = leadplane(*words)
    assert result.exit_code == 0, result.output
    assert json.loads(fleet.last("POST", path).body) == body
    assert "over" in result.stdout


def test_whether_a_node_can_be_stopped_is_the_exit_status(fleet: StubFleet) -> None:
    path = "/v1/nodes/n1/stoppable"
    found: dict[str, Any] = {
        "node": "n1", "stoppable": True, "reasons": [], "promised_until_wall_ms": 9,
        "dry_run": False,
    }  # fmt: skip
    fleet.document(path, found, "POST")
    result = leadplane("nodes", "stoppable", "n1", "--promise-s", "60")
    assert (result.exit_code, result.stdout) == (0, "n1 can be stopped.\n")
    assert json.loads(fleet.last("POST", path).body) == {"promise_ms": 60_000}
    why = {
        "why": "last-of-region", "place": "eu", "detail": "no other node would serve eu",
        "promised": ["n2"],
    }  # fmt: skip
    fleet.document(path, {**found, "stoppable": False, "reasons": [why]}, "POST")
    result = leadplane("nodes", "stoppable", "n1")
    assert result.exit_code == 1
    assert "last-of-region" in result.stdout
    assert "n2" in result.stdout


def test_what_holds_moves_up_is_shown_in_words(fleet: StubFleet) -> None:
    shown = placement(
        {**DRAIN, "waits_for": "brake"}, cold=True, braked=True, crashes=2, suspects=["n4"],
        waits_for="rate",
    )  # fmt: skip
    fleet.document("/v1/placement", shown)
    result = leadplane("placement", "show")
    assert result.exit_code == 0, result.output
    for words in ("is new", "2 nodes", "waits: rate", "for a while: n4", "brake", "node n1"):
        assert words in result.stdout, words
