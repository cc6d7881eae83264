"""Who a process is, beyond its number: a number may belong to somebody else tomorrow.

A pid together with the tick at which the kernel started it, within one boot, is unique. Nothing in
this product signals a process by a number read from a file without comparing all three first.
Where the kernel does not tell (no /proc), a process is never recognised, and so never signalled.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_STATE, _START_TICKS = 0, 19
"""Positions in /proc/<pid>/stat behind the name, see proc_pid_stat(5)."""


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process, now or in the past of this machine."""

    pid: int
    start_ticks: int
    boot: str

    @property
    def alive(self) -> bool:
        """Whether this very process still runs. A zombie does not."""
        return identity_of(self.pid) == self

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal to this process, and to no other one; say whether it was there to get it.

        The process is pinned before it is compared, so its number cannot pass to another between.
        """
        try:
            pinned = os.pidfd_open(self.pid)
        except OSError:
            return False
        try:
            if not self.alive:
                return False
            signal.pidfd_send_signal(pinned, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(pinned)
        return True


def identity_of(pid: int) -> ProcessIdentity | None:
    """Identify a running process; None when there is none, or the kernel does not tell."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    if fields[_STATE] in ("Z", "X"):
        return None
    return ProcessIdentity(pid, int(fields[_START_TICKS]), boot)
