"""Sessions by versions alone: what a client has seen stays seen in its session's reads."""

from __future__ import annotations

import pytest

from controlplane.requests import (
    Consistency,
    Found,
    Outcome,
    Provenance,
    Put,
    Read,
    Role,
    Value,
    Write,
    Written,
)
from controlplane.simulator.checkers.findings import Findings
from controlplane.simulator.checkers.history import Operation
from controlplane.simulator.checkers.sessions import INVARIANT, check_sessions

ORIGIN = Provenance("s", 1, 0, None, Role.FOLLOWER, "n1")


def wrote(client: str, version: int) -> Operation:
    write = Write("s", (Put("", "k", b"%d" % version),), op_id=f"{client}-{version}")
    return Operation(client, "n1", write, 0, 1, 1, Written("s", 1, version))


def read(client: str, version: int, consistency: Consistency = Consistency.SESSION) -> Operation:
    value = None if version == 0 else Value(version, b"%d" % version)
    outcome: Outcome = Found((value,), ORIGIN)
    return Operation(client, "n1", Read("s", ("k",), consistency), 0, 1, 1, outcome)


def broken(*history: Operation) -> list[str]:
    findings = Findings()
    check_sessions(history, findings)
    return [violation.invariant for violation in findings.violations]


@pytest.mark.parametrize(
    "history",
    [
        (wrote("a", 5), read("a", 4)),
        (read("a", 7), read("a", 6)),
        (wrote("a", 5), read("a", 0)),
    ],
    ids=["its own write", "its own read", "absent after a write"],
)
def test_what_was_seen_must_stay_seen(history: tuple[Operation, ...]) -> None:
    assert broken(*history) == [INVARIANT]


@pytest.mark.parametrize(
    "history",
    [
        (wrote("a", 5), read("a", 5), read("a", 9), wrote("a", 12), read("a", 12)),
        (wrote("a", 5), read("b", 4)),
        (wrote("a", 5), read("a", 4, Consistency.ANY)),
        (read("a", 0), read("a", 0)),
    ],
    ids=["forward", "of another client", "not of the session", "still absent"],
)
def test_all_else_is_fine(history: tuple[Operation, ...]) -> None:
    assert broken(*history) == []


def test_reads_of_sessions_are_counted() -> None:
    assert check_sessions([wrote("a", 1), read("a", 1), read("a", 1)], Findings()) == 2
