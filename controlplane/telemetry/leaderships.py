"""What happens to leaderships, counted where the next leader is: M2, M3, M7 and M10.

The leader that was there before may be gone, with all that it counted; so it is its successor that
tells how long the shard had none, and whether anybody planned that.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from controlplane.machine import Happened

ELECTED: Final = "elected"
GIVEN_UP: Final = "move-given-up"
HOT_PARTITIONS: Final = "hot-partitions"
AUDIT_CHECKPOINT: Final = "audit-checkpoint"
STUCK: Final = "stuck"
STALE_ACCEPTED: Final = "stale-accepted"
"""The event that must never happen: a write of a superseded epoch was taken."""
CAUSES: Final = ("planned", "unplanned")
ELECTION_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 300.0)
RECONCILE_S: Final = (0.01, 0.05, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0)


class LeadershipMetrics:
    """Counters of life-cycle events."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter(
            "leadplane_events_total", "Life-cycle events.", ["kind"], registry=registry
        )
        self._events.labels("probe-failed")  # an alert counts from nothing to the first one
        self._elections = Histogram(
            "leadplane_election_seconds",
            "From the last valid moment of the old leader to the first committed entry of the new.",
            ["cause"],
            buckets=ELECTION_S,
            registry=registry,
        )
        self._changes = Counter(
            "leadplane_leader_changes_total",
            "Shards that this node leads in place of another leader.",
            ["cause"],
            registry=registry,
        )
        for cause in CAUSES:
            self._elections.labels(cause)
            self._changes.labels(cause)
        self._reconcile = Histogram(
            "leadplane_reconcile_seconds",
            "From the grant of a shard until everything in its log was decided.",
            buckets=RECONCILE_S,
            registry=registry,
        )
        self._failures = Counter(
            "leadplane_election_failures_total",
            "Elections that did not get on for several leases.",
            registry=registry,
        )
        self._given_up = Counter(
            "leadplane_moves_given_up_total",
            "Planned moves of leaders that were not made, by the reason.",
            ["why"],
            registry=registry,
        )
        self._hot_partitions = Gauge(
            "leadplane_hot_partitions",
            "Shards that stay hot, since no split helps; at the global leader alone.",
            registry=registry,
        )
        self._audited = Gauge(
            "leadplane_audit_checkpoint",
            "The number of the last checkpoint of the audit log that this node made as its leader.",
            registry=registry,
        )
        self._stale = Counter(
            "leadplane_stale_operations_accepted_total",
            "Writes of a superseded epoch taken. Must stay 0.",
            registry=registry,
        )

    def happened(self, event: Happened) -> None:
        """Count an event, and what it tells."""
        self._events.labels(event.kind).inc()
        match event.kind:
            case "elected":
                self._elected(event)
            case "stuck":
                self._failures.inc()
            case "move-given-up":
                self._given_up.labels(event.detail["why"]).inc()
            case "hot-partitions":
                self._hot_partitions.set(event.detail["total"])
            case "audit-checkpoint":
                self._audited.set(event.detail["sequence"])
            case "stale-accepted":
                self._stale.inc()

    def _elected(self, event: Happened) -> None:
        cause, unled_ms = event.detail.get("cause"), event.detail.get("unled_ms")
        if cause in CAUSES:
            self._changes.labels(cause).inc()
            if unled_ms is not None:
                self._elections.labels(cause).observe(unled_ms / 1_000)
        reconciled_ms = event.detail.get("reconciled_ms")
        if reconciled_ms is not None:
            self._reconcile.observe(reconciled_ms / 1_000)
