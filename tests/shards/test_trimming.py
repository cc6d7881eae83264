"""What is trimmed of a log: what nobody needs, and what is held for somebody for too long."""

from __future__ import annotations

import pytest

from shards.trimming import HOLD, HOLD_NOTHING, STEP_BYTES, STEP_ENTRIES, Hold, Trimming

SMALL = 100


def written(entries: int, size: int = SMALL) -> Trimming:
    """The marks of a log of so many entries of one size."""
    trimming = Trimming()
    for sequence in range(1, entries + 1):
        trimming.wrote(sequence, sequence * size)
    return trimming


def trimmed(trimming: Trimming, commit: int, *covered: int, hold: Hold = HOLD) -> int:
    trimming.advance(commit, covered, hold)
    return trimming.upto


@pytest.mark.parametrize("size", [SMALL, 1_000, 64_000, 2 * STEP_BYTES])
def test_only_a_little_is_kept_of_what_all_stores_have(size: int) -> None:
    entries = 3_000
    kept = entries - trimmed(written(entries, size), entries, entries, entries)
    assert 0 < kept <= 2 * STEP_ENTRIES
    assert kept * size <= 2 * (STEP_BYTES + size)


def test_a_short_log_is_left_alone() -> None:
    assert trimmed(written(STEP_ENTRIES), STEP_ENTRIES, STEP_ENTRIES) == 0


def test_what_is_not_committed_is_never_trimmed() -> None:
    assert trimmed(written(5_000), 700, 5_000, 5_000, hold=HOLD_NOTHING) <= 700


def test_what_a_store_lacks_is_held_for_it() -> None:
    trimming = written(5_000)
    assert trimmed(trimming, 5_000, 5_000, 5_000, 1_000) <= 1_000
    assert trimmed(trimming, 5_000, 5_000, 5_000, 5_000) > 4_000


@pytest.mark.parametrize(("entries", "size"), [(2 * HOLD.entries, 10), (500, 64_000)])
def test_a_store_that_is_gone_holds_back_no_more_than_the_bound(entries: int, size: int) -> None:
    kept = entries - trimmed(written(entries, size), entries, entries, entries, 0)
    assert kept <= HOLD.entries + STEP_ENTRIES
    assert kept * size <= HOLD.bytes + STEP_BYTES + size
    assert kept > 10


def test_a_store_is_asked_once_at_a_time_and_again_until_it_has_come_so_far() -> None:
    trimming = written(5_000)
    upto = trimmed(trimming, 5_000, 5_000)
    assert trimming.asks(0)
    assert not trimming.asks(0)
    assert trimming.asks(1)
    assert trimming.answered(0, upto - 1)
    assert trimming.asks(0)
    assert not trimming.answered(0, upto)
    assert not trimming.answered(1, None), "one that did not answer is asked with the next mark"
    assert trimming.asks(1)
