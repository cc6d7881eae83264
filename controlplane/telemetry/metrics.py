"""What a node counts, in the text format of Prometheus.

Each node has a registry of its own, so that several nodes can live in one process. No label names
a shard or a key: the number of series does not grow with the number of shards. Labels name stores,
kinds of events, kinds of requests, all of them few.

Figures that the node keeps anyway (shards led, stores reachable) are not copied with every change:
they are asked for when somebody scrapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from controlplane.alone import Alone, alone
from controlplane.machine import Happened, Headroom
from controlplane.requests import Outcome, Read, Refused, Request, Scan, Write
from controlplane.views import FleetView

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
GIVEN_UP = "move-given-up"
HOT_PARTITIONS = "hot-partitions"
AUDIT_CHECKPOINT = "audit-checkpoint"
STALE_ACCEPTED = "stale-accepted"
"""The event that must never happen: a write of a superseded epoch was taken."""

_LATENCY_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_LAG_S = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class NodeMetrics:
    """Counters of one node, and the text that Prometheus reads."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._events = self._counter("events", "Life-cycle events.", "kind")
        self._requests = self._counter(
            "requests", "Requests of clients answered by this node.", "request", "outcome"
        )
        self._seconds = Histogram(
            "leadplane_request_seconds",
            "From a request's arrival at the node to its answer.",
            ["request"],
            buckets=_LATENCY_S,
            registry=self.registry,
        )
        self._given_up = self._counter(
            "moves_given_up", "Planned moves of leaders that were not made, by the reason.", "why"
        )
        self._hot_partitions = Gauge(
            "leadplane_hot_partitions",
            "Shards that stay hot, since no split helps; at the global leader alone.",
            registry=self.registry,
        )
        self._audited = Gauge(
            "leadplane_audit_checkpoint",
            "The number of the last checkpoint of the audit log that this node made as its leader.",
            registry=self.registry,
        )
        self._stale = self._counter(
            "stale_operations_accepted", "Writes of a superseded epoch taken. Must stay 0."
        )
        self._calls = self._counter("store_calls", "Calls sent on ordered lanes.", "store")
        self._renewals = self._counter(
            "renewals", "Renewals of sessions by their outcome at one store.", "outcome"
        )
        self._memory_used = self._store_gauge("memory_used_bytes", "Memory a store uses.")
        self._memory_max = self._store_gauge("memory_max_bytes", "Memory a store may use.")
        self._disk_free = self._store_gauge(
            "disk_free_bytes", "Free disk of a store on this machine."
        )
        self._lost = self._counter("store_lanes_lost", "Ordered lanes that broke.", "store")
        self._lag = Histogram(
            "leadplane_event_loop_lag_seconds",
            "By how much the event loop was late for a timer.",
            buckets=_LAG_S,
            registry=self.registry,
        )
        self._request_series: dict[tuple[str, str], Counter] = {}
        self._latency_series: dict[str, Histogram] = {}
        self._call_series: dict[str, Counter] = {}

    def happened(self, event: Happened) -> None:
        """Count a life-cycle event."""
        self._events.labels(event.kind).inc()
        if event.kind == GIVEN_UP:
            self._given_up.labels(event.detail["why"]).inc()
        if event.kind == HOT_PARTITIONS:
            self._hot_partitions.set(event.detail["total"])
        if event.kind == AUDIT_CHECKPOINT:
            self._audited.set(event.detail["sequence"])
        if event.kind == STALE_ACCEPTED:
            self._stale.inc()

    def answered(self, request: Request, outcome: Outcome | None, seconds: float) -> None:
        """Count a request and its outcome; None when its client did not wait for it."""
        name = request_name(request)
        key = (name, outcome_name(outcome))
        series = self._request_series.get(key)
        if series is None:
            series = self._request_series[key] = self._requests.labels(*key)
        series.inc()
        latency = self._latency_series.get(name)
        if latency is None:
            latency = self._latency_series[name] = self._seconds.labels(name)
        latency.observe(seconds)

    def call_sent(self, store: str) -> None:
        """Count a call on the ordered lane of a store."""
        series = self._call_series.get(store)
        if series is None:
            series = self._call_series[store] = self._calls.labels(store)
        series.inc()

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

    def loop_was_late(self, seconds: float) -> None:
        """Note by how much a timer of the event loop came too late."""
        self._lag.observe(seconds)

    def watch(self, fleet: Callable[[], FleetView]) -> None:
        """Show what the node knows of its fleet, asked for at every scrape."""
        self.registry.register(_FleetGauges(fleet))

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self.registry)

    def _store_gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"leadplane_store_{name}", text, ("store",), registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"leadplane_{name}", text, labels, registry=self.registry)


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


class _FleetGauges:
    """A collector, as the Prometheus client calls it: gauges made from one view at each scrape."""

    def __init__(self, fleet: Callable[[], FleetView]) -> None:
        self._fleet = fleet

    def describe(self) -> Iterable[Metric]:
        return ()  # the node may not be ready when this is registered

    def collect(self) -> Iterable[Metric]:
        fleet = self._fleet()
        yield _gauge("shards", "Shards of the map.", fleet.shards_total)
        yield _gauge("shards_led", "Shards with a known leader.", fleet.shards_led)
        yield _gauge("shards_led_here", "Shards this node leads.", fleet.shards_here)
        yield _gauge("shards_in_use", "Shards that clients of this node use.", fleet.shards_in_use)
        yield _gauge("map_version", "Version of the shard map.", fleet.map_version)
        spare = GaugeMetricFamily(
            "leadplane_group_spare_stores", "Stores a group can still lose.", labels=["group"]
        )
        for group in fleet.groups:
            spare.add_metric([group.group], group.spare)
        yield spare
        up = GaugeMetricFamily("leadplane_store_up", "1: usable from here.", labels=["store"])
        for store in fleet.stores:
            up.add_metric([store.store], float(store.state == "up"))
        yield up
        trips = GaugeMetricFamily(
            "leadplane_region_round_trip_seconds",
            "The median round trip to nodes of another region, as measured from here.",
            labels=["region"],
        )
        for region, round_trip_ms in fleet.round_trips_ms:
            trips.add_metric([region], round_trip_ms / 1_000)
        yield trips
        yield from _alone_gauges(alone(fleet.region, fleet))


def _alone_gauges(view: Alone) -> Iterable[Metric]:
    shards = GaugeMetricFamily(
        "leadplane_region_alone_shards",
        "Shards by what this region could do with them if it were cut off now.",
        labels=["what"],
    )
    for what in ("goes_on", "reads_only", "stops", "nothing"):
        shards.add_metric([what], getattr(view, what))
    yield shards
    lasts = GaugeMetricFamily(
        "leadplane_region_alone_seconds",
        "How long it could go on so, cut off: strong reads, and reads of shards that stop.",
        labels=["what"],
    )
    for what, ms in (("strong_reads", view.strong_reads_ms), ("stops", view.stops_after_ms)):
        if ms is not None:
            lasts.add_metric([what], ms / 1_000)
    yield lasts


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"leadplane_{name}", text, value=value)
