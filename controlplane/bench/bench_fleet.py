"""A fleet to measure, started and ended through the command line, as any script would do it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controlplane.bench.report import NotMeasured
from controlplane.cli.connection import FleetAccess
from controlplane.embedded import free_ports
from controlplane.survival import Survival

START_S_MAX = 300.0
STOP_S_MAX = 60.0
STORES = 3
REGION = "bench"
LEADPLANE = (sys.executable, "-m", "controlplane.cli.main")


class FleetFailed(NotMeasured):
    """The fleet to measure did not start; the message is what `leadplane up` said."""


@dataclass(frozen=True, slots=True)
class BenchFleet:
    """A running fleet, as `leadplane up --detach -o json` describes it."""

    nodes: tuple[Mapping[str, Any], ...]
    stores: tuple[Mapping[str, Any], ...]
    groups: tuple[Mapping[str, Any], ...]
    state_path: Path

    @property
    def access(self) -> FleetAccess:
        """HTTP access by way of any node."""
        return FleetAccess(tuple(str(node["url"]) for node in self.nodes))

    @property
    def store_ports(self) -> tuple[int, ...]:
        """Where the stores listen."""
        return tuple(int(store["port"]) for store in self.stores)

    def processes(self) -> tuple[Mapping[str, Any], ...]:
        """The nodes with the pids that they have now."""
        return tuple(json.loads(self.state_path.read_text(encoding="utf-8"))["nodes"])

    def ttl_ms(self, group: str) -> int:
        """How long a lease of this group lasts."""
        return next(int(g["ttl_ms"]) for g in self.groups if g["name"] == group)


@contextlib.contextmanager
def bench_fleet(
    shards: int,
    topology: str | None = None,
    start_s_max: float = START_S_MAX,
    survival: Survival = Survival.MIXED,
    environment: Mapping[str, str] | None = None,
) -> Iterator[BenchFleet]:
    """Run a fleet for as long as the block lasts; `topology` is a document, None the default one.

    Its processes have the variables of this one, and those of `environment` above them. Raises
    FleetFailed when it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="leadplane-bench-") as name:
        folder = Path(name)
        command = [*LEADPLANE, "up", "--detach", "-o", "json", "--shards", str(shards)]
        command += ["--survival", survival.value, "--dir", str(folder / "fleet")]
        if topology is not None:
            document = folder / "topology.yaml"
            document.write_text(topology, encoding="utf-8")
            command += ["--regions", str(document)]
        down = [*LEADPLANE, "down", "--dir", str(folder / "fleet")]
        try:
            state = _run(command, start_s_max, {**os.environ, **(environment or {})})
        except FleetFailed:
            subprocess.run(down, check=False, capture_output=True, timeout=STOP_S_MAX)
            raise
        try:
            yield BenchFleet(
                tuple(state["nodes"]),
                tuple(state["stores"]),
                tuple(state["groups"]),
                folder / "fleet" / "fleet.json",
            )
        finally:
            # A fleet that has ended by itself is not what went wrong first, so it is not raised.
            subprocess.run(down, check=False, capture_output=True, timeout=STOP_S_MAX)


def one_region_topology(nodes: int = 1) -> str:
    """A document of one region with three stores: what three members of etcd are beside it."""
    ports = free_ports(STORES + nodes)
    zones = ("a", "b", "c")
    lines = ["format: 1", "regions:"]
    lines.append(f"  - {{name: {REGION}, latitude: 0, longitude: 0, zones: [a, b, c]}}")
    lines.append("stores:")
    place = f"region: {REGION}, host: 127.0.0.1"
    lines += [
        f"  - {{id: {REGION}-{zone}, {place}, zone: {zone}, port: {port}}}"
        for zone, port in zip(zones, ports, strict=False)
    ]
    lines.append("nodes:")
    lines += [
        f"  - {{id: {REGION}-n{number}, {place}, port: {port}}}"
        for number, port in enumerate(ports[STORES:], 1)
    ]
    return "\n".join(lines) + "\n"


def _run(command: list[str], seconds: float, environment: Mapping[str, str]) -> Any:
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=seconds, env=environment
        )
    except subprocess.TimeoutExpired as late:
        raise FleetFailed(f"{' '.join(command[2:4])}: no end after {seconds} s") from late
    if done.returncode != 0:
        raise FleetFailed(done.stderr.strip()[-1000:])
    return json.loads(done.stdout) if "json" in command else None
