"""Which log survives an election, and what has to be fetched of it."""

import pytest

from shards.election import Tail
from shards.entry import Entry, write_entry
from shards.recovery import Choice, Progress, Recovery, choose_log


def chain(*epochs: int) -> list[Entry]:
    """Entries 1, 2, ... of these epochs."""
    made: list[Entry] = []
    for epoch in epochs:
        before = made[-1] if made else Entry(0, 0, 0, b"")
        made.append(write_entry(before.sequence, before.chain, epoch, []))
    return made


LOG = chain(1, 1, 2, 2, 3)


def tail(
    entries: list[Entry], committed: int = 0, given: tuple[int, ...] = (), base: int = 0
) -> Tail:
    """The tail of a store with these entries, of which the grant holds those `given`."""
    last = entries[-1] if entries else Entry(0, 0, 0, b"")
    suffix = tuple((seq, entries[seq - 1].blob) for seq in given)
    return Tail(last.epoch, last.sequence, last.chain, committed, committed, base, 0, suffix)


def records(*sequences: int) -> list[list[object]]:
    return [[seq, LOG[seq - 1].blob] for seq in sequences]


@pytest.mark.parametrize(
    ("tails", "own", "store"),
    [
        ({0: (1, 9), 1: (2, 3)}, None, 1),  # the greatest epoch, never the longest
        ({0: (2, 3), 1: (2, 4), 2: (2, 4)}, None, 1),
        ({0: (0, 0), 1: (0, 0)}, None, 0),
        ({0: (2, 4)}, (2, 4), None),  # of equals, the leader's own
        ({0: (2, 4)}, (2, 5), None),
        ({0: (2, 4), 1: (2, 6)}, (2, 5), 1),
        ({0: (3, 1)}, (2, 5), 0),
    ],
)
def test_the_greatest_epoch_and_sequence_is_chosen(
    tails: dict[int, tuple[int, int]], own: tuple[int, int] | None, store: int | None
) -> None:
    shown = {i: Tail(epoch, seq, 0, 0, 0, 0, 0, ()) for i, (epoch, seq) in tails.items()}
    mine = None if own is None else Entry(own[1], own[0], 0, b"")
    assert choose_log(shown, mine, 0).store == store


def test_of_equal_logs_the_one_that_knows_more_committed() -> None:
    tails = {0: tail(LOG, committed=1), 1: tail(LOG, committed=4), 2: tail(LOG, committed=2)}
    assert choose_log(tails, None, 0) == Choice(1, 3, 5, LOG[4].chain, 4)


def test_what_anybody_knows_committed_is_committed() -> None:
    tails = {0: tail(LOG, committed=1), 1: tail(LOG[:4], committed=4)}
    assert Recovery(tails, None, 2).choice.committed == 4
    assert Recovery(tails, LOG[4], 5).choice.committed == 5


def test_a_whole_suffix_in_the_grant_needs_no_fetching() -> None:
    found = Recovery({0: tail(LOG, 2, (3, 4, 5)), 1: tail(LOG[:2])}, None, 0)
    assert found.progress is Progress.READY
    assert found.entries == LOG[2:]
    assert found.floor == Entry(2, 0, 0, b"")


def test_a_log_that_is_committed_to_its_end_needs_none_either() -> None:
    found = Recovery({0: tail(LOG, 5)}, None, 0)
    assert (found.progress, found.entries) == (Progress.READY, [])
    assert (found.floor.sequence, found.floor.epoch, found.floor.chain) == (5, 3, LOG[4].chain)


def test_an_own_log_that_is_ahead_needs_none() -> None:
    found = Recovery({0: tail(LOG[:4], 1), 1: tail(LOG[:4], 1)}, LOG[4], 3)
    assert (found.progress, found.choice.store, found.entries) == (Progress.READY, None, [])
    assert found.floor.sequence == 5


@pytest.mark.parametrize("given", [(), (3,), (3, 4), (4, 5), (5,)])
def test_what_a_grant_did_not_hold_is_fetched_from_where_it_ends(given: tuple[int, ...]) -> None:
    found = Recovery({0: tail(LOG, 2, given), 1: tail([])}, None, 0)
    assert found.progress is Progress.FETCHING
    have = 3 + len(found.entries)
    assert found.next_fetch("g", 1, "a", 500) == ["range", "g", 1, "a", have, 500]
    assert found.fetched(records(*range(have, 6))) is Progress.READY
    assert found.entries == LOG[2:]


def test_fetching_goes_on_in_pieces() -> None:
    found = Recovery({0: tail(LOG)}, None, 0)
    pieces = [found.fetched(records(*piece)) for piece in ((1, 2), (3,), (4, 5))]
    assert pieces == [Progress.FETCHING, Progress.FETCHING, Progress.READY]
    assert found.entries == LOG


@pytest.mark.parametrize("piece", [(), (2,), (5,)], ids=["nothing", "a hole", "the end alone"])
def test_a_source_that_cannot_go_on_fails_the_recovery(piece: tuple[int, ...]) -> None:
    found = Recovery({0: tail(LOG)}, None, 0)
    assert found.fetched(records(*piece)) is Progress.FAILED


def test_another_log_than_was_chosen_fails_the_recovery() -> None:
    other = chain(1, 1, 2, 2, 4)
    found = Recovery({0: tail(LOG, 4)}, None, 0)
    assert found.fetched([[5, other[4].blob]]) is Progress.FAILED


def test_entries_that_were_appended_since_are_not_taken() -> None:
    longer = chain(1, 1, 2, 2, 3, 3)
    found = Recovery({0: tail(LOG, 4)}, None, 0)
    assert found.fetched([[5, longer[4].blob], [6, longer[5].blob]]) is Progress.READY
    assert found.entries == [LOG[4]]
    assert found.fetched([[6, longer[5].blob]]) is Progress.READY  # twice is once
