"""`leadplane report` and `leadplane postmortem`: what is asked, and what is written."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.cli.stub_fleet import StubFleet, leadplane, serving
from tests.lookback.sample_past import LOST, TO, past

FROM_TEXT, TO_TEXT = (
    time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(ms / 1_000))
    for ms in (LOST - 60_000, LOST + 60_000)
)
WEEK_TO = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(TO / 1_000))
NOBODY_LEADS = {"type": "/problems/no-leader", "title": "nobody leads", "status": 503}


@pytest.fixture
def told(fleet: StubFleet, monkeypatch: pytest.MonkeyPatch) -> StubFleet:
    """The stub, with a past; it is an hour later than that."""
    monkeypatch.setattr("controlplane.cli.looking_back.now_ms", lambda: TO + 3_600_000)
    for module in ("report", "postmortem"):
        monkeypatch.setattr(f"controlplane.cli.{module}.now_ms", lambda: TO + 3_600_000)
    found = asdict(past())
    summarised = {"sequence": 1, "wall_ms": None}
    half = {"staleness_ms": 5, "summarised_before": summarised}
    fleet.document("/v1/shards", {"items": found["shards"]})
    fleet.document("/v1/events/kept", half | {"items": found["events"][:2], "continue": "page1"})
    fleet.document("/v1/events/kept#1", half | {"items": found["events"][2:]})
    fleet.document("/v1/events/summary", {"items": []})
    fleet.document("/v1/audit", {"items": found["audit"]})
    fleet.document("/v1/rollouts", {"items": found["rollouts"]})
    fleet.document("/v1/placement/history", {"items": found["orders"]})
    for shard, lines in found["histories"].items():
        fleet.document(f"/v1/shards/{shard}/history", {"items": lines})
    return fleet


def test_a_week_is_asked_with_the_one_before_and_in_pages(told: StubFleet) -> None:
    result = leadplane("report", "--week", "--to", WEEK_TO)
    assert result.exit_code == 0, result.output
    assert "| failovers (unplanned) | 2 | 0 | new |" in result.stdout
    assert "| the election itself: p50 | 31 ms |" in result.stdout
    asked = [each for each in told.asked if each.path == "/v1/events/kept"]
    assert [each.query.get("continue") for each in asked] == [None, "page1"]
    assert int(asked[0].query["since"]) == TO - 14 * 86_400_000
    assert int(asked[0].query["until"]) == TO
    assert {each.method for each in told.asked} == {"GET"}


def test_the_figures_of_a_week_are_there_for_programs(told: StubFleet, tmp_path: Path) -> None:
    file = tmp_path / "week.json"
    result = leadplane("report", "--week", "--to", WEEK_TO, "-o", "json", "--file", str(file))
    assert result.exit_code == 0, result.output
    found = json.loads(file.read_text("utf-8"))
    assert found["week"]["leaderships"]["changes"]["unplanned"] == {"expired": 2}
    assert found["week"]["leaderships"]["longest"]["shard"] == "s2"
    assert found["before"]["known"] is True
    assert str(file) in result.stdout


def test_an_incident_is_a_page_and_a_picture_beside_it(told: StubFleet, tmp_path: Path) -> None:
    file = tmp_path / "incident.md"
    typed = ("postmortem", "--from", FROM_TEXT, "--to", TO_TEXT, "--file", str(file))
    result = leadplane(*typed)
    assert result.exit_code == 0, result.output
    page = file.read_text("utf-8")
    assert "](incident.md.svg)" in page
    assert "| longest without a leader | s2, 9.0 s |" in page
    root = ElementTree.parse(tmp_path / "incident.md.svg").getroot()
    assert root.tag.endswith("svg")
    file.write_text("filled in", "utf-8")
    refused = leadplane(*typed)
    assert refused.exit_code == 1
    assert "is there already" in refused.stderr
    assert file.read_text("utf-8") == "filled in"
    assert leadplane(*typed, "--force").exit_code == 0


def test_without_a_file_the_page_is_printed(told: StubFleet) -> None:
    result = leadplane("postmortem", "--from", FROM_TEXT, "--to", TO_TEXT, "--shard", "s2")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("# Postmortem: incident of ")
    assert "`--file FILE` writes a picture" in result.stdout
    assert [a.path for a in told.asked if "/history" in a.path and "shards" in a.path] == [
        "/v1/shards/s2/history"
    ]


def test_what_nobody_gives_is_said_in_the_document(told: StubFleet) -> None:
    for path in ("/v1/audit", "/v1/shards/s2/history", "/v1/events/summary"):
        told.document(path, NOBODY_LEADS, status=503)
    result = leadplane("postmortem", "--from", FROM_TEXT, "--to", TO_TEXT)
    assert result.exit_code == 0, result.output
    unknown = result.stdout.split("## What is not known")[1]
    for what in ("audit records", "the own history of s2", "counts of older events"):
        assert f"* Not to be had: {what}: nobody leads" in unknown
    assert "| s2 | 1 | 9.0 s |" in result.stdout  # as its event tells


def test_records_and_events_that_are_gone_are_said(told: StubFleet) -> None:
    found = asdict(past())
    older = [found["audit"][0] | {"sequence": 40}, *found["audit"][1:]]
    told.document("/v1/audit", {"items": older})
    summarised = {"sequence": 9, "wall_ms": LOST}
    kept = {"items": [], "staleness_ms": None, "summarised_before": summarised}
    told.document("/v1/events/kept", kept)
    unknown = leadplane("report", "--week", "--to", WEEK_TO).stdout.split("## What is not")[1]
    assert "there are only counts, by the hour" in unknown
    assert "are not kept any more" in unknown
    assert "nobody vouches for how new the copy is" in unknown


@pytest.fixture
def prometheus() -> Iterator[StubFleet]:
    """A Prometheus that has something of everything."""
    with serving() as stub:
        for path, kind, result in (
            ("query", "vector", [{"value": [1, "0.25"]}]),
            ("query_range", "matrix", [{"values": [[LOST / 1_000, "0.5"]]}]),
        ):
            data = {"resultType": kind, "result": result}
            stub.document(f"/api/v1/{path}", {"status": "success", "data": data})
        yield stub


def test_a_prometheus_is_asked_for_the_indicators(told: StubFleet, prometheus: StubFleet) -> None:
    typed = ("postmortem", "--from", FROM_TEXT, "--to", TO_TEXT, "--prometheus", prometheus.url)
    result = leadplane(*typed)
    assert result.exit_code == 0, result.output
    part = result.stdout.split("## Indicators")[1].split("##")[0]
    rows = [ln for ln in part.splitlines() if ln.startswith("| M")]
    assert len(rows) == 10
    assert "| 25 % | 50 % |" in rows[0]
    assert float(prometheus.last("GET", "/api/v1/query").query["time"]) == LOST / 1_000 + 60
    refusal = {"status": "error", "error": "no such function"}
    prometheus.document("/api/v1/query_range", refusal, status=400)
    result = leadplane(*typed)
    assert result.exit_code == 0, result.output
    assert "no indicators: " in result.stderr
    assert "did not answer as it should" in result.stdout.split("## Indicators")[1]


def test_a_prometheus_that_is_not_there_leaves_the_rest(told: StubFleet) -> None:
    url = "http://127.0.0.1:9"
    result = leadplane("postmortem", "--from", FROM_TEXT, "--to", TO_TEXT, "--prometheus", url)
    assert result.exit_code == 0, result.output
    assert f"{url} does not answer" in result.stdout.split("## Indicators")[1]
    assert "## Root cause" in result.stdout


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        (("report",), "give --week"),
        (("report", "--week", "--to", "soon"), "--to: 'soon' is neither a duration"),
        (("report", "--week", "--to", "2099-01-01"), "--to: '2099-01-01' has not been yet"),
        (("report", "--week", "--force"), "--force is about a file"),
        (("report", "--week", "-o", "yaml"), "'--output'"),
        (("postmortem", "--to", "1h"), "'--from'"),
        (("postmortem", "--from", "then"), "--from: 'then' is neither a duration"),
        (("postmortem", "--from", "1h", "--to", "2h"), "--from has to be before --to"),
        (("postmortem", "--from", "0"), "--from has to be before now"),
        (("postmortem", "--from", "1h", "--force"), "--force is about files"),
        (("postmortem", "--from", "1h", "--prometheus", "x"), "--prometheus: 'x' is not an"),
        (("postmortem", "--from", "1h", "--prometheus", "http://u:p@h"), "--prometheus: leave"),
        (("postmortem", "--from", FROM_TEXT, "--shard", "s99"), "--shard: no shard is called"),
    ],
)
def test_what_is_asked_badly_is_refused(
    told: StubFleet, typed: tuple[str, ...], complaint: str
) -> None:
    result = leadplane(*typed)
    assert result.exit_code in (1, 2)
    assert complaint in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("command", ["report", "postmortem"])
def test_help_has_an_example(command: str) -> None:
    told_text: Any = leadplane(command, "--help").stdout
    assert f"leadplane {command} --" in told_text.partition("Example")[2]
