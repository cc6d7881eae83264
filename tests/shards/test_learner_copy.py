"""One shard, copied to a learner: one question at a time, and never with a hole or a ghost."""

from __future__ import annotations

from typing import Any

import pytest

from regions.codec import Code
from shards import learner_copy
from shards.entry import Entry, write_entry
from shards.learner_copy import CHUNK_BYTES, LearnerCopy, Phase

GRANT = ["9", "0", "9", "p/1", "held", "", 0]
OK = [Code.OK, 1, "open", False]
BY = "3/c"


def log(last: int, forgets_at: int = 0) -> list[Entry]:
    """Entries from the first; index is the sequence."""
    made = [Entry(0, 0, 0, b"")]
    for seq in range(1, last + 1):
        effects: list[list[Any]] = [["x", 1]] if seq == forgets_at else []
        made.append(write_entry(seq - 1, made[-1].chain, 1, effects))
    return made


LOG = log(40)


def copy(matched: int = 0) -> LearnerCopy:
    return LearnerCopy("a", "g", 1, 1, BY, matched)


def ranged(
    first: int, last: int, committed: int = 40, base: int = 0, of: list[Entry] = LOG
) -> list[Any]:
    """What a source answers to `range`."""
    entries = [[seq, of[seq].blob] for seq in range(max(first, base + 1), last + 1)]
    trimmed = [str(of[base].epoch), base, of[base].chain]
    return [*OK, GRANT, "9", 99, 0, committed, *trimmed, entries]


def page(applied: int, *records: Any, more: int = 0) -> list[Any]:
    return [*OK, applied, list(records), more]


def walked(found: LearnerCopy, applied: int = 40) -> None:
    """A walk over nothing at all, its last page at that position."""
    found.answered(OK)
    for position in (applied, applied, applied):
        found.answered(page(position))
        found.answered(OK)


def test_entries_are_stored_chunk_by_chunk_until_there_are_no_more() -> None:
    found = copy()
    assert found.question() == ["range", "g", 1, "a", 1, CHUNK_BYTES]
    found.answered(ranged(1, 30))
    blobs = [entry.blob for entry in LOG[1:31]]
    assert found.question() == ["learn_log", "g", 1, "a", BY, 0, 0, blobs]
    found.answered([*OK, 30])
    assert found.question() == ["range", "g", 1, "a", 31, CHUNK_BYTES]
    found.answered(ranged(31, 40))
    question = found.question()
    assert question is not None
    assert question[5:7] == [30, LOG[30].chain]
    found.answered([*OK, 40])
    assert (found.phase, found.matched, found.question()) == (Phase.DONE, 40, None)
    assert found.copied_bytes == sum(len(entry.blob) for entry in LOG[1:])


def test_only_what_is_committed_is_learnt() -> None:
    found = copy()
    found.answered(ranged(1, 40, committed=7))
    question = found.question()
    assert question is not None
    assert len(question[7]) == 7


def test_a_source_that_has_nothing_more_ends_it() -> None:
    found = copy(matched=9)
    found.answered(ranged(10, 12, committed=8))
    assert found.phase is Phase.DONE


def test_a_learner_that_has_less_than_was_believed_says_so() -> None:
    found = copy(matched=9)
    found.answered(ranged(10, 12))
    found.answered([Code.GAP, 1, "learner", False, 4])
    assert found.question() == ["range", "g", 1, "a", 5, CHUNK_BYTES]


def test_where_entries_are_gone_a_walk_begins_at_the_last_that_is_committed() -> None:
    found = copy(matched=5)
    found.answered(ranged(6, 30, base=20))
    assert found.question() == ["range", "g", 1, "a", 40, 1]
    found.answered(ranged(40, 40, base=20))
    assert found.question() == ["learn_page", "g", 1, "a", BY, "", []]
    found.answered(OK)
    assert found.question() == ["page", "g", 1, "a", "kv", "", learner_copy.CHUNK_BYTES]
    found.answered(page(40, ["\0k", "7 v"], more=1))
    assert found.question() == ["learn_page", "g", 1, "a", BY, "kv", [["\0k", "7 v"]]]
    found.answered(OK)
    assert found.question() == ["page", "g", 1, "a", "kv", "\0k", learner_copy.CHUNK_BYTES]
    for _ in range(3):
        found.answered(page(40))
        found.answered(OK)
    at = [str(LOG[40].epoch), 40, LOG[40].chain]
    assert found.question() == ["learn_data", "g", 1, "a", BY, *at, 40]
    found.answered(OK)
    assert (found.matched, found.question()) == (40, ["range", "g", 1, "a", 41, CHUNK_BYTES])


