"""Everything a node can show, with something of each kind in it."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from config.feed import Feed
from config.rollout import Rollout
from controlplane.figures import GroupFigures, NodeFigures
from controlplane.planning.planner import Planned, Planner
from controlplane.telemetry.metrics import NodeMetrics
from controlplane.telemetry.placement import TRAFFIC
from controlplane.telemetry.traffic import LANES
from controlplane.views import FleetView, GroupView, StoreView
from tests.api.fake_service import FakeFleet
from tests.config.sample_fleet import feed as sample_feed

FLEET = FleetView(
    node="n1",
    region="here",
    global_leader=None,
    map_version=3,
    leadership_revision=9,
    groups=(GroupView("global", ("a", "b", "c"), (), 2, 3, 1, 6_000, 4, 4),),
    stores=(
        StoreView("a", "here", "here-a", ("global",), "up", "", 5, 1, 2),
        StoreView("b", "there", "there-a", ("global",), "down", "cut", 0, None, None),
    ),
    nodes=(),
    shards_total=5,
    shards_led=4,
    shards_here=2,
    round_trips_ms=(("there", 90.0),),
)
FIGURES = NodeFigures(
    groups=(GroupFigures("global", 90_000, 10_000, 1, 2_500, 100, 99, 4_000),),
    elections={"won": 7, "lost": 2, "fenced": 1},
    follower_lag_ms={("there", "here"): 250},
    entries_behind={"there": 12},
    fenced_writes=3,
    requests_open=4,
    log_entries=5,
    log_bytes=6,
    shard_bytes=7,
    table_age_ms=200,
    quarantined=frozenset({"b"}),
    busiest=(("s1", 12.5),),
    longest_leaderless=(("s2", 2_500.0),),
    flapping=1,
    flapping_first=("s3",),
)
PLANNED = Planned(
    "hash",
    {
        "before": {"usd_per_month": 30.0, "parts": dict.fromkeys(TRAFFIC, 2.0) | {"storage": 9.0}},
        "after": {"usd_per_month": 20.0, "parts": dict.fromkeys(TRAFFIC, 1.0) | {"storage": 9.0}},
        "bound_usd_per_month": 19.0,
        "moves_count": 4,
    },
    (),
    is_real=True,
    position=1,
    made_s=1.0,
)


class Shown:
    """A node that shows what a test says."""

    def __init__(self, fleet: FleetView = FLEET, figures: NodeFigures = FIGURES) -> None:
        self.view = fleet
        self.counted = figures

    def fleet(self) -> FleetView:
        return self.view

    def figures(self) -> NodeFigures:
        return self.counted

    def documents(self) -> Feed:
        return sample_feed()

    def rollouts(self) -> tuple[tuple[Rollout, int], ...]:
        return ()


def shown(node: Shown | None = None, planned: Planned | None = PLANNED) -> NodeMetrics:
    """Metrics of a node with a planner that has planned."""
    metrics = NodeMetrics()
    planner = Planner(FakeFleet().add("n1", "here"))
    planner.latest = planned
    metrics.watch(node or Shown(), planner)
    byte_count = metrics.traffic.between("here", LANES, "there")
    assert byte_count is not None, "they are two regions"
    byte_count.sent, byte_count.received = 900, 40
    return metrics


def samples(metrics: NodeMetrics) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels, in the order of the labels."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }
