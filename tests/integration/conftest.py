"""One fleet of real stores and nodes for all tests of this folder."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.integration.fleet_on_test import FleetOnTest

LEADPLANE = (sys.executable, "-m", "controlplane.cli.main")
UP_S_MAX = 180
DOWN_S_MAX = 60


@pytest.fixture(scope="package")
def started_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetOnTest]:
    """Three regions, nine stores, six nodes, twelve shards: up until the last of them is over."""
    directory = tmp_path_factory.mktemp("fleet") / "fleet"
    place = ["--dir", str(directory)]
    try:
        up = subprocess.run(
            [*LEADPLANE, "up", *place, "--base-port", "0", "--detach", "-o", "json"],
            capture_output=True,
            text=True,
            timeout=UP_S_MAX,
            check=False,
        )
        assert up.returncode == 0, up.stderr
        announced = json.loads(up.stdout)
        assert sorted(announced) == ["dir", "groups", "nodes", "stores"]
        assert (len(announced["nodes"]), len(announced["stores"])) == (6, 9)
        assert "first start" in up.stderr
        yield FleetOnTest(directory)
    finally:
        subprocess.run(
            [*LEADPLANE, "down", *place], capture_output=True, timeout=DOWN_S_MAX, check=False
        )


@pytest.fixture
def fleet(started_fleet: FleetOnTest) -> FleetOnTest:
    """The fleet, whole again after whatever the test before did to it."""
    started_fleet.until_whole()
    return started_fleet
