"""Listings: what a person sees at 80 and 120 columns, and what a script gets."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane.cli.status import merged
from controlplane.doctor.looks import DIFFERS
from tests.cli.stub_fleet import StubFleet, leadplane

RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks"
LISTINGS = (
    ("status",),
    ("shards",),
    ("shards", "list"),
    ("shards", "get", "s00"),
    ("nodes",),
    ("nodes", "get", "eu-central-1-n1"),
    ("regions",),
    ("regions", "get", "eu-central-1"),
    ("route", "orders/7"),
)


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("command", LISTINGS, ids=" ".join)
def test_table_fits_the_terminal(fleet: StubFleet, command: tuple[str, ...], columns: int) -> None:
    result = leadplane(*command, columns=columns)
    assert result.exit_code == 0, result.output
    assert max(len(line) for line in result.stdout.splitlines()) <= columns
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize("command", [c for c in LISTINGS if c != ("status",)])
def test_json_and_yaml_are_what_the_api_said(fleet: StubFleet, command: tuple[str, ...]) -> None:
    as_json = leadplane(*command, "-o", "json")
    as_yaml = leadplane(*command, "-o", "yaml")
    assert as_json.exit_code == as_yaml.exit_code == 0, as_json.output + as_yaml.output
    path = fleet.asked[-1].path
    said = json.loads(fleet.answers["GET", path][2])
    assert json.loads(as_json.stdout) == yaml.safe_load(as_yaml.stdout) == said


def test_options_before_a_further_word_are_not_ignored() -> None:
    result = leadplane("nodes", "-o", "json", "get", "n1")
    assert result.exit_code == 2
    assert "put -o and --watch behind 'get'" in result.stderr


def test_status_says_first_how_the_fleet_is(fleet: StubFleet) -> None:
    lines = leadplane("status").stdout.splitlines()
    assert lines[0] == "At risk: region/ap-southeast-1 cannot lose another store."
    assert "Global leader  eu-central-1-n1 (eu-central-1), epoch 7" in lines
    assert any("connection refused" in line for line in lines)


SOUND = {"spare": 1, "reachable": 3}
HERE = "region/ap-southeast-1"
VERDICTS: tuple[tuple[str, dict[str, dict[str, Any]], int, str | None], ...] = (
    ("Healthy: every shard is led, any group can lose 1 more store.", {}, 0, None),
    (f"At risk: {HERE} cannot lose another store.", {"groups": {"spare": 0}}, 0, "store-lost"),
    ("At risk: 1 of 9 stores needs looking after; see WHY.",
     {"stores": {"why": "memory 85 %"}}, 0, "store-full"),
    ("At risk: 1 of 9 stores needs looking after; see WHY.",
     {"stores": {"why": f"{DIFFERS}: s03"}}, 0, "store-lost"),
    ("At risk: leaders of s03, s07 change again and again.",
     {"": {"restless": ["s07", "s03"]}}, 0, "flapping"),
    (f"Unavailable: no quorum in {HERE}.",
     {"groups": {"spare": -1, "reachable": 1}}, 1, "store-lost"),
    (f"Unavailable: no quorum in {HERE}.",
     {"groups": {"spare": -1, "reachable": 0}, "regions": {"nodes_alive": 0}}, 1, "region-lost"),
    (f"Lost: too few stores remember {HERE}.", {"groups": {"lost": ["a", "b"]}}, 1, "store-lost"),
    (f"Full: {HERE} can only be read, and deleted from.",
     {"groups": {"full": "a: memory 96 %"}}, 1, "store-full"),
    ("Degraded: no node is left in us-east-1.",
     {"regions": {"nodes_alive": 0}}, 1, "region-lost"),
    ("Degraded: 3 of 13 shards have no leader.", {"": {"shards_led": 10}}, 1, "stuck-election"),
    ("Degraded: 3 of 13 shards have no leader.",
     {"": {"shards_led": 10}, "regions": {"nodes_alive": 0}}, 1, "region-lost"),
    ("Degraded: 1 of 13 shards have no leader.",
     {"": {"shards_led": 12, "global_leader": None}}, 1, "global-leader-lost"),
)  # fmt: skip
"""What `status` says, the last thing of a kind that is changed for it, how it ends, its page."""


@pytest.mark.parametrize(("says", "changes", "ends", "page"), VERDICTS)
def test_the_verdict_its_exit_status_and_the_page_to_read_on_in(
    fleet: StubFleet, says: str, changes: dict[str, dict[str, Any]], ends: int, page: str | None
) -> None:
    status = well(fleet)
    for kind, change in changes.items():
        (status[kind][-1] if kind else status).update(change)
    fleet.document("/v1/status", status)
    result = leadplane("status")
    lines = result.stdout.splitlines()
    assert lines[0].startswith(says)
    assert result.exit_code == ends
    read_on = [line for line in lines if line.startswith("Read on in")]
    assert read_on == ([f"Read on in docs/runbooks/{page}.md"] if page else [])
    document = json.loads(leadplane("status", "-o", "json").stdout)
    assert document["verdict"].startswith(says)
    assert document["runbook"] == (f"docs/runbooks/{page}.md" if page else None)
    assert page is None or (RUNBOOKS / f"{page}.md").is_file()


def well(fleet: StubFleet) -> dict[str, Any]:
    """The page of the sample fleet, with its store up and its node back."""
    status: dict[str, Any] = json.loads(fleet.answers["GET", "/v1/status"][2])
    for group in status["groups"]:
        group |= SOUND
    for store in status["stores"]:
        store |= {"state": "up", "why": ""}
    for node in status["nodes"]:
        node["alive"] = True
    for region in status["regions"]:
        region["nodes_alive"] = region["nodes"]
    return status


def test_a_region_whose_nodes_are_all_drained_is_not_well(fleet: StubFleet) -> None:
    status = well(fleet)
    status["nodes"][0]["drained"] = True
    fleet.document("/v1/status", status)
    assert leadplane("status").stdout.startswith("Healthy")
    status["nodes"][1]["drained"] = True
    fleet.document("/v1/status", status)
    result = leadplane("status")
    assert result.stdout.startswith("At risk: all nodes of eu-central-1 are drained.")
    assert "Read on in docs/runbooks/region-lost.md" in result.stdout
    assert result.exit_code == 0


def test_where_nobody_answers_the_page_is_named_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADPLANE_URL", "http://127.0.0.1:1")
    for command in ("status", "doctor"):
        result = leadplane(command)
        assert result.exit_code == 1
        assert "then read docs/runbooks/control-plane-down.md" in result.stderr


def test_status_joins_what_a_node_of_each_region_knows() -> None:
    def page(node: str, used: str, reachable: dict[str, int]) -> dict[str, Any]:
        store = {"region": used, "zone": "a", "state": "up"}
        return {
            "node": node,
            "stores": [{**store, "store": f"{used}-1"}],
            "regions": [{"region": "eu", "stores": 0}, {"region": "us", "stores": 0}],
            "groups": [
                {"group": f"region/{r}", "voters": [f"{r}-1"], "reachable": n, "spare": n - 1}
                for r, n in reachable.items()
            ],
        }

    one = merged([page("n1", "eu", {"eu": 1, "us": 0})])
    assert [(g["reachable"], g["seen"]) for g in one["groups"]] == [(1, True), (0, False)]
    both = merged([page("n1", "eu", {"eu": 1, "us": 0}), page("n3", "us", {"eu": 0, "us": 1})])
    assert [(g["reachable"], g["seen"]) for g in both["groups"]] == [(1, True), (1, True)]
    assert both["asked"] == ["n1", "n3"]
    assert [r["stores_up"] for r in both["regions"]] == [1, 1]


def test_that_a_group_is_full_is_known_from_whoever_says_so() -> None:
    group = {"group": "global", "voters": [], "reachable": 3, "spare": 1}
    page = {"node": "n1", "stores": [], "regions": []}
    pages = [{**page, "groups": [{**group, "full": full}]} for full in ("", "a: memory 96 %", "")]
    (found,) = merged(pages)["groups"]
    assert found["full"] == "a: memory 96 %"


def test_status_asks_a_node_of_each_region(fleet: StubFleet) -> None:
    page = json.loads(leadplane("status", "-o", "json").stdout)
    assert len(page["asked"]) == 3
    assert [asked.path for asked in fleet.asked] == ["/v1/status"] * 3


def test_a_shard_without_leader_shows_why(fleet: StubFleet) -> None:
    shards = json.loads(fleet.answers["GET", "/v1/shards"][2])
    shards["items"][1] |= {"leader": None, "state": "electing", "why": "waits for the lease of n2"}
    fleet.document("/v1/shards", shards)
    line = next(x for x in leadplane("shards").stdout.splitlines() if x.startswith("s01"))
    assert "electing" in line
    assert "waits for the lease of n2" in line


def test_wide_shows_more_and_cuts_nothing(fleet: StubFleet) -> None:
    header = leadplane("shards", "list", "-o", "wide", columns=80).stdout.splitlines()[0]
    shown = "SHARD GROUP STATE EPOCH LEADER SURVIVES SLOTS SEQUENCE SIZE LEASE PREFERS"
    assert " ".join(header.split()) == shown


def test_shards_can_be_narrowed_down(fleet: StubFleet) -> None:
    led = leadplane("shards", "list", "--led-by", "us-east-1-n1", "-o", "json")
    assert {row["leader"]["node"] for row in json.loads(led.stdout)["items"]} == {"us-east-1-n1"}
    in_group = leadplane("shards", "list", "--group", "global", "-o", "json")
    assert {row["group"] for row in json.loads(in_group.stdout)["items"]} == {"global"}


def test_a_list_is_fetched_page_by_page(fleet: StubFleet) -> None:
    whole = json.loads(fleet.answers["GET", "/v1/nodes"][2])["items"]
    fleet.pages("/v1/nodes", [whole[:2], whole[2:5], whole[5:]])
    got = json.loads(leadplane("nodes", "list", "-o", "json").stdout)
    assert got["items"] == whole
    assert "continue" not in got


def test_at_asks_the_node_that_was_named(fleet: StubFleet) -> None:
    result = leadplane("status", "--at", "us-east-1")
    assert result.exit_code == 0
    assert [asked.path for asked in fleet.asked] == ["/v1/nodes", "/v1/status"]
    wrong = leadplane("status", "--at", "mars")
    assert wrong.exit_code == 1
    assert "no node or region is called 'mars'" in wrong.stderr
    assert "us-east-1-n2" in wrong.stderr


def test_watching_prints_again_only_what_changed(
    fleet: StubFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = 0

    def change_then_stop(seconds: float) -> None:
        nonlocal waits
        waits += 1
        assert seconds > 0
        if waits == 2:
            nodes = json.loads(fleet.answers["GET", "/v1/nodes"][2])
            nodes["items"][0]["leads"] = 99
            fleet.document("/v1/nodes", nodes)
        if waits == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", change_then_stop)
    result = leadplane("nodes", "list", "-o", "json", "--watch")
    assert result.exit_code == 0
    documents = [json.loads(line) for line in result.stdout.splitlines()]
    assert [document["items"][0]["leads"] for document in documents] == [2, 99]


def test_history_fits_a_narrow_terminal_with_its_reasons(fleet: StubFleet) -> None:
    record = {
        "epoch": 12,
        "wall_ms": 1_790_000_000_000,
        "node": "ap-southeast-1-n1",
        "before": "ap-southeast-1-n2",
        "ended": "transferred",
        "reason": "to be near",
    }
    fleet.document("/v1/shards/s00/history", {"items": [record]})
    lines = leadplane("shards", "history", "s00", columns=80).stdout.splitlines()
    assert lines[0].split() == ["EPOCH", "SINCE", "LEADER", "BEFORE", "WHICH", "ENDED", "REASON"]
    assert "ap-southeast-1-n1  ap-southeast-1-n2  transferred  to be" in lines[1]


def test_a_store_that_is_low_on_room_is_no_healthy_fleet(fleet: StubFleet) -> None:
    page = json.loads(fleet.answers["GET", "/v1/status"][2])
    for group in page["groups"]:
        group["spare"] = 1
    for store in page["stores"]:
        store["state"], store["why"] = "up", ""
    page["stores"][0]["why"] = "memory 96 % used"
    fleet.document("/v1/status", page)
    lines = leadplane("status").stdout.splitlines()
    assert lines[0] == "At risk: 1 of 9 stores needs looking after; see WHY."
    assert any("memory 96 % used" in line for line in lines)
