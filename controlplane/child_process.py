"""A process of ours: started so that it cannot outlive us, and found again if it does.

Three nets, one below the other. The child ends when it is told to (`stop`). On Linux the kernel
kills it when the thread that started it dies, however that happens, so start children from a
thread that lives as long as they should. And a pid file beside its data names child and owner, so
that the next start finds a child that escaped both, and ends it if its owner is truly gone.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from controlplane.errors import ChildStartFailed, DirectoryInUse
from controlplane.process_identity import ProcessIdentity, identity_of

GRACE_MS = 5_000
"""How long a child may take to end politely before it is killed."""
_LOOK_AGAIN_S = 0.02
_LOG_TAIL_LINES = 20
_LOG_TAIL_BYTES = 16_384
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """In what a child runs: a command that turns into it, variables beside those of its parent."""

    command: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


NOWHERE_ELSE = Surroundings()
"""This machine as it is."""


class ChildProcess:
    """One child, started at most once at a time, any number of times one after the other.

    Its output is appended to `<directory>/<name>.log`, its pid file is `<directory>/<name>.pid`.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        directory: Path,
        *,
        within: Surroundings = NOWHERE_ELSE,
        dies_with_parent: bool = True,
    ) -> None:
        self.name = name
        self.directory = directory
        self.log_path = directory / f"{name}.log"
        self.pid_path = directory / f"{name}.pid"
        self._argv = (*within.command, *argv)
        self._environment = {**os.environ, **dict(within.environment)}
        self._dies_with_parent = dies_with_parent
        self._process: asyncio.subprocess.Process | None = None
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """The number of the running process, None when none runs."""
        return self._process.pid if self._process is not None and self.running else None

    @property
    def running(self) -> bool:
        """Whether the child was started and has not been seen to end."""
        return self._process is not None and self._process.returncode is None

    @property
    def exit_status(self) -> int | None:
        """How the last process ended: its status, negative for a signal; None before that."""
        return self._process.returncode if self._process is not None else None

    async def spawn(self) -> None:
        """Start it, after ending what an earlier owner left behind under the same pid file.

        Raises DirectoryInUse while that owner lives, ChildStartFailed if it cannot be executed.
        """
        assert not self.running, f"{self.name} runs already"
        self.directory.mkdir(parents=True, exist_ok=True)
        await end_orphan(self.pid_path)
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *self._argv,
                    cwd=self.directory,
                    env=self._environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=_tied_to(os.getpid()) if self._dies_with_parent else None,
                )
            except OSError as error:
                reason = error.strerror or str(error)
                hint = "check that the program exists, is executable, and is for this machine"
                message = f"{self.name}: {self._argv[0]} cannot be executed: {reason}"
                raise ChildStartFailed(message, hint=hint) from error
        self._write_pid_file(self._process.pid)

    async def wait(self) -> int:
        """Wait until the child has ended; give its exit status, negative for a signal."""
        assert self._process is not None, f"{self.name} was never started"
        return await self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs: SIGSTOP pauses, SIGCONT resumes, SIGKILL crashes it."""
        if self._process is not None and self.running:
            self._process.send_signal(number)

    async def stop(self, grace_ms: int = GRACE_MS) -> None:
        """End it: SIGTERM, and SIGKILL after the grace. A child that does not run is left alone."""
        if self._process is None:
            return
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)  # a paused process would not see the first one
        try:
            async with asyncio.timeout(grace_ms / 1_000):
                await self._process.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self._process.wait()
        _forget(self.pid_path)

    def log_tail(self) -> str:
        """Give the last lines that the latest process wrote, for people."""
        try:
            size = self.log_path.stat().st_size
            with self.log_path.open("rb") as log:
                log.seek(max(self._log_start, size - _LOG_TAIL_BYTES))
                text = log.read().decode("utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-_LOG_TAIL_LINES:])

    def _write_pid_file(self, pid: int) -> None:
        child, owner = identity_of(pid), identity_of(os.getpid())
        if child is None or owner is None:
            return
        beside = self.pid_path.with_suffix(".pid.new")
        beside.write_bytes(orjson.dumps({"child": asdict(child), "owner": asdict(owner)}))
        beside.replace(self.pid_path)


def ending_of(status: int) -> str:
    """Say how a process ended, from its exit status, which is negative for a signal."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


async def end_orphan(pid_path: Path, grace_ms: int = GRACE_MS) -> int | None:
    """End the child that a pid file names, if its owner is gone; give its pid if it was there.

    Only the very process that was recorded is signalled, never a later one with its number. Raises
    DirectoryInUse if the owner still runs: another process, or this one with the child alive.
    """
    recorded = _read_pid_file(pid_path)
    if recorded is None:
        return None
    child, owner = recorded
    if owner.alive and (owner.pid != os.getpid() or child.alive):
        raise DirectoryInUse(f"{pid_path.parent} belongs to the running process {owner.pid}")
    was_there = child.signal(signal.SIGTERM)
    child.signal(signal.SIGCONT)
    if was_there and not await _gone(child, grace_ms):
        child.signal(signal.SIGKILL)
        await _gone(child, grace_ms)
    _forget(pid_path)
    return child.pid if was_there else None


async def _gone(process: ProcessIdentity, within_ms: int) -> bool:
    give_up = time.monotonic() + within_ms / 1_000
    while process.alive:
        if time.monotonic() > give_up:
            return False
        await asyncio.sleep(_LOOK_AGAIN_S)
    return True


def _read_pid_file(path: Path) -> tuple[ProcessIdentity, ProcessIdentity] | None:
    """Give child and owner; None when the file is not there or is not one of ours."""
    try:
        record = orjson.loads(path.read_bytes())
        return ProcessIdentity(**record["child"]), ProcessIdentity(**record["owner"])
    except (FileNotFoundError, orjson.JSONDecodeError, KeyError, TypeError):
        return None


def _forget(path: Path) -> None:
    path.unlink(missing_ok=True)


def _tied_to(parent: int) -> Callable[[], None]:
    """Give what the child does between fork and exec: ask to be killed when `parent` dies."""

    def tie() -> None:
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # it died before the kernel was asked
                os._exit(1)

    return tie
