"""Rules for Prometheus: committed as they are made, made of metrics that exist, and right."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane.telemetry.rules.alerts import PAGE, alert_rules, all_alerts
from controlplane.telemetry.rules.files import FOLDER, rule_files, write_rules
from controlplane.telemetry.rules.recording import recording_rules
from controlplane.telemetry.rules.scale import Scale
from controlplane.telemetry.rules.scraping import ANSWERED_S, EVALUATED_S, SCRAPED_S
from regions.settings import LeaseSettings
from tests.alerts.provoked import FIRED, LINGERS, MADE_UP
from tests.telemetry.exposed import shown

ROOT = Path(__file__).parents[2]
PAGING = re.compile(
    r"LeadplaneNoLeader|LeadplaneNobodyAnswers|LeadplaneFlapping|LeadplaneStaleOperationAccepted"
)
CASES = Path(__file__).parent / "rule_cases.yaml"


def rules(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [rule for group in document["groups"] for rule in group["rules"]]


def test_the_files_are_as_they_are_made() -> None:
    for name, text in rule_files(Scale()).items():
        assert (ROOT / FOLDER / name).read_text(encoding="utf-8") == text, f"{name}: make rules"


def test_rules_use_nothing_that_does_not_exist() -> None:
    families = shown().registry.collect()
    exposed = {f.name + "_total" if f.type == "counter" else f.name for f in families}
    recorded = {rule["record"] for rule in rules(recording_rules(Scale()))}
    for rule in rules(recording_rules(Scale())) + rules(alert_rules(Scale())):
        for name in re.findall(r"\bleadplane[_:][a-z0-9_:]+", rule["expr"]):
            if name not in recorded:
                assert re.sub(r"_(bucket|count|sum)$", "", name) in exposed, (name, rule)


def test_only_what_must_wake_somebody_is_a_page() -> None:
    for alert in all_alerts():
        burns = re.fullmatch(r"LeadplaneAvailabilityBurn(Fast|High)", alert.name)
        assert (alert.severity == PAGE) == bool(PAGING.fullmatch(alert.name) or burns), alert.name


def test_each_alert_says_what_to_do_first_and_where_to_read_on() -> None:
    for rule in rules(alert_rules(Scale())):
        assert "First: " in rule["annotations"]["summary"], rule["alert"]
        assert (ROOT / rule["annotations"]["runbook_url"]).exists(), rule["alert"]


def test_a_time_scale_changes_times_and_nothing_else() -> None:
    whole = [rule["expr"] for rule in rules(recording_rules(Scale()))]
    short = [rule["expr"] for rule in rules(recording_rules(Scale(1 / 60)))]
    spans = re.compile(r"\[[^]]+\]")
    assert [spans.sub("", expr) for expr in whole] == [spans.sub("", expr) for expr in short]
    assert Scale(1 / 60).span(3_600) == "1m"
    assert Scale(1 / 60).span(300) == "5s"
    assert Scale(1 / 600).span(300) == "500ms"
    named = [rule.get("record") for rule in rules(recording_rules(Scale(1 / 60)))]
    assert named == [rule.get("record") for rule in rules(recording_rules(Scale()))]


def test_whatever_a_scrape_shows_is_judged_within_two_scrapes() -> None:
    """A leader's silence lasts as long as its lease first, a node's as long as it is waited for."""
    lease_s = LeaseSettings().global_ttl_ms / 1_000 * 1.1
    for known_s in (lease_s, ANSWERED_S, EVALUATED_S):  # the last: it is recorded first
        assert SCRAPED_S + known_s + EVALUATED_S < 2 * SCRAPED_S
    (middle,) = (
        rule["expr"] for rule in rules(alert_rules(Scale())) if "NoLeader" in rule["alert"]
    )
    assert "leadplane:" not in middle, "a lease, a scrape and two turns take too long"


def test_every_alert_has_a_case() -> None:
    cases = yaml.safe_load(CASES.read_text(encoding="utf-8"))
    shown = {name for case in cases for firing in case["fires"].values() for name in firing}
    assert shown == {alert.name for alert in all_alerts()}


@pytest.mark.needs_binary("promtool")
@pytest.mark.parametrize(
    "what", [("rules", "recording.yaml", "alerts.yaml"), ("config", "prometheus.yaml")]
)
@pytest.mark.parametrize("times", [1.0, 1 / 60])
def test_promtool_reads_what_is_written(
    times: float, what: tuple[str, ...], tmp_path: Path, needs_binary: Callable[[str], Path]
) -> None:
    write_rules(tmp_path, Scale(times))
    done = subprocess.run(
        [needs_binary("promtool"), "check", *what],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs_binary("amtool")
@pytest.mark.parametrize("times", [1.0, 1 / 60])
def test_amtool_reads_whom_to_tell(
    times: float, tmp_path: Path, needs_binary: Callable[[str], Path]
) -> None:
    write_rules(tmp_path, Scale(times))
    done = subprocess.run(
        [needs_binary("amtool"), "check-config", "alertmanager.yaml"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs_binary("promtool")
def test_each_case_fires_what_it_should_and_no_page_else(
    tmp_path: Path, needs_binary: Callable[[str], Path]
) -> None:
    write_rules(tmp_path, Scale())
    cases = yaml.safe_load(CASES.read_text(encoding="utf-8"))
    tests = [_promtool_case(case) for case in cases]
    told = {
        "rule_files": ["recording.yaml", "alerts.yaml"],
        "evaluation_interval": "30s",
        "tests": tests,
    }
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump(told), encoding="utf-8")
    done = subprocess.run(
        [needs_binary("promtool"), "test", "rules", "cases.yaml"],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs_binary("promtool")
def test_traffic_is_priced_by_the_pair_it_goes_over(
    tmp_path: Path, needs_binary: Callable[[str], Path]
) -> None:
    write_rules(tmp_path, Scale())
    labels = 'job="leadplane",instance="{}",from_region="{}",to_region="{}"'
    series = {}
    for node, origin, to, rate in (
        ("n1", "a", "b", 1_000),
        ("n2", "a", "b", 500),
        ("n2", "b", "a", 30),
    ):
        where = labels.format(node, origin, to)
        kind = "lanes" if node == "n1" else "requests"
        series[f'leadplane_region_pair_bytes_total{{{where},kind="{kind}"}}'] = f"0+{rate * 15}x300"
        price = 2e-11 if origin == "a" else 5e-10
        series[f"leadplane_region_pair_usd_per_byte{{{where}}}"] = f"{price}x300"
    record, month_s = "leadplane:region_pair_usd_per_month:rate1h", 730 * 3_600
    expected = [
        {"labels": f'{{from_region="{origin}",job="leadplane",to_region="{to}"}}',
         "value": round(rate * price * month_s * 1e5)}
        for origin, to, rate, price in (("a", "b", 1_500, 2e-11), ("b", "a", 30, 5e-10))
    ]  # fmt: skip
    told = {
        "rule_files": ["recording.yaml"],
        "evaluation_interval": "30s",
        "tests": [
            {
                "interval": "15s",
                "input_series": [{"series": s, "values": v} for s, v in series.items()],
                "promql_expr_test": [
                    {"eval_time": "70m", "expr": f"round({record} * 1e5)", "exp_samples": expected}
                ],
            }
        ],
    }
    (tmp_path / "priced.yaml").write_text(yaml.safe_dump(told), encoding="utf-8")
    done = subprocess.run(
        [needs_binary("promtool"), "test", "rules", "priced.yaml"],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def _promtool_case(case: dict[str, Any]) -> dict[str, Any]:
    """At each moment exactly the alerts of the case fire, of all there are."""
    alerts = {rule["alert"]: rule for rule in rules(alert_rules(Scale()))}
    expressions = []
    for moment, firing in case["fires"].items():
        assert set(firing) <= alerts.keys(), firing
        listed = "|".join(sorted(alerts))
        expected = [
            {"labels": f'{{alertname="{name}", severity="{alerts[name]["labels"]["severity"]}"}}',
             "value": 1}
            for name in sorted(firing)
        ]  # fmt: skip
        expr = (
            'sort(count by (alertname, severity) (ALERTS{alertstate="firing", '
            f'alertname=~"{listed}"}}) >= bool 1)'
        )
        expressions.append({"eval_time": moment, "expr": expr, "exp_samples": expected})
    return {
        "name": case["case"],
        "interval": "15s",
        "input_series": [
            {"series": series, "values": values} for series, values in case["series"].items()
        ],
        "promql_expr_test": expressions,
    }


def test_every_alert_is_fired_by_a_real_fault_or_there_is_a_reason() -> None:
    assert not FIRED & MADE_UP.keys()
    assert FIRED | MADE_UP.keys() == {alert.name for alert in all_alerts()}
    assert LINGERS.keys() <= FIRED
