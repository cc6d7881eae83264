"""The ten indicators in a window, as a Prometheus that watches the fleet has them.

The questions are those of the dashboard with the promises, so both say the same. Each is asked over
a range, for its worst moment; one that counts over a time is also asked once, of all the window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from controlplane.lookback.markdown import NOTHING, span
from controlplane.lookback.tenures import Window
from controlplane.telemetry.dashboards.executive import PROMISES
from controlplane.telemetry.dashboards.panel import RED, Panel

RANGE: Final = "$__range"
STEPS: Final = 120
STEP_S_MIN: Final = 15
COUNTED_S_MIN: Final = 60
"""What is counted at each step is counted over no less: scrapes are some seconds apart."""

Ask = Callable[..., Any]
"""Asks a path with parameters, and gives the document that is answered."""


@dataclass(frozen=True, slots=True)
class Indicator:
    """One of M1 to M10: what is promised, its value over the window, and at its worst, and when.

    None where Prometheus has nothing.
    """

    name: str
    title: str
    promise: str
    unit: str
    value: float | None
    worst: float | None
    worst_ms: int | None

    def text(self, value: float | None) -> str:
        """A value with its unit."""
        if value is None:
            return NOTHING
        if self.unit == "percentunit":
            return f"{100 * value:.4g} %"
        return span(1_000 * value) if self.unit == "s" else f"{value:.4g}"


def indicators(ask: Ask, window: Window) -> list[Indicator]:
    """Ask for all of them. Raises ValueError for what is not the answer of a Prometheus."""
    return [_asked(ask, window, *each) for each in _panels()]


def _panels() -> Iterator[tuple[str, str, Panel]]:
    for panel in PROMISES.panels:
        name, found, promise = panel.description.partition(": ")
        if found and name[:1] == "M" and name[1:].isdigit():
            yield name, promise, panel


def _asked(ask: Ask, window: Window, name: str, promise: str, panel: Panel) -> Indicator:
    expr = panel.queries[0].expr.replace("{J}", "").replace("{J,", "{")
    from_s, to_s = window.from_ms / 1_000, window.to_ms / 1_000
    step_s = max(STEP_S_MIN, round((to_s - from_s) / STEPS))
    counted_s = max(COUNTED_S_MIN, step_s)
    is_low_bad = bool(panel.steps) and panel.steps[0] == (None, RED)
    pick = min if is_low_bad else max
    points = read_points(
        ask(
            "/api/v1/query_range",
            query=expr.replace(RANGE, f"{counted_s}s"),
            start=from_s, end=to_s, step=step_s,
        )
    )  # fmt: skip
    worst = pick(points, key=lambda point: point[1], default=None)
    if RANGE in expr:
        whole_s = max(COUNTED_S_MIN, round(to_s - from_s))
        query = expr.replace(RANGE, f"{whole_s}s")
        values = [value for _, value in read_points(ask("/api/v1/query", query=query, time=to_s))]
        value = pick(values, default=None)
    else:
        value = sum(v for _, v in points) / len(points) if points else None
    at_ms = None if worst is None else round(1_000 * worst[0])
    worst_value = None if worst is None else worst[1]
    return Indicator(name, panel.title, promise, panel.unit, value, worst_value, at_ms)


def read_points(document: Any) -> list[tuple[float, float]]:
    """Moments in seconds and values, of all series of an answer; without what is no number.

    Raises ValueError for what is not the answer of a Prometheus.
    """
    match document:
        case {"status": "success", "data": {"resultType": "matrix", "result": list() as found}}:
            pairs = [pair for series in found for pair in series["values"]]
        case {"status": "success", "data": {"resultType": "vector", "result": list() as found}}:
            pairs = [sample["value"] for sample in found]
        case {"status": "success", "data": {"resultType": "scalar", "result": list() as pair}}:
            pairs = [pair]
        case {"status": "error", "error": error}:
            raise ValueError(f"it says: {error}")
        case _:
            raise ValueError("this is not the answer of a Prometheus")
    points = [(float(at_s), float(value)) for at_s, value in pairs]
    return [point for point in points if isfinite(point[1])]
