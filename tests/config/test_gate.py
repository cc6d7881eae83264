"""What an answer of a gate means, and what several of them mean together."""

from __future__ import annotations

import math

import pytest

from config.gate import (
    DETAIL_MAX,
    Gate,
    GateKind,
    Look,
    NoData,
    Verdict,
    comparison_of,
    gate_of,
    judged,
    kept_look,
    together,
    without_data,
)

PASS, FAIL, NO_DATA = Verdict.PASS, Verdict.FAIL, Verdict.NO_DATA
NAN, INF = math.nan, math.inf


def gate(passes: str = "< 0.01", no_data: NoData = NoData.ERROR, *, dry_run: bool = False) -> Gate:
    return Gate("errors", GateKind.PROMETHEUS, passes=passes, no_data=no_data, dry_run=dry_run)


@pytest.mark.parametrize(
    ("passes", "values", "verdict"),
    [
        ("< 0.01", [0.0], PASS),
        ("< 0.01", [0.01], FAIL),
        ("<= 0.01", [0.01], PASS),
        ("> 3", [4.0, 5.0], PASS),
        ("> 3", [4.0, 3.0], FAIL),
        (">= -1", [-1.0], PASS),
        ("== 0", [0.0, -0.0], PASS),
        ("!= 0", [1e-300], PASS),
        ("< 0.01", [], NO_DATA),
        ("< 0.01", [NAN], NO_DATA),
        ("< 0.01", [INF], NO_DATA),
        ("< 0.01", [-INF], NO_DATA),
        ("< 0.01", [0.0, NAN], NO_DATA),
        ("< 0.01", [NAN, 0.5], FAIL),
        ("!= 1", [NAN], NO_DATA),
    ],
)
def test_every_value_has_to_pass_and_what_is_no_number_is_no_data(
    passes: str, values: list[float], verdict: Verdict
) -> None:
    assert judged(gate(passes), values).verdict is verdict


@pytest.mark.parametrize("values", [[], [NAN], [0.0, INF]])
@pytest.mark.parametrize(("no_data", "verdict"), [(NoData.PASS, PASS), (NoData.FAIL, FAIL)])
def test_a_gate_may_say_what_no_data_counts_as(
    values: list[float], no_data: NoData, verdict: Verdict
) -> None:
    assert judged(gate(no_data=no_data), values).verdict is verdict
    assert without_data(gate(no_data=no_data), "nobody").verdict is verdict


def test_a_value_that_fails_is_not_excused_by_one_that_is_no_number() -> None:
    assert judged(gate(no_data=NoData.PASS), [NAN, 0.5]).verdict is FAIL


@pytest.mark.parametrize("passes", ["", "<", "< ", "0.01", "~ 1", "< nan", "< inf", "< x", "<0.01"])
def test_what_is_no_comparison_is_refused(passes: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        comparison_of(passes)


def test_of_several_gates_the_worst_counts_and_those_that_only_report_do_not() -> None:
    looks = {verdict: Look(verdict, verdict.value) for verdict in Verdict}
    counted = [(gate(), looks[verdict]) for verdict in (PASS, Verdict.INCONCLUSIVE)]
    assert together(counted).verdict is Verdict.INCONCLUSIVE
    assert together([*counted, (gate(), looks[NO_DATA])]).verdict is NO_DATA
    assert together([*counted, (gate(), looks[FAIL]), (gate(), looks[NO_DATA])]).verdict is FAIL
    dry = (gate(dry_run=True), looks[FAIL])
    assert together([dry]).verdict is PASS
    assert together([dry, *counted]).verdict is Verdict.INCONCLUSIVE
    assert together([]).verdict is PASS


def test_what_is_kept_of_a_look_is_short() -> None:
    found = kept_look(gate(dry_run=True), Look(FAIL, "x" * 10_000), 5, 7)
    assert (len(found.detail), found.wall_ms, found.window_ms) == (DETAIL_MAX, 5, 7)
    assert (found.gate, found.verdict, found.dry_run) == ("errors", FAIL, True)


def test_a_gate_is_read_from_what_an_operator_sends() -> None:
    found = gate_of({"name": "p", "kind": "http", "url": "http://x", "no_data": "fail"})
    assert found == Gate("p", GateKind.HTTP, url="http://x", no_data=NoData.FAIL)
