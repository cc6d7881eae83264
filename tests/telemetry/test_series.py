"""How many series a node shows: no more with 10,000 shards than with none."""

from __future__ import annotations

from dataclasses import replace

from controlplane.api.route_table import ROUTES
from controlplane.figures import GroupFigures, NodeFigures
from controlplane.machine import Happened, Headroom
from controlplane.requests import Consistency, Problem, Read, Refused, Write
from controlplane.telemetry.metrics import NodeMetrics
from controlplane.telemetry.traffic import BULK, LANES, MESSAGES, REQUESTS
from controlplane.views import FleetView, GroupView, NodeView, StoreView
from tests.telemetry.exposed import FIGURES, FLEET, PLANNED, Shown, shown

SERIES_MAX = 2_000
REGIONS = tuple(f"region-{number}" for number in range(5))
STORES = tuple(f"{region}-s{number}" for region in REGIONS for number in range(3))
KINDS = tuple(f"kind-{number}" for number in range(70))
"""More than there are kinds of events."""


def count(metrics: NodeMetrics) -> int:
    lines = metrics.text().decode().splitlines()
    return sum(not line.startswith("#") for line in lines)


def large_fleet() -> tuple[FleetView, NodeFigures]:
    """Five regions with three stores and two nodes each, and seven groups."""
    groups = ("global", "multi/a+b+c", *(f"region/{region}" for region in REGIONS))
    fleet = replace(
        FLEET,
        groups=tuple(GroupView(g, STORES[:3], (), 2, 3, 1, 6_000, 9, 9) for g in groups),
        stores=tuple(
            StoreView(store, store[:8], "z", ("global",), "up", "", 5, 1, 2) for store in STORES
        ),
        nodes=tuple(
            NodeView(f"{region}-n{number}", region, "", alive, 5, 9)
            for region in REGIONS
            for number, alive in enumerate((True, False))
        ),
        round_trips_ms=tuple((region, 50.0) for region in REGIONS),
    )
    figures = replace(
        FIGURES,
        groups=tuple(GroupFigures(group, 1, 1, 1, 1, 1, 1, 1) for group in groups),
        follower_lag_ms={(one, other): 5 for one in REGIONS for other in REGIONS},
        entries_behind=dict.fromkeys(REGIONS, 5),
    )
    return fleet, figures


def used(node: Shown, shards: int) -> NodeMetrics:
    """Everything was used: every route with every class of status, every store, every problem."""
    metrics = shown(node, PLANNED)
    for endpoint in ROUTES:
        observe = metrics.http.route(endpoint.method, endpoint.path)
        for status in (200, 404):
            observe(status, 0.01)
    for store in STORES:
        metrics.stores.call_sent(store)
        metrics.stores.answers_of(store)(0.01, "OOM")
        metrics.stores.lane_lost(store)
        metrics.stores.looked(Headroom(store, 1, 1, 1, 1))
    for there in REGIONS[1:]:
        for what in (LANES, BULK, REQUESTS, MESSAGES):
            metrics.traffic.between(REGIONS[0], what, there)
    for kind in KINDS:
        metrics.happened(Happened(kind, "s1", 1, {}))
    for number in range(shards):
        shard = f"shard-{number}"
        metrics.happened(Happened("elected", shard, 1, {"cause": "unplanned", "unled_ms": 5}))
        metrics.requests.answered(Write(shard, ()), None, 0.001)
    for problem in Problem:
        metrics.requests.answered(Write("s", ()), Refused(problem, ""), 0.001)
        for consistency in Consistency:
            asked = Read("s", ("k",), consistency)
            metrics.requests.answered(asked, Refused(problem, ""), 0.001)
    return metrics


def test_series_do_not_grow_with_shards() -> None:
    fleet, figures = large_fleet()
    ranked = tuple((f"shard-{number}", 1.0) for number in range(10))
    figures = replace(figures, busiest=ranked, longest_leaderless=ranked)
    few = count(used(Shown(fleet, figures), 1))
    many = count(used(Shown(replace(fleet, shards_total=10_000), figures), 10_000))
    assert few == many


def test_a_node_with_everything_in_use_stays_within_its_bound() -> None:
    fleet, figures = large_fleet()
    assert count(used(Shown(fleet, figures), 10)) < SERIES_MAX


def test_a_node_that_was_just_started_shows_little() -> None:
    assert count(shown()) < 400
