"""Calls to stores, as this node sent and saw them answered: how many, how long, and what failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge

from controlplane.machine import Headroom
from controlplane.telemetry.buckets import Histograms

CALL_S: Final = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0)
TakeAnswer: TypeAlias = Callable[[float, str], None]
"""Told of each call: how many seconds its answer took, and its code."""
OK: Final = "OK"


class StoreMetrics:
    """Counters by store; there are few of those."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._calls = Counter(
            "leadplane_store_calls_total",
            "Calls sent on ordered lanes.",
            ["store"],
            registry=registry,
        )
        self._seconds = Histograms(
            registry,
            "leadplane_store_call_seconds",
            "From a call on an ordered lane to its answer.",
            "store",
            CALL_S,
        )
        self._errors = Counter(
            "leadplane_store_errors_total",
            "Calls that a store answered with a refusal, by its code.",
            ["store", "code"],
            registry=registry,
        )
        self._lost = Counter(
            "leadplane_store_lanes_lost_total",
            "Ordered lanes that broke.",
            ["store"],
            registry=registry,
        )
        self._renewals = Counter(
            "leadplane_renewals_total",
            "Renewals of sessions by their outcome at one store.",
            ["outcome"],
            registry=registry,
        )
        self._memory_used = self._gauge("leadplane_store_memory_used_bytes", "Memory a store uses.")
        self._memory_max = self._gauge(
            "leadplane_store_memory_max_bytes", "Memory a store may use; 0: nobody set a limit."
        )
        self._disk_free = self._gauge(
            "leadplane_store_disk_free_bytes", "Free disk of a store on this machine."
        )
        self._call_series: dict[str, Counter] = {}

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, ["store"], registry=self._registry)

    def call_sent(self, store: str) -> None:
        """Count a call on the ordered lane of a store."""
        series = self._call_series.get(store)
        if series is None:
            series = self._call_series[store] = self._calls.labels(store)
        series.inc()

    def answers_of(self, store: str) -> TakeAnswer:
        """What is to be told of every answer of a store."""
        self._lost.labels(store)  # seen before the first lane breaks
        observe, errors = self._seconds.of(store).observe, self._errors

        def take(seconds: float, code: str) -> None:
            observe(seconds)
            if code != OK:
                errors.labels(store, code).inc()

        return take

    def renewed(self, outcome: str) -> None:
        """Count a renewal at one store: `ok`, `lost`, or the code it was refused with."""
        self._renewals.labels(outcome).inc()

    def looked(self, seen: Headroom) -> None:
        """Keep how much room a store had when it was looked at."""
        self._memory_used.labels(seen.store).set(seen.memory_used_bytes)
        self._memory_max.labels(seen.store).set(seen.memory_max_bytes)
        if seen.disk_free_bytes is not None:
            self._disk_free.labels(seen.store).set(seen.disk_free_bytes)

    def lane_lost(self, store: str) -> None:
        """Count an ordered lane that broke."""
        self._lost.labels(store).inc()
