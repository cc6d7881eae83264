"""A node as a process of our own: started from its settings, and started again when it dies."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from controlplane.child_process import NOWHERE_ELSE, ChildProcess, Surroundings, ending_of
from regions.backoff import full_jitter_ms
from regions.topology import NodeSite

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_RESTART_FIRST_MS = 100
_RESTART_CEILING_MS = 5_000
_STEADY_S = 10.0
"""A node that ran this long was well; its next death starts the back-off anew."""


class NodeProcess:
    """One node of a fleet on this machine."""

    def __init__(
        self, site: NodeSite, settings_path: Path, within: Surroundings = NOWHERE_ELSE
    ) -> None:
        self.site = site
        self.wanted = False
        """Whether it is meant to run; `stop` changes that, dying does not."""
        self.may_rise = asyncio.Event()
        """Cleared, it stays down once it has died, until this is set again."""
        self.may_rise.set()
        argv = [sys.executable, "-m", "controlplane.cli.main", "serve"]
        argv += ["--config", str(settings_path)]
        if site.host not in LOOPBACK:
            argv.append("--insecure-listen-any-address")
        self._child = ChildProcess(site.id, argv, settings_path.parent, within=within)

    @property
    def pid(self) -> int | None:
        """The number of the running process, None when none runs."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether its process runs; a paused one does."""
        return self._child.running

    @property
    def exit_status(self) -> int | None:
        """How the last process ended; None before that."""
        return self._child.exit_status

    async def start(self) -> None:
        """Start it. It serves when it says so itself; see the readiness of the fleet."""
        self.wanted = True
        await self._child.spawn()

    async def stop(self, grace_ms: int) -> None:
        """Have it hand over what it leads and end; kill it after the grace."""
        self.wanted = False
        await self._child.stop(grace_ms)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        self._child.signal(number)

    def log_tail(self) -> str:
        """Give the last lines it wrote since its latest start."""
        return self._child.log_tail()

    async def keep_running(self, report: Callable[[str, str], None]) -> None:
        """Start it again whenever it dies by itself; return when it is no longer wanted.

        `report` is told each time: the node, and what happened. Deaths in quick succession are
        answered ever more slowly; it is never given up.
        """
        failures = 0
        while self.wanted:
            since = time.monotonic()
            status = await self._child.wait()
            if not self.wanted:
                return
            failures = 0 if time.monotonic() - since > _STEADY_S else failures + 1
            report(self.site.id, f"died: {ending_of(status)}")
            await asyncio.sleep(_wait_ms(failures) / 1_000)
            await self.may_rise.wait()
            if self.wanted:
                await self.start()
                report(self.site.id, f"started again: pid {self.pid}")


def _wait_ms(failures: int) -> int:
    return full_jitter_ms(
        failures,
        first_ms=_RESTART_FIRST_MS,
        ceiling_ms=_RESTART_CEILING_MS,
        draw=random.random(),
    )
