"""The search agrees with brute force, finds every kind of bad history, and says what is wrong."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from controlplane.requests import (
    Compare,
    Consistency,
    Delete,
    Found,
    Outcome,
    Problem,
    Provenance,
    Put,
    Read,
    Refused,
    Role,
    Value,
    Write,
    Written,
)
from controlplane.simulator.checkers.findings import Findings
from controlplane.simulator.checkers.history import Operation
from controlplane.simulator.checkers.linearizability import INVARIANT, check_linearizability
from controlplane.simulator.checkers.register_steps import Reading, Step, Writing
from controlplane.simulator.checkers.search import Verdict, search
from tests.simulation.brute_force import has_an_order, random_history

HISTORIES = 5_000
UNKNOWN = Refused(Problem.UNKNOWN_OUTCOME, "")
NO_QUORUM = Refused(Problem.NO_QUORUM, "")


def test_search_and_brute_force_agree() -> None:
    verdicts: Counter[bool] = Counter()
    for seed in range(HISTORIES):
        chance = Random(seed)
        steps = random_history(chance, chance.randrange(2, 7))
        found = search(steps).verdict is Verdict.LINEARIZABLE
        assert found == has_an_order(steps), "\n".join([f"seed {seed}", *map(str, steps)])
        verdicts[found] += 1
    assert min(verdicts[True], verdicts[False]) > HISTORIES // 4


def put(
    began: int, ended: int, value: str, answer: int | Outcome | None, over: int | None = None
) -> Operation:
    compares = () if over is None else (Compare("k", over),)
    request = Write("s", (Put("p", "k", value.encode()),), compares, op_id=value)
    outcome = Written("s", 1, answer) if isinstance(answer, int) else answer
    return Operation("c", "n", request, began, ended, None if outcome is None else ended, outcome)


def delete(began: int, ended: int, answer: int | Outcome) -> Operation:
    request = Write("s", (Delete("p", "k"),), op_id=f"delete {began}")
    outcome = Written("s", 1, answer) if isinstance(answer, int) else answer
    return Operation("c", "n", request, began, ended, ended, outcome)


def read(
    began: int, ended: int, value: tuple[str, int] | None, how: Consistency = Consistency.STRONG
) -> Operation:
    origin = Provenance("s", 1, 0, 0, Role.LEADER, "")
    found = None if value is None else Value(value[1], value[0].encode())
    return Operation("c", "n", Read("s", ("k",), how), began, ended, ended, Found((found,), origin))


def told(version: int) -> Refused:
    return Refused(Problem.PRECONDITION_FAILED, "", version=version)


GOOD = {
    "nothing": [],
    "in turn": [put(0, 9, "a", 1), read(10, 19, ("a", 1)), delete(20, 29, 2), read(30, 39, None)],
    "at the same time": [put(0, 50, "a", 1), read(10, 19, ("a", 1)), put(5, 30, "b", 2)],
    "happened long after": [put(0, 9, "a", UNKNOWN), read(10, 19, None), read(20, 29, ("a", 4))],
    "never answered": [put(0, 9, "a", None), read(10, 19, ("a", 4)), put(20, 29, "b", 5, over=4)],
    "never happened": [put(0, 9, "a", UNKNOWN), put(10, 19, "b", 1, over=0)],
    "refused": [put(0, 9, "a", NO_QUORUM), read(10, 19, None)],
    "a retry tells": [put(0, 9, "a", UNKNOWN), read(10, 19, ("a", 1)), put(20, 29, "a", 1)],
    "a retry is in time": [put(0, 9, "a", NO_QUORUM), read(10, 19, None), put(20, 29, "a", 1)],
    "one of two": [put(0, 9, "a", 1, over=0), put(0, 9, "b", told(1), over=0)],
    "deleted, nobody knows": [put(0, 9, "a", 1), delete(10, 19, UNKNOWN), read(20, 29, None)],
    "over one nobody saw": [put(0, 9, "a", UNKNOWN), put(10, 19, "b", told(3), over=0)],
    "copies are not looked at": [put(0, 9, "a", 1), read(10, 19, None, Consistency.ANY)],
}


@pytest.mark.parametrize("history", GOOD.values(), ids=GOOD.keys())
def test_a_good_history(history: list[Operation]) -> None:
    findings = Findings()
    check_linearizability(history, findings)
    assert findings.violations == []


# Histories with what must be named: by position in the history.
BAD: dict[str, tuple[list[Operation], list[int]]] = {
    "stale read": (
        [put(0, 9, "a", 1), put(10, 19, "b", 2), read(20, 29, ("a", 1))],
        [1, 2],
    ),
    "lost update": (
        [put(0, 9, "a", 1), put(10, 19, "b", 2, over=1), put(20, 29, "c", 3, over=1)],
        [1, 2],
    ),
    "two successes over one version": (
        [put(0, 9, "a", 1), put(10, 30, "b", 2, over=1), put(12, 28, "c", 3, over=1)],
        [1, 2],
    ),
    "acknowledged and gone": ([put(0, 9, "a", 1), read(20, 29, None)], [0, 1]),
    "never written": ([put(0, 9, "a", 1), read(20, 29, ("ghost", 2))], [1]),
    "refused, and seen": ([put(0, 9, "a", NO_QUORUM), read(20, 29, ("a", 1))], [1]),
    "seen before it began": ([read(0, 9, ("a", 1)), put(10, 19, "a", 1)], [0]),
    "another version": ([put(0, 9, "a", 1), read(20, 29, ("a", 2))], [0, 1]),
    "risen from the dead": (
        [put(0, 9, "a", 1), delete(10, 19, 2), read(20, 29, None), read(30, 39, ("a", 1))],
        [1, 3],
    ),
    "reads go back": (
        [put(0, 99, "a", UNKNOWN), read(10, 19, ("a", 5)), read(20, 29, None)],
        [1, 2],
    ),
    "a write of before comes late": ([put(0, 9, "a", 5), put(20, 29, "b", 4)], [0, 1]),
    "refused without a reason": (
        [put(0, 9, "a", 1), put(20, 29, "b", told(0), over=1), read(30, 39, ("a", 1))],
        [0, 1],
    ),
    "refused, though it held": ([put(0, 9, "a", told(0), over=0)], [0]),
}


@pytest.mark.parametrize(("history", "guilty"), BAD.values(), ids=BAD.keys())
def test_a_bad_history_is_found_and_the_guilty_are_named(
    history: list[Operation], guilty: list[int]
) -> None:
    findings = Findings()
    check_linearizability(history, findings)
    (violation,) = findings.violations
    assert violation.invariant == INVARIANT
    named = violation.detail.split("; ")
    expected = [f"[{history[n].started_ms}, {history[n].ended_ms}]" for n in guilty]
    assert [expected[n] in line for n, line in enumerate(named)] == [True] * len(guilty)
    assert violation.at_ms == max(history[n].ended_ms or 0 for n in guilty)


def test_a_violation_is_said_in_words() -> None:
    findings = Findings()
    check_linearizability(BAD["stale read"][0], findings)
    assert findings.violations[0].detail == (
        "k, no order has all of: c at n [10, 19] put b'b', as version 2; "
        "c at n [20, 29] read b'a' version 1"
    )


def test_a_write_with_two_outcomes_is_found() -> None:
    for second in (2, told(1)):
        findings = Findings()
        check_linearizability(
            [put(0, 9, "a", 1, over=0), put(20, 29, "a", second, over=0)], findings
        )
        (violation,) = findings.violations
        assert "had two outcomes" in violation.detail


def test_a_search_given_up_is_a_violation() -> None:
    history = [put(0, 9, "a", 1), read(10, 19, ("a", 1))]
    findings = Findings()
    check_linearizability(history, findings, configurations_max=1)
    (violation,) = findings.violations
    assert "not known after" in violation.detail


def test_a_write_of_several_keys_is_not_taken_for_a_register() -> None:
    request = Write("s", (Put("p", "k", b"1"), Put("p", "l", b"1")), op_id="both")
    with pytest.raises(ValueError, match="touches"):
        check_linearizability([Operation("c", "n", request, 0)], Findings())


def test_keys_are_searched_apart_and_counted() -> None:
    other = Write("s", (Put("p", "other", b"x"),), op_id="x")
    history = [
        Operation("c", "n", other, 0, 9, 9, Written("s", 1, 7)),
        put(10, 19, "a", 3),
        read(20, 29, ("a", 3)),
    ]
    findings = Findings()
    searched = check_linearizability(history, findings)
    assert findings.violations == []
    assert (searched.keys, searched.steps) == (2, 3)


def long_history(size: int, clients: int) -> list[Step]:
    """Many clients at once on a true register; every third write is not answered."""
    chance = Random(7)
    now: Value | None = None
    steps = []
    for number in range(size):
        began_ms = 10 * number - chance.randrange(10 * clients)
        ended_ms = 10 * number + chance.randrange(10 * clients)
        if chance.random() < 0.5:
            steps.append(Step(Reading(now), began_ms, ended_ms))
            continue
        value = None if chance.random() < 0.2 else f"v{number}".encode()
        step = Step(Writing(value, None, number + 1), began_ms, ended_ms)
        pending = step.left_open()
        assert pending is not None
        if chance.random() < 2 / 3:
            steps.append(step)
        else:
            steps.append(pending)
            if chance.random() < 0.5:
                continue
        now = None if value is None else Value(number + 1, value)
    return steps


def test_long_histories_with_many_unknown_outcomes_are_searched_to_the_end() -> None:
    steps = long_history(3_000, clients=8)
    answer = search(steps)
    assert answer.verdict is Verdict.LINEARIZABLE
    assert answer.configurations < 4 * len(steps)
    last = steps[-1].began_ms + 1_000
    stale = [
        *steps,
        Step(Reading(None), last, last),
        Step(Reading(Value(5, b"v4")), last + 1, last + 2),
    ]
    assert search(stale).verdict is Verdict.VIOLATION


def test_what_comes_after_the_limit_is_not_searched() -> None:
    history = [put(0, 9, "a", 1), put(10, 19, "b", 2), read(20, 29, ("ghost", 1))]
    findings = Findings()
    searched = check_linearizability(history, findings, steps_max=2)
    assert findings.violations == []
    assert searched.steps == 2
