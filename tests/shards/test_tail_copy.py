"""The greatest log of a shard, carried to a store that lacks it: in one piece, or in parts."""

from __future__ import annotations

from typing import Any

import pytest

from regions.codec import Code
from regions.membership import Member
from shards.entry import Entry, write_entry
from shards.merge import Held, Placed, Record, Tip
from shards.tail_copy import CHUNK_BYTES, Phase, TailCopy

OK = [Code.OK, 1, "sealed", False]
GRANT = ["9", "0", "9", "p/1", "held", "", 0]


def log(last: int, epoch: int = 1) -> list[Entry]:
    made = [Entry(0, 0, 0, b"")]
    for seq in range(1, last + 1):
        made.append(write_entry(seq - 1, made[-1].chain, epoch, []))
    return made


LOG, OTHER = log(9), log(9, epoch=2)
TIP = Tip(LOG[9].epoch, 9, LOG[9].chain)
SOURCES = frozenset({Member("s1", "i")})
RECORD = Record(7, 0, Held(6, "p/1", 0, 1), Placed(0, b""), TIP, SOURCES, 5)


def copy(committed: int = 2) -> TailCopy:
    return TailCopy("a", RECORD, "g", 1, 2, "3/c", committed)


def ranged(first: int, last: int, base: int = 0, of: list[Entry] = LOG) -> list[Any]:
    entries = [[seq, of[seq].blob] for seq in range(max(first, base + 1), last + 1)]
    return [*OK, GRANT, "9", last, 0, 5, "0", base, 0, entries]


def merging(found: TailCopy) -> tuple[int, Any]:
    """From where on, and which entries, the merge brings."""
    question = found.question()
    assert question is not None
    assert question[:5] == ["merge", "g", 2, "a", "3/c"]
    return question[13], question[14]


def test_a_tail_of_one_chunk_goes_along_with_the_merge() -> None:
    found = copy()
    assert (found.is_at_source, found.question()) == (True, ["range", "g", 1, "a", 3, CHUNK_BYTES])
    found.answered(ranged(3, 9))
    assert merging(found) == (3, [entry.blob for entry in LOG[3:]])
    found.answered(OK)
    assert (found.phase, found.question()) == (Phase.DONE, None)


def test_a_longer_one_is_sent_in_parts_before() -> None:
    found = copy()
    found.answered(ranged(3, 5))
    parts = [[seq, LOG[seq].blob] for seq in (3, 4, 5)]
    assert found.question() == ["merge_tail", "g", 2, "a", "3/c", parts]
    found.answered(OK)
    assert found.question() == ["range", "g", 1, "a", 6, CHUNK_BYTES]
    found.answered(ranged(6, 9))
    question = found.question()
    assert question is not None
    assert question[0] == "merge_tail"
    found.answered(OK)
    assert merging(found) == (3, False)


def test_entries_that_a_source_in_use_has_gained_since_are_left_out() -> None:
    longer = [*LOG, write_entry(9, LOG[9].chain, 3, [])]
    found = copy()
    found.answered(ranged(3, 10, of=longer))
    assert merging(found) == (3, [entry.blob for entry in LOG[3:]])


@pytest.mark.parametrize(
    ("answer", "phase"),
    [
        (ranged(3, 9, base=2), Phase.MERGING),
        (ranged(3, 9, base=3), Phase.TRIMMED),
        (ranged(3, 9, of=OTHER), Phase.REPLACED),
        (ranged(3, 2), Phase.REPLACED),
        ([Code.OLD_VERSION, 2, "open", b"x"], Phase.FAILED),
        (None, Phase.FAILED),
    ],
)
def test_what_a_source_may_answer(answer: list[Any] | None, phase: Phase) -> None:
    found = copy()
    found.answered(answer)
    assert found.phase is phase
