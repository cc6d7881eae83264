"""What runs in a fleet's directory now, as one small document that anybody can read.

The supervisor writes it whole with every change; a parent that started the supervisor in the
background, `leadplane down`, and every command that wants an address read it. It names its writer,
so that a document of a supervisor that is gone is not taken for the present.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path

import orjson

from controlplane.fleet.directory import write_whole
from controlplane.process_identity import ProcessIdentity


class Phase(StrEnum):
    """How far a fleet has come."""

    STARTING_STORES = "starting-stores"
    BOOTSTRAPPING = "bootstrapping"
    STARTING_NODES = "starting-nodes"
    ELECTING = "electing"
    READY = "ready"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen without another command."""
        return self in (Phase.STOPPED, Phase.FAILED)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far each part is, for whoever waits."""

    phase: Phase = Phase.STARTING_STORES
    stores_up: int = 0
    stores: int = 0
    first_start: bool = False  # the stores were initialised by this start
    nodes_up: int = 0
    nodes: int = 0
    shards_led: int = 0
    shards: int = 0
    detail: str = ""  # what is waited for, or what went wrong


@dataclass(frozen=True, slots=True)
class StoreRecord:
    """One running store."""

    id: str
    region: str
    zone: str
    host: str
    port: int
    pid: int | None
    dir: str


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """One running node."""

    id: str
    region: str
    url: str
    pid: int | None


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """One group of stores that decides together."""

    name: str
    stores: tuple[str, ...]
    ttl_ms: int


@dataclass(frozen=True, slots=True)
class FleetState:
    """The whole document."""

    dir: str
    supervisor: ProcessIdentity | None
    progress: Progress = Progress()
    nodes: tuple[NodeRecord, ...] = ()
    stores: tuple[StoreRecord, ...] = ()
    groups: tuple[GroupRecord, ...] = ()
    ephemeral: bool = False
    latency: float = 0.0
    proxy_ports: dict[str, int] = field(default_factory=dict)

    @property
    def is_present(self) -> bool:
        """Whether the supervisor that wrote this still runs."""
        return self.supervisor is not None and self.supervisor.alive

    def with_progress(self, progress: Progress) -> FleetState:
        """Give the same with another progress."""
        return replace(self, progress=progress)

    def announced(self) -> dict[str, object]:
        """Give what scripts are promised: nodes, stores, groups and the directory."""
        record = asdict(self)
        return {name: record[name] for name in ("nodes", "stores", "groups", "dir")}


def write_state(path: Path, state: FleetState) -> None:
    """Write the document, whole."""
    write_whole(path, orjson.dumps(asdict(state), option=orjson.OPT_INDENT_2))


def read_state(path: Path) -> FleetState | None:
    """Read the document; None when there is none, or it is not one of ours."""
    try:
        record = orjson.loads(path.read_bytes())
        supervisor = record.pop("supervisor")
        progress = record.pop("progress")
        phase = Phase(progress.pop("phase"))
        return FleetState(
            **{
                **record,
                "supervisor": ProcessIdentity(**supervisor) if supervisor else None,
                "progress": Progress(phase=phase, **progress),
                "nodes": tuple(NodeRecord(**node) for node in record["nodes"]),
                "stores": tuple(StoreRecord(**store) for store in record["stores"]),
                "groups": tuple(
                    GroupRecord(**{**group, "stores": tuple(group["stores"])})
                    for group in record["groups"]
                ),
            }
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
