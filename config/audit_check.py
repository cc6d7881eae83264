"""Whether records of an audit log are a chain, and if not, what is wrong with them, and where.

Theory of operation. Each record names the digest of the one before, so a record that was changed
does not fit to its successor. Which of the two it is, the next pair tells: one that its own
successor follows is as it was written. The last record has no successor: what it is held against is
the head as the log keeps it, the digest that was exported with it, or a checkpoint that somebody
kept. Without any of them nobody can say whether the last records are there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from config.audit import Anchor, Head, Kept, fields_of

HOLES_TOLD_MAX: Final = 100
_CHECKPOINT: Final = re.compile(r"([0-9]{1,15}):([0-9a-f]{64})")


class Checkpoint(NamedTuple):
    """The number of a record and its digest, kept outside of the log."""

    sequence: int
    digest: str


class Held(StrEnum):
    """What became of a record of which a checkpoint was kept."""

    MATCHES = "matches"
    DIFFERS = "differs"
    MISSING = "missing"
    """The log ends before it, or has a hole there."""
    TRIMMED = "trimmed"
    """It is older than all that is kept: it says nothing of it."""


@dataclass(frozen=True, slots=True)
class Hole:
    """Records that are not there: from `first` to `last`."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether records are whole, from which to which; `head` is the digest of the last one.

    `problem` says what is wrong first of all, `at` with which record.
    """

    valid: bool
    records: int
    first: int
    last: int
    head: str
    holes: tuple[Hole, ...]
    problem: str | None
    at: int | None
    checkpoint: Held | None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a log beside its records; None where nobody knows.

    `digests` came with the records, by number.
    """

    anchor: Anchor | None = None
    head: Head | None = None
    checkpoint: Checkpoint | None = None
    digests: Mapping[int, str] | None = None


class _Problem(NamedTuple):
    at: int
    text: str


def read_checkpoint(text: str) -> Checkpoint:
    """A checkpoint as people write it, `SEQUENCE:DIGEST`. Raises ValueError."""
    found = _CHECKPOINT.fullmatch(text.strip())
    if found is None:
        raise ValueError("must be the number of a record, a colon, and its digest (64 digits)")
    return Checkpoint(int(found[1]), found[2])


def check(records: Sequence[Kept], known: Known) -> Verdict:
    """Judge records, in the order in which they came."""
    problems: list[_Problem] = []
    start = _start(records, known)
    problems += _beginning(records, start)
    problems += _links(records, start, known)
    holes = _holes(records, start.sequence, known)
    if holes and not problems:
        problems.append(_Problem(holes[0].first, f"record {holes[0].first} is missing"))
    problems += _end(records, start, known)
    held, complaint = _held(records, start, known.checkpoint)
    problems += complaint
    last = records[-1] if records else None
    return Verdict(
        valid=not problems,
        records=len(records),
        first=records[0].sequence if records else 0,
        last=last.sequence if last is not None else start.sequence,
        head=last.digest if last is not None else start.digest,
        holes=tuple(holes[:HOLES_TOLD_MAX]),
        problem=problems[0].text if problems else None,
        at=problems[0].at if problems else None,
        checkpoint=held,
    )


def _start(records: Sequence[Kept], known: Known) -> Anchor:
    """What the first record has to follow; where nobody says, what it says itself."""
    if known.anchor is not None:
        return known.anchor
    fields = fields_of(records[0]) if records else None
    if fields is None:
        return Anchor(max(0, records[0].sequence - 1) if records else 0)
    return Anchor(records[0].sequence - 1, fields["previous"])


def _beginning(records: Sequence[Kept], start: Anchor) -> list[_Problem]:
    if not records:
        return []
    first = records[0].sequence
    if first <= start.sequence:
        return [_Problem(first, f"record {first} is there, and was trimmed")]
    if start.sequence == 0 and start.digest:
        return [_Problem(1, "record 1 follows another one: it was changed")]
    return []


def _links(records: Sequence[Kept], start: Anchor, known: Known) -> list[_Problem]:
    """Records that do not fit to their neighbours, or to the digests that came with them."""
    digests = [record.digest for record in records]
    fields = [fields_of(record) for record in records]
    expected = [None if each is None else each["previous"] for each in fields]
    found: list[_Problem] = []
    for at, record in enumerate(records):
        sequence = record.sequence
        if fields[at] is None:
            found.append(_Problem(sequence, f"record {sequence} is none any more"))
            continue
        if known.digests is not None and known.digests.get(sequence) != digests[at]:
            found.append(_Problem(sequence, f"record {sequence} was changed"))
            continue
        before = start if at == 0 else Anchor(records[at - 1].sequence, digests[at - 1])
        if sequence <= before.sequence and at > 0:
            found.append(_Problem(sequence, f"record {sequence} comes after {before.sequence}"))
        elif sequence == before.sequence + 1 and expected[at] != before.digest:
            changed = _which(at, records, expected, digests, known)
            found.append(_Problem(changed, f"record {changed} was changed"))
    return found


def _which(
    at: int,
    records: Sequence[Kept],
    expected: Sequence[str | None],
    digests: Sequence[str],
    known: Known,
) -> int:
    """Of a record and the one before it, which do not fit: the one that was changed."""
    sequence = records[at].sequence
    if at + 1 < len(records):
        is_followed = expected[at + 1] == digests[at]
    else:
        is_followed = known.head is not None and known.head.digest == digests[at]
    return sequence - 1 if is_followed and at > 0 else sequence


def _holes(records: Sequence[Kept], start: int, known: Known) -> list[Hole]:
    holes: list[Hole] = []
    before = start
    for record in records:
        if record.sequence > before + 1:
            holes.append(Hole(before + 1, record.sequence - 1))
        before = max(before, record.sequence)
    if known.head is not None and known.head.sequence > before:
        holes.append(Hole(before + 1, known.head.sequence))
    return holes


def _end(records: Sequence[Kept], start: Anchor, known: Known) -> list[_Problem]:
    """Whether the last record is the one that the log's head names."""
    head = known.head
    if head is None:
        return []
    last = Anchor(records[-1].sequence, records[-1].digest) if records else start
    if last.sequence < head.sequence:
        text = f"records end with {last.sequence}, and the log with {head.sequence}"
        return [_Problem(last.sequence + 1, text)]
    if (last.sequence, last.digest) != (head.sequence, head.digest):
        text = f"record {last.sequence} is not the one that the log ends with"
        return [_Problem(last.sequence, text)]
    return []


def _held(
    records: Sequence[Kept], start: Anchor, checkpoint: Checkpoint | None
) -> tuple[Held | None, list[_Problem]]:
    if checkpoint is None:
        return None, []
    sequence, digest = checkpoint
    found = {record.sequence: record.digest for record in records if record.sequence == sequence}
    if sequence == start.sequence:
        found[sequence] = start.digest
    elif sequence < start.sequence:
        return Held.TRIMMED, []
    if sequence not in found:
        last = records[-1].sequence if records else start.sequence
        text = f"record {sequence} of the checkpoint is missing: records end with {last}"
        return Held.MISSING, [_Problem(sequence, text)]
    if found[sequence] != digest:
        text = f"record {sequence} is another one than that of the checkpoint"
        return Held.DIFFERS, [_Problem(sequence, text)]
    return Held.MATCHES, []
