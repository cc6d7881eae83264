"""Stores as processes of our own, for a fleet on one machine and for tests on real stores.

Starting ends when the store answers, not when some time has passed, and it must be *our* process
that answers: another server on the same port says PONG just as well.
"""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from controlplane.child_process import GRACE_MS, ChildProcess, ending_of
from controlplane.errors import ChildStartFailed
from controlplane.store_config import StoreSpec, store_config
from regions.backoff import full_jitter_ms

READY_MS_MAX = 20_000
"""How long a store may take to load its data and answer."""
_PROBE_AGAIN_S = 0.01
_PROBE_S_MAX = 1.0
_RESTART_FIRST_MS = 100
_RESTART_CEILING_MS = 5_000
_STEADY_S = 10.0
"""A store that ran this long was well; its next death starts the back-off anew."""
_PORTS_FROM = 10_000
_PORT_TRIES_MAX = 10_000
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_HINTS = {
    "Address already in use": "another process listens on this port: choose another base port",
    "Bad file format reading the append only file": "its data is damaged: empty its directory and "
    "admit it again, never repair it",
    "Unexpected end of file reading the append only file": "its data is cut short: empty its "
    "directory and admit it again, never repair it",
    "FATAL CONFIG FILE ERROR": "is this program a Valkey (8 or later) or a Redis (7 or later)?",
    "No space left on device": "free some disk space",
    "Permission denied": "let this user write to the store's directory",
}


class StoreProcess:
    """One embedded store. `start`, then `kill` or `pause` at will, `stop` at the end."""

    def __init__(self, spec: StoreSpec, *, dies_with_parent: bool = True) -> None:
        self.spec = spec
        self.wanted = False
        """Whether it is meant to run; `kill` leaves that as it is, `stop` does not."""
        self.may_rise = asyncio.Event()
        """Cleared, it stays down once it has died, until this is set again."""
        self.may_rise.set()
        self._config_path = spec.directory / "store.conf"
        self._child = ChildProcess(
            "store",
            [str(spec.binary), str(self._config_path)],
            spec.directory,
            within=spec.within,
            dies_with_parent=dies_with_parent,
        )

    @property
    def pid(self) -> int | None:
        """The number of the running process, None when none runs."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether its process runs; a paused one does."""
        return self._child.running

    async def start(self, ready_ms_max: int = READY_MS_MAX) -> None:
        """Start it and wait until it serves. What it held before, it holds again.

        Raises ChildStartFailed, with the end of its log, if it ends or keeps silent instead; then
        no process is left behind. Raises DirectoryInUse if a living supervisor owns its directory.
        """
        self.wanted = True
        self.spec.directory.mkdir(parents=True, exist_ok=True)
        self._config_path.write_text(store_config(self.spec), encoding="utf-8")
        await self._child.spawn()
        try:
            await self._until_ready(ready_ms_max)
        except BaseException:
            await self._child.stop(grace_ms=0)
            raise

    async def stop(self, grace_ms: int = GRACE_MS) -> None:
        """End it for good: `keep_running` does not start it again. May be called twice."""
        self.wanted = False
        await self._child.stop(grace_ms)

    async def kill(self) -> None:
        """Crash it, as `kill -9` does, and wait until it is gone."""
        self._child.signal(signal.SIGKILL)
        await self._child.wait()

    def pause(self) -> None:
        """Freeze it: connections stay open, nothing is answered."""
        self._child.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen store go on where it stood."""
        self._child.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        self._child.signal(number)

    async def wait(self) -> int:
        """Wait until its process has ended; give the exit status, negative for a signal."""
        return await self._child.wait()

    def log_tail(self) -> str:
        """Give the last lines it wrote since its latest start."""
        return self._child.log_tail()

    async def _until_ready(self, ready_ms_max: int) -> None:
        give_up = time.monotonic() + ready_ms_max / 1_000
        while not await _serves(self.spec.host, self.spec.port, self._child.pid):
            if not self._child.running:
                raise self._failed(f"ended with status {self._child.exit_status}")
            if time.monotonic() > give_up:
                raise self._failed(f"did not answer within {ready_ms_max} ms")
            await asyncio.sleep(_PROBE_AGAIN_S)

    def _failed(self, what: str) -> ChildStartFailed:
        log = self.log_tail()
        hint = next((hint for sign, hint in _HINTS.items() if sign in log), None)
        program = self.spec.binary.name
        message = f"store {self.spec.id}: {program} on port {self.spec.port} {what}"
        return ChildStartFailed(message, hint=hint, log_tail=log)


class StoreFate(Enum):
    """What happened to a store that is kept running."""

    DIED = "died"
    RESTARTED = "started again"
    RESTART_FAILED = "did not start again"


@dataclass(frozen=True, slots=True)
class StoreNews:
    """One thing that happened to one store, for whoever watches the fleet."""

    store_id: str
    fate: StoreFate
    detail: str


async def keep_running(store: StoreProcess, report: Callable[[StoreNews], None]) -> None:
    """Start a store again whenever it dies by itself; return when it is no longer wanted.

    Deaths in quick succession are answered ever more slowly, with full jitter, up to
    `_RESTART_CEILING_MS`; it is never given up.
    """
    failures = 0
    while store.wanted:
        since = time.monotonic()
        status = await store.wait()
        if not store.wanted:
            return
        failures = 0 if time.monotonic() - since > _STEADY_S else failures + 1
        report(StoreNews(store.spec.id, StoreFate.DIED, ending_of(status)))
        wait_ms = full_jitter_ms(
            failures,
            first_ms=_RESTART_FIRST_MS,
            ceiling_ms=_RESTART_CEILING_MS,
            draw=random.random(),
        )
        await asyncio.sleep(wait_ms / 1_000)
        await store.may_rise.wait()
        if store.wanted:
            report(await _restarted(store))


async def _restarted(store: StoreProcess) -> StoreNews:
    try:
        await store.start()
    except ChildStartFailed as error:
        return StoreNews(store.spec.id, StoreFate.RESTART_FAILED, str(error))
    return StoreNews(store.spec.id, StoreFate.RESTARTED, f"pid {store.pid}")


async def _serves(host: str, port: int, pid: int | None) -> bool:
    """Say whether the process `pid` answers there and has loaded its data."""
    try:
        async with asyncio.timeout(_PROBE_S_MAX):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(b"INFO server\r\nPING\r\n")
                size = (await reader.readline()).removeprefix(b"$")
                info = await reader.readexactly(int(size) + 2)
                return f"process_id:{pid}\r\n".encode() in info and (
                    await reader.readline() == b"+PONG\r\n"
                )
            finally:
                writer.close()
                await writer.wait_closed()
    except (OSError, EOFError, ValueError):  # nobody there, not yet ready, or not a store at all
        return False


def free_ports(count: int) -> list[int]:
    """Find TCP ports on 127.0.0.1 that nobody uses now, all different.

    They lie below the range from which the kernel takes ports for outgoing connections: a store
    that is down for a moment must find its port free when it comes back. Another process may take
    one before you do; binding decides. Raises OSError when there are not that many.
    """
    try:
        end = int(_EPHEMERAL_RANGE.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        end = 32_768
    found: list[int] = []
    with ExitStack() as held:
        for _ in range(_PORT_TRIES_MAX):
            if len(found) == count:
                return found
            probe = held.enter_context(socket.socket())
            port = random.randrange(_PORTS_FROM, max(end, _PORTS_FROM + 1))
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
    raise OSError(f"found only {len(found)} free ports of {count}")
