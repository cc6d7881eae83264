"""A node process refuses what is unsafe before it starts, ends cleanly, and says what broke it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from controlplane.cli import serve
from controlplane.cli.main import cli
from controlplane.embedded import free_ports
from controlplane.errors import AddressRefused, PortInUse
from controlplane.runtime import process
from controlplane.runtime.process import require_free, require_loopback
from controlplane.settings import NodeSettings
from controlplane.telemetry import lifecycle_log
from regions.reference import default_topology
from regions.topology_file import dump_topology

NODE = "eu-central-1-n1"
EXIT_S_MAX = 60
PORTS = 15
"""What the default fleet takes. Not its own ports: somebody may run one on this machine."""


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def settings_file(folder: Path, *more: str) -> Path:
    """A node's settings, with a fleet of its own, none of whose stores run."""
    topology = default_topology(ports=free_ports(PORTS))
    (folder / "topology.yaml").write_text(dump_topology(topology))
    path = folder / "node.yaml"
    path.write_text("\n".join([f"node: {NODE}", "topology: topology.yaml", *more]))
    return path


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_is_fine(host: str) -> None:
    require_loopback(host, any_address=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com"])
def test_anything_else_must_be_asked_for_loudly(
    host: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(AddressRefused, match="insecure-listen-any-address"):
        require_loopback(host, any_address=False)
    assert caplog.text == ""
    require_loopback(host, any_address=True)
    assert "INSECURE" in caplog.text


def test_a_port_in_use_is_found_before_anything_starts(taken_port: int) -> None:
    with pytest.raises(PortInUse, match=f"127.0.0.1:{taken_port}"):
        require_free("127.0.0.1", taken_port)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("listen_host: 0.0.0.0", "others can reach"),
        ("listen_port: {taken}", "cannot listen on 127.0.0.1"),
        ("stores_wait_ms_max: 300", "no fleet is known after 300 ms"),
    ],
)
def test_serve_says_why_it_does_not_start(
    tmp_path: Path, taken_port: int, setting: str, told: str
) -> None:
    path = settings_file(tmp_path, setting.format(taken=taken_port))
    done = subprocess.run(
        [sys.executable, "-m", "controlplane.cli.main", "serve", "--config", str(path)],
        capture_output=True,
        text=True,
        timeout=EXIT_S_MAX,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert told in done.stderr.replace("can be reached from other machines", "others can reach")
    assert "Traceback" not in done.stderr


def test_a_node_that_waits_for_stores_can_be_stopped(tmp_path: Path) -> None:
    path = settings_file(tmp_path)
    argv = [sys.executable, "-m", "controlplane.cli.main", "serve", "--config", str(path)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as node:
        assert node.stderr is not None
        for line in node.stderr:
            if "waiting-for-stores" in line:
                break
        os.kill(node.pid, signal.SIGTERM)
        assert node.wait(EXIT_S_MAX) == -signal.SIGTERM


def test_a_broken_invariant_ends_the_process_with_what_broke(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(settings: NodeSettings, *, any_address: bool) -> None:
        raise ExceptionGroup("tasks", [ExceptionGroup("more", [AssertionError("he <= pe")])])

    monkeypatch.setattr(process, "run_node", breaks)
    monkeypatch.setattr(lifecycle_log, "set_up_logging", lambda node, level: None)
    result = CliRunner().invoke(cli, ["serve", "--config", str(settings_file(tmp_path))])
    assert result.exit_code == serve.BROKEN
    assert "AssertionError: he <= pe" in result.output
    assert "stopped rather than go on" in result.output
