"""What a node counts, in the text format of Prometheus. docs/metrics.md says what each is for.

Each node has a registry of its own, so that several nodes can live in one process. No label names a
shard or a key: the number of series does not grow with the number of shards. Labels name stores,
groups, regions, kinds of events, kinds of requests, all of them few; but three gauges name the
first ten shards of a list.

Figures that the node keeps anyway (shards led, stores reachable) are not copied with every change:
they are asked for when somebody scrapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import Final, Protocol

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from config.feed import Feed
from config.rollout import Rollout
from controlplane.figures import NodeFigures
from controlplane.machine import Happened
from controlplane.planning.planner import Planner
from controlplane.telemetry.fleet import FleetGauges
from controlplane.telemetry.http import HttpMetrics
from controlplane.telemetry.leaderships import LeadershipMetrics
from controlplane.telemetry.node_figures import FigureSamples
from controlplane.telemetry.placement import PlacementSamples
from controlplane.telemetry.requests import RequestMetrics
from controlplane.telemetry.rollouts import RolloutMetrics, RolloutStates
from controlplane.telemetry.stores import StoreMetrics
from controlplane.telemetry.traffic import TrafficMetrics, TrafficPrices
from controlplane.views import FleetView

LAG_S: Final = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class Watched(Protocol):
    """What is asked at each scrape: the node as its service shows it."""

    def fleet(self) -> FleetView: ...

    def figures(self) -> NodeFigures: ...

    def rollouts(self) -> Iterable[tuple[Rollout, int]]: ...

    def documents(self) -> Feed: ...


class NodeMetrics:
    """Everything that one node counts, by subject, and the text that Prometheus reads."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each, and nobody asks for it
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.requests = RequestMetrics(self.registry)
        self.stores = StoreMetrics(self.registry)
        self.http = HttpMetrics(self.registry)
        self.traffic = TrafficMetrics(self.registry)
        self._leaderships = LeadershipMetrics(self.registry)
        self._rollouts = RolloutMetrics(self.registry)
        Gauge(
            "leadplane_build_info",
            "1, with the version that this node runs.",
            ["version"],
            registry=self.registry,
        ).labels(version("leadplane")).set(1)
        self.loop_was_late: Callable[[float], None] = Histogram(
            "leadplane_event_loop_lag_seconds",
            "By how much the event loop was late for a timer.",
            buckets=LAG_S,
            registry=self.registry,
        ).observe

    def happened(self, event: Happened) -> None:
        """Count a life-cycle event."""
        self._leaderships.happened(event)
        self._rollouts.happened(event)

    def watch(self, node: Watched, planner: Planner) -> None:
        """Show what the node knows, asked for at every scrape."""
        self.registry.register(FleetGauges(node.fleet))
        self.registry.register(FigureSamples(node.figures))
        self.registry.register(RolloutStates(node.rollouts))
        self.registry.register(PlacementSamples(planner))
        self.registry.register(TrafficPrices(node.documents))

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self.registry)

    def open_metrics(self) -> bytes:
        """Everything as OpenMetrics: with the traces of requests that were long, and short."""
        text: bytes = openmetrics.generate_latest(self.registry)  # type: ignore[no-untyped-call]  # their stub
        return text
