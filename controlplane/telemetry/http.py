"""Requests of HTTP by their route, as the edge took and answered them: never by their path."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.metrics_core import Metric

from controlplane.telemetry.buckets import Histograms
from controlplane.telemetry.families import counters

HTTP_S: Final = (0.005, 0.025, 0.1, 0.5, 2.5)
CLASSES: Final = 6
"""Statuses begin with 1 to 5."""
Observe: TypeAlias = Callable[[int, float], None]
"""Told of each request: the status of its answer, and how many seconds it took."""
Exemplify: TypeAlias = Callable[[float, str], None]
"""Told how many seconds a request took, and its trace."""


class HttpMetrics:
    """Counts by route. A series begins with the first request of its route."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counts: dict[str, list[int]] = {}
        self._seconds = Histograms(
            registry,
            "leadplane_http_request_seconds",
            "From the arrival of a request's head until its answer was ready.",
            "route",
            HTTP_S,
        )
        self._watches = Gauge(
            "leadplane_watches", "Streams of events that clients follow.", registry=registry
        )
        registry.register(self)

    def watches(self, count: Callable[[], float]) -> None:
        """Ask for the number of streams at each scrape."""
        self._watches.set_function(count)

    def route(self, method: str, path: str) -> Observe:
        """What is to be told of every request of one route."""
        name, counts = f"{method} {path}", [0] * CLASSES
        take: list[Callable[[float], None]] = []

        def observe(status: int, seconds: float) -> None:
            if not take:
                self._counts[name] = counts
                take.append(self._seconds.of(name).observe)
            counts[status // 100] += 1
            take[0](seconds)

        return observe

    def traced(self, method: str, path: str) -> Exemplify:
        """What is to be told of the requests of one route that are traced, and counted besides."""
        name = f"{method} {path}"
        return lambda seconds, trace: self._seconds.of(name).exemplify(seconds, trace)

    def describe(self) -> Iterable[Metric]:
        """Its name, so that there is no other of it."""
        return (self._family(),)

    def collect(self) -> Iterable[Metric]:
        """All requests so far."""
        yield self._family()

    def _family(self) -> Metric:
        return counters(
            "leadplane_http_requests_total",
            "Requests answered, by route and class of status.",
            ["route", "status"],
            {
                (route, f"{digit}xx"): count
                for route, counts in self._counts.items()
                for digit, count in enumerate(counts)
                if count
            },
        )
