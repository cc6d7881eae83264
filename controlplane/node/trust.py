"""Which nodes may be handed a shard on purpose, as one node sees them.

Theory of operation. A node must have been alive for a while before it is handed anything, so that
leaders come home soon after it heals and not in between. A node that comes and goes must have been
so for twice as long with each time that it went again before it was trusted for long; what it did
is forgotten once it has been alive for `CALM_TIMES` as long as it had to be. A process that was
silent for a while, and renews again, is *suspect*: it keeps what it leads, and is handed nothing
for `SUSPECT_MS`; another process of that node is not. One that did not come for what it was handed
is shunned, twice as long each time. Failover asks none of this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

STABLE_MS: Final = 10_000
STABLE_MS_MAX: Final = 640_000
CALM_TIMES: Final = 6
SUSPECT_MS: Final = 60_000
SHUNNED_MS_MAX: Final = 600_000
DOUBLINGS_MAX: Final = 10


@dataclass(slots=True)
class Record:
    """One node: since when it has been alive, if it is, and what it did."""

    alive_since_ms: int | None = None
    need_ms: int = STABLE_MS
    has_gone: bool = False  # and has not been calm since
    suspect_until_ms: int = 0
    late: str = ""  # the process that was silent when last looked at
    misses: int = 0
    shunned_until_ms: int = 0


class Trust:
    """What one node knows of the others."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}

    def looked(self, seen: Mapping[str, tuple[str, bool]], now_ms: int) -> None:
        """Take the newest process of each node, and whether it has renewed of late."""
        for node in self._records.keys() | seen.keys():
            record = self._records.setdefault(node, Record())
            process, is_alive = seen.get(node, ("", False))
            if is_alive:
                self._is_there(record, process, now_ms)
            else:
                record.late = process or record.late
                self._went(record, now_ms)

    def was_away(self, now_ms: int) -> None:
        """This process was paused: who was alive has been so from now on, and did nothing wrong."""
        for record in self._records.values():
            if record.alive_since_ms is not None:
                record.alive_since_ms = now_ms

    def _went(self, record: Record, now_ms: int) -> None:
        if record.alive_since_ms is None:
            return
        lasted_ms = now_ms - record.alive_since_ms
        if lasted_ms >= CALM_TIMES * record.need_ms:
            record.need_ms = STABLE_MS
        elif record.has_gone:
            record.need_ms = min(2 * record.need_ms, STABLE_MS_MAX)
        record.has_gone = True
        record.alive_since_ms = None

    def _is_there(self, record: Record, process: str, now_ms: int) -> None:
        if record.alive_since_ms is None:
            record.alive_since_ms = now_ms
            if record.late == process:
                record.suspect_until_ms = now_ms + SUSPECT_MS
            record.late = ""

    def missed(self, node: str, now_ms: int) -> None:
        """It did not take over what it was handed.

        It may renew its session and hear nothing of it, say. Each attempt costs its shard half a
        lease, so there must not be many. What was handed to it before it was shunned, and comes
        back while it is, is of the same time, and counts once.
        """
        record = self._records.setdefault(node, Record())
        if now_ms < record.shunned_until_ms:
            return
        record.misses += 1
        shunned_ms = min(STABLE_MS << min(record.misses, DOUBLINGS_MAX), SHUNNED_MS_MAX)
        record.shunned_until_ms = now_ms + shunned_ms

    def came(self, node: str) -> None:
        """It took over what it was handed."""
        record = self._records.setdefault(node, Record())
        record.misses = record.shunned_until_ms = 0

    def is_shunned(self, node: str, now_ms: int) -> bool:
        """Whether it did not come for what it was handed a short while ago."""
        record = self._records.get(node)
        return record is not None and now_ms < record.shunned_until_ms

    def is_suspect(self, node: str, now_ms: int) -> bool:
        """Whether it was silent a short while ago."""
        record = self._records.get(node)
        return record is not None and now_ms < record.suspect_until_ms

    def is_stable(self, node: str, now_ms: int) -> bool:
        """Whether it has been alive for as long as it has to be."""
        record = self._records.get(node)
        if record is None or record.alive_since_ms is None:
            return False
        return now_ms - record.alive_since_ms >= record.need_ms

    def may_be_handed(self, node: str, now_ms: int) -> bool:
        """Whether anything may be handed to it, when nothing presses."""
        return (
            self.is_stable(node, now_ms)
            and not self.is_suspect(node, now_ms)
            and not self.is_shunned(node, now_ms)
        )
