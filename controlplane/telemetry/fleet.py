"""What the node knows of its fleet, made into gauges at each scrape: see controlplane/views."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from controlplane.alone import Alone, alone
from controlplane.telemetry.families import gauge, gauges
from controlplane.views import FleetView


class FleetGauges:
    """A collector, as the Prometheus client calls it."""

    def __init__(self, fleet: Callable[[], FleetView]) -> None:
        self._fleet = fleet

    def describe(self) -> Iterable[Metric]:
        """Nothing: the node may not be ready when this is registered."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """All gauges, from one view."""
        fleet = self._fleet()
        yield gauge("leadplane_shards", "Shards of the map.", fleet.shards_total)
        yield gauge("leadplane_shards_led", "Shards with a known leader.", fleet.shards_led)
        yield gauge("leadplane_shards_led_here", "Shards this node leads.", fleet.shards_here)
        yield gauge(
            "leadplane_shards_in_use", "Shards that clients of this node use.", fleet.shards_in_use
        )
        yield gauge("leadplane_map_version", "Version of the shard map.", fleet.map_version)
        yield gauge(
            "leadplane_global_leader_known",
            "1: this node knows who leads the system shard.",
            fleet.global_leader is not None,
        )
        yield from _nodes(fleet)
        yield from _groups(fleet)
        yield from _stores(fleet)
        yield gauges(
            "leadplane_region_round_trip_seconds",
            "The median round trip to nodes of another region, as measured from here.",
            ["region"],
            {(region,): ms / 1_000 for region, ms in fleet.round_trips_ms},
        )
        yield from _alone(alone(fleet.region, fleet))


def _nodes(fleet: FleetView) -> Iterable[Metric]:
    found: dict[tuple[str, ...], float] = {}
    for node in fleet.nodes:
        state = "drained" if node.drained else "draining" if node.draining else "serving"
        key = (node.region, state if node.alive else "silent")
        found[key] = found.get(key, 0) + 1
    yield gauges(
        "leadplane_nodes",
        "Nodes by region and state: serving, draining, drained, silent.",
        ["region", "state"],
        found,
    )


def _groups(fleet: FleetView) -> Iterable[Metric]:
    groups = fleet.groups
    yield gauges(
        "leadplane_group_spare_stores",
        "Stores a group can still lose.",
        ["group"],
        {(group.group,): group.spare for group in groups},
    )
    yield gauges(
        "leadplane_group_shards",
        "Shards that a group holds.",
        ["group"],
        {(group.group,): group.shards for group in groups},
    )
    yield gauges(
        "leadplane_group_has_quorum",
        "1: a majority of the group's voters can be reached.",
        ["group"],
        {(group.group,): group.reachable >= group.quorum for group in groups},
    )
    yield gauges(
        "leadplane_group_lost_voters",
        "Voters that forgot, when too few are left to go on.",
        ["group"],
        {(group.group,): len(group.lost) for group in groups},
    )


def _stores(fleet: FleetView) -> Iterable[Metric]:
    stores = fleet.stores
    yield gauges(
        "leadplane_store_up",
        "1: usable from here.",
        ["store", "region"],
        {(store.store, store.region): store.state == "up" for store in stores},
    )
    yield gauges(
        "leadplane_store_refused",
        "1: it answers, and is not to be used: rolled back, forgot, or unfit.",
        ["store", "region"],
        {(store.store, store.region): store.state == "refused" for store in stores},
    )
    yield gauges(
        "leadplane_store_opseq",
        "The store's own count of changes; it never falls.",
        ["store"],
        {(store.store,): store.opseq for store in stores},
    )


def _alone(view: Alone) -> Iterable[Metric]:
    yield gauges(
        "leadplane_region_alone_shards",
        "Shards by what this region could do with them if it were cut off now.",
        ["what"],
        {(w,): getattr(view, w) for w in ("goes_on", "reads_only", "stops", "nothing")},
    )
    lasts = GaugeMetricFamily(
        "leadplane_region_alone_seconds",
        "How long it could go on so, cut off: strong reads, and reads of shards that stop.",
        labels=["what"],
    )
    for what, ms in (("strong_reads", view.strong_reads_ms), ("stops", view.stops_after_ms)):
        if ms is not None:
            lasts.add_metric([what], ms / 1_000)
    yield lasts
