"""Calls of a change: which answers count, and for how long a store is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from regions.codec import Code, Reply
from regions.membership import Member
from regions.store_calls import AGAIN_MS, AGAIN_MS_MAX, Calls, Take

S1 = Member("s1", "i1")
OK = [Code.OK, 1, "open", False]


class Desk:
    """Keeps what is sent; the test answers."""

    def __init__(self) -> None:
        self.sent: list[tuple[Member, list[list[Any]], Take]] = []

    def fetch(self, member: Member, commands: list[list[Any]], take: Take) -> None:
        self.sent.append((member, commands, take))


class Asker:
    """One asker of one member; `got` are the replies that counted."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.went_on: list[int] = []
        self.calls = Calls(self.desk, self.went_on.append)
        self.got: list[Reply | None] = []

    def ask(self, member: Member = S1, commands: int = 1) -> int:
        """Send; returns the number of the call."""
        self.calls.ask(member, [["x"]] * commands, lambda reply, now_ms: self.got.append(reply))
        return len(self.desk.sent) - 1

    def answer(self, call: int, reply: Reply | None, now_ms: int = 0) -> bool:
        """Bring an answer; says whether it counted."""
        self.desk.sent[call][2](reply, now_ms)
        return self.got[-1] is not None


def reply(code: str = Code.OK, incarnation: str = "i1", opseq: int = 5, results: int = 1) -> Reply:
    return Reply(code, "s1", incarnation, "run", opseq, [OK] * results)


@pytest.mark.parametrize(
    ("answer", "counts", "unfit"),
    [
        (reply(), True, False),
        (None, False, False),
        (reply(Code.OLD_GENERATION, results=0), False, False),
        (reply(Code.OOM, results=0), False, False),
        (reply(results=2), False, False),  # not what was asked
        (reply(Code.EMPTY, "", 0, 0), False, True),
        (reply(Code.WRONG_INCARNATION, "i2", 9, 0), False, True),
    ],
)
def test_what_counts(answer: Reply | None, counts: bool, unfit: bool) -> None:
    asker = Asker()
    assert asker.answer(asker.ask(), answer) is counts
    assert (S1 in asker.calls.unfit) is unfit
    assert asker.went_on == [0]


def test_an_opseq_that_went_back_since_the_call_was_sent_is_a_restored_copy() -> None:
    asker = Asker()
    asker.answer(asker.ask(), reply(opseq=9))
    assert not asker.answer(asker.ask(), reply(opseq=8))
    assert "rolled back" in asker.calls.unfit[S1]
    assert not asker.answer(asker.ask(), reply(opseq=10)), "it counts for nothing ever after"


def test_answers_that_overtake_each_other_are_no_sign_of_that() -> None:
    asker = Asker()
    first, second = asker.ask(), asker.ask()
    assert asker.answer(second, reply(opseq=9))
    assert asker.answer(first, reply(opseq=8))


def test_whoever_does_not_answer_rests_ever_longer_and_an_answer_ends_that() -> None:
    asker = Asker()
    rests = []
    now_ms = 0
    for _ in range(9):
        asker.answer(asker.ask(), None, now_ms)
        until_ms = asker.calls.rested_ms(now_ms) or 0
        rests.append(until_ms - now_ms)
        assert not asker.calls.ready(S1, until_ms - 1)
        assert asker.calls.ready(S1, until_ms)
        now_ms = until_ms
    assert rests[:3] == [AGAIN_MS, 2 * AGAIN_MS, 4 * AGAIN_MS]
    assert rests[-1] == AGAIN_MS_MAX
    asker.answer(asker.ask(), reply(), now_ms)
    asker.answer(asker.ask(), None, now_ms)
    assert asker.calls.rested_ms(now_ms) == now_ms + AGAIN_MS


def test_a_refusal_that_its_asker_is_not_content_with_is_a_failure_too() -> None:
    asker = Asker()
    for _ in range(3):
        asker.calls.ask(S1, [["x"]], lambda reply, now_ms: asker.calls.rest(S1, now_ms))
        asker.desk.sent[-1][2](reply(), 0)
    assert asker.calls.rested_ms(0) == 4 * AGAIN_MS


def test_who_is_asked_by_no_incarnation_is_judged_by_none() -> None:
    asker = Asker()
    nobody = Member("s1", "")
    assert not asker.answer(asker.ask(nobody), reply(Code.EMPTY, "", 0, 0))
    assert asker.answer(asker.ask(nobody), reply(incarnation="i7", opseq=1))
    assert asker.calls.unfit == {}
