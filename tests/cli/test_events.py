"""`leadplane events` and `leadplane history`: what is asked of the fleet, and how it is told."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.cli.stub_fleet import StubFleet, leadplane

WALL_MS = 1_790_000_000_000


def event(number: int, **more: Any) -> dict[str, Any]:
    return {
        "sequence": number, "kind": "elected", "shard": "s17", "group": "global", "epoch": 4,
        "node": "eu-central-1-n1", "region": "eu-central-1", "wall_ms": WALL_MS,
        "recorded_ms": WALL_MS + 9, "process": "", "number": 0,
        "detail": {"why": "dead", "cause": "unplanned", "unled_ms": 3_200, "row": "ab" * 32},
    } | more  # fmt: skip


def page(*items: dict[str, Any], age_ms: int | None = 20, dropped_ms: int | None = None) -> Any:
    summarised = {"sequence": 1, "wall_ms": dropped_ms}
    return {"items": list(items), "staleness_ms": age_ms, "summarised_before": summarised}


def test_events_are_listed_with_what_each_is_about(fleet: StubFleet) -> None:
    lost = event(
        2, kind="lease-expired", shard="", epoch=0, detail={"group": "global", "shards": 3}
    )
    fleet.document("/v1/events/kept", page(event(1), lost))
    before_ms = time.time_ns() // 1_000_000
    lines = leadplane("events", "--since", "90m", "--shard", "s17", columns=200).stdout.splitlines()
    assert lines[0].split() == ["WHEN", "KIND", "ABOUT", "EPOCH", "NODE", "DETAIL"]
    assert "elected" in lines[1]
    assert "s17" in lines[1]
    assert "why dead, cause unplanned, unled_ms 3.2 s" in lines[1]
    assert "abab" not in lines[1]
    assert lines[2].split()[2:5] == ["lease-expired", "global", "-"]
    query = fleet.last("GET", "/v1/events/kept").query
    assert query["shard"] == "s17"
    assert abs(int(query["since"]) - (before_ms - 90 * 60_000)) < 60_000
    assert "kind" not in query


def test_without_a_word_the_last_hour_is_shown(fleet: StubFleet) -> None:
    fleet.document("/v1/events/kept", page())
    told = leadplane("events")
    assert told.stdout == "No such event is kept.\n"
    since_ms = int(fleet.last("GET", "/v1/events/kept").query["since"])
    assert abs(since_ms - (time.time_ns() // 1_000_000 - 3_600_000)) < 60_000


def test_json_is_what_the_fleet_says(fleet: StubFleet) -> None:
    fleet.document("/v1/events/kept", page(event(1)))
    told = json.loads(leadplane("events", "--kind", "elected", "-o", "json").stdout)
    assert told["items"] == [event(1)]
    assert told["summarised_before"] == {"sequence": 1, "wall_ms": None}


def test_what_is_not_known_of_the_time_asked_for_is_said(fleet: StubFleet) -> None:
    now_ms = time.time_ns() // 1_000_000
    fleet.document("/v1/events/kept", page(event(1), age_ms=None, dropped_ms=now_ms - 60_000))
    told = leadplane("events", "--since", "1h").stdout
    assert "there are only counts: see --summary" in told
    assert "nobody vouches for" in told
    fleet.document("/v1/events/kept", page(event(1), age_ms=5_000, dropped_ms=now_ms - 7_200_000))
    told = leadplane("events", "--since", "1h").stdout
    assert "only counts" not in told
    assert "up to 5.0 s old" in told


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--since", "yesterday"), "--since: 'yesterday' is neither a duration, such as 90s"),
        (("--since", "5 minutes"), "nor a moment, such as 2026-03-01T12:00"),
        (("--since", ""), "--since: '' is neither"),
        (("--until", "soon"), "--until: 'soon' is neither"),
        (("--since", "2099-01-01"), "--since has to be before now"),
        (("--since", "1h", "--until", "2h"), "--since has to be before --until"),
        (("--summary", "--shard", "s1"), "--summary excludes --shard"),
    ],
)
def test_what_is_asked_badly_is_refused_before_anybody_is_asked(
    fleet: StubFleet, options: tuple[str, ...], complaint: str
) -> None:
    result = leadplane("events", *options)
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert not [asked for asked in fleet.asked if asked.path.startswith("/v1/events")]


def test_counts_of_what_is_not_kept_are_listed_by_the_hour(fleet: StubFleet) -> None:
    fleet.document("/v1/events/summary", {"items": []})
    assert "Every event there ever was is kept." in leadplane("events", "--summary").stdout
    count = {"kind": "fenced", "group": "global", "count": 12}
    hours = [
        {"since_ms": None, "until_ms": WALL_MS, "counts": [count]},
        {"since_ms": WALL_MS, "until_ms": WALL_MS + 3_600_000, "counts": [count, count]},
    ]
    fleet.document("/v1/events/summary", {"items": hours})
    lines = leadplane("events", "--summary").stdout.splitlines()
    assert lines[1].startswith("before ")
    assert [line.split()[-3:] for line in lines[1:]] == [["fenced", "global", "12"]] * 3


TENURE = {
    "epoch": 12, "wall_ms": WALL_MS, "node": "n1", "before": "n2", "ended": "expired",
    "cause": "unplanned", "unled_ms": 2_345,
}  # fmt: skip


def test_history_says_for_how_long_nobody_led_and_that_no_two_tenures_overlap(
    fleet: StubFleet,
) -> None:
    good = {"shard": "s17", "items": [TENURE], "overlap_free": True, "problems": []}
    fleet.document("/v1/shards/s17/history", good)
    told = leadplane("history", "s17")
    assert told.exit_code == 0
    lines = told.stdout.splitlines()
    assert lines[0].split() == ["EPOCH", "SINCE", "LEADER", "BEFORE", "WHICH", "ENDED", "UNLED"]
    assert lines[1].split()[-3:] == ["expired", "2.3", "s"]
    assert lines[2] == "No two tenures overlap: each follows the one before."
    assert "unplanned" in leadplane("history", "s17", "-o", "wide").stdout


def test_history_that_cannot_be_fails(fleet: StubFleet) -> None:
    bad = {"items": [TENURE], "overlap_free": False, "problems": ["epoch 12 goes on wrongly"]}
    fleet.document("/v1/shards/s17/history", bad)
    told = leadplane("history", "s17")
    assert told.exit_code == 1
    assert "NOT POSSIBLE: epoch 12 goes on wrongly" in told.stdout


@pytest.mark.parametrize("command", ["events", "history"])
def test_help_has_an_example(command: str) -> None:
    told = leadplane(command, "--help").stdout
    assert f"leadplane {command} " in told.partition("Example")[2]
