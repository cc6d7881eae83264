"""The checker of real fleets finds what it is for, and nothing in a good history."""

from __future__ import annotations

import pytest

from controlplane.requests import (
    Consistency,
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
from controlplane.simulator.checkers.registers import check_registers

UNKNOWN = Refused(Problem.UNKNOWN_OUTCOME, "")
NO_QUORUM = Refused(Problem.NO_QUORUM, "")


def write(began: int, ended: int, value: str, answer: int | Outcome, key: str = "k") -> Operation:
    request = Write("s", (Put("p", key, value.encode()),), op_id=value)
    outcome = Written("s", 1, answer) if isinstance(answer, int) else answer
    return Operation("c", "n", request, began, ended, ended, outcome)


def read(
    began: int,
    ended: int,
    value: tuple[str, int] | None,
    staleness_ms: int | None = 0,
    how: Consistency = Consistency.STRONG,
) -> Operation:
    origin = Provenance("s", 1, 0, staleness_ms, Role.LEADER, "")
    found = None if value is None else Value(value[1], value[0].encode())
    return Operation("c", "n", Read("s", ("k",), how), began, ended, ended, Found((found,), origin))


BOUNDED = Consistency.BOUNDED

GOOD = [
    [],
    [write(0, 10, "a", 5), read(20, 30, ("a", 5))],
    [write(0, 10, "a", 5), read(5, 30, None)],  # it had not been acknowledged yet
    [write(0, 10, "a", UNKNOWN), read(20, 30, ("a", 7)), read(40, 50, ("a", 7))],
    [write(0, 10, "a", UNKNOWN), write(20, 30, "a", 5), write(12, 15, "b", 6)],  # done at once
    [write(0, 10, "a", 5), write(5, 20, "b", 4), read(30, 40, ("a", 5))],  # at the same time
    [write(0, 10, "a", 5), write(20, 30, "b", 6), read(40, 50, ("a", 5), 20, BOUNDED)],
    [write(0, 10, "a", 5), read(20, 30, None, None, Consistency.ANY)],
    [write(0, 10, "a", NO_QUORUM), read(20, 30, None)],
]


@pytest.mark.parametrize("history", GOOD)
def test_a_good_history(history: list[Operation]) -> None:
    findings = Findings()
    check_registers(history, findings)
    assert findings.violations == []


BAD = {
    "lost": [write(0, 10, "a", 5), read(20, 30, None)],
    "older": [write(0, 9, "a", 5), write(10, 19, "b", 6), read(20, 30, ("a", 5))],
    "back again": [write(0, 99, "a", UNKNOWN), read(20, 30, ("a", 5)), read(40, 50, None)],
}


@pytest.mark.parametrize("history", BAD.values(), ids=BAD.keys())
def test_strong_reads(history: list[Operation]) -> None:
    assert invariants(history) == ["strong reads are linearizable"]


@pytest.mark.parametrize(
    "history",
    [
        [read(20, 30, ("from nowhere", 5))],
        [write(0, 10, "a", NO_QUORUM), read(20, 30, ("a", 5))],
        [write(0, 10, "a", 5), read(20, 30, ("a", 6))],
        [write(0, 10, "a", 5, key="other"), read(20, 30, ("a", 5))],
    ],
)
def test_what_is_read_was_written(history: list[Operation]) -> None:
    assert invariants(history) == ["what is read was written"]


def test_a_stale_write_that_was_accepted() -> None:
    assert invariants([write(0, 10, "a", 9), write(20, 30, "b", 5)]) == [
        "positions follow real time"
    ]


def test_two_writes_at_one_position() -> None:
    assert invariants([write(0, 10, "a", 5), write(5, 15, "b", 5)]) == ["one write a position"]


def test_a_write_done_twice() -> None:
    history = [write(0, 10, "a", 5), write(20, 30, "a", 6), read(40, 50, ("a", 6))]
    assert invariants(history) == ["what is read was written"]


def test_a_staleness_that_is_not_true() -> None:
    history = [write(0, 10, "a", 5), read(100, 110, None, 80, BOUNDED)]
    assert invariants(history) == ["staleness is truthful"]


def invariants(history: list[Operation]) -> list[str]:
    findings = Findings()
    check_registers(history, findings)
    return [violation.invariant for violation in findings.violations]
