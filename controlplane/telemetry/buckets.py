"""Histograms for the busiest paths, kept as plain numbers and shown as Prometheus has them.

The client's own take a lock, and look through their bounds one by one: that is a microsecond for
each observation. A node counts on one thread, and reads on the same, so a fifth of it will do.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.samples import Exemplar

Shown: TypeAlias = tuple[str, float] | tuple[str, float, Exemplar]
"""A bound, how many were at most as great, and one of those that was traced."""


class Buckets:
    """What was observed under one set of labels."""

    __slots__ = ("_bounds", "_counts", "_exemplars", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._exemplars: dict[int, Exemplar] = {}

    def observe(self, value: float) -> None:
        """Count it in the first bucket that it fits."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def exemplify(self, value: float, trace: str) -> None:
        """Name the trace of one that is observed besides; of each bucket the last one is shown."""
        at = bisect_left(self._bounds, value)
        self._exemplars[at] = Exemplar({"trace_id": trace}, value, time.time())

    def shown(self) -> tuple[list[Shown], float]:
        """How many were at most as great as each bound, and the sum of all."""
        bounds = (*self._bounds, float("inf"))
        shown: list[Shown] = []
        for at, (bound, total) in enumerate(zip(bounds, accumulate(self._counts), strict=True)):
            exemplar, count = self._exemplars.get(at), (_as_text(bound), float(total))
            shown.append(count if exemplar is None else (*count, exemplar))
        return shown, self._sum


class Histograms:
    """One metric: buckets for each value of its label, or one without."""

    def __init__(
        self, registry: CollectorRegistry, name: str, text: str, label: str, bounds: Sequence[float]
    ) -> None:
        self._name = name
        self._text = text
        self._labels = [label] if label else []
        self._bounds = tuple(bounds)
        self._found: dict[str, Buckets] = {}
        registry.register(self)

    def of(self, value: str = "") -> Buckets:
        """Where to count what has this label; always the same one."""
        found = self._found.get(value)
        if found is None:
            found = self._found[value] = Buckets(self._bounds)
        return found

    def describe(self) -> Iterable[Metric]:
        """Its name, so that there is no other of it."""
        return (HistogramMetricFamily(self._name, self._text, labels=self._labels),)

    def collect(self) -> Iterable[Metric]:
        """All that was observed."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for value, buckets in self._found.items():
            counts, total = buckets.shown()
            family.add_metric([value] if self._labels else [], counts, total)
        yield family


def _as_text(bound: float) -> str:
    return "+Inf" if bound == float("inf") else str(bound)
