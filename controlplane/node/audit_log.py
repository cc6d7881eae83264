"""The audit log at the global leader: what is recorded goes into the entry of what it records.

Theory of operation. A write to the system shard carries notes (controlplane/requests). Whoever
leads that shard turns them into records when the write is admitted, and puts them behind the
effects of its entry: so there is no change without its records, and a write that is refused leaves
none. Only the leader knows the last record, also of entries under way; it is the one writer, so the
chain does not fork. When its epoch opens, it reads head and anchor as committed (controlplane/node/
duties): every record of an earlier epoch is in the log before that. A write with notes waits until
they are known.

Its own work besides: a checkpoint when the last one is old and something was recorded since; one
that is committed is told as an event. And what is too much is trimmed from the beginning, in
entries of its own: the records are read, held against the chain, and deleted together with putting
the anchor. What does not fit the chain is never trimmed: it is told, and stays as evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from config.audit import (
    ANCHOR_KEY,
    HEAD_KEY,
    PARTITION,
    RECORDS_PREFIX,
    Anchor,
    Head,
    Kept,
    Note,
    Stamp,
    What,
    chained,
    checkpoint_note,
    read_anchor,
    read_head,
    record_key,
    sequence_of,
)
from config.audit_check import Known, check
from controlplane.node.following import SYSTEM
from controlplane.node.group import Group
from controlplane.requests import Problem, Refused, Scan, Write
from regions.codec import Code, as_bytes
from shards.leadership import Leadership

if TYPE_CHECKING:
    from controlplane.node.node import Node

CHECKPOINT_EVERY_MS: Final = 3_600_000
TRIM_AT_ONCE: Final = 200
TRIM_BYTES: Final = 256 * 1024
"""Of one reading: two records fit, however long they are."""
KEYS: Final = [HEAD_KEY, ANCHOR_KEY]
"""What has to be read when an epoch opens."""


class AuditLog:
    """The chain at one node, while that leads the system shard."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._epoch = 0  # in which head and anchor are known
        self.head = Head()
        self._anchor = Anchor()
        self._waiting: list[tuple[int, Write]] = []
        self._to_tell: list[tuple[int, Head]] = []  # checkpoints, by the sequences of their entries
        self._unmarked_since_ms: int | None = None  # something was recorded after the last one
        self._trimming = False
        self._trimmed_at = 0  # the entry that trimmed the last ones
        self._is_broken = False
        self._unreadable = (0, "")  # in which epoch, and why

    # -- what is recorded

    def is_open(self, epoch: int) -> bool:
        """Whether records can be made in this epoch of the system shard."""
        return self._epoch == epoch

    def wait(self, number: int, write: Write, epoch: int) -> None:
        """Take a write up again when records can be made; refuse it when they cannot be."""
        unreadable, why = self._unreadable
        if unreadable == epoch:
            detail = f"the audit log cannot be gone on with: {why}"
            self._node.requests.answer(number, Refused(Problem.NOT_READY, detail))
        else:
            self._waiting.append((number, write))

    def opened(self, epoch: int, values: Sequence[Any], now_ms: int) -> None:
        """An epoch opened; these are the values of `KEYS` as committed."""
        if self.is_open(epoch):
            return  # what is in flight since then is not committed yet
        found = [as_bytes(value[1]) if value else None for value in values]
        try:
            self.head, self._anchor = read_head(found[0]), read_anchor(found[1])
        except ValueError as complaint:
            self._unreadable = (epoch, str(complaint))
            self._broken(epoch, 0, str(complaint))
            self._take_up()
            return
        self._epoch = epoch
        self._to_tell.clear()
        self._trimming = self._is_broken = False
        self._trimmed_at = 0
        is_marked = self.head.checkpoint == self.head.sequence
        self._unmarked_since_ms = None if is_marked else now_ms
        self._take_up()

    def forget(self) -> None:
        """This node does not lead the system shard: whoever does takes what waits."""
        self._take_up()

    def effects(self, notes: Iterable[Note], sequence: int, epoch: int) -> list[list[Any]]:
        """What the entry at `sequence`, which is written now, has to put for these notes."""
        assert self.is_open(epoch), "records are made by whoever knows the last one"
        checkpoint = self.head.checkpoint
        stamp = Stamp(self._node.plan.node, epoch, self._node.wall_ms())
        records, self.head = chained(self.head, notes, stamp)
        if self.head.checkpoint != checkpoint:
            self._to_tell.append((sequence, self.head))
            self._unmarked_since_ms = None
        elif self._unmarked_since_ms is None:
            self._unmarked_since_ms = self._node.now_ms
        puts: list[list[Any]] = [
            ["p", PARTITION, each.key, each.data, sequence] for each in records
        ]
        return [*puts, ["p", PARTITION, HEAD_KEY, self.head.packed(), sequence]]

    def _take_up(self) -> None:
        waiting, self._waiting = self._waiting, []
        for number, write in waiting:
            self._node.resubmit(number, write, self._node.now_ms)

    # -- the leader's own work

    def advance(self, group: Group, leadership: Leadership, now_ms: int) -> None:
        """Tell of checkpoints, make one that is due, trim what is too much."""
        log = leadership.log
        assert log is not None, "a leading shard has a log"
        if not self.is_open(leadership.epoch):
            return
        while self._to_tell and self._to_tell[0][0] <= log.commit:
            _, head = self._to_tell.pop(0)
            detail = {"sequence": head.sequence, "digest": head.digest}
            self._node.happened("audit-checkpoint", SYSTEM, leadership.epoch, detail)
        since_ms = self._unmarked_since_ms
        if since_ms is not None and now_ms - since_ms >= CHECKPOINT_EVERY_MS:
            self._write(group, leadership, checkpoint_note(self.head), [])
        may_trim = log.commit >= self._trimmed_at and not (self._trimming or self._is_broken)
        if may_trim and self._is_too_much():
            self._read_oldest(group, leadership)

    def _write(
        self, group: Group, leadership: Leadership, note: Note, also: list[list[Any]]
    ) -> None:
        log = leadership.log
        assert log is not None, "a leading shard has a log"
        log.write([*also, *self.effects([note], log.last.sequence + 1, leadership.epoch)])
        group.dirty(leadership)

    # -- trimming

    def _is_too_much(self) -> bool:
        limits, head, anchor = self._node.plan.limits, self.head, self._anchor
        kept = head.sequence - anchor.sequence
        is_long = head.size_bytes - anchor.size_bytes > limits.audit_bytes_max
        return kept > limits.audit_records_max or (is_long and kept > 1)

    def _read_oldest(self, group: Group, leadership: Leadership) -> None:
        """Read the oldest records; the last one read tells that those before it are the ones."""
        epoch, after = leadership.epoch, record_key(self._anchor.sequence)

        def reply(result: list[Any] | None, now_ms: int) -> None:
            if not self.is_open(epoch):
                return
            self._trimming = False
            leads = leadership.epoch == epoch and leadership.serves(now_ms)
            if leads and result is not None and result[0] == Code.OK:
                found = [Kept(sequence_of(k), as_bytes(value)) for k, _, value in result[9]]
                self._trim(group, leadership, found)

        scan = Scan(SYSTEM, PARTITION, RECORDS_PREFIX, after, TRIM_AT_ONCE)
        self._trimming = self._node.serving.reads.scan_current(
            group, leadership, scan, TRIM_BYTES, reply
        )

    def _trim(self, group: Group, leadership: Leadership, records: list[Kept]) -> None:
        log = leadership.log
        assert log is not None, "a leading shard has a log"
        if len(records) < 2 and log.pending:
            return  # what there is waits to be decided
        verdict = check(records, Known(anchor=self._anchor))
        if not verdict.valid or len(records) < 2:
            at = verdict.at or verdict.last + 1
            self._broken(leadership.epoch, at, verdict.problem or f"record {at} is missing")
            return
        gone = records[: self._too_many(records)]
        size_bytes = self._anchor.size_bytes + sum(len(each.data) for each in gone)
        before = {"first": self._anchor.sequence + 1}
        self._anchor = Anchor(gone[-1].sequence, gone[-1].digest, size_bytes)
        after = {"first": self._anchor.sequence + 1, "previous": self._anchor.digest}
        note = Note(What.TRIMMED, "audit", before=before, after=after)
        anchor = ["p", PARTITION, ANCHOR_KEY, self._anchor.packed(), log.last.sequence + 1]
        deletes: list[list[Any]] = [["d", PARTITION, each.key] for each in gone]
        self._write(group, leadership, note, [*deletes, anchor])
        self._trimmed_at = log.last.sequence

    def _too_many(self, records: list[Kept]) -> int:
        """How many of these go, of two or more: to a tenth below the limits, never all of them."""
        limits, head, anchor = self._node.plan.limits, self.head, self._anchor
        records_max = limits.audit_records_max * 9 // 10
        bytes_max = limits.audit_bytes_max * 9 // 10
        kept = head.sequence - anchor.sequence
        size_bytes = head.size_bytes - anchor.size_bytes
        count = 0
        for record in records[:-1]:
            if kept - count <= records_max and size_bytes <= bytes_max:
                break
            count += 1
            size_bytes -= len(record.data)
        return count

    def _broken(self, epoch: int, at: int, why: str) -> None:
        self._is_broken = True
        self._node.happened("audit-broken", SYSTEM, epoch, {"at": at, "why": why})
