"""Patient work on a lane: as much as is answered in time, and no more."""

from controlplane.node.pace import ALLOWANCE_FIRST, ALLOWANCE_MAX, ALLOWANCE_MIN, Pace

SLOW_MS = 100


def ask(pace: Pace, commands: int) -> None:
    pace.asked += commands


def test_what_is_unanswered_leaves_less_room() -> None:
    pace = Pace()
    assert pace.room == ALLOWANCE_FIRST
    ask(pace, 20)
    assert pace.room == ALLOWANCE_FIRST - 20
    ask(pace, ALLOWANCE_FIRST)
    assert pace.room == 0
    pace.answered(20, 0, 10, SLOW_MS)
    pace.answered(ALLOWANCE_FIRST, 0, 10, SLOW_MS)
    assert pace.room == pace.allowance


def test_the_allowance_grows_while_calls_that_use_it_are_answered_in_time() -> None:
    pace, now_ms = Pace(), 0
    for _ in range(100):
        now_ms += 50
        commands = pace.room
        ask(pace, commands)
        pace.answered(commands, now_ms - 50, now_ms, SLOW_MS)
    assert pace.allowance == ALLOWANCE_MAX


def test_the_allowance_of_a_lane_with_little_to_do_stays() -> None:
    pace = Pace()
    for now_ms in range(0, 1_000, 10):
        ask(pace, 3)
        pace.answered(3, now_ms, now_ms + 2, SLOW_MS)
    assert pace.allowance == ALLOWANCE_FIRST


def test_slow_answers_halve_it_once_for_all_that_was_asked_before() -> None:
    pace = Pace()
    pace.allowance = 400
    ask(pace, 300)
    for answered_ms in (200, 210, 220):  # all three were asked at 0
        pace.answered(50, 0, answered_ms, SLOW_MS)
    assert pace.allowance == 200
    pace.answered(150, 230, 500, SLOW_MS)  # asked after it was halved: still too much
    assert pace.allowance == 100


def test_a_lane_that_was_lost_begins_with_half_and_nothing_under_way() -> None:
    pace = Pace()
    pace.allowance = 400
    ask(pace, 300)
    pace.lost()
    assert pace.room == 200


def test_some_room_is_left_however_slow_a_store_is() -> None:
    pace, now_ms = Pace(), 0
    for _ in range(20):
        ask(pace, 1)
        pace.answered(1, now_ms, now_ms + 5_000, SLOW_MS)
        now_ms += 5_000
    assert pace.room == ALLOWANCE_MIN
