"""The peer: three etcd members on loopback, as its guide sets them up, fsync on (its default)."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from controlplane.bench.report import NotMeasured
from controlplane.embedded import free_ports

MEMBERS = 3
READY_S_MAX = 30.0
POLL_S = 0.05
STOP_S_MAX = 10.0


class EtcdAbsent(NotMeasured):
    """There is no etcd to compare with; the message says how to get one."""


@dataclass(frozen=True, slots=True)
class EtcdCluster:
    """A running cluster; `port` is the client port of its leader, the fastest place to write to."""

    version: str
    port: int


@contextlib.contextmanager
def etcd_cluster(binary: str = "etcd", folder: Path | None = None) -> Iterator[EtcdCluster]:
    """Start three members, wait until one leads, and remove them and their data afterwards.

    Raises EtcdAbsent when the program is not there or no leader comes.
    """
    program = shutil.which(binary)
    if program is None:
        raise EtcdAbsent(f"{binary} is not on PATH: install etcd-server, or name it with --etcd")
    data = Path(tempfile.mkdtemp(prefix="leadplane-bench-etcd-", dir=folder))
    members: list[subprocess.Popen[bytes]] = []
    try:
        ports = free_ports(2 * MEMBERS)
        client_ports, peer_ports = ports[:MEMBERS], ports[MEMBERS:]
        for number, port in enumerate(client_ports):
            member = _start(program, data, number, port, peer_ports)
            members.append(member)
        yield EtcdCluster(_version(program), _leader_port(client_ports, members, data))
    finally:
        for member in members:
            member.send_signal(signal.SIGTERM)
        for member in members:
            with contextlib.suppress(subprocess.TimeoutExpired):
                member.wait(STOP_S_MAX)
            if member.poll() is None:
                member.kill()
                member.wait()
        shutil.rmtree(data, ignore_errors=True)


def _start(
    program: str, data: Path, number: int, client_port: int, peer_ports: list[int]
) -> subprocess.Popen[bytes]:
    peers = [f"m{n}=http://127.0.0.1:{port}" for n, port in enumerate(peer_ports)]
    client_url = f"http://127.0.0.1:{client_port}"
    peer_url = f"http://127.0.0.1:{peer_ports[number]}"
    arguments = {
        "name": f"m{number}",
        "data-dir": str(data / f"m{number}"),
        "listen-client-urls": client_url,
        "advertise-client-urls": client_url,
        "listen-peer-urls": peer_url,
        "initial-advertise-peer-urls": peer_url,
        "initial-cluster": ",".join(peers),
        "initial-cluster-state": "new",
        "initial-cluster-token": data.name,
        "logger": "zap",
        "log-level": "error",
        "quota-backend-bytes": str(8 << 30),
    }
    log = (data / f"m{number}.log").open("wb")
    with log:
        return subprocess.Popen(
            [program, *(f"--{name}={value}" for name, value in arguments.items())],
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _leader_port(ports: list[int], members: list[subprocess.Popen[bytes]], data: Path) -> int:
    deadline = time.monotonic() + READY_S_MAX
    while time.monotonic() < deadline:
        for number, member in enumerate(members):
            if member.poll() is not None:
                said = (data / f"m{number}.log").read_text(errors="replace").strip()[-300:]
                raise EtcdAbsent(f"member {number} ended with {member.returncode}: {said}")
        for port in ports:
            if _leads(port):
                return port
        time.sleep(POLL_S)
    raise EtcdAbsent(f"no leader within {READY_S_MAX} s")


def _leads(port: int) -> bool:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v3/maintenance/status", data=b"{}", method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=1.0) as answer:
            status = json.load(answer)
    except (urllib.error.URLError, OSError, ValueError):
        return False
    return bool(status.get("leader") == status["header"].get("member_id"))


def _version(program: str) -> str:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return said.stdout.splitlines()[0].removeprefix("etcd Version: ").strip()
