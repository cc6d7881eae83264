"""Life-cycle events at the global leader: kept in the system shard once each, the newest of them.

Theory of operation. When its epoch opens, the global leader reads what it has to know: the head,
up to where everything of each process is kept (its mark), and the counts of what was dropped. It is
the one writer, so from then on it knows what it wrote itself. What nodes report
(controlplane/node/outbox) and is beyond the mark of its process is written in entries of at most
`ROWS_MAX` events, together with the marks; a node is told when its entry is committed, never
before. An epoch that opened is not reported besides: its event is in the entry of its row of the
history (controlplane/node/chronicle).

What is more than `limits.events_kept_max` is dropped from the beginning, a tenth at most and in
entries of their own: counted by the hour, together with the rows of the history that belong to it.
So the history is as bounded as the events are, and the head says what its oldest row goes on
behind.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from controlplane.machine import Tell
from controlplane.node.chronicle import HISTORY, row_key
from controlplane.node.event_records import (
    ELECTED,
    HEAD_KEY,
    MARKS_PREFIX,
    PARTITION,
    RECORDS_PREFIX,
    STATE_PREFIX,
    TEXT_MAX,
    EventRecord,
    EventState,
    Reported,
    detail_of_row,
    hour_key,
    packed_counts,
    read_record,
    read_reported,
    record_key,
)
from controlplane.node.following import SYSTEM
from controlplane.node.group import Group
from controlplane.requests import Scan
from regions.codec import Code, as_bytes
from shards.leadership import Leadership

if TYPE_CHECKING:
    from controlplane.node.node import Node

ROWS_MAX: Final = 200
INBOX_MAX: Final = 10_000  # events beyond are not taken; they are reported again
ENTRY_EVERY_MS: Final = 50
READ_AT_ONCE: Final = 500
READ_BYTES: Final = 512 * 1024

Effects = list[list[Any]]


class Source(NamedTuple):
    """The process whose events these are."""

    node: str
    region: str
    process: str


class EventLog:
    """The record at one node, while that leads the system shard."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._epoch = 0  # in which the state is known, or known to be unreadable
        self._state: EventState | None = None
        self._reading = 0
        self._found = EventState()  # as far as it is read
        self._inbox: dict[str, tuple[Source, list[Reported]]] = {}  # by process, in order
        self._under_way: deque[tuple[int, dict[Source, int]]] = deque()
        self._kept: dict[str, int] = {}  # the marks that are committed
        self._next_entry_ms = 0
        self._dropping = False
        self._dropped_at = 0  # the entry that dropped the last ones

    def is_settled(self, epoch: int) -> bool:
        """Whether it is known in this epoch if events can be kept, and behind which."""
        return self._epoch == epoch

    def forget(self) -> None:
        """This node does not lead the system shard: whoever does is told everything again."""
        self._epoch = self._reading = 0
        self._state = None
        self._dropping, self._dropped_at = False, 0
        self._inbox.clear()
        self._under_way.clear()

    # -- what nodes report

    def heard(self, sender: str, message: dict[str, Any]) -> None:
        """A node reports events; taken only by a global leader that serves."""
        led = self._node.census.leadership(SYSTEM)
        process, region, rows = message.get("process"), message.get("region"), message.get("rows")
        if led is None or not led[1].serves(self._node.now_ms) or not isinstance(rows, list):
            return
        if not isinstance(process, str) or not isinstance(region, str) or self._state is None:
            return
        if not self.is_settled(led[1].epoch) or max(map(len, (process, region))) > TEXT_MAX:
            return
        source = Source(sender, region, process)
        _, waiting = self._inbox.get(process, (source, []))
        taken = waiting[-1].number if waiting else self._state.marks.get(process, 0)
        room = INBOX_MAX - sum(len(events) for _, events in self._inbox.values())
        for event in filter(None, map(read_reported, rows)):
            if event.number > taken and room > 0:
                waiting.append(event)
                taken, room = event.number, room - 1
        if waiting:
            self._inbox[process] = (source, waiting)
        elif 0 < taken <= self._kept.get(process, 0):
            self._tell(source, taken)

    def _tell(self, source: Source, upto: int) -> None:
        message = {"kind": "events-kept", "process": source.process, "upto": upto}
        if source.node == self._node.plan.node:
            self._node.duties.outbox.kept(source.process, upto)
        else:
            self._node.out.append(Tell(source.node, message))

    # -- the leader's work

    def advance(self, group: Group, leadership: Leadership, now_ms: int) -> None:
        """Read the state in a new epoch; keep what was reported; drop what is too much."""
        log = leadership.log
        assert log is not None, "a leading shard has a log"
        if not self.is_settled(leadership.epoch):
            if self._reading != leadership.epoch:
                self.forget()
                self._found = EventState()
                self._read(group, leadership, STATE_PREFIX)
            return
        while self._under_way and self._under_way[0][0] <= log.commit:
            for source, upto in self._under_way.popleft()[1].items():
                self._kept[source.process] = upto
                self._tell(source, upto)
        state = self._state
        if state is None:
            return
        if self._inbox and now_ms >= self._next_entry_ms:
            self._next_entry_ms = now_ms + ENTRY_EVERY_MS
            self._write(group, leadership, state, max(1, min(ROWS_MAX, group.room)))
        is_too_much = state.head.kept > self._node.plan.limits.events_kept_max
        if is_too_much and log.commit >= self._dropped_at and not self._dropping:
            self._read_oldest(group, leadership, state)

    def _read(self, group: Group, leadership: Leadership, after: str) -> None:
        """Read the state behind a key, page after page."""
        epoch, found = leadership.epoch, self._found

        def reply(result: list[Any] | None, now_ms: int) -> None:
            if self._reading != epoch or self._found is not found:
                return
            if result is None or result[0] != Code.OK or leadership.epoch != epoch:
                self._reading = 0
                return
            items, more = result[9], result[10]
            try:
                for key, _, value in items:
                    found.take(key, as_bytes(value))
            except ValueError as complaint:
                self._settled(epoch, None)
                self._node.happened("events-unreadable", SYSTEM, epoch, {"why": str(complaint)})
                return
            if more and items:
                self._read(group, leadership, items[-1][0])
            else:
                self._settled(epoch, found)

        scan = Scan(SYSTEM, PARTITION, STATE_PREFIX, after, READ_AT_ONCE)
        is_asked = self._node.serving.reads.scan_current(group, leadership, scan, READ_BYTES, reply)
        self._reading = epoch if is_asked else 0

    def _settled(self, epoch: int, state: EventState | None) -> None:
        self._epoch, self._state = epoch, state
        self._kept = {} if state is None else dict(state.marks)

    def _write(
        self, group: Group, leadership: Leadership, state: EventState, rows_max: int
    ) -> None:
        """One entry of what was reported, process after process."""
        log = leadership.log
        assert log is not None, "a leading shard has a log"
        sequence = log.last.sequence + 1
        effects: Effects = []
        marks: dict[Source, int] = {}
        while self._inbox and rows_max > 0:
            process, (source, events) = next(iter(self._inbox.items()))
            now, later = events[:rows_max], events[rows_max:]
            rows_max -= len(now)
            del self._inbox[process]
            if later:
                self._inbox[process] = (source, later)
            effects += self._puts(state, [(source, event) for event in now], sequence)
            marks[source] = state.marks[process] = now[-1].number
        for source, upto in marks.items():
            mark = ["p", PARTITION, MARKS_PREFIX + source.process, str(upto).encode(), sequence]
            effects.append(mark)
        effects.append(_head(state, sequence))
        self._under_way.append((log.write(effects).sequence, marks))
        group.dirty(leadership)

    def of_rows(
        self, rows: Sequence[tuple[dict[str, Any], str]], sequence: int, epoch: int
    ) -> Effects:
        """What the entry at `sequence` puts for rows of the history, each with its hash.

        Nothing where events cannot be kept.
        """
        state = self._state
        if state is None or not self.is_settled(epoch):
            return []
        events = [(_source_of(row), _event_of(row, row_hash)) for row, row_hash in rows]
        return [*self._puts(state, events, sequence), _head(state, sequence)]

    def _puts(
        self, state: EventState, events: Sequence[tuple[Source, Reported]], sequence: int
    ) -> Effects:
        """Make records of events, and put them behind the last one."""
        first, now_ms = state.head.last + 1, self._node.wall_ms()
        records = [
            EventRecord(
                first + n, event.kind, event.shard, event.group, event.epoch, source.node,
                source.region, event.wall_ms, now_ms, source.process, event.number, event.detail,
            )
            for n, (source, event) in enumerate(events)
        ]  # fmt: skip
        state.head = replace(state.head, last=first + len(records) - 1)
        return [["p", PARTITION, each.key, each.packed(), sequence] for each in records]

    # -- what is too much

    def _read_oldest(self, group: Group, leadership: Leadership, state: EventState) -> None:
        epoch, after = leadership.epoch, record_key(state.head.first - 1)

        def reply(result: list[Any] | None, now_ms: int) -> None:
            if self._state is not state:
                return
            self._dropping = False
            leads = leadership.epoch == epoch and leadership.serves(now_ms)
            if leads and result is not None and result[0] == Code.OK:
                self._drop(group, leadership, state, result[9])

        scan = Scan(SYSTEM, PARTITION, RECORDS_PREFIX, after, READ_AT_ONCE)
        self._dropping = self._node.serving.reads.scan_current(
            group, leadership, scan, READ_BYTES, reply
        )

    def _drop(
        self, group: Group, leadership: Leadership, state: EventState, items: list[list[Any]]
    ) -> None:
        log = leadership.log
        assert log is not None, "a leading shard has a log"
        if not items and log.pending:
            return  # all there is waits to be decided
        try:
            records = [read_record(as_bytes(value)) for _, _, value in items]
            if not records:
                raise ValueError(f"record {state.head.first} is missing")
        except ValueError as complaint:
            self._settled(leadership.epoch, None)
            detail = {"why": str(complaint)}
            self._node.happened("events-unreadable", SYSTEM, leadership.epoch, detail)
            return
        kept_max = self._node.plan.limits.events_kept_max
        gone = records[: max(1, state.head.kept - kept_max * 9 // 10)]
        sequence = log.last.sequence + 1
        effects: Effects = [["d", PARTITION, record.key] for record in gone]
        for record in gone:
            if record.kind == ELECTED:
                effects.append(["d", HISTORY, row_key(record.shard, record.epoch)])
            elif state.marks.get(record.process) == record.number:
                del state.marks[record.process]
                self._kept.pop(record.process, None)
                effects.append(["d", PARTITION, MARKS_PREFIX + record.process])
        for hour in sorted(state.count(gone)):
            counts = state.hours.get(hour)
            if counts is None:
                effects.append(["d", PARTITION, hour_key(hour)])
            else:
                effects.append(["p", PARTITION, hour_key(hour), packed_counts(counts), sequence])
        rows = [str(r.detail["row"]) for r in gone if r.kind == ELECTED and "row" in r.detail]
        state.head = replace(
            state.head,
            first=gone[-1].sequence + 1,
            recorded_ms=gone[-1].recorded_ms,
            row=rows[-1] if rows else state.head.row,
        )
        effects.append(_head(state, sequence))
        self._dropped_at = log.write(effects).sequence
        group.dirty(leadership)


def _head(state: EventState, sequence: int) -> list[Any]:
    return ["p", PARTITION, HEAD_KEY, state.head.packed(), sequence]


def _source_of(row: dict[str, Any]) -> Source:
    return Source(str(row.get("node", "")), str(row.get("region", "")), "")


def _event_of(row: dict[str, Any], row_hash: str) -> Reported:
    wall_ms = row.get("wall_ms")
    return Reported(
        0, ELECTED, row["shard"], str(row.get("group", "")), row["epoch"],
        wall_ms if isinstance(wall_ms, int) else 0, detail_of_row(row, row_hash),
    )  # fmt: skip
