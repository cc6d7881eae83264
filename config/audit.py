"""The audit log: what was changed, by whom and why, as records that are chained by their digests.

Theory of operation. A record is canonical JSON. It has the number after the record before it, and
the digest of that record: so of a chain whose last digest is known, nothing can be changed, left
out, put in or put elsewhere unseen. The *head* is the number and the digest of the last record, the
*anchor* those of the last one that was trimmed: where what is kept begins. Any record's number with
its digest is a *checkpoint*: who keeps one elsewhere can tell later that nothing up to there was
cut off or replaced. Every so often a record says so of itself (`checkpoint`), and is told.

Keys lie in the shard `system`, partition `audit`. Whoever leads that shard is the one writer, and
puts the records of a change into the entry of the change (controlplane/node/audit_log).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, NamedTuple

import orjson

from config.document import canonical, digest_of
from regions.codec import as_bytes

PARTITION: Final = "audit"
HEAD_KEY: Final = "{audit}/head"
ANCHOR_KEY: Final = "{audit}/anchor"
RECORDS_PREFIX: Final = "{audit}/records/"
SYSTEM_PRINCIPAL: Final = "system"
CHECKPOINT_RECORDS: Final = 500
"""At least one of so many records is a checkpoint."""
RECORDS_MAX: Final = 20_000
BYTES_MAX: Final = 32 * 1024 * 1024
"""How much is kept unless a node is told otherwise."""
BRIEF_BYTES_MAX: Final = 2_048
"""A value that is longer is told by its digest."""


class What(StrEnum):
    """What a record is of."""

    DOCUMENT = "document"
    ROLLOUT = "rollout"
    EMERGENCY = "emergency"
    APPROVAL = "approval"
    LEADERSHIP = "leadership"
    TRANSFER = "transfer"
    EVICTION = "eviction"
    DRAIN = "drain"
    PROMISE = "stop-promise"
    PLAN = "plan"
    MOVE = "move"
    PAUSE = "pause"
    BRAKE = "brake"
    RESHARDING = "resharding"
    FOLLOWER = "follower"
    GROUP = "group"
    STORES = "stores"
    LEASE = "lease"
    FORCED = "force-recover"
    CHECKPOINT = "checkpoint"
    TRIMMED = "trimmed"
    UNREADABLE = "unreadable"
    """Never written: shown in the place of a record that is none any more."""


@dataclass(frozen=True, slots=True)
class Note:
    """What is to be recorded of a change; `before` and `after` are JSON.

    Values that are too long for a record are told by their digest (`brief`).
    """

    what: What
    subject: str
    principal: str = SYSTEM_PRINCIPAL
    reason: str = ""
    before: Any = None
    after: Any = None


class Stamp(NamedTuple):
    """Who records, and when: the leader of the system shard, its epoch, the time on its wall."""

    node: str
    epoch: int
    wall_ms: int


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain: of the last record its number and digest; 0 before there is one.

    `size_bytes` is of all records there ever were; `checkpoint` the number of the last checkpoint.
    """

    sequence: int = 0
    digest: str = ""
    size_bytes: int = 0
    checkpoint: int = 0

    def packed(self) -> bytes:
        """As kept in the system shard."""
        return canonical(
            {
                "sequence": self.sequence, "digest": self.digest, "size_bytes": self.size_bytes,
                "checkpoint": self.checkpoint,
            }
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Anchor:
    """Where what is kept begins: the last record that was trimmed, `size_bytes` of all of those."""

    sequence: int = 0
    digest: str = ""
    size_bytes: int = 0

    def packed(self) -> bytes:
        """As kept in the system shard."""
        return canonical(
            {"sequence": self.sequence, "digest": self.digest, "size_bytes": self.size_bytes}
        )


class Kept(NamedTuple):
    """One record: its number, and the bytes that are kept and digested."""

    sequence: int
    data: bytes

    @property
    def key(self) -> str:
        """Where it is kept; keys sort as numbers do."""
        return record_key(self.sequence)

    @property
    def digest(self) -> str:
        """By which the next record names it."""
        return digest_of(self.data)


def record_key(sequence: int) -> str:
    """Where a record is kept."""
    return f"{RECORDS_PREFIX}{sequence:016d}"


def sequence_of(key: str) -> int:
    """The number of the record that is kept there."""
    return int(key.removeprefix(RECORDS_PREFIX))


def chained(head: Head, notes: Iterable[Note], stamp: Stamp) -> tuple[tuple[Kept, ...], Head]:
    """The records that follow `head`, and the head after them; a checkpoint where one is due."""
    records: list[Kept] = []
    for note in notes:
        record, head = _follow(head, note, stamp)
        records.append(record)
    if head.sequence - head.checkpoint >= CHECKPOINT_RECORDS:
        record, head = _follow(head, checkpoint_note(head), stamp)
        records.append(record)
    return tuple(records), head


def checkpoint_note(head: Head) -> Note:
    """Says where the chain is; the record that it becomes is the checkpoint."""
    after = {"sequence": head.sequence, "digest": head.digest}
    return Note(What.CHECKPOINT, str(head.sequence), after=after)


def _follow(head: Head, note: Note, stamp: Stamp) -> tuple[Kept, Head]:
    sequence = head.sequence + 1
    is_bounded = note.what is What.LEADERSHIP  # by how many come at once
    before, after = (v if is_bounded else brief(v) for v in (note.before, note.after))
    data = canonical(
        {
            "sequence": sequence, "previous": head.digest, "wall_ms": stamp.wall_ms,
            "epoch": stamp.epoch, "node": stamp.node, "kind": note.what.value,
            "subject": note.subject, "principal": note.principal, "reason": note.reason,
            "before": before, "after": after,
        }
    )  # fmt: skip
    record = Kept(sequence, data)
    follows = replace(
        head, sequence=sequence, digest=record.digest, size_bytes=head.size_bytes + len(data)
    )
    is_checkpoint = note.what is What.CHECKPOINT
    return record, replace(follows, checkpoint=sequence) if is_checkpoint else follows


def brief(value: Any) -> Any:
    """A value as a record may hold it: itself if it is short, else its digest and length."""
    data = canonical(value)
    if len(data) <= BRIEF_BYTES_MAX:
        return value
    return {"digest": digest_of(data), "size_bytes": len(data)}


# -- reading


def read_head(value: bytes | str | None) -> Head:
    """The head as it was kept. Raises ValueError when it is none."""
    if not value:
        return Head()
    match _object(value):
        case {
            "sequence": int() as sequence, "digest": str() as digest,
            "size_bytes": int() as size_bytes, "checkpoint": int() as checkpoint,
        }:  # fmt: skip
            return Head(sequence, digest, size_bytes, checkpoint)
    raise ValueError("this is not the head of an audit log")


def read_anchor(value: bytes | str | None) -> Anchor:
    """The anchor as it was kept. Raises ValueError when it is none."""
    if not value:
        return Anchor()
    match _object(value):
        case {
            "sequence": int() as sequence, "digest": str() as digest,
            "size_bytes": int() as size_bytes,
        }:  # fmt: skip
            return Anchor(sequence, digest, size_bytes)
    raise ValueError("this is not the anchor of an audit log")


def fields_of(record: Kept) -> dict[str, Any] | None:
    """What a record says; None when it is no record, or not the one of its number."""
    try:
        fields = _object(record.data)
    except ValueError:
        return None
    is_one = fields.get("sequence") == record.sequence and isinstance(fields.get("previous"), str)
    return fields if is_one else None


def shown(record: Kept) -> dict[str, Any]:
    """A record as people get it: what it says, with its digest; `exported` reads that back."""
    fields = fields_of(record)
    if fields is None:
        fields = {
            "sequence": record.sequence, "previous": "", "wall_ms": 0, "epoch": 0, "node": "",
            "kind": What.UNREADABLE.value, "subject": "", "principal": "", "reason": "",
            "before": None, "after": None,
        }  # fmt: skip
    return {**fields, "digest": record.digest}


def exported(line: Mapping[str, Any]) -> tuple[Kept, str]:
    """A record as `shown` gave it, and the digest that came with it. Raises ValueError."""
    fields = {name: value for name, value in line.items() if name != "digest"}
    sequence, digest = fields.get("sequence"), line.get("digest")
    if not isinstance(sequence, int) or isinstance(sequence, bool) or not isinstance(digest, str):
        raise ValueError("this is not a record of an audit log")
    return Kept(sequence, canonical(fields)), digest


def _object(value: bytes | str) -> dict[str, Any]:
    found = orjson.loads(as_bytes(value))
    if not isinstance(found, dict):
        raise ValueError("this is not a JSON object")
    return found
