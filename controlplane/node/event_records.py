"""Life-cycle events as the system shard keeps them: records, and counts of those that are gone.

Theory of operation. Records are numbered in the order in which they were kept, without gaps. Only
the newest are kept; what is dropped is counted, by the hour in which it happened, by kind and by
group. Hours are kept for a month, and what is older is added up. A *mark* tells up to which of a
process's events everything is kept, so that one that is reported again is not kept twice; it goes
with the last record of its process.

Keys lie in the shard `system`, partition `events`. Whoever leads that shard is the one writer
(controlplane/node/event_log).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from regions.codec import pack, unpack

PARTITION: Final = "events"
RECORDS_PREFIX: Final = "{events}/records/"
STATE_PREFIX: Final = "{events}/state/"
HEAD_KEY: Final = STATE_PREFIX + "head"
HOURS_PREFIX: Final = STATE_PREFIX + "hours/"
MARKS_PREFIX: Final = STATE_PREFIX + "marks/"

HOUR_MS: Final = 3_600_000
HOURS_MAX: Final = 31 * 24
EARLIER: Final = 0
"""The hour that stands for all before those that are kept."""
TEXT_MAX: Final = 256
DETAIL_BYTES_MAX: Final = 4_096

ELECTED: Final = "elected"
"""Kept with the row of the history that says it, and not reported besides."""
DROPPED: Final = "events-dropped"
"""A node had so many to report that it dropped the oldest ones."""
KINDS: Final = (
    ELECTED, "transferred", "resigned", "evicted", "fenced", "closed", "stuck", "lease-held",
    "lease-expired", "probe-failed", "canary-unsteady", "stores-wanted", "change-taken-up",
    "change-left", "change-finished", "group-dropped", "group-lost", "group-not-followed",
    "force-recover", "force-recover-refused", "store-forgot", "low-headroom", "headroom-restored",
    "follower-added", "follower-removed", "hot-partition", "move-given-up", "canary-handed-back",
    "unsafe-ttl", "diverged", "stale-accepted", "append-malformed", "invariant-broken",
    "map-created", "audit-broken", "audit-note-lost", "events-unreadable", "elections-dropped",
    DROPPED,
)  # fmt: skip
"""What is kept. Not what every node sees of the system shard's own records, which are kept there
as they are, nor what happens all the time."""
REPORTED: Final = frozenset(KINDS) - {ELECTED, DROPPED}

Counts = Counter[tuple[str, str]]
"""How many of a kind (first) in a group (second)."""


class Reported(NamedTuple):
    """An event as its node reports it; `number` counts those of the process."""

    number: int
    kind: str
    shard: str
    group: str
    epoch: int
    wall_ms: int
    detail: dict[str, Any]


def read_reported(fields: Any) -> Reported | None:
    """An event as a node reports it; None when this is none."""
    match fields:
        case [
            int() as number, str() as kind, str() as shard, str() as group, int() as epoch,
            int() as wall_ms, dict() as detail,
        ]:  # fmt: skip
            is_short = max(len(kind), len(shard), len(group)) <= TEXT_MAX
            if is_short and min(number, epoch, wall_ms) >= 0:
                with suppress(ValueError, OverflowError):  # nested too deep, or not to be packed
                    return Reported(number, kind, shard, group, epoch, wall_ms, brief(detail))
    return None


def brief(detail: dict[str, Any]) -> dict[str, Any]:
    """A detail that is not longer than a record may be; what is, is told by its length."""
    size_bytes = len(pack(detail))
    return detail if size_bytes <= DETAIL_BYTES_MAX else {"left_out_bytes": size_bytes}


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One event that is kept.

    `wall_ms` is of the node where it happened, `recorded_ms` of the global leader. `process` and
    `number` say which of its node's events it is; "" and 0 of one that came with a row of the
    history.
    """

    sequence: int
    kind: str
    shard: str
    group: str
    epoch: int
    node: str
    region: str
    wall_ms: int
    recorded_ms: int
    process: str
    number: int
    detail: dict[str, Any]

    @property
    def key(self) -> str:
        """Where it is kept."""
        return record_key(self.sequence)

    def packed(self) -> bytes:
        """As it is kept."""
        return pack(
            [
                self.sequence, self.kind, self.shard, self.group, self.epoch, self.node,
                self.region, self.wall_ms, self.recorded_ms, self.process, self.number, self.detail,
            ]
        )  # fmt: skip


