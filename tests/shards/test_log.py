"""The leader's side of a log: what is sent where, what an answer proves, what is committed."""

from typing import Any

import pytest

from shards import log as log_file
from shards.entry import Entry, write_entry
from shards.log import Log, Stream

START = Entry(0, 0, 0, b"")
BIG = 1 << 20


def opened(stores: int = 3, voters: int = 3, epoch: int = 3) -> Log:
    """A log at its beginning, its opening entry written and sent nowhere."""
    made = Log("a", epoch, "p/1", voters, stores, START, 0)
    made.open_epoch([])
    for store in range(stores):
        made.matches(store, 0, 0, 0, 0)
    return made


def send(log: Log, store: int, bytes_max: int = BIG, vouch: bool = True) -> tuple[list[Any], int]:
    found = log.next_append(store, "g", 1, bytes_max, vouch)
    assert found is not None
    return found


def sent_entries(command: list[Any]) -> int:
    return len(command[9])


def ack(log: Log, store: int, covered: int, number: int | None = None, cm: int = 0) -> int:
    """The store accepted an append of this epoch that covers so much."""
    at = log.entry_at(covered)
    epoch, chain = (at.epoch, at.chain) if at is not None else (0, 0)
    round_number = log.followers[store].round if number is None else number
    payload = [str(epoch), covered, chain, cm, cm, covered, 100]
    return log.appended(store, round_number, payload)


def settle(log: Log) -> None:
    """Everything is sent to everybody and answered, commit index and all."""
    for _ in range(3):
        for store in range(len(log.followers)):
            while (found := log.next_append(store, "g", 1, BIG, True)) is not None:
                ack(log, store, found[0][6] + sent_entries(found[0]), found[1], found[0][10])


# -- sending


def test_an_append_names_what_it_follows_and_what_is_committed() -> None:
    log = opened()
    settle(log)
    before = log.last
    entry = log.write([["d", "", "k"]])
    command, _ = send(log, 0)
    assert command == [
        "append", "g", 1, "a", "3", "p/1",
        before.sequence, str(before.epoch), before.chain, [entry.blob], 1, 1,
    ]  # fmt: skip


def test_entries_leave_in_order_and_once() -> None:
    log = opened()
    settle(log)
    for _ in range(3):
        log.write([])
    assert sent_entries(send(log, 0)[0]) == 3
    assert log.next_append(0, "g", 1, BIG, True) is None
    log.write([])
    command, _ = send(log, 0)
    assert (command[6], sent_entries(command)) == (4, 1)


def test_a_batch_ends_when_it_is_full_but_holds_one_entry_at_least() -> None:
    log = opened()
    settle(log)
    for _ in range(3):
        log.write([["p", "", "k", bytes(1_000), 1]])
    sizes = [sent_entries(send(log, 0, bytes_max)[0]) for bytes_max in (1, 1_500)]
    assert sizes == [1, 2]


def test_only_the_append_that_brings_a_store_to_the_end_marks_it() -> None:
    log = opened()
    settle(log)
    log.write([])
    log.write([])
    assert [send(log, 0, 1)[0][-1], send(log, 0, 1)[0][-1]] == [0, 1]
    assert not log.unvouched(0)
    assert log.unvouched(1)


@pytest.mark.parametrize(("is_open", "vouch"), [(False, True), (True, False), (False, False)])
def test_a_log_that_is_not_open_or_not_served_marks_nothing(is_open: bool, vouch: bool) -> None:
    log = opened()
    if is_open:
        settle(log)
        log.write([])
    command, _ = send(log, 0, vouch=vouch)
    assert command[-1] == 0
    assert log.unvouched(0)
    assert not log.wants(0, vouch)


def test_a_commit_index_is_sent_once_and_then_marks() -> None:
    log = opened()
    for store in range(3):
        send(log, store)
    ack(log, 0, 1)
    assert ack(log, 1, 1) == 1
    assert all(log.wants(store, True) for store in range(3))
    assert log.unvouched(0)
    command, _ = send(log, 0)
    assert (sent_entries(command), command[10], command[-1]) == (0, 1, 1)
    assert not log.wants(0, True)


# -- committing


