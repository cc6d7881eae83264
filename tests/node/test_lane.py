"""The ordered lane as the core sees it: batches, answers in order, and what silence means."""

from typing import Any

import pytest

from controlplane.node.lane import COMMANDS_MAX, Lane
from regions.codec import FORMAT, Code, Reply


class Taker:
    """Takes answers and remembers them, with their time."""

    def __init__(self) -> None:
        self.taken: list[tuple[Any, int]] = []

    def __call__(self, result: list[Any] | None, now_ms: int) -> None:
        self.taken.append((result, now_ms))


def lane() -> Lane:
    made = Lane("s1", "incarnation", "p", 2)
    made.connected(3)
    return made


def reply(*results: list[Any], code: str = "OK", opseq: int = 7) -> Reply:
    return Reply(code, "s1", "incarnation", "run", opseq, list(results))


def result(word: str) -> list[Any]:
    return [word, 1, "open", False]


def test_everything_that_waits_leaves_as_one_call() -> None:
    made, taker = lane(), Taker()
    made.ask(["one"], taker)
    made.ask(["two"], taker)
    call = made.call(100)
    assert call is not None
    assert call.header == [FORMAT, "incarnation", "p", 3]
    assert (call.store, call.generation, call.commands) == ("s1", 3, [["one"], ["two"]])
    assert made.call(100) is None
    assert not made.waiting


def test_a_call_holds_no_more_than_a_store_does_quickly() -> None:
    made, taker = lane(), Taker()
    for _ in range(COMMANDS_MAX + 1):
        made.ask(["one"], taker)
    sizes = [len(call.commands) for call in (made.call(0), made.call(0)) if call is not None]
    assert sizes == [COMMANDS_MAX, 1]


def test_answers_go_to_those_who_asked_with_the_time_their_call_was_sent() -> None:
    made, first, second = lane(), Taker(), Taker()
    sent: list[int] = []
    made.ask(["one"], first)
    made.ask(["two"], lambda found, now_ms: sent.append(made.sent_ms))
    made.call(100)
    made.ask(["three"], second)
    made.call(150)
    assert made.answered(reply(result("a"), result("b")), 170)
    assert made.answered(reply(result("c"), opseq=9), 180)
    assert first.taken == [(result("a"), 170)]
    assert second.taken == [(result("c"), 180)]
    assert sent == [100]
    assert made.opseq == 9


@pytest.mark.parametrize(
    "refusal",
    [
        reply(code=Code.WRONG_INCARNATION),
        reply(code=Code.EMPTY),
        reply(code="A CODE OF TOMORROW"),
        reply(result("a")),  # one answer to two questions
    ],
)
def test_a_call_that_is_refused_as_a_whole_is_unknown_to_all_who_asked(refusal: Reply) -> None:
    made, taker = lane(), Taker()
    made.ask(["one"], taker)
    made.ask(["two"], taker)
    made.call(100)
    assert not made.answered(refusal, 120)
    assert taker.taken == [(None, 120), (None, 120)]
    assert made.refusal


def test_a_store_that_went_back_in_time_is_never_believed_again() -> None:
    made, taker = lane(), Taker()
    for opseq in (7, 6):
        made.ask(["one"], taker)
        made.call(100)
        believed = made.answered(reply(result("a"), opseq=opseq), 120)
    assert not believed
    assert made.quarantined
    assert "rolled back" in made.refusal
    made.lost(130)
    made.connected(4)
    assert not made.is_up or made.quarantined


def test_what_another_node_saw_counts_for_calls_from_then_on() -> None:
    made, taker = lane(), Taker()
    made.ask(["on its way"], taker)
    made.call(100)
    made.told(9, 110)
    assert made.answered(reply(result("a"), opseq=7), 120)
    made.ask(["sent since"], taker)
    made.call(130)
    assert not made.answered(reply(result("a"), opseq=8), 140)
    assert made.quarantined


def test_a_store_that_is_another_one_has_not_gone_back() -> None:
    made, taker = lane(), Taker()
    for opseq, code in ((7, "OK"), (0, Code.EMPTY)):
        made.ask(["one"], taker)
        made.call(100)
        made.answered(reply(result("a"), code=code, opseq=opseq), 120)
    assert not made.quarantined


def test_what_is_unanswered_when_the_lane_breaks_is_unknown_once() -> None:
    made, under_way, waiting = lane(), Taker(), Taker()
    made.ask(["one"], under_way)
    made.call(100)
    made.ask(["two"], waiting)
    made.lost(150)
    made.lost(160)
    assert (under_way.taken, waiting.taken) == ([(None, 150)], [(None, 150)])
    assert not made.is_up
    assert made.call(170) is None


def test_what_is_asked_of_a_lane_that_is_down_waits_until_it_is_failed() -> None:
    made, taker = Lane("s1", "incarnation", "p", 2), Taker()
    made.ask(["one"], taker)
    assert made.call(0) is None
    assert made.waiting
    made.lost(10)
    assert taker.taken == [(None, 10)]


def test_a_lane_is_overdue_when_it_was_silent_with_a_call_under_way() -> None:
    made, taker = lane(), Taker()
    made.serve(900)
    assert made.timeout_ms == 250
    assert made.overdue_ms is None
    for at_ms in (100, 200):
        made.ask(["one"], taker)
        made.call(at_ms)
    assert made.overdue_ms == 350
    made.answered(reply(result("a")), 250)
    assert made.overdue_ms == 500  # it was sent at 200, and the lane speaks


def test_appends_wait_while_enough_calls_are_under_way() -> None:
    made, taker = lane(), Taker()
    assert made.has_room
    for _ in range(made.window):
        made.ask(["one"], taker)
        made.call(0)
    assert not made.has_room
    made.answered(reply(result("a")), 1)
    assert made.has_room