def record_key(sequence: int) -> str:
    """The key of a record; keys sort as numbers do."""
    return f"{RECORDS_PREFIX}{sequence:016d}"


def read_record(data: bytes) -> EventRecord:
    """One record. Raises ValueError when it is none."""
    match unpack(data):
        case [
            int() as sequence, str() as kind, str() as shard, str() as group, int() as epoch,
            str() as node, str() as region, int() as wall_ms, int() as recorded_ms,
            str() as process, int() as number, dict() as detail,
        ]:  # fmt: skip
            return EventRecord(
                sequence, kind, shard, group, epoch, node, region, wall_ms, recorded_ms, process,
                number, detail,
            )  # fmt: skip
    raise ValueError("no record of an event")


@dataclass(frozen=True, slots=True)
class EventHead:
    """The end of the record, and where what is kept begins.

    `last` and `first` number the newest and the oldest record; `recorded_ms` is of the last one
    that was dropped, 0 before there is one. `row` is the hash of the last row of the history that
    was dropped with its event: what the oldest one that is kept goes on behind.
    """

    last: int = 0
    first: int = 1
    recorded_ms: int = 0
    row: str = ""

    @property
    def kept(self) -> int:
        """How many records there are."""
        return self.last - self.first + 1

    def packed(self) -> bytes:
        """As it is kept."""
        return pack([self.last, self.first, self.recorded_ms, self.row])


def read_event_head(data: bytes | None) -> EventHead:
    """The head; a new one when there is none. Raises ValueError when it is no head."""
    if data is None:
        return EventHead()
    match unpack(data):
        case [int() as last, int() as first, int() as recorded_ms, str() as row]:
            return EventHead(last, first, recorded_ms, row)
    raise ValueError("no head of the events")


def hour_key(hour: int) -> str:
    """Where the counts of an hour are kept."""
    return f"{HOURS_PREFIX}{hour:012d}"


def packed_counts(counts: Counts) -> bytes:
    """As they are kept."""
    return pack([[kind, group, count] for (kind, group), count in sorted(counts.items())])


def read_counts(data: bytes) -> Counts:
    """Counts of an hour. Raises ValueError when they are none."""
    counts: Counts = Counter()
    match unpack(data):
        case list() as rows:
            for row in rows:
                match row:
                    case [str() as kind, str() as group, int() as count]:
                        counts[kind, group] += count
                    case _:
                        raise ValueError("no counts of events")
            return counts
    raise ValueError("no counts of events")


@dataclass(slots=True)
class EventState:
    """All that whoever leads the system shard has to know before it keeps more."""

    head: EventHead = field(default_factory=EventHead)
    marks: dict[str, int] = field(default_factory=dict)
    hours: dict[int, Counts] = field(default_factory=dict)

    def take(self, key: str, data: bytes) -> None:
        """Take one key of the state up. Raises ValueError when it is not what it should be."""
        if key == HEAD_KEY:
            self.head = read_event_head(data)
        elif key.startswith(HOURS_PREFIX):
            self.hours[int(key.removeprefix(HOURS_PREFIX))] = read_counts(data)
        elif key.startswith(MARKS_PREFIX):
            self.marks[key.removeprefix(MARKS_PREFIX)] = int(data)

    def count(self, dropped: Iterable[EventRecord]) -> set[int]:
        """Count records that are dropped; returns the hours that are others now.

        An hour that is among them and has no counts any more was added to those before.
        """
        changed: set[int] = set()
        for record in dropped:
            hour = max(1, record.wall_ms // HOUR_MS)
            self.hours.setdefault(hour, Counter())[record.kind, record.group] += 1
            changed.add(hour)
        hours = sorted(hour for hour in self.hours if hour != EARLIER)
        for hour in hours[: max(0, len(hours) - HOURS_MAX)]:
            self.hours.setdefault(EARLIER, Counter()).update(self.hours.pop(hour))
            changed |= {hour, EARLIER}
        return changed


def detail_of_row(row: Mapping[str, Any], row_hash: str) -> dict[str, Any]:
    """What the event of an epoch that was opened says, of its row of the history."""
    named = (
        ("why", "ended"), ("cause", "cause"), ("before", "before"),
        ("before_epoch", "before_epoch"), ("took_ms", "took_ms"), ("unled_ms", "unled_ms"),
        ("principal", "principal"), ("reason", "reason"),
    )  # fmt: skip
    found = {name: row[of] for name, of in named if row.get(of) not in (None, "")}
    return brief(found) | {"row": row_hash}
