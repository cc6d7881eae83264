"""The history of leadership as the system shard keeps it: rows imported once each, and chained.

Theory of operation. Leaders report the epochs they opened, again and again until they are told that
a row is kept. The global leader writes what was reported one entry at a time, each of at most
`ROWS_MAX` rows and of no more than the stores have room for beside renewals, each row carrying the
hash of the row before it. It first reads whether a row is
there already, since a report whose acknowledgement got lost comes again, and a row written twice
would break the chain. A row is acknowledged when it was found there, or when its entry is
committed: never before, or a leader that is lost takes the row along.

The audit log has one record of each entry, in that entry (controlplane/node/audit_log). So has the
record of life-cycle events one event of each row, which drops the row when the event is old
(controlplane/node/event_log).
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from config.audit import SYSTEM_PRINCIPAL, Note, What
from controlplane.node.group import Group
from regions.codec import Code, pack
from shards.leadership import Leadership

if TYPE_CHECKING:
    from controlplane.node.node import Node

ROWS_MAX = 500
INBOX_MAX = 20_000  # rows beyond are not taken; they are reported again
ENTRY_EVERY_MS = 50
HISTORY = "history"
HEAD_KEY = "{history}/head"
REASON_MAX = 80  # in the audit log, of each of many; the record of the order has all of it

Key = tuple[str, int]  # shard, epoch
Row = dict[str, Any]


@dataclass(slots=True)
class Batch:
    """Rows under way; `sequence` is that of their entry, 0 as long as it is not written."""

    epoch: int
    keys: list[Key]
    sequence: int = 0


class Chronicle:
    """Reports at the global leader, from their arrival until they are kept."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._inbox: dict[Key, tuple[Row, str]] = {}  # and who reported it
        self._batch: Batch | None = None
        self._next_entry_ms = 0
        self.head = ""  # hash of the last row: read from the shard when an epoch opens

    def received(self, reporter: str, rows: list[Row]) -> None:
        """Take reports of a node."""
        for row in rows[: max(0, INBOX_MAX - len(self._inbox))]:
            self._inbox[row["shard"], row["epoch"]] = (row, reporter)

    def forget(self) -> None:
        """This node does not lead the system shard: whoever does is told everything again."""
        self._inbox.clear()
        self._batch = None

    def advance(self, group: Group, leadership: Leadership, now_ms: int) -> None:
        """Go on with the import, in an epoch whose `head` is known."""
        log = leadership.log
        assert log is not None, "a leading shard has a log"
        batch = self._batch
        if batch is not None and batch.epoch != leadership.epoch:
            batch = self._batch = None
        if batch is not None and 0 < batch.sequence <= log.commit:
            self._kept(batch.keys)
            batch = self._batch = None
        if batch is None and self._inbox and now_ms >= self._next_entry_ms:
            self._next_entry_ms = now_ms + ENTRY_EVERY_MS
            rows_max = min(ROWS_MAX, group.room) // 2  # each is a row and an event
            self._look_up(group, leadership, max(1, rows_max))

    def _look_up(self, group: Group, leadership: Leadership, rows_max: int) -> None:
        batch = Batch(leadership.epoch, sorted(self._inbox)[:rows_max])
        names = [row_key(*key) for key in batch.keys]

        def reply(result: list[Any] | None, now_ms: int) -> None:
            if self._batch is not batch:
                return
            if result is None or result[0] != Code.OK or leadership.epoch != batch.epoch:
                self._batch = None
                return
            found = [key for key, value in zip(batch.keys, result[10], strict=True) if value]
            self._kept(found)
            batch.keys = [key for key in batch.keys if key in self._inbox]
            self._write(group, leadership, batch)

        if self._node.serving.reads.ask_current(group, leadership, names, [], 0, reply):
            self._batch = batch

    def _write(self, group: Group, leadership: Leadership, batch: Batch) -> None:
        log = leadership.log
        if log is None or not batch.keys:
            self._batch = None
            return
        sequence = log.last.sequence + 1
        effects: list[list[Any]] = []
        before, rows = self.head, [self._inbox[key][0] for key in batch.keys]
        hashes: list[str] = []
        for key, row in zip(batch.keys, rows, strict=True):
            packed = pack({**row, "previous_hash": self.head})
            self.head = sha256(packed).hexdigest()
            hashes.append(self.head)
            effects.append(["p", HISTORY, row_key(*key), packed, sequence])
        effects.append(["p", HISTORY, HEAD_KEY, self.head.encode(), sequence])
        hashed = list(zip(rows, hashes, strict=True))
        effects += self._node.duties.events.of_rows(hashed, sequence, leadership.epoch)
        audit = self._node.duties.audit
        if audit.is_open(leadership.epoch):
            note = leadership_note(rows, before, self.head)
            effects += audit.effects([note], sequence, leadership.epoch)
        batch.sequence = log.write(effects).sequence
        group.dirty(leadership)

    def _kept(self, keys: list[Key]) -> None:
        """Tell those who reported these rows that they need not do it again."""
        told: dict[str, list[list[Any]]] = {}
        for key in keys:
            _, reporter = self._inbox.pop(key)
            told.setdefault(reporter, []).append(list(key))
        for reporter, kept in told.items():
            self._node.duties.acknowledge(reporter, kept)


def row_key(shard: str, epoch: int) -> str:
    """Where the row of an epoch is kept."""
    return f"{{history}}/{shard}/{epoch:016d}"


def leadership_note(rows: list[Row], before: str, after: str) -> Note:
    """What the audit log says of rows: each with who led before; and the hashes they lie between.

    A change is [shard, epoch, node, why the epoch before ended, who led it, its number], and where
    somebody ordered it, by whom and why.
    """
    changes: list[list[Any]] = []
    for row in rows:
        ordered = [row.get("principal", SYSTEM_PRINCIPAL), str(row.get("reason", ""))[:REASON_MAX]]
        changes.append(
            [row["shard"], row["epoch"], row.get("node"), row.get("ended"), row.get("before")]
            + [row.get("before_epoch")]
            + (ordered if ordered != [SYSTEM_PRINCIPAL, ""] else [])
        )
    subject = rows[0]["shard"] if len(rows) == 1 else f"{len(rows)} shards"
    return Note(
        What.LEADERSHIP, subject, before={"history": before},
        after={"history": after, "changes": changes},
    )  # fmt: skip
