"""A node's life-cycle events on their way into the system shard.

Theory of operation. Each event gets the next number of its process, and is reported to the global
leader, in order and again and again, until that says up to which number everything is kept
(controlplane/node/event_log). While there is nobody to report to, the newest are held; when there
are too many, the oldest go, and in their place it is reported which ones went. Nothing waits for
any of this.

Not promised: a process that is killed takes along what it had not reported. One that is stopped
waits a moment for it (controlplane/node/rebalance).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from controlplane.machine import Tell
from controlplane.node.event_records import DROPPED, REPORTED, Reported, brief

if TYPE_CHECKING:
    from controlplane.node.node import Node

HELD_MAX: Final = 5_000
REPORT_EVERY_MS: Final = 1_000
REPORTED_AT_ONCE: Final = 200


class Outbox:
    """The events of one process that are not known to be kept."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._held: deque[Reported] = deque()
        self._count = 0
        self._dropped_from = 1  # of those not known to be told of; none when it is beyond `_to`
        self._dropped_to = 0
        self._dropped_ms = 0  # on the wall, when the last of them happened
        self._next_report_ms = 0

    def __len__(self) -> int:
        return len(self._held) + (self._dropped_to >= self._dropped_from)

    def add(self, kind: str, shard: str, epoch: int, detail: dict[str, Any]) -> None:
        """Something happened here; most of it is to be kept."""
        if kind not in REPORTED:
            return
        self._count += 1
        group = str(detail.get("group", ""))
        if shard and not group:
            found = self._node.census.group_of(shard)
            group = "" if found is None else found.group
        plain = brief({name: _plain(value) for name, value in detail.items()})
        self._held.append(
            Reported(self._count, kind, shard, group, epoch, self._node.wall_ms(), plain)
        )
        if len(self._held) > HELD_MAX:
            gone = self._held.popleft()
            if self._dropped_to < self._dropped_from:
                self._dropped_from = gone.number
            self._dropped_to, self._dropped_ms = gone.number, gone.wall_ms

    def advance(self, now_ms: int) -> None:
        """Report what is not known to be kept."""
        if now_ms < self._next_report_ms or not len(self):
            return
        self._next_report_ms = now_ms + REPORT_EVERY_MS
        leader = self._node.census.global_leader()
        if leader is None:
            return
        plan = self._node.plan
        message = {
            "kind": "events", "process": plan.process, "region": plan.region, "rows": self.rows(),
        }  # fmt: skip
        if leader.node == plan.node:
            self._node.duties.events.heard(plan.node, message)
        else:
            self._node.out.append(Tell(leader.node, message))

    def rows(self) -> list[list[Any]]:
        """The next report. What was dropped is told under the number of the last of it."""
        found = [list(event) for _, event in zip(range(REPORTED_AT_ONCE), self._held, strict=False)]
        first, last = self._dropped_from, self._dropped_to
        if last >= first:
            detail = {"count": last - first + 1, "first": first, "last": last}
            found.insert(0, list(Reported(last, DROPPED, "", "", 0, self._dropped_ms, detail)))
        return found

    def kept(self, process: Any, upto: Any) -> None:
        """Everything of this process up to a number is kept."""
        if process != self._node.plan.process or not isinstance(upto, int):
            return
        before = len(self)
        while self._held and self._held[0].number <= upto:
            self._held.popleft()
        self._dropped_from = max(self._dropped_from, min(upto, self._count) + 1)
        if 0 < len(self) < before:
            self._next_report_ms = 0


def _plain(value: Any) -> Any:
    """A value as it travels, whatever a part of the node put into a detail."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    return str(value)
