"""Watching others: when a counter first showed, who has fallen silent, how old a copy may be."""

from typing import Any

import pytest

from regions.lease_times import LeaseTimes, older_bound_ms
from regions.watch import Watch

TIMES = LeaseTimes(1_000)
WAIT_MS = TIMES.wait_ms


def poll(
    watch: Watch,
    now_ms: int,
    *sessions: tuple[str, int],
    store: int = 0,
    opseq: int = 1,
    **more: Any,
) -> list[list[Any]]:
    """The answer to a poll sent 3 ms ago, which shows sessions with their counters."""
    rows = [[sid, counter, 0, f"node of {sid}", "eu", "url", 0] for sid, counter in sessions]
    payload = [rows, more.get("dead", []), more.get("changed", []), more.get("upto", opseq)]
    return watch.polled(store, now_ms - 3, now_ms, opseq, payload)


def test_a_counter_is_dated_by_the_reply_that_first_showed_it() -> None:
    watch = Watch(1, TIMES)
    poll(watch, 100, ("h/1", 7))
    poll(watch, 600, ("h/1", 7))
    assert watch.counter_still(0, "h/1", 100 + WAIT_MS - 1) is None
    assert watch.counter_still(0, "h/1", 100 + WAIT_MS) == 7
    assert watch.still_at_ms("h/1", 1, 1) == 100 + WAIT_MS


@pytest.mark.parametrize("counter", [6, 8])
def test_another_counter_is_another_wait(counter: int) -> None:
    watch = Watch(1, TIMES)
    poll(watch, 100, ("h/1", 7))
    poll(watch, 600, ("h/1", counter))
    assert watch.counter_still(0, "h/1", 600 + WAIT_MS - 1) is None
    assert watch.counter_still(0, "h/1", 600 + WAIT_MS) == counter


def test_polls_that_failed_meanwhile_do_not_matter() -> None:
    watch = Watch(1, TIMES)
    poll(watch, 100, ("h/1", 7))
    poll(watch, 100 + 5 * WAIT_MS, ("h/1", 7))
    assert watch.counter_still(0, "h/1", 100 + 5 * WAIT_MS) == 7


def test_what_one_store_shows_is_not_known_of_another() -> None:
    watch = Watch(2, TIMES)
    poll(watch, 100, ("h/1", 7))
    assert watch.counter_still(1, "h/1", 100 + WAIT_MS) is None
    assert watch.still_at_ms("h/1", 2, 2) is None


def test_a_quorum_waits_for_its_slowest_and_followers_do_not_count() -> None:
    watch = Watch(4, TIMES)
    for store, at_ms in enumerate((300, 100, 200, 50)):
        poll(watch, at_ms, ("h/1", 7), store=store)
    assert watch.still_at_ms("h/1", 3, 2) == 200 + WAIT_MS


@pytest.mark.parametrize("how", ["dead", "absent"])
def test_a_session_that_died_is_not_seen_any_more(how: str) -> None:
    watch = Watch(1, TIMES)
    poll(watch, 100, ("h/1", 7))
    if how == "dead":
        poll(watch, 200, ("h/1", 7), dead=["h/1"])
    else:
        poll(watch, 200)
    assert watch.counter_still(0, "h/1", 100 + WAIT_MS) is None
    assert "h/1" not in watch.peers(300)


def test_a_poll_goes_on_where_the_last_one_ended() -> None:
    watch = Watch(2, TIMES)
    rows = [["a", "1", "0", "1", "h/1", "held", "", 0, 0, ""]]
    assert poll(watch, 100, opseq=40, upto=30, changed=rows) == rows
    assert (watch.since(0), watch.since(1)) == (30, 0)


def test_a_store_answers_if_a_poll_of_late_was_answered() -> None:
    watch = Watch(1, TIMES)
    assert not watch.answering(0, 0)
    poll(watch, 1_000)
    assert watch.answering(0, 997 + 3 * TIMES.poll_every_ms + 20)
    assert not watch.answering(0, 997 + 3 * TIMES.poll_every_ms + 21)


def test_a_peer_is_as_silent_as_where_it_is_least() -> None:
    watch = Watch(2, TIMES)
    poll(watch, 100, ("h/1", 7), ("i/1", 1))
    poll(watch, 300, ("h/1", 8), store=1)
    peers = watch.peers(500)
    assert {sid: peer.silent_ms for sid, peer in peers.items()} == {"h/1": 200, "i/1": 400}
    assert peers["h/1"].node == "node of h/1"


def test_a_peer_appeared_when_its_session_did_and_not_with_its_last_renewal() -> None:
    watch = Watch(1, TIMES)
    for at_ms in (100, 200, 300):
        poll(watch, at_ms, ("h/1", at_ms))
    assert watch.peers(400)["h/1"].appeared_ms == 100


@pytest.mark.parametrize(
    ("seen", "since_ms"),
    [(0, None), (10, None), (11, 100), (20, 100), (21, 200), (30, 200), (31, 300), (99, 300)],
)
def test_the_age_of_a_copy(seen: int, since_ms: int | None) -> None:
    watch = Watch(1, TIMES)
    for opseq, sent_ms in ((10, 100), (20, 200), (30, 300)):
        watch.heard(0, opseq, sent_ms)
    bound_ms = watch.staleness_ms(0, seen, 1_000)
    assert bound_ms == (None if since_ms is None else older_bound_ms(since_ms, 1_000))


def test_the_latest_of_equal_polls_dates_a_copy() -> None:
    watch = Watch(1, TIMES)
    for sent_ms in (100, 200, 300):
        watch.heard(0, 10, sent_ms)
    assert watch.staleness_ms(0, 11, 1_000) == older_bound_ms(300, 1_000)


def test_an_opseq_without_a_poll_dates_nothing() -> None:
    watch = Watch(1, TIMES)
    watch.heard(0, 10)
    assert watch.opseq == [10]
    assert watch.staleness_ms(0, 11, 1_000) is None
    watch.heard(0, 5)
    assert watch.opseq == [10]
