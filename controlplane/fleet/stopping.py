"""Ending a fleet from outside: ask its supervisor, or clear up after one that is gone.

A supervisor that was killed takes its children with it, as far as the kernel sees to it. What is
left is found by pid files, and signalled only if it is the very process that was recorded.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from controlplane.child_process import end_orphan
from controlplane.errors import FleetFailed, FleetNotRunning
from controlplane.fleet.directory import FleetDirectory
from controlplane.fleet.state import FleetState, read_state

STOP_MS_MAX = 60_000
_LOOK_AGAIN_S = 0.05


@dataclass(frozen=True, slots=True)
class Stopped:
    """What was done: a supervisor that obeyed, or orphans of one that had died."""

    supervisor_pid: int | None
    orphan_pids: tuple[int, ...]
    removed: bool


async def stop_fleet(directory: FleetDirectory) -> Stopped:
    """End whatever runs in this directory; an ephemeral one is removed after a crash, too.

    Raises FleetNotRunning when nothing runs there, FleetFailed when it does not end.
    """
    state = read_state(directory.state_path)
    if state is not None and state.is_present:
        await _end_supervisor(state)
        return Stopped(state.supervisor.pid if state.supervisor else None, (), state.ephemeral)
    if not directory.is_made:
        raise FleetNotRunning(f"{directory.path} is not the directory of a fleet")
    orphans = await end_orphans(directory)
    if state is not None and state.ephemeral:
        shutil.rmtree(directory.path, ignore_errors=True)
        return Stopped(None, orphans, removed=True)
    if not orphans:
        raise FleetNotRunning(f"no fleet runs in {directory.path}")
    return Stopped(None, orphans, removed=False)


async def end_orphans(directory: FleetDirectory) -> tuple[int, ...]:
    """End the processes that a dead supervisor left behind; give their pids. Nodes go first."""
    nodes = sorted(directory.nodes_path.glob("*.pid"))
    stores = sorted(directory.store_path("x").parent.glob("*/*.pid"))
    ended = [await end_orphan(path) for path in (*nodes, *stores)]
    return tuple(pid for pid in ended if pid is not None)


async def _end_supervisor(state: FleetState) -> None:
    supervisor = state.supervisor
    assert supervisor is not None, "asked only when it is present"
    supervisor.signal(signal.SIGTERM)
    give_up = time.monotonic() + STOP_MS_MAX / 1_000
    while supervisor.alive:
        if time.monotonic() > give_up:
            log = Path(state.dir) / "supervisor.log"
            message = f"the supervisor, process {supervisor.pid}, does not end: see {log}"
            raise FleetFailed(message, hint=f"kill -9 {supervisor.pid}, then run this again")
        await asyncio.sleep(_LOOK_AGAIN_S)
