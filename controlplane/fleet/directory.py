"""The directory of a fleet on one machine: what is kept there, and who may use it.

    topology.yaml       regions, zones, stores and nodes, with the ports they keep
    options.json        what the fleet was made with and cannot be changed by starting it again
    bootstrapped        there once the stores have been initialised; never done a second time
    fleet.json          what runs now: for people, for scripts, for the other commands
    supervisor.log      what a supervisor in the background says
    stores/<id>/        a store's data, settings and log
    nodes/<id>.yaml     a node's settings; its log and pid file beside it

One supervisor at a time: it holds a lock on `lock`, which the kernel lets go when it dies.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from controlplane.errors import DirectoryInUse, FleetFailed
from controlplane.survival import Survival
from regions.topology import Topology
from regions.topology_file import dump_topology, load_topology

DEFAULT_DIRECTORY = Path(".leadplane")


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """What is decided once, when a fleet is made."""

    shards: int = 12
    survival: Survival = Survival.MIXED
    nonce: str = ""
    """By which an interrupted initialisation of the stores knows its own work."""
    is_restored: bool = False
    """From a backup: it must not begin empty."""


class FleetDirectory:
    """Paths of one fleet, and the few files that outlive its processes."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.topology_path = self.path / "topology.yaml"
        self.options_path = self.path / "options.json"
        self.bootstrapped_path = self.path / "bootstrapped"
        self.state_path = self.path / "fleet.json"
        self.lock_path = self.path / "lock"
        self.log_path = self.path / "supervisor.log"
        self.nodes_path = self.path / "nodes"

    @property
    def is_made(self) -> bool:
        """Whether a fleet has been laid out here."""
        return self.options_path.exists()

    @property
    def is_bootstrapped(self) -> bool:
        """Whether its stores have been initialised, once and for all."""
        return self.bootstrapped_path.exists()

    def store_path(self, store: str) -> Path:
        """Where a store keeps its data."""
        return self.path / "stores" / store

    def settings_path(self, node: str) -> Path:
        """Where a node's settings are."""
        return self.nodes_path / f"{node}.yaml"

    def make(self, topology: Topology, options: FleetOptions) -> None:
        """Lay out a new fleet, or go on where that was interrupted.

        The options go last: they say that the rest is complete. Raises FleetFailed when there is
        something else in this place.
        """
        self._require_ours()
        self.nodes_path.mkdir(parents=True, exist_ok=True)
        write_whole(self.topology_path, dump_topology(topology).encode())
        write_whole(self.options_path, orjson.dumps(asdict(options)))

    def load(self) -> tuple[Topology, FleetOptions]:
        """Read what the fleet here was made with. Raises FleetFailed, TopologyInvalid."""
        try:
            record = orjson.loads(self.options_path.read_bytes())
            shards, survival = int(record["shards"]), Survival(record["survival"])
            is_restored = bool(record.get("is_restored", False))
            options = FleetOptions(shards, survival, str(record["nonce"]), is_restored)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FleetFailed(f"{self.options_path} cannot be read: {error}") from error
        return load_topology(self.topology_path), options

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the one supervisor of this directory.

        Raises DirectoryInUse while there is another, FleetFailed where nothing can be written, or
        where there is something else: nothing is added to a directory that is not a fleet's.
        """
        self._require_ours()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            message = f"{self.path} cannot be used as the directory of a fleet: {error.strerror}"
            raise FleetFailed(message, hint="choose another one with --dir") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            message = f"a fleet runs in {self.path} already"
            hint = "stop it with `leadplane down`, or choose another directory with --dir"
            raise DirectoryInUse(message, hint=hint) from error
        try:
            yield
        finally:
            os.close(lock)

    def _require_ours(self) -> None:
        if self.is_made or not self.path.is_dir():
            return
        begun = {self.lock_path, self.log_path, self.nodes_path, self.topology_path}
        if {each for each in self.path.iterdir() if each.suffix != ".new"} - begun:
            message = f"{self.path} is neither empty nor the directory of a fleet"
            raise FleetFailed(message, hint="choose another one with --dir")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that whoever reads it sees all of the old content or all of the new."""
    beside = path.with_name(f"{path.name}.new")
    beside.write_bytes(content)
    beside.replace(path)
