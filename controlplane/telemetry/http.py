"""Requests of HTTP by their route, as the edge took and answered them: never by their path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

HTTP_S: Final = (0.005, 0.025, 0.1, 0.5, 2.5)
Observe: TypeAlias = Callable[[int, float], None]
"""Told of each request: the status of its answer, and how many seconds it took."""


class HttpMetrics:
    """Counters by route. A series begins with the first request of its route."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "leadplane_http_requests_total",
            "Requests answered, by route and class of status.",
            ["route", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "leadplane_http_request_seconds",
            "From the arrival of a request's head until its answer was ready.",
            ["route"],
            buckets=HTTP_S,
            registry=registry,
        )
        self._watches = Gauge(
            "leadplane_watches", "Streams of events that clients follow.", registry=registry
        )

    def watches(self, count: Callable[[], float]) -> None:
        """Ask for the number of streams at each scrape."""
        self._watches.set_function(count)

    def route(self, method: str, path: str) -> Observe:
        """What is to be told of every request of one route."""
        name = f"{method} {path}"
        classes: dict[int, Counter] = {}
        latency: list[Histogram] = []

        def observe(status: int, seconds: float) -> None:
            counted = classes.get(status // 100)
            if counted is None:
                word = f"{status // 100}xx"
                counted = classes[status // 100] = self._requests.labels(name, word)
                latency[:] = [self._seconds.labels(name)]
            counted.inc()
            latency[0].observe(seconds)

        return observe
