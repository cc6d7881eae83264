"""What the leader of the system shard, the global leader, does beside leading it; and what others
report to it.

Theory of operation. When its epoch opens, the global leader reads the shard map as committed;
where there is none it writes the first one from the seeds it was started with. Afterwards it
imports the history of leadership (controlplane/node/chronicle): every leader reports the epochs it
opened until the report is acknowledged; and other life-cycle events likewise (controlplane/node/
event_log). The stores' own histories go on without all this. What is changed in the system shard it
records (controlplane/node/audit_log).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controlplane.machine import Tell
from controlplane.node.audit_log import KEYS as AUDIT_KEYS
from controlplane.node.audit_log import AuditLog
from controlplane.node.audit_reports import AuditReports
from controlplane.node.chronicle import HEAD_KEY, ROWS_MAX, Chronicle
from controlplane.node.directory import MAP, MAP_PREFIX, MapRow
from controlplane.node.event_log import EventLog
from controlplane.node.following import SYSTEM
from controlplane.node.group import Group
from controlplane.node.outbox import Outbox
from regions.codec import Code, as_bytes
from shards.leadership import Leadership

if TYPE_CHECKING:
    from controlplane.node.node import Node

REPORT_EVERY_MS = 1_000
UNREPORTED_MAX = 20_000
LAST_REPORTS_MS = 1_000  # so long a process that is stopped waits for what it reported to be kept


class Duties:
    """The global leader's work at one node, and this node's reports."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.audit = AuditLog(node)
        self.audit_reports = AuditReports(node)
        self.events = EventLog(node)
        self.outbox = Outbox(node)
        self._ready_epoch = 0
        self._reading_epoch = 0
        self._chronicle = Chronicle(node)
        self._unreported: dict[tuple[str, int], dict[str, Any]] = {}
        self._left_out = 0  # epochs that were opened here, and that nobody was told of
        self._next_report_ms = 0
        self._waits_until_ms: int | None = None

    def advance(self, now_ms: int) -> None:
        """Report what was opened here; do the global leader's work if it is ours."""
        if now_ms >= self._next_report_ms and self._unreported:
            self._next_report_ms = now_ms + REPORT_EVERY_MS
            self._report(now_ms)
        self.outbox.advance(now_ms)
        self.audit_reports.advance(now_ms)
        led = self._node.census.leadership(SYSTEM)
        if led is None:
            self._chronicle.forget()
            self.events.forget()
        if led is None or not led[1].serves(now_ms):
            # What is written in this epoch is not decided yet, and may be when the lease is back.
            self.audit.forget()
            return
        group, leadership = led
        if self._ready_epoch != leadership.epoch:
            if self._reading_epoch != leadership.epoch:
                self._reading_epoch = leadership.epoch
                self._read_head(group, leadership)
        else:
            self.events.advance(group, leadership, now_ms)
            if self.events.is_settled(leadership.epoch):
                self._chronicle.advance(group, leadership, now_ms)
            self.audit.advance(group, leadership, now_ms)

    # -- the first map

    def _read_head(self, group: Group, leadership: Leadership) -> None:
        log = leadership.log
        assert log is not None, "a leading shard has a log"
        epoch, commit = leadership.epoch, log.commit
        head = [group.group, group.version, SYSTEM, str(epoch), commit]

        def head_read(result: list[Any] | None, now_ms: int) -> None:
            if leadership.epoch != epoch or result is None or result[0] != Code.OK:
                self._reading_epoch = 0
                return
            value, *audit = result[10]
            self._chronicle.head = "" if not value else as_bytes(value[1]).decode()
            self.audit.opened(epoch, audit, now_ms)

        def map_read(result: list[Any] | None, now_ms: int) -> None:
            if leadership.epoch != epoch or result is None or result[0] != Code.OK:
                self._reading_epoch = 0
                return
            self._ready_epoch = epoch
            if not result[9]:
                self._seed(group, leadership)

        for store in range(group.voters):
            if group.lanes[store].is_up and log.followers[store].covered >= commit:
                group.ask(store, ["read", *head, [HEAD_KEY, *AUDIT_KEYS], []], head_read)
                group.ask(store, ["scan", *head, MAP, "", "", 1, 65_536], map_read)
                return
        self._reading_epoch = 0

    def _seed(self, group: Group, leadership: Leadership) -> None:
        log = leadership.log
        assert log is not None, "a leading shard has a log"
        effects: list[list[Any]] = []
        for seed in self._node.plan.seeds:
            row = MapRow(
                seed.shard, seed.group, seed.first_slot, seed.end_slot, tuple(seed.regions), 0
            )
            sequence = log.last.sequence + 1
            effects.append(["p", MAP, MAP_PREFIX + seed.shard, row.packed(), sequence])
            if len(effects) == ROWS_MAX:
                log.write(effects)
                effects = []
        if effects:
            log.write(effects)
        group.dirty(leadership)
        self._node.happened(
            "map-created", SYSTEM, leadership.epoch, {"shards": len(self._node.plan.seeds)}
        )

    # -- history

    def opened(self, record: dict[str, Any]) -> None:
        """This node opened an epoch: it has to reach the system shard's history."""
        self._unreported[record["shard"], record["epoch"]] = record
        if len(self._unreported) > UNREPORTED_MAX:
            del self._unreported[next(iter(self._unreported))]
            self._left_out += 1

    def waits_to_be_kept(self, now_ms: int) -> bool:
        """Whether this process, which is to end, waits a moment for what it reported."""
        if self._waits_until_ms is None:
            self._waits_until_ms = now_ms + LAST_REPORTS_MS
        has_more = bool(self._unreported) or len(self.outbox) > 0
        is_led = self._node.census.global_leader() is not None
        return has_more and is_led and now_ms < self._waits_until_ms

    def _report(self, now_ms: int) -> None:
        rows = list(self._unreported.values())[:ROWS_MAX]
        leader = self._node.census.global_leader()
        if leader is None:
            return
        if leader.node == self._node.plan.node:
            self._chronicle.received(leader.node, rows)
        else:
            self._node.out.append(Tell(leader.node, {"kind": "opened", "rows": rows}))

    def reported(self, sender: str, rows: Any) -> None:
        """Another node reports epochs it opened; taken only by a global leader that serves."""
        led = self._node.census.leadership(SYSTEM)
        if led is not None and led[1].serves(self._node.now_ms) and _are_rows(rows):
            self._chronicle.received(sender, rows)

    def acknowledge(self, reporter: str, keys: list[list[Any]]) -> None:
        """What a node reported is kept."""
        if reporter == self._node.plan.node:
            self.acknowledged(keys)
        else:
            self._node.out.append(Tell(reporter, {"kind": "opened-ack", "keys": keys}))

    def acknowledged(self, keys: Any) -> None:
        """The system shard has our reports."""
        if isinstance(keys, list):
            for key in keys:
                if isinstance(key, list) and len(key) == 2:
                    self._unreported.pop((key[0], key[1]), None)
        if self._left_out:
            self._node.happened("elections-dropped", "", 0, {"count": self._left_out})
            self._left_out = 0
        if self._unreported:
            self._next_report_ms = 0


def _are_rows(rows: Any) -> bool:
    return isinstance(rows, list) and all(
        isinstance(row, dict)
        and isinstance(row.get("shard"), str)
        and isinstance(row.get("epoch"), int)
        for row in rows
    )
