"""`leadplane doctor`: what a person sees, what a script gets, and what it asks for."""

from __future__ import annotations

import json

import pytest

from tests.cli.stub_fleet import StubFleet, leadplane

NODE = "eu-central-1-n1"


def answer_as_well(fleet: StubFleet) -> None:
    admission = {"braked": False, "crashes": 0, "suspects": []}
    fleet.document("/v1/placement", {"pause": None, "admission": admission, "drains": []})
    fleet.document("/v1/rollouts", {"items": []})
    fleet.document("/v1/audit/verify", {"valid": True, "problem": None})
    fleet.document("/livez", {"status": "alive", "node": NODE, "version": "0.1.0"})
    fleet.document("/readyz", {"status": "ready", "node": NODE})
    for region in ("eu-central-1", "us-east-1", "ap-southeast-1"):
        for number in (1, 2):
            fleet.document(f"/v1/nodes/{region}-n{number}/fenced-writes", {"items": []})


def test_what_wants_looking_after_is_told_with_what_to_do_first(fleet: StubFleet) -> None:
    answer_as_well(fleet)
    result = leadplane("doctor")
    assert result.exit_code == 0, result.output
    assert "look does every store answer?" in result.stdout
    assert "ap-southeast-1-c is down: connection refused" in result.stdout
    assert "then:  docs/runbooks/store-lost.md" in result.stdout
    assert "Everything serves; something wants looking after." in result.stdout


def test_what_is_grave_is_the_exit_status(fleet: StubFleet) -> None:
    answer_as_well(fleet)
    fleet.document(
        "/livez", {"type": "/problems/internal", "title": "no", "status": 500}, status=500
    )
    result = leadplane("doctor", "-o", "json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    (doors,) = [look for look in report["looks"] if look["look"] == "front doors"]
    assert doors["state"] == "BAD"
    assert report["grave"] == 1
    assert all(trouble["grave"] for trouble in doors["troubles"])


def test_the_audit_log_is_verified_by_day_alone(fleet: StubFleet) -> None:
    answer_as_well(fleet)
    leadplane("doctor")
    assert "/v1/audit/verify" not in [asked.path for asked in fleet.asked]
    leadplane("doctor", "--production")
    assert "/v1/audit/verify" in [asked.path for asked in fleet.asked]


def test_what_could_not_be_asked_is_not_called_well(fleet: StubFleet) -> None:
    answer_as_well(fleet)
    gone = {"type": "/problems/overloaded", "title": "too much", "status": 503}
    fleet.document("/v1/placement", gone, status=503)
    result = leadplane("doctor")
    assert result.exit_code == 0, result.output
    assert "look does nothing hold moves up?" in result.stdout
    assert "nobody could say: too much" in result.stdout


def test_a_node_of_an_earlier_release_is_no_closed_door(fleet: StubFleet) -> None:
    answer_as_well(fleet)
    fleet.document("/livez", {"status": "alive", "node": NODE})
    unknown = {"type": "/problems/no-such-route", "title": "no such route", "status": 404}
    fleet.document(f"/v1/nodes/{NODE}/fenced-writes", unknown, status=404)
    result = leadplane("doctor")
    assert result.exit_code == 0, result.output
    assert "ok   does every node serve that renews?" in result.stdout


def test_when_nobody_answers_it_says_where_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADPLANE_URL", "http://127.0.0.1:9")
    result = leadplane("doctor")
    assert result.exit_code == 1
    assert "no node of the fleet answers" in result.stderr
    assert "control-plane-down" in result.stderr
