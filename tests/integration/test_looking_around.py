"""Commands that only look, on a fleet of real stores: what they show is what is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.integration.fleet_on_test import FleetOnTest

pytestmark = [pytest.mark.timeout(120), pytest.mark.xdist_group("fleet")]


def command(fleet: FleetOnTest, *words: str) -> str:
    """What a command of the command line prints; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "controlplane.cli.main", *words],
        env=os.environ | {"LEADPLANE_URL": ",".join(fleet.access.urls)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_topology_has_every_node_and_store_in_its_place(fleet: FleetOnTest) -> None:
    document = json.loads(command(fleet, "topology", "-o", "json"))
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
    assert document["verdict"].startswith("Healthy")
    assert state["stores"][0]["id"] in command(fleet, "topology")


def test_top_prints_the_fleet_once_where_there_is_no_terminal(fleet: FleetOnTest) -> None:
    document = json.loads(command(fleet, "top", "-o", "json"))
    led = {shard["shard"]: shard["leader"]["node"] for shard in document["shards"]}
    assert led["system"] in command(fleet, "top")
    assert set(led.values()) <= {node["id"] for node in fleet.state()["nodes"]}


def test_a_bundle_has_every_node_and_its_last_events(fleet: FleetOnTest, tmp_path: Path) -> None:
    file = tmp_path / "bundle.zip"
    command(fleet, "debug", "bundle", str(file))
    with zipfile.ZipFile(file) as archive:
        found = {name: archive.read(name).decode() for name in archive.namelist()}
    assert json.loads(found["bundle.json"])["failed"] == {}
    for node in fleet.state()["nodes"]:
        folder = f"nodes/{node['id']}"
        assert "leadplane_store_up" in found[f"{folder}/metrics.txt"]
        assert "event: " in found[f"{folder}/events.txt"]
    assert any("event: elected" in text for text in found.values())
