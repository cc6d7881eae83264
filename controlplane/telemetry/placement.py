"""Placement as the planner of this node knows it: moves, plans, what they cost.

Only the global leader plans and moves; at every other node these samples stand still.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client.metrics_core import Metric

from controlplane.planning.planner import Planner
from controlplane.telemetry.families import counters, gauge, gauges

TRAFFIC: Final = ("write_egress", "read_egress", "replication_egress")
"""The parts of a plan's cost (shards/placement/score) that are bytes between regions."""


class PlacementSamples:
    """A collector, as the Prometheus client calls it."""

    def __init__(self, planner: Planner, wall_s: Callable[[], float] = time.time) -> None:
        self._planner = planner
        self._wall_s = wall_s

    def describe(self) -> Iterable[Metric]:
        """Nothing: what there is depends on what was planned."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """All samples, of one moment."""
        planner = self._planner
        yield counters(
            "leadplane_placement_moves_total",
            "Planned moves of leaders by what they were for: begun, arrived, failed.",
            ["kind", "result"],
            planner.moves,
        )
        admission = planner.admission
        yield gauge(
            "leadplane_placement_moves_in_flight",
            "Moves that have begun and not ended.",
            len(admission.on_way),
        )
        yield gauge(
            "leadplane_placement_braked",
            "1: so many nodes went down of what they were given that moves wait.",
            admission.is_braked,
        )
        yield counters(
            "leadplane_placement_plans_failed_total",
            "Plans that could not be made, by the reason; `no-placement`: nothing is feasible.",
            ["why"],
            {(why,): count for why, count in ({"no-placement": 0} | planner.failures).items()},
        )
        yield from self._plan()

    def _plan(self) -> Iterable[Metric]:
        planned = self._planner.latest
        if planned is None:
            return
        yield gauge(
            "leadplane_placement_plan_age_seconds",
            "Since the last plan of the fleet as it is was made here.",
            max(0.0, self._wall_s() - planned.made_s),
        )
        document = planned.document
        usd: dict[tuple[str, ...], float] = {
            ("before",): document["before"]["usd_per_month"],
            ("after",): document["after"]["usd_per_month"],
            ("bound",): document["bound_usd_per_month"],
        }
        yield gauges(
            "leadplane_placement_cost_usd_per_month",
            "Of that plan: the placement as it was, as planned, and what none can cost less than.",
            ["what"],
            usd,
        )
        traffic: dict[tuple[str, ...], float] = {
            (what,): sum(document[what]["parts"][part] for part in TRAFFIC)
            for what in ("before", "after")
        }
        yield gauges(
            "leadplane_placement_traffic_usd_per_month",
            "Of that cost, what bytes between regions are: as the placement was, and as planned.",
            ["what"],
            traffic,
        )
        yield gauge(
            "leadplane_placement_plan_moves", "Moves of that plan.", document["moves_count"]
        )
