"""Two of three stores lose their data: nothing goes on before an operator accepts the loss."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.integration.fleet_on_test import MEND_S_MAX, wait_for
from tests.integration.small_fleet import SmallFleet, small_fleet

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("lost-group")]

WRITES = 100


def wipe(fleet: SmallFleet, directory: Path, store: str) -> None:
    """Kill a store and take its data away; the supervisor starts it again, empty."""
    (folder,) = directory.rglob(f"{store}/appendonlydir")
    process = fleet.process(store)
    process.signal(signal.SIGSTOP)  # it must not write anything while its files go
    shutil.rmtree(folder)
    process.signal(signal.SIGKILL)


def command(fleet: SmallFleet, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the command line."""
    return subprocess.run(
        [sys.executable, "-m", "controlplane.cli.main", *words],
        env={"LEADPLANE_URL": fleet.url, "PATH": ""},
        capture_output=True,
        text=True,
        timeout=2 * MEND_S_MAX,
        check=False,
    )


def groups(fleet: SmallFleet) -> dict[str, dict[str, Any]]:
    found = fleet.access.items("/v1/regions/groups")["items"]
    return {group["group"]: group for group in found}


def test_a_lost_group_goes_on_with_what_is_left_once_the_loss_is_accepted(tmp_path: Path) -> None:
    with small_fleet(tmp_path) as fleet:
        for number in range(WRITES):
            fleet.put(f"k{number}", b"kept")
        wait_for(fleet.has_caught_up, "the store that is left has all")
        epoch, (left, *others) = fleet.epoch(), sorted(fleet.admins)
        for store in others:
            wipe(fleet, tmp_path, store)
        wait_for(
            lambda: all(set(group["lost"]) == set(others) for group in groups(fleet).values()),
            "the node knows that its groups are lost",
            MEND_S_MAX,
        )
        versions = {name: group["version"] for name, group in groups(fleet).items()}
        assert "Lost: too few stores remember" in command(fleet, "status").stdout
        for group in groups(fleet):
            refused = command(fleet, "regions", "force-recover", group)
            assert refused.returncode != 0
            assert f"Kept is what is left at {left}" in refused.stderr
        assert {n: group["version"] for n, group in groups(fleet).items()} == versions
        for group in sorted(groups(fleet)):
            words = ["regions", "force-recover", group, "--accept-loss", "--reason", "fire"]
            done = command(fleet, *words, "-o", "json")
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["left"] == [left]
        wait_for(partial(fleet.is_written, "after", b"v"), "writes go on", MEND_S_MAX)
        assert {fleet.get(f"k{number}") for number in range(WRITES)} == {b"kept"}
        assert fleet.epoch() > epoch + 1_000_000
        assert all(group["forced"]["why"] == "fire" for group in groups(fleet).values())
