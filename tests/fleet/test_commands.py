"""The commands around a fleet refuse what cannot be, say why, and leave everything as it was."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result

from controlplane.cli.main import COMMANDS, cli, main
from controlplane.fleet.directory import FleetDirectory, FleetOptions
from controlplane.fleet.layout import lay_out
from controlplane.fleet.state import (
    FleetState,
    GroupRecord,
    NodeRecord,
    Phase,
    Progress,
    StoreRecord,
    read_state,
    write_state,
)
from controlplane.fleet.stopping import stop_fleet
from controlplane.process_identity import identity_of
from regions.reference import default_topology
from regions.topology_file import dump_topology

STATE = FleetState(
    dir="/somewhere",
    supervisor=identity_of(os.getpid()),
    progress=Progress(Phase.READY, 1, 1, True, 1, 1, 3, 3, "so"),
    nodes=(NodeRecord("n1", "r", "http://127.0.0.1:1", 11),),
    stores=(StoreRecord("s1", "r", "z", "127.0.0.1", 2, 12, "/somewhere/stores/s1"),),
    groups=(GroupRecord("global", ("s1",), 6_000),),
    proxy_ports={"r>s2": 5},
)


def run(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def test_every_command_of_the_registry_is_there() -> None:
    for name in COMMANDS:
        result = run(name, "--help")
        assert result.exit_code == 0, (name, result.output)


def test_an_unknown_command_is_told_the_known_ones() -> None:
    result = run("upp")
    assert result.exit_code == 2
    assert "no command 'upp'" in result.output
    assert "check-config" in result.output


def test_a_good_topology_passes(tmp_path: Path) -> None:
    file = tmp_path / "topology.yaml"
    file.write_text(dump_topology(default_topology()))
    result = run("check-config", file)
    assert result.exit_code == 0, result.output
    assert "can be used, 0 errors" in result.output


def test_a_bad_topology_fails_with_every_finding(tmp_path: Path) -> None:
    file = tmp_path / "topology.yaml"
    file.write_text(dump_topology(default_topology()).replace("port: 7401", "port: 7400"))
    result = run("check-config", file)
    assert result.exit_code == 1
    assert "cannot be used, 1 error, 0 warnings" in result.output
    found = orjson.loads(run("check-config", file, "-o", "json").output)
    assert [(f["severity"], f["pointer"]) for f in found] == [("error", "/nodes/1/port")]


@pytest.mark.parametrize("scale", ["fast", "-1", "3", "nan"])
def test_a_latency_that_is_none_is_refused(scale: str) -> None:
    result = run("up", "--latency", scale)
    assert result.exit_code == 2
    assert "none, real" in result.output


def test_a_tour_cannot_be_detached() -> None:
    assert run("up", "--tour", "--detach").exit_code == 2


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--shards", "5"], "--shards"),
        (["--survival", "zone"], "--survival"),
        (["--base-port", "7000"], "--base-port"),
        (["--ephemeral"], "--ephemeral"),
    ],
)
def test_what_a_fleet_was_made_with_is_not_changed(
    tmp_path: Path, options: list[str], named: str
) -> None:
    directory = FleetDirectory(tmp_path / "fleet")
    directory.make(lay_out(None, 0), FleetOptions())
    result = run("up", "--dir", directory.path, *options)
    error = result.exception
    assert getattr(error, "code", "") == "fleet-failed", result.output
    assert named in str(error)
    assert directory.is_made


def test_nothing_of_others_is_removed(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    result = run("up", "--ephemeral", "--dir", tmp_path, "--base-port", "0")
    assert "neither empty nor" in str(result.exception)
    assert (tmp_path / "thesis.txt").exists()


def test_down_says_when_there_is_nothing_to_stop(tmp_path: Path) -> None:
    assert "is not the directory of a fleet" in str(run("down", "--dir", tmp_path).exception)
    directory = FleetDirectory(tmp_path / "fleet")
    directory.make(lay_out(None, 0), FleetOptions())
    assert "no fleet runs" in str(run("down", "--dir", directory.path).exception)


def test_what_a_dead_supervisor_left_is_ended_and_nothing_else(tmp_path: Path) -> None:
    directory = FleetDirectory(tmp_path / "fleet")
    directory.make(lay_out(None, 0), FleetOptions())
    with (
        subprocess.Popen(["sleep", "60"]) as orphan,
        subprocess.Popen(["sleep", "60"]) as stranger,
        subprocess.Popen(["sleep", "0"]) as owner,
    ):
        child, other, gone = map(identity_of, (orphan.pid, stranger.pid, owner.pid))
        owner.wait()
        assert child is not None
        assert other is not None
        dead = {"pid": gone.pid if gone else 1, "start_ticks": 1, "boot": child.boot}
        records = {
            "ours": {"pid": child.pid, "start_ticks": child.start_ticks, "boot": child.boot},
            "foreign": {"pid": other.pid, "start_ticks": other.start_ticks + 1, "boot": other.boot},
        }
        for name, record in records.items():
            path = directory.nodes_path / f"{name}.pid"
            path.write_bytes(orjson.dumps({"child": record, "owner": dead}))
        stopped = asyncio.run(stop_fleet(directory))
        assert stopped.orphan_pids == (orphan.pid,)
        assert orphan.wait(10) == -signal.SIGTERM
        assert stranger.poll() is None
        stranger.kill()


def test_the_state_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "fleet.json"
    assert read_state(path) is None
    write_state(path, STATE)
    assert read_state(path) == STATE
    assert STATE.is_present
    assert sorted(STATE.announced()) == ["dir", "groups", "nodes", "stores"]
    path.write_text("{}")
    assert read_state(path) is None


def test_one_of_our_errors_is_a_message_and_a_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["leadplane", "serve", "--config", str(tmp_path / "n.yaml")])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "n.yaml: the file cannot be read" in told.err
