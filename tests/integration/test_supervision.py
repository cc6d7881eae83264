"""`up` and `down` with a small fleet: first start and later ones, Ctrl-C, and their own crash."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from controlplane.bench.bench_fleet import one_region_topology
from controlplane.cli.connection import FleetAccess
from controlplane.cli.kv import key_path
from controlplane.process_identity import ProcessIdentity, identity_of
from tests.integration.fleet_on_test import MEND_S_MAX, wait_for

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("supervision")]

LEADPLANE = (sys.executable, "-m", "controlplane.cli.main")
S_MAX = 120
# A look can miss the shortest of these; not the nodes' start and the first elections.
NOT_YET_READY = ("bootstrapping", "starting-nodes", "electing")
KEY = key_path("{kept}/k")


@pytest.fixture
def regions(tmp_path: Path) -> Path:
    """One region, three stores, one node."""
    path = tmp_path / "regions.yaml"
    path.write_text(one_region_topology())
    return path


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """Where a fleet may run; whatever runs there is ended afterwards."""
    path = tmp_path / "fleet"
    yield path
    run("down", "--dir", path)


def run(*words: object) -> subprocess.CompletedProcess[str]:
    argv = [*LEADPLANE, *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=S_MAX, check=False)


@contextmanager
def in_foreground(argv: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A command that runs until it is told to end, and at the latest until the block ends."""
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def up(directory: Path, *more: object) -> tuple[Mapping[str, Any], str]:
    """Start in the background; give what was announced and what was told."""
    done = run("up", "--detach", "-o", "json", "--dir", directory, *more)
    assert done.returncode == 0, done.stderr
    announced: dict[str, Any] = json.loads(done.stdout)
    return announced, done.stderr


def access_of(announced: Mapping[str, Any]) -> FleetAccess:
    """HTTP by way of its node; an election is waited for."""
    return FleetAccess((announced["nodes"][0]["url"],), election_wait_s=MEND_S_MAX)


def processes_of(announced: Mapping[str, Any]) -> list[ProcessIdentity]:
    found = [identity_of(record["pid"]) for record in (*announced["nodes"], *announced["stores"])]
    return [process for process in found if process is not None]


def supervisor_of(directory: Path) -> ProcessIdentity:
    return ProcessIdentity(**json.loads((directory / "fleet.json").read_text())["supervisor"])


def all_gone(processes: list[ProcessIdentity]) -> bool:
    return not any(process.alive for process in processes)


def test_stores_are_initialised_once_and_data_stays(directory: Path, regions: Path) -> None:
    announced, told = up(directory, "--regions", regions, "--shards", 2)
    assert "first start" in told
    assert len(processes_of(announced)) == 4
    access = access_of(announced)
    access.send("PUT", KEY, body=b"v")
    stopped = run("down", "--dir", directory)
    assert stopped.returncode == 0, stopped.stderr
    assert "handed over" in stopped.stdout
    assert all_gone(processes_of(announced))
    announced, told = up(directory)
    assert "first start" not in told
    assert access_of(announced).send("GET", KEY).body == b"v"


def test_a_crash_of_the_supervisor_leaves_nothing_that_the_next_one_cannot_clear(
    directory: Path, regions: Path
) -> None:
    announced, _ = up(directory, "--regions", regions, "--shards", 2)
    processes = processes_of(announced)
    access = access_of(announced)
    access.send("PUT", KEY, body=b"v")
    second = run("up", "--dir", directory)
    assert second.returncode == 1
    assert "runs in" in second.stderr
    supervisor = supervisor_of(directory)
    assert supervisor.signal(signal.SIGKILL)
    wait_for(lambda: not supervisor.alive, "the supervisor is dead")
    announced, told = up(directory)
    assert "first start" not in told
    assert all_gone(processes)
    assert access_of(announced).send("GET", KEY).body == b"v"


def test_ctrl_c_stops_everything_and_an_ephemeral_fleet_leaves_nothing(
    directory: Path, regions: Path
) -> None:
    words = ["--ephemeral", "--dir", str(directory), "--regions", str(regions), "--shards", "2"]
    argv = [*LEADPLANE, "up", "-o", "json", *words]
    with in_foreground(argv) as fleet:
        assert fleet.stdout is not None
        announced = json.loads(fleet.stdout.readline())
        processes = processes_of(announced)
        assert len(processes) == 4
        fleet.send_signal(signal.SIGINT)
        told = fleet.communicate(timeout=S_MAX)[1]
        assert fleet.returncode == 0, told
    assert "nodes hand over, then stores close" in told
    assert all_gone(processes)
    assert not directory.exists()


def test_ctrl_c_before_it_is_ready_is_no_success_and_the_next_start_goes_on(
    directory: Path, regions: Path
) -> None:
    words = ["--dir", str(directory), "--regions", str(regions), "--shards", "2"]
    with in_foreground([*LEADPLANE, "up", *words]) as fleet:
        wait_for(lambda: phase_of(directory) in NOT_YET_READY, "its stores are up")
        fleet.send_signal(signal.SIGINT)
        told = fleet.communicate(timeout=S_MAX)[1]
        assert fleet.returncode == 130, told
    assert phase_of(directory) == "stopped"
    announced, _ = up(directory)
    assert access_of(announced).send("PUT", KEY, body=b"v").status == 200


def phase_of(directory: Path) -> str | None:
    state = directory / "fleet.json"
    return str(json.loads(state.read_text())["progress"]["phase"]) if state.exists() else None


def test_a_store_that_cannot_start_is_named_and_nothing_is_left(
    directory: Path, regions: Path
) -> None:
    up(directory, "--regions", regions, "--shards", 2)
    run("down", "--dir", directory)
    store = next((directory / "stores").iterdir())
    damaged = next((store / "appendonlydir").glob("*.incr.aof"))
    damaged.write_bytes(damaged.read_bytes()[:-3])
    since = time.monotonic()
    done = run("up", "--detach", "--dir", directory)
    assert done.returncode == 1
    assert store.name in done.stderr
    assert "cut short" in done.stderr
    assert time.monotonic() - since < S_MAX / 2, "it was waited for"
    assert "no fleet runs" in run("down", "--dir", directory).stderr
