"""Unanswered requests: each is answered once, in time, and truthfully when time is up."""

import pytest

from controlplane.machine import Answer, Effect
from controlplane.node.requests_open import OpenRequests
from controlplane.requests import Problem, Read, Refused, Write, Written

WRITE, READ = Write("a", ()), Read("a", ())
DONE = Written("a", 1, 2)


def requests() -> tuple[OpenRequests, list[Effect]]:
    effects: list[Effect] = []
    return OpenRequests(effects, write_timeout_ms=5_000, read_timeout_ms=1_000), effects


def problems(effects: list[Effect]) -> list[tuple[int, Problem]]:
    return [
        (effect.id, effect.outcome.problem)
        for effect in effects
        if isinstance(effect, Answer) and isinstance(effect.outcome, Refused)
    ]


def test_an_answer_is_given_once() -> None:
    opened, effects = requests()
    opened.begin(1, WRITE, 0)
    opened.answer(1, DONE)
    opened.answer(1, DONE)
    opened.answer(9, DONE)
    opened.expire(10_000)
    assert effects == [Answer(1, DONE)]
    assert len(opened) == 0


@pytest.mark.parametrize(
    ("sent", "problem"), [(False, Problem.NO_QUORUM), (True, Problem.UNKNOWN_OUTCOME)]
)
def test_what_was_sent_and_not_confirmed_is_unknown_and_never_failed(
    sent: bool, problem: Problem
) -> None:
    opened, effects = requests()
    opened.begin(1, WRITE, 0).sent = sent
    opened.expire(4_999)
    assert effects == []
    opened.expire(5_000)
    assert problems(effects) == [(1, problem)]


def test_reads_and_writes_have_their_own_patience() -> None:
    opened, effects = requests()
    opened.begin(1, WRITE, 0)
    opened.begin(2, READ, 10)
    opened.begin(3, READ, 20)
    assert opened.deadline_ms == 1_010
    opened.expire(1_015)
    assert problems(effects) == [(2, Problem.NO_QUORUM)]
    opened.answer(3, DONE)
    opened.expire(1_020)
    assert opened.deadline_ms == 5_000
    opened.expire(60_000)
    opened.expire(60_000)
    assert [number for number, _ in problems(effects)] == [2, 1]
    assert opened.deadline_ms is None


def test_a_request_is_known_until_it_is_answered() -> None:
    opened, _ = requests()
    opened.begin(1, READ, 0)
    found = opened.get(1)
    assert found is not None
    assert found.request == READ
    opened.answer(1, DONE)
    assert opened.get(1) is None
