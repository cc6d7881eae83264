"""The indicators of a window: what a Prometheus is asked, and what is made of its answers."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.lookback.indicators import Indicator, indicators, read_points
from controlplane.lookback.tenures import Window

NAMES = [f"M{number}" for number in range(1, 11)]
WINDOW = Window(1_790_000_000_000, 1_790_000_600_000)


def matrix(*series: list[list[Any]]) -> dict[str, Any]:
    """The answer to a question over a range."""
    result = [{"metric": {}, "values": values} for values in series]
    return {"status": "success", "data": {"resultType": "matrix", "result": result}}


def vector(*values: str) -> dict[str, Any]:
    """The answer to a question at a moment."""
    result = [{"metric": {}, "value": [1_790_000_600, value]} for value in values]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


class Stub:
    """A Prometheus that always gives the same two answers."""

    def __init__(self, ranged: Any, once: Any) -> None:
        self.answers = {"/api/v1/query_range": ranged, "/api/v1/query": once}
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, path: str, **query: Any) -> Any:
        self.asked.append((path, query))
        return self.answers[path]


def test_all_ten_are_asked_over_the_window_in_words_of_the_dashboard() -> None:
    stub = Stub(matrix(), vector())
    found = indicators(stub, WINDOW)
    assert [each.name for each in found] == NAMES
    assert all(each.value is each.worst is each.worst_ms is None for each in found)
    ranged = [query for path, query in stub.asked if path.endswith("range")]
    assert len(ranged) == 10
    for query in ranged:
        assert (query["start"], query["end"]) == (1_790_000_000, 1_790_000_600)
        assert query["step"] == 15
    for _, query in stub.asked:
        assert "$" not in query["query"]
        assert "{J" not in query["query"]
    once = [query["query"] for path, query in stub.asked if path.endswith("query")]
    assert any("leadplane_stale_operations_accepted_total[600s]" in query for query in once)


def test_the_worst_moment_is_the_least_where_little_is_bad() -> None:
    ranged = matrix([[1_790_000_000, "0.5"], [1_790_000_015, "0.9"]], [[1_790_000_030, "0.7"]])
    found = {each.name: each for each in indicators(Stub(ranged, vector("0.8", "0.6")), WINDOW)}
    availability, election, lag = found["M1"], found["M2"], found["M6"]
    assert (availability.value, availability.worst) == (0.6, 0.5)
    assert availability.worst_ms == 1_790_000_000_000
    assert (election.value, election.worst, election.worst_ms) == (0.8, 0.9, 1_790_000_015_000)
    assert (lag.value, lag.worst) == (pytest.approx(0.7), 0.9)


def test_what_is_no_number_is_nothing() -> None:
    assert read_points(vector("NaN", "+Inf", "2")) == [(1_790_000_600.0, 2.0)]
    scalar = {"status": "success", "data": {"resultType": "scalar", "result": [1, "3"]}}
    assert read_points(scalar) == [(1.0, 3.0)]


@pytest.mark.parametrize("answer", [None, [], {"status": "success", "data": {}}, {"ok": True}])
def test_what_is_not_the_answer_of_a_prometheus_is_refused(answer: Any) -> None:
    with pytest.raises(ValueError, match="not the answer of a Prometheus"):
        read_points(answer)
    with pytest.raises(ValueError, match="it says: bad query"):
        read_points({"status": "error", "error": "bad query"})


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [("percentunit", 0.9995, "99.95 %"), ("s", 0.25, "250 ms"), ("short", 3.0, "3"),
     ("short", None, "–")],
)  # fmt: skip
def test_values_are_told_with_their_unit(unit: str, value: float | None, text: str) -> None:
    assert Indicator("M1", "", "", unit, value, value, None).text(value) == text
