"""Commands that only look, on a fleet of real stores: what they show is what is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.integration.fleet_on_test import FleetOnTest, wait_for

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("fleet")]


WELL = ("Healthy", "At risk: leaders of")
"""Tests before this one had leaders of a few shards change again and again."""


def command(fleet: FleetOnTest, *words: str) -> str:
    """What a command of the command line prints; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "controlplane.cli.main", *words],
        env=os.environ | {"LEADPLANE_URL": ",".join(fleet.access.urls)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_topology_has_every_node_and_store_in_its_place(fleet: FleetOnTest) -> None:
    def healthy() -> dict[str, Any] | None:
        told: dict[str, Any] = json.loads(command(fleet, "topology", "-o", "json"))
        return told if told["verdict"].startswith(WELL) else None

    document = wait_for(healthy, "a topology of which all is well")
    found = {
        (kind, thing[kind[:-1]]): (region["region"], zone["zone"])
        for region in document["regions"]
        for zone in region["zones"]
        for kind in ("nodes", "stores")
        for thing in zone[kind]
    }
    state = fleet.state()
    for node in state["nodes"]:
        assert found["nodes", node["id"]][0] == node["region"]
    for store in state["stores"]:
        assert found["stores", store["id"]] == (store["region"], store["zone"])
    assert state["stores"][0]["id"] in command(fleet, "topology")


def test_top_prints_the_fleet_once_where_there_is_no_terminal(fleet: FleetOnTest) -> None:
    def shown() -> dict[str, str] | None:
        """Who leads what, if both forms say the same of the global leader."""
        document = json.loads(command(fleet, "top", "-o", "json"))
        led = {s["shard"]: s["leader"]["node"] for s in document["shards"] if s["leader"]}
        is_same = len(led) == len(document["shards"]) and led["system"] in command(fleet, "top")
        return led if is_same else None

    led = wait_for(shown, "all shards are led, and by whom")
    assert set(led.values()) <= {node["id"] for node in fleet.state()["nodes"]}


def test_a_bundle_has_every_node_and_its_last_events(fleet: FleetOnTest, tmp_path: Path) -> None:
    numbers = count()

    def whole() -> dict[str, str] | None:
        """A bundle to which everybody had something to say in time."""
        file = tmp_path / f"bundle-{next(numbers)}.zip"
        command(fleet, "debug", "bundle", str(file))
        with zipfile.ZipFile(file) as archive:
            texts = {name: archive.read(name).decode() for name in archive.namelist()}
        return texts if json.loads(texts["bundle.json"])["failed"] == {} else None

    found = wait_for(whole, "a bundle of which nothing failed")
    for node in fleet.state()["nodes"]:
        folder = f"nodes/{node['id']}"
        assert "leadplane_store_up" in found[f"{folder}/metrics.txt"]
        assert "event: " in found[f"{folder}/events.txt"]
    assert any("event: elected" in text for text in found.values())
