"""How much may be asked of one store beside what cannot wait: measured, not configured.

Theory of operation. A renewal is answered after everything that was asked on its lane before it.
So work that can wait (elections, placements, streams that begin anew) is asked for only while few
commands are unanswered. How few is found by trying: each call that was answered in time raises the
allowance, one that took too long halves it, and what was asked before that says nothing more. Only
while the allowance is used do answers say anything of it. Whatever makes a store or this process
slow is thus allowed for: disks, other nodes, a machine with too much to do. A thousand elections
come as fast as renewals permit.
"""

from __future__ import annotations

ALLOWANCE_FIRST = 64
ALLOWANCE_MIN = 64  # some elections at a time, however slow: each asks a few commands of a store
ALLOWANCE_MAX = 2_048
RISE = 2  # a call in time raises the allowance by one for so many of its commands


class Pace:
    """Commands that wait or are under way on one lane, and how many there may be of the patient."""

    __slots__ = ("_halved_ms", "allowance", "asked")

    def __init__(self) -> None:
        self.allowance = ALLOWANCE_FIRST
        self.asked = 0
        self._halved_ms = 0

    def answered(self, commands: int, sent_ms: int, now_ms: int, slow_ms: int) -> None:
        """A call with so many commands was answered; it took too long above `slow_ms`."""
        used = 2 * self.asked >= self.allowance
        self.asked -= commands
        if not used:
            return
        if now_ms - sent_ms <= slow_ms:
            self.allowance = min(ALLOWANCE_MAX, self.allowance + max(1, commands // RISE))
        elif sent_ms >= self._halved_ms:
            self._halved_ms = now_ms
            self.allowance = max(ALLOWANCE_MIN, self.allowance // 2)

    def lost(self) -> None:
        """The lane was lost, perhaps by asking too much: nothing is under way on the next one."""
        self.asked = 0
        self.allowance = max(ALLOWANCE_MIN, self.allowance // 2)

    @property
    def room(self) -> int:
        """How many more commands of patient work may be asked now."""
        return max(0, self.allowance - self.asked)
