"""Dashboards for Grafana: committed as they are made, whole, and of nothing that does not exist."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from controlplane.telemetry.dashboards.files import DASHBOARDS, FOLDER, dashboard_files
from controlplane.telemetry.dashboards.panel import WIDTH, Dashboard
from controlplane.telemetry.rules.recording import recording_rules
from controlplane.telemetry.rules.scale import Scale
from tests.telemetry.exposed import shown

ROOT = Path(__file__).parents[2]
UNITS = {"short", "s", "bytes", "percentunit", "currencyUSD", "ops", "reqps"}
KINDS = {"stat", "timeseries", "table"}
METRIC = re.compile(r"\b(?:leadplane[_:]|process_|python_)[a-z0-9_:]+")


def document(dashboard: Dashboard) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(dashboard_files()[f"{dashboard.uid}.json"])
    return found


def test_the_files_are_as_they_are_made() -> None:
    made = dashboard_files()
    assert {path.name for path in (ROOT / FOLDER).glob("*.json")} == made.keys()
    for name, text in made.items():
        assert (ROOT / FOLDER / name).read_text("utf-8") == text, f"{name}: make dashboards"


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda each: each.uid)
def test_every_panel_is_whole(dashboard: Dashboard) -> None:
    for panel in dashboard.panels:
        assert panel.kind in KINDS, panel.title
        assert panel.unit in UNITS, panel.title
        assert panel.description.endswith("."), panel.title
        assert len({query.legend for query in panel.queries}) == len(panel.queries), panel.title
        if panel.runbook:
            assert (ROOT / "docs" / "runbooks" / f"{panel.runbook}.md").exists(), panel.title
        if panel.steps:
            bounds = [value for value, _ in panel.steps]
            assert bounds[0] is None
            assert bounds[1:] == sorted(set(bounds[1:])), panel.title


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda each: each.uid)
def test_grafana_finds_what_it_asks_for(dashboard: Dashboard) -> None:
    found = document(dashboard)
    assert found["schemaVersion"] >= 36
    variables = {each["name"]: each for each in found["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    text = json.dumps(found)
    used = set(re.findall(r"\$\{?([a-z]+)\b", text)) - {"__rate_interval", "__range"}
    assert used == variables.keys()
    ids = [panel["id"] for panel in found["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in found["panels"]:
        place = panel["gridPos"]
        assert 0 <= place["x"] <= place["x"] + place["w"] <= WIDTH
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
            assert [each["refId"] for each in panel["targets"]] == [*"ABCDEFGH"][
                : len(panel["targets"])
            ]
            assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][0]["value"] is None


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda each: each.uid)
def test_no_panel_lies_upon_another(dashboard: Dashboard) -> None:
    places = [panel["gridPos"] for panel in document(dashboard)["panels"]]
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or apart, (one, other)


def test_they_ask_for_nothing_that_does_not_exist() -> None:
    families = shown().registry.collect()
    exposed = {f.name + "_total" if f.type == "counter" else f.name for f in families}
    exposed |= {rule["record"] for g in recording_rules(Scale())["groups"] for rule in g["rules"]}
    for dashboard in DASHBOARDS:
        for panel in dashboard.panels:
            for query in panel.queries:
                for name in METRIC.findall(query.text):
                    assert {name, re.sub(r"_(bucket|count|sum)$", "", name)} & exposed, name
                assert 'job="$job"' in query.text, panel.title
