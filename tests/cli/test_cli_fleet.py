"""The command line against a real fleet: real stores, real nodes, what a new user would type."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.fleet_on_test import wait_for

START_S_MAX = 180
COMMAND_S_MAX = 100
TOUR_S_MAX = 300
CALM_S_MAX = 60.0

Typed = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder from which a fleet runs."""
    folder = tmp_path_factory.mktemp("fleet")
    run(folder, "up", "--detach", "--base-port", "0", "-o", "json", seconds=START_S_MAX)
    try:
        yield folder
    finally:
        run(folder, "down", seconds=START_S_MAX)


@pytest.fixture
def typed(folder: Path) -> Typed:
    """Types a command in the fleet's folder; fails when the command does, unless told not to."""

    def type_it(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return run(folder, *words, **options)

    return type_it


def run(
    folder: Path, *words: str, seconds: float = COMMAND_S_MAX, fails: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run `leadplane` in a folder."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LEADPLANE_")}
    done = subprocess.run(
        [sys.executable, "-m", "controlplane.cli.main", *words],
        cwd=folder,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done


def document(done: subprocess.CompletedProcess[str]) -> Any:
    """What `-o json` printed."""
    return json.loads(done.stdout)


pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("cli-fleet")]


def test_status_of_a_new_fleet(typed: Typed) -> None:
    def is_well() -> bool:
        page = document(typed("status", "-o", "json"))
        led = page["shards_led"] == page["shards_total"]
        alive = {region["nodes_alive"] for region in page["regions"]} == {2}
        return led and alive and all(group["spare"] >= 1 for group in page["groups"])

    wait_for(is_well, "all is well", CALM_S_MAX)
    healthy = "Healthy: every shard is led"
    wait_for(lambda: typed("status").stdout.startswith(healthy), "it is said", CALM_S_MAX)


def test_write_here_read_there(typed: Typed) -> None:
    written = document(typed("kv", "put", "{ada}/name", "Lovelace", "-o", "json"))
    assert typed("kv", "get", "{ada}/name").stdout == "Lovelace"
    for region in ("eu-central-1", "us-east-1", "ap-southeast-1"):
        words = ("-c", "session", "--position", written["position"], "--at", region)
        read = document(typed("kv", "get", "{ada}/name", *words, "-o", "json"))
        assert read["value"] == "Lovelace"
        assert read["version"] == written["version"]
        assert read["shard"] == written["shard"]


def test_conditions_are_kept(typed: Typed) -> None:
    first = document(typed("kv", "put", "{eve}/a", "1", "--create", "-o", "json"))
    again = typed("kv", "put", "{eve}/a", "2", "--create", fails=True)
    assert "does not have the version" in again.stderr
    typed("kv", "put", "{eve}/a", "2", "--if-version", str(first["version"]))
    stale = typed("kv", "del", "{eve}/a", "--if-version", str(first["version"]), fails=True)
    assert "next: read it again" in stale.stderr
    typed("kv", "del", "{eve}/a")
    gone = typed("kv", "get", "{eve}/a", fails=True)
    assert "no value" in gone.stderr


def test_scan_is_in_order(typed: Typed) -> None:
    for number in (2, 0, 1):
        typed("kv", "put", f"{{bob}}/orders/{number}", f"order {number}")
    items = document(typed("kv", "scan", "bob", "--prefix", "{bob}/orders/", "-o", "json"))["items"]
    assert [item["value"] for item in items] == ["order 0", "order 1", "order 2"]


def test_route_agrees_with_the_answer(typed: Typed) -> None:
    def agree() -> bool:
        """Whether both name the same leadership; an election may have come between them."""
        route = document(typed("route", "{ada}/name", "--intent", "write", "-o", "json"))
        written = document(typed("kv", "put", "{ada}/name", "King", "-o", "json"))
        assert written["shard"] == route["shard"]
        same = route["leader"] is not None and written["epoch"] == route["epoch"]
        return same and written["served_by"] == route["leader"]["node"] == route["target"]["node"]

    wait_for(agree, "the route is where the answer comes from", CALM_S_MAX)


def test_transfer_moves_the_shard_and_is_remembered(typed: Typed) -> None:
    row = led_shard(typed, "global")
    region = next(r for r in row["regions"] if r != row["leader"]["region"])
    words = ("shards", "transfer", row["shard"], "--to-region", region, "--reason", "test")
    told = wait_for(lambda: admitted(typed, *words), "it is admitted", CALM_S_MAX)
    assert "no write was taken for" in told
    until_led_anew(typed, row)
    assert document(typed("shards", "history", row["shard"], "-o", "json"))["items"]


def test_evict_takes_it_away(typed: Typed) -> None:
    row = led_shard(typed, "region/us-east-1")
    assert "is revoked" in typed("shards", "evict", row["shard"]).stdout
    until_led_anew(typed, row)


def led_shard(typed: Typed, group: str) -> dict[str, Any]:
    """A shard of a group that is led just now."""

    def look() -> dict[str, Any] | None:
        rows = document(typed("shards", "list", "--group", group, "-o", "json"))["items"]
        return next((row for row in rows if row["leader"] and row["shard"] != "system"), None)

    return wait_for(look, f"a shard of {group} is led", CALM_S_MAX)


def admitted(typed: Typed, *words: str) -> str | None:
    """What an order says once it is admitted; nodes that were late are suspect for a while."""
    try:
        return str(typed(*words).stdout)
    except AssertionError as refused:
        if "suspect" not in str(refused) and "silent" not in str(refused):
            raise
        return None


def until_led_anew(typed: Typed, before: dict[str, Any]) -> dict[str, Any]:
    """Watch a shard until it is led at a later epoch."""
    for _ in range(COMMAND_S_MAX):
        now: dict[str, Any] = document(typed("shards", "get", before["shard"], "-o", "json"))
        if now["leader"] and now["epoch"] > before["epoch"]:
            return now
    pytest.fail(f"{before['shard']} was not led again")


def test_tour_keeps_every_promise(typed: Typed) -> None:
    told = typed("tour", seconds=TOUR_S_MAX).stdout
    assert "7 of 7 verdicts are as promised" in told
    assert "FALSE" not in told


def test_tour_needs_a_fleet_of_this_machine(tmp_path: Path) -> None:
    assert "leadplane up" in run(tmp_path, "tour", fails=True).stderr
