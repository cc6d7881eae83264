"""A store that loses its data under load votes again without anybody's help; nothing is lost."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.fleet_on_test import MEND_S_MAX, FleetOnTest, wait_for

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("fleet")]

AFTER = 50
HOME = "region/eu-central-1"


def members(fleet: FleetOnTest, node: str, store: str) -> dict[str, int]:
    """Version by group, of the groups that a store belongs to, as one node sees them."""
    groups = fleet.at(node).items("/v1/regions/groups")["items"]
    mine = [g for g in groups if store in (*g["voters"], *g["followers"])]
    return {group["group"]: group["version"] for group in mine}


def wipe(fleet: FleetOnTest, store: str) -> None:
    """Kill a store and take its data away; the supervisor starts it again, empty."""
    folder = Path(fleet.record("stores", store)["dir"])
    process = fleet.process("stores", store)
    process.signal(signal.SIGSTOP)  # it must not write anything while its files go
    shutil.rmtree(folder / "appendonlydir")
    process.signal(signal.SIGKILL)


def test_a_store_wiped_under_load_costs_no_write_and_votes_again(fleet: FleetOnTest) -> None:
    shard = fleet.shard(HOME)
    store = f"{HOME.removeprefix('region/')}-s1"
    nodes = [node["id"] for node in fleet.state()["nodes"]]
    before = {node: members(fleet, node, store) for node in nodes}
    assert all(len(known) > 1 for known in before.values()), "it votes in more than one group"
    with fleet.writes(shard, "wiped") as writer:
        wipe(fleet, store)
        wait_for(
            lambda: all(
                members(fleet, node, store).get(group, 0) > version
                for node in nodes
                for group, version in before[node].items()
            ),
            "every node knows every group of the store in a later version",
            2 * MEND_S_MAX,
        )
        assert writer.wait_for_number(len(writer.acks) + AFTER, MEND_S_MAX)
    assert fleet.lost(shard, "wiped", writer) == set()
    epochs = [ack.epoch for ack in writer.acks]
    assert epochs == sorted(epochs)
    fleet.until_whole()


def test_an_operator_replaces_a_store_by_a_spare_one_while_clients_write(
    fleet: FleetOnTest,
) -> None:
    shard = fleet.shard(HOME)
    gone, spare = f"{HOME.removeprefix('region/')}-s2", "us-east-1-s2"
    with fleet.writes(shard, "replaced") as writer:
        told = command(fleet, "regions", "stores", "replace", HOME, gone, "--by", spare)
        assert set(told["voters"]) == {"eu-central-1-s1", "eu-central-1-s3", spare}
        assert writer.wait_for_number(len(writer.acks) + AFTER, MEND_S_MAX)
        told = command(fleet, "regions", "stores", "replace", HOME, spare, "--by", gone)
        assert set(told["voters"]) == {"eu-central-1-s1", "eu-central-1-s3", gone}
        assert writer.wait_for_number(len(writer.acks) + AFTER, MEND_S_MAX)
    assert fleet.lost(shard, "replaced", writer) == set()
    fleet.until_whole()


def command(fleet: FleetOnTest, *words: str) -> dict[str, Any]:
    """What a command of the command line answers, as JSON."""
    urls = ",".join(node["url"] for node in fleet.state()["nodes"])
    done = subprocess.run(
        [sys.executable, "-m", "controlplane.cli.main", *words, "-o", "json"],
        env={"LEADPLANE_URL": urls, "PATH": ""},
        capture_output=True,
        text=True,
        timeout=2 * MEND_S_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document