def test_when_all_that_is_committed_is_trimmed_the_walk_begins_at_the_base() -> None:
    found = copy(matched=5)
    found.answered(ranged(6, 20, committed=20, base=20))
    walked(found, 20)
    at = [str(LOG[20].epoch), 20, LOG[20].chain]
    assert found.question() == ["learn_data", "g", 1, "a", BY, *at, 20]


def begun(start: int = 30) -> LearnerCopy:
    """A copy that walks from there on."""
    found = copy()
    found.answered(ranged(1, 30, committed=start, base=20))
    found.answered(ranged(start, start, committed=start, base=20))
    return found


def test_what_must_be_applied_over_the_pages_is_looked_through_before_they_are_adopted() -> None:
    found = begun()
    walked(found, 35)
    assert found.question() == ["range", "g", 1, "a", 31, CHUNK_BYTES]
    found.answered(ranged(31, 33))
    assert found.question() == ["range", "g", 1, "a", 34, CHUNK_BYTES]
    found.answered(ranged(34, 40))
    assert found.phase is Phase.ADOPTING
    question = found.question()
    assert question is not None
    assert question[-1] == 35


def test_a_source_that_trimmed_past_the_start_is_walked_again() -> None:
    found = begun()
    walked(found, 35)
    found.answered(ranged(31, 40, base=33))
    assert found.question() == ["range", "g", 1, "a", 1, CHUNK_BYTES]
    found.answered(ranged(1, 40, base=33))
    assert found.phase is Phase.LOCATING
    found.answered(ranged(40, 40, base=33))
    assert found.question() == ["learn_page", "g", 1, "a", BY, "", []]


def test_ids_forgotten_during_a_walk_make_it_begin_after_that() -> None:
    """Pages read later lack ids with which earlier entries are to be compared."""
    forgetful = log(40, forgets_at=33)
    found = begun()
    walked(found, 35)
    found.answered(ranged(31, 40, of=forgetful))
    assert found.question() == ["range", "g", 1, "a", 40, 1]


def test_a_source_that_has_not_applied_the_start_is_not_walked() -> None:
    found = begun()
    found.answered(OK)
    found.answered(page(29))
    assert found.phase is Phase.FAILED


def test_a_learner_that_has_as_much_by_now_takes_entries() -> None:
    found = begun()
    walked(found, 30)
    found.answered([Code.LAGGING, 1, "learner", False])
    assert (found.matched, found.phase) == (30, Phase.READING)


@pytest.mark.parametrize("phase", list(Phase))
def test_what_a_lost_answer_does(phase: Phase) -> None:
    """Reading and storing entries is tried again; what is staged must not be mixed with what comes
    late, so nothing goes on under this attempt."""
    found = copy()
    found.phase = phase
    found.answered(None)
    staging = phase in (Phase.CLEARING, Phase.STAGING, Phase.ADOPTING)
    assert found.is_spoilt is staging
    expected = Phase.FAILED if staging or found.is_over else phase
    assert found.phase in (phase, expected)
    if not staging:
        for _ in range(learner_copy.ASKED_AGAIN_MAX):
            found.answered(None)
    assert found.phase is Phase.FAILED


@pytest.mark.parametrize("phase", [p for p in Phase if p not in (Phase.DONE, Phase.FAILED)])
def test_a_refusal_ends_it(phase: Phase) -> None:
    found = copy()
    found.phase = phase
    found.answered([Code.STALE, 1, "learner", False])
    assert (found.phase, found.is_spoilt) == (Phase.FAILED, False)