def test_commit_needs_a_majority_of_voters() -> None:
    log = opened(stores=5, voters=3)
    for follower in (3, 4):
        assert ack(log, follower, 1) == 0
    assert [ack(log, 0, 1), ack(log, 1, 1)] == [0, 1]
    assert log.is_open


def test_commit_never_goes_back_and_answers_may_come_twice_and_late() -> None:
    log = opened()
    settle(log)
    for _ in range(4):
        log.write([])
    assert [ack(log, s, n) for s, n in [(0, 5), (1, 3), (1, 2), (1, 3), (2, 4)]] == [1, 3, 3, 3, 4]
    assert log.pending == 1


def test_a_store_never_covers_more_than_there_is() -> None:
    log = opened()
    ack(log, 0, 1)
    log.appended(1, log.followers[1].round, ["9", 9, 0, 0, 0, 9, 0])
    assert log.commit == 1
    log.write([])
    assert log.commit == 1
    assert log.followers[1].covered == 1


def test_an_answer_of_an_earlier_stream_proves_what_it_covers_and_moves_nothing() -> None:
    log = opened()
    command, number = send(log, 0)
    assert sent_entries(command) == 1
    log.lost(0)
    assert ack(log, 0, 1, number) == 0
    follower = log.followers[0]
    assert (follower.stream, follower.covered) == (Stream.UNKNOWN, 1)
    assert ack(log, 1, 1) == 1


# -- streams


def test_a_lost_connection_begins_with_a_probe_and_one_alone() -> None:
    log = opened()
    settle(log)
    log.lost(0)
    assert log.unvouched(0)
    command, number = send(log, 0)
    assert command[6:] == [0, "0", 0, [], 0, 0]
    assert log.next_append(0, "g", 1, BIG, True) is None
    log.write([])
    ack(log, 0, 1, number, cm=1)
    again, _ = send(log, 0)
    assert (again[6], sent_entries(again)) == (1, 1)


@pytest.mark.parametrize(
    ("tail", "committed", "goes_on_after"),
    [
        ((1, 3), 0, 1),  # the same entry: go on from it
        ((1, 2), 0, 0),  # another one: from what is committed there
        ((7, 2), 1, 1),
        ((0, 0), 0, 0),
    ],
)
def test_a_grant_shows_where_a_stream_begins(
    tail: tuple[int, int], committed: int, goes_on_after: int
) -> None:
    log = Log("a", 3, "p/1", 3, 3, START, 0)
    log.open_epoch([])
    log.write([])
    at = log.entry_at(tail[0])
    log.matches(0, tail[0], tail[1], 0 if at is None else at.chain, committed)
    assert log.followers[0].sent == goes_on_after
    assert send(log, 0)[0][6] == goes_on_after


def test_a_gap_goes_back_to_what_is_committed_there_once() -> None:
    log = opened()
    settle(log)
    for _ in range(3):
        log.write([])
    _, number = send(log, 0)
    log.write([])
    send(log, 0)
    log.gap(0, number, ["3", 1, 0, 1, 0])
    assert send(log, 0)[0][6] == 1
    log.gap(0, number, ["3", 1, 0, 0, 0])  # the second one in flight meets the same gap
    assert log.followers[0].sent == log.last.sequence
    assert log.next_append(0, "g", 1, BIG, True) is None


def test_a_store_that_refuses_gets_nothing_more_though_its_lane_breaks() -> None:
    log = opened()
    settle(log)
    log.refused(0)
    log.write([])
    log.lost(0)
    assert log.followers[0].stream is Stream.REFUSED
    assert not log.wants(0, True)
    assert log.next_append(0, "g", 1, BIG, True) is None
    assert log.unvouched(0)


# -- memory


def test_what_every_flowing_store_has_is_forgotten() -> None:
    log = opened()
    settle(log)
    log.write([])
    log.write([])
    send(log, 0)
    for store, covered in ((0, 3), (1, 2), (2, 2)):
        ack(log, store, covered)
    log.forget()
    assert log.floor.sequence == 2
    assert log.entry_at(1) is None
    assert log.entry_at(3) is not None
    log.forget()
    assert log.floor.sequence == 2


