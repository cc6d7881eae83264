"""The model of a change of the store set holds in small scopes, and finds planted mistakes."""

from __future__ import annotations

import pytest

from tests.models.run_models import Found, Row, explore, read_report, read_rows

QUICK = [row for row in read_rows() if row.quick]
SECONDS_MAX = 180  # the verifier is compiled for each; together they take half a minute of work
EXPLORED = "State-vector 104 byte, depth reached 75, errors: 0\n 259038 states, stored\n"


@pytest.mark.timeout(SECONDS_MAX)
@pytest.mark.needs_binary("spin", "gcc")
@pytest.mark.parametrize("row", [r for r in QUICK if not r.is_mutant], ids=lambda r: r.title)
def test_the_protocol_has_no_violation_in_any_state_of_the_scope(row: Row) -> None:
    found = explore(row)
    assert (found.violated, found.complete) == (False, True)
    assert found.states > 1000


@pytest.mark.timeout(SECONDS_MAX)
@pytest.mark.needs_binary("spin", "gcc")
@pytest.mark.parametrize("row", [r for r in QUICK if r.is_mutant], ids=lambda r: r.title)
def test_without_the_rule_a_violation_is_found(row: Row) -> None:
    assert explore(row).violated


def test_what_was_explored_to_its_end_is_told_from_what_was_not() -> None:
    assert read_report(EXPLORED, 1.0) == Found(False, True, 259038, 0, 1.0)
    assert not read_report("error: max search depth too small\n" + EXPLORED, 1.0).complete
    assert not read_report("pan: out of memory\n" + EXPLORED, 1.0).complete
    assert not read_report("", 1.0).complete


def test_a_violation_is_nothing_but_a_failed_assertion() -> None:
    failed = EXPLORED.replace("errors: 0", "errors: 1")
    assert not read_report(failed, 1.0).violated
    assert read_report("pan:1: assertion violated (x)\n" + failed, 1.0).violated
