"""Requests of clients that this node answered: by kind and result, how long, and how old."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter

from controlplane.requests import Found, Outcome, Read, Refused, Request, Scan, Scanned, Write
from controlplane.telemetry.buckets import Histograms

LATENCY_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
STALENESS_S: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0)
ROUTED: Final = ("forwarded", "redirected", "unreachable", "refused")
"""What became of requests that this node did not answer itself."""


class RequestMetrics:
    """Counters of requests. A series is looked up once, and then bound."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "leadplane_requests_total",
            "Requests of clients answered by this node.",
            ["request", "outcome"],
            registry=registry,
        )
        self._seconds = Histograms(
            registry,
            "leadplane_request_seconds",
            "From a request's arrival at the node to its answer.",
            "request",
            LATENCY_S,
        )
        self._staleness = Histograms(
            registry,
            "leadplane_staleness_served_seconds",
            "By how much answers from copies may have been behind, at most, as they said.",
            "",
            STALENESS_S,
        ).of()
        routed = Counter(
            "leadplane_routed_total",
            "Requests that another node was to answer, by what came of it.",
            ["result"],
            registry=registry,
        )
        self._routed = {result: routed.labels(result) for result in ROUTED}
        self._series: dict[tuple[str, str], Counter] = {}

    def answered(self, request: Request, outcome: Outcome | None, seconds: float) -> None:
        """Count a request and its outcome; None when its client did not wait for it."""
        name = request_name(request)
        key = (name, outcome_name(outcome))
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = self._requests.labels(*key)
        series.inc()
        self._seconds.of(name).observe(seconds)
        if type(outcome) is Found or type(outcome) is Scanned:
            staleness_ms = outcome.provenance.staleness_ms
            if staleness_ms:
                self._staleness.observe(staleness_ms / 1_000)

    def traced(self, request: Request, seconds: float, trace: str) -> None:
        """Name the trace of a request that is counted besides."""
        self._seconds.of(request_name(request)).exemplify(seconds, trace)

    def routed(self, result: str) -> None:
        """Count a request that went elsewhere, or should have."""
        self._routed[result].inc()


def request_name(request: Request) -> str:
    """Name a request in a label: `write`, `read-strong`, `scan-any`, `transfer`, ..."""
    match request:
        case Write():
            return "write"
        case Read(consistency=consistency):
            return f"read-{consistency.value}"
        case Scan(consistency=consistency):
            return f"scan-{consistency.value}"
        case _:
            return type(request).__name__.lower()


def outcome_name(outcome: Outcome | None) -> str:
    """Name an outcome in a label: `ok`, a problem's name, or `abandoned`."""
    if outcome is None:
        return "abandoned"
    return outcome.problem.value if isinstance(outcome, Refused) else "ok"