def test_entries_are_kept_for_a_store_whose_first_answer_is_under_way() -> None:
    log = Log("a", 3, "p/1", 3, 3, START, 0)
    log.open_epoch([])
    for store in (0, 1):
        log.matches(store, 0, 0, 0, 0)
    _, number = send(log, 2)  # the probe of a store that has not granted, or not yet
    for store in (0, 1):
        send(log, store)
        ack(log, store, 1)
    log.forget()
    assert (log.is_open, log.floor.sequence) == (True, 0)
    ack(log, 2, 0, number)
    assert log.followers[2].stream is Stream.FLOWING
    command, _ = send(log, 2)
    assert sent_entries(command) == 1
    ack(log, 2, 1)
    log.forget()
    assert log.floor.sequence == 1


def test_a_young_epoch_needs_no_copy_for_a_store_whose_lane_was_lost() -> None:
    log = Log("a", 3, "p/1", 3, 3, START, 0)
    log.open_epoch([])
    for store in (0, 1, 2):
        log.matches(store, 0, 0, 0, 0)
        send(log, store)
    log.lost(2)
    for store in (0, 1):
        ack(log, store, 1)
    log.forget()
    assert (log.is_open, log.floor.sequence) == (True, 0)
    _, number = send(log, 2)
    ack(log, 2, 0, number)
    assert sent_entries(send(log, 2)[0]) == 1
    for _ in range(log_file.YOUNG_ENTRIES + 1):
        log.write([])
    log.lost(2)
    for store in (0, 1):
        send(log, store)
        ack(log, store, log.last.sequence)
    log.forget()
    assert log.floor.sequence == log.last.sequence  # it has kept the others waiting long enough


def test_a_store_out_of_reach_holds_nothing_back_and_needs_a_copy_then() -> None:
    log = opened()
    settle(log)
    log.lost(2)
    for _ in range(3):
        log.write([])
    for store in (0, 1):
        send(log, store)
        ack(log, store, 4)
    log.forget()
    assert log.floor.sequence == 4
    _, number = send(log, 2)
    ack(log, 2, 1, number, cm=1)
    assert log.followers[2].stream is Stream.BEHIND
    assert log.leaves_behind
    assert log.next_append(2, "g", 1, BIG, True) is None
    log.caught_up(2, 4)
    assert log.followers[2].stream is Stream.FLOWING
    assert not log.leaves_behind


def test_a_slow_store_that_overflows_memory_is_copied_to_from_what_it_has_committed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_file, "CACHE_BYTES_MAX", 5_000)
    log = opened()
    settle(log)
    for _ in range(5):
        log.write([["p", "", "k", bytes(2_000), 1]])
    send(log, 2, 1)  # one of five is on its way to store 2, and was not answered
    for store in (0, 1):
        send(log, store)
        ack(log, store, 6)
    log.forget()
    follower = log.followers[2]
    assert log.floor.sequence > follower.covered
    assert (follower.stream, follower.sent) == (Stream.BEHIND, 1)  # not 2: that is not certain


def test_what_is_not_committed_is_kept_whatever_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "CACHE_BYTES_MAX", 1_000)
    log = opened()
    settle(log)
    log.forget()
    for _ in range(5):
        log.write([["p", "", "k", bytes(2_000), 1]])
    log.forget()
    assert log.floor.sequence == 1
    assert sent_entries(send(log, 0)[0]) == 5


def test_the_next_epoch_of_the_same_process_goes_on_with_what_is_kept() -> None:
    older = opened(epoch=3)
    settle(older)
    older.write([])
    log = Log("a", 5, "p/1", 3, 3, older.last, older.commit)
    log.inherit(older)
    log.open_epoch([])
    assert (log.commit, log.last.sequence, log.is_open) == (1, 3, False)
    log.matches(0, 1, 3, 0 if (at := older.entry_at(1)) is None else at.chain, 1)
    assert sent_entries(send(log, 0)[0]) == 2
    assert [f.covered for f in log.followers] == [0, 0, 0]


def test_recovered_entries_keep_their_epochs() -> None:
    first = write_entry(4, 77, 1, [])
    second = write_entry(5, first.chain, 2, [])
    log = Log("a", 9, "p/1", 3, 3, Entry(4, 0, 0, b""), 4)
    log.extend([first, second])
    opening = log.open_epoch([])
    assert [log.entry_at(seq) for seq in (4, 5, 6, 7)] == [None, first, second, opening]
    with pytest.raises(AssertionError):
        log.extend([first])
