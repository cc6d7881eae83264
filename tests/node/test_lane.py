"""The ordered lane: what counts as an answer, and what never counts again."""

from __future__ import annotations

from typing import Any

from controlplane.node.lane import Lane
from regions.codec import Reply


def reply(opseq: int, results: list[list[Any]], code: str = "OK") -> Reply:
    return Reply(code, "s1", "inc", "run", opseq, results)


def lane_with_a_call_under_way() -> tuple[Lane, list[Any]]:
    lane = Lane("s1", "inc", "p", 1.0)
    lane.connected(1)
    taken: list[Any] = []
    lane.ask(["hello", "", 0], lambda result, now_ms: taken.append(result))
    assert lane.call(10) is not None
    return lane, taken


def test_answers_are_given_out_in_the_order_asked() -> None:
    lane, taken = lane_with_a_call_under_way()
    assert lane.answered(reply(5, [["OK", 1, "open", False]]), 12)
    assert taken == [["OK", 1, "open", False]]
    assert lane.opseq == 5


def test_a_refused_call_is_unknown_to_everybody_who_asked() -> None:
    lane, taken = lane_with_a_call_under_way()
    assert not lane.answered(reply(5, [], "WRONG_INCARNATION"), 12)
    assert taken == [None]
    assert lane.refusal == "WRONG_INCARNATION"


def test_a_store_that_went_back_is_never_used_again() -> None:
    lane, _ = lane_with_a_call_under_way()
    assert lane.answered(reply(5, [["OK", 1, "open", False]]), 12)
    lane.ask(["hello", "", 0], lambda result, now_ms: None)
    assert lane.call(13) is not None
    assert not lane.answered(reply(4, [["OK", 1, "open", False]]), 14)
    lane.lost(15)
    lane.connected(2)
    assert not lane.is_up
    assert "rolled back" in lane.refusal


def test_what_waits_when_the_lane_is_lost_is_unknown_once() -> None:
    lane, taken = lane_with_a_call_under_way()
    lane.ask(["hello", "", 0], lambda result, now_ms: taken.append("late"))
    lane.lost(20)
    lane.lost(21)
    assert taken == [None, "late"]
