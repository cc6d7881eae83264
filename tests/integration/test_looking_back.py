"""A leader is lost at a real fleet: the week and the postmortem tell what `history` tells."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from controlplane.lookback.markdown import span, to_the_ms
from tests.cli.stub_fleet import leadplane
from tests.integration.fleet_on_test import FleetOnTest, wait_for

pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("fleet")]


def typed(*arguments: str) -> str:
    """What a command prints; it must succeed."""
    result = leadplane(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_killed_leader_is_in_both_documents_with_the_gap_of_its_history(
    fleet: FleetOnTest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    urls = ",".join(str(node["url"]) for node in fleet.state()["nodes"])
    monkeypatch.setenv("LEADPLANE_URL", urls)
    row = fleet.shard("global")
    shard, before = row["shard"], row["leader"]["node"]
    from_s = int(time.time()) - 1
    fleet.process("nodes", before).signal(signal.SIGKILL)

    def taken_over() -> dict[str, Any] | None:
        found = json.loads(typed("history", shard, "-o", "json"))["items"]
        return next((t for t in found if t["epoch"] > row["epoch"]), None)

    tenure = wait_for(taken_over, "another node leads")
    assert (tenure["cause"], tenure["before"]) == ("unplanned", before)
    fleet.until_whole()
    wait_for(
        lambda: [
            e for e in json.loads(typed("events", "--shard", shard, "-o", "json"))["items"]
            if (e["kind"], e["epoch"]) == ("elected", tenure["epoch"])
        ] or None,
        "the failover is kept as an event",
    )  # fmt: skip

    week = json.loads(typed("report", "--week", "-o", "json"))["week"]
    assert week["leaderships"]["changes"]["unplanned"][tenure["ended"]] >= 1
    figures = next(s for s in week["leaderships"]["shards"] if s["shard"] == shard)
    assert figures["failovers"] >= 1
    assert figures["unled_ms"] >= tenure["unled_ms"]
    assert 0.5 < week["leaderships"]["availability"] < 1

    file = tmp_path / "incident.md"
    since = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(from_s))
    typed("postmortem", "--from", since, "--shard", shard, "--file", str(file))
    page = file.read_text("utf-8")
    led_ms, gap_ms = tenure["wall_ms"], tenure["unled_ms"]
    gap = f"| {to_the_ms(led_ms - gap_ms)} | {to_the_ms(led_ms)} | epoch {tenure['epoch']},"
    assert gap in page.split("## Time without a leader")[1]
    assert f"after {before}, {tenure['ended']}; nobody led for {span(gap_ms)}" in page
    assert f"| {shard} | {tenure['epoch']} | {tenure['node']} | {to_the_ms(led_ms)} |" in page
    assert "were held against each other" in page
    drawn = ElementTree.parse(tmp_path / "incident.md.svg").getroot()
    told = [title.text or "" for title in drawn.iter("{http://www.w3.org/2000/svg}title")]
    assert any(text.startswith(f"{shard}: nobody for {span(gap_ms)}") for text in told)
