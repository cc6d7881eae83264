"""`leadplane top`: what keys do, what is drawn, and what is printed where there is no terminal."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import subprocess
import sys
import time
from typing import Any

import pytest
from rich.console import Console

from controlplane.cli.connection import FleetAccess
from controlplane.cli.top import keys_in, look_at
from controlplane.cli.top_screen import DOWN, ENTER, ESCAPE, PAGE_DOWN, TAB, UP, Look, Screen
from controlplane.cli.top_view import draw_screen
from tests.cli.sample_rollout import ROLLOUT, shown
from tests.cli.stub_fleet import StubFleet, leadplane

WAIT_S = 60.0


@pytest.fixture
def look(fleet: StubFleet) -> Look:
    """What the sample fleet shows."""
    fleet.document("/v1/rollouts", {"items": [shown(ROLLOUT)]})
    return look_at(FleetAccess((fleet.url,)), None)


def opened(look: Look, *keys: str) -> Screen:
    """A screen that has seen this, and on which these keys were pressed."""
    screen = Screen()
    screen.saw(look, "12:00:00")
    for key in keys:
        screen.press(key)
    return screen


def drawn(screen: Screen, columns: int = 100, lines: int = 24) -> list[str]:
    """The lines on the terminal."""
    file = io.StringIO()
    Console(file=file, width=columns, highlight=False).print(draw_screen(screen, lines))
    return file.getvalue().splitlines()


def names(screen: Screen, field: str) -> list[Any]:
    return [row[field] for row in screen.rows()]


@pytest.mark.parametrize("columns", [30, 60, 100])
@pytest.mark.parametrize("view", "12345")
def test_the_screen_fits_the_terminal(look: Look, columns: int, view: str) -> None:
    lines = drawn(opened(look, view), columns, lines=12)
    assert max(map(len, lines)) <= columns
    assert len(lines) <= 12


def test_rows_scroll_with_the_mark(look: Look) -> None:
    screen = opened(look, "3", *[DOWN] * 20)
    assert screen.marked is not None
    assert screen.marked["shard"] == "s11"
    shown = "\n".join(drawn(screen, lines=10))
    assert "s11" in shown
    assert "s00" not in shown
    screen.press(UP)
    assert screen.marked["shard"] == "s10"
    for _ in range(3):
        screen.press(PAGE_DOWN)
    assert screen.marked["shard"] == "s11"


def test_a_region_leads_to_its_nodes_and_they_to_what_they_lead(look: Look) -> None:
    screen = opened(look, DOWN, DOWN, ENTER)
    assert names(screen, "node") == ["us-east-1-n1", "us-east-1-n2"]
    screen.press(ENTER)
    led = [s["shard"] for s in look.shards if s["leader"]["node"] == "us-east-1-n1"]
    assert (screen.place.view, names(screen, "shard")) == ("shards", led)
    screen.press(ENTER)
    assert any(line.startswith("Shard     s02") for line in drawn(screen))
    for expected in ("shards", "nodes", "regions"):
        screen.press(ESCAPE)
        assert screen.place.view == expected
    assert screen.place.marked == 2


def test_what_is_typed_behind_a_slash_filters(look: Look) -> None:
    screen = opened(look, "3", "/", *"US-east-1-n2", ENTER)
    assert names(screen, "shard") == ["s03", "s09"]
    assert any("filter: US-east-1-n2" in line for line in drawn(screen))
    screen.press("/")
    screen.press("q")
    assert not screen.is_over
    screen.press(ESCAPE)
    assert len(screen.rows()) == 12


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("eu", ["eu-1", "eu-10"]),
        ("1", ["eu-1", "eu-10", "neu-1"]),
        ("10", ["eu-10"]),
        ("node=eu-1", ["eu-1"]),
        ("NODE=NEU-1", ["neu-1"]),
        ("node=", ["eu-1", "eu-10", "neu-1"]),
        ("eu state=silent", ["eu-10"]),
        ("url=eu-1", []),
        ("zone=a", []),
    ],
)
def test_a_filter_fits_whole_fields_or_where_they_begin(
    look: Look, typed: str, found: list[str]
) -> None:
    node = {**look.status["nodes"][0], "region": "r", "url": ""}
    named = [
        {**node, "node": name, "alive": name != "eu-10"} for name in ("eu-1", "eu-10", "neu-1")
    ]
    screen = opened(Look({**look.status, "nodes": named}, (), None), "2", "/", *typed, ENTER)
    assert names(screen, "node") == found


def test_what_is_opened_is_of_that_node_alone(look: Look) -> None:
    node, shard = look.status["nodes"][0], look.shards[0]
    named = [{**node, "node": name} for name in ("n1", "n10")]
    led = [
        {**shard, "shard": f"of-{name}", "leader": {**shard["leader"], "node": name}}
        for name in ("n1", "n10")
    ]
    screen = opened(Look({**look.status, "nodes": named}, led, None), "2", ENTER)
    assert names(screen, "shard") == ["of-n1"]


def test_a_filter_that_nothing_matches_says_so(look: Look) -> None:
    assert "Nothing is like that." in drawn(opened(look, "3", "/", *"zzz", ENTER))


def test_rows_are_sorted_by_one_column_after_the_other(look: Look) -> None:
    screen = opened(look, "3", "s", "s", "s", "s", "r")
    assert any("by epoch, falling" in line for line in drawn(screen))
    assert names(screen, "epoch") == sorted(names(screen, "epoch"), reverse=True)
    screen.press("r")
    assert names(screen, "epoch") == sorted(names(screen, "epoch"))


def test_what_changed_hands_between_two_looks_is_an_election(look: Look) -> None:
    screen = opened(look, "4")
    assert "Nothing has changed hands" in "\n".join(drawn(screen))
    other = {"node": "us-east-1-n2", "region": "us-east-1", "url": "", "epoch": 4}
    first, second, *rest = look.shards
    now = [{**first, "leader": other, "epoch": 4}, {**second, "leader": None}, *rest]
    screen.saw(Look(look.status, now, None), "12:00:01")
    found = [(e["shard"], e["before"], e["after"]) for e in screen.elections]
    assert found == [
        ("s01", "eu-central-1-n2", None),
        ("s00", "eu-central-1-n1", "us-east-1-n2"),
    ]
    assert any("12:00:01" in line and "us-east-1-n2" in line for line in drawn(screen))


def test_a_rollout_is_shown_alone(look: Look) -> None:
    screen = opened(look, "5", ENTER)
    assert any("REGION" in line for line in drawn(screen, lines=60))


def test_a_fleet_that_does_not_answer_is_shown_as_it_was(look: Look) -> None:
    screen = opened(look)
    screen.failed("12:00:09: no node of the fleet answers")
    assert drawn(screen, 140)[0].startswith("Last seen: At risk")
    assert "no node of the fleet answers" in drawn(screen, 140)[0]
    assert "eu-central-1" in "\n".join(drawn(screen))


def test_nobody_has_rollouts_and_the_rest_is_shown(fleet: StubFleet) -> None:
    problem = {"type": "/problems/not-ready", "title": "not ready", "status": 503}
    fleet.document("/v1/rollouts", problem, status=503)
    look = look_at(FleetAccess((fleet.url,)), None)
    assert (look.rollouts, len(look.shards)) == (None, 12)


def test_keys_are_told_apart() -> None:
    assert keys_in("\x1b[B\x1b[A\x1bj/\r\t\x1b[6~é") == [
        DOWN, UP, ESCAPE, "j", "/", ENTER, TAB, PAGE_DOWN, "é",
    ]  # fmt: skip


def test_without_a_terminal_all_is_printed_once(fleet: StubFleet, look: Look) -> None:
    result = leadplane("top")
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.stdout
    for title in ("REGION", "NODE", "SHARD", "DOCUMENT"):
        assert title in result.stdout
    document = json.loads(leadplane("top", "-o", "json").stdout)
    assert [s["shard"] for s in document["shards"]] == [s["shard"] for s in look.shards]
    assert {each.method for each in fleet.asked} == {"GET"}


def until(master: int, wanted: bytes, seen: bytes) -> bytes:
    """What the terminal got, up to and with that."""
    deadline = time.monotonic() + WAIT_S
    while wanted not in seen:
        left_s = deadline - time.monotonic()
        assert left_s > 0, seen[-2_000:]
        if select.select([master], [], [], left_s)[0]:
            seen += os.read(master, 65_536)
    return seen


def test_in_a_terminal_it_follows_until_q(fleet: StubFleet) -> None:
    fleet.document("/v1/rollouts", {"items": []})
    master, terminal = pty.openpty()
    environment = os.environ | {"LEADPLANE_URL": fleet.url, "TERM": "xterm", "NO_COLOR": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "controlplane.cli.main", "top", "--every", "0.2"],
        stdin=terminal, stdout=terminal, stderr=terminal, env=environment,
    )  # fmt: skip
    try:
        seen = until(master, b"[1 regions]", b"")
        os.write(master, b"3")
        seen = until(master, b"[3 shards]", seen)
        os.write(master, b"q")
        assert process.wait(WAIT_S) == 0
        assert b"\x1b[31m" not in seen
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
        os.close(master)


def test_the_help_has_an_example() -> None:
    assert "leadplane top --at us-east-1" in leadplane("top", "--help").stdout
