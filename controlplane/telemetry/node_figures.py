"""What the node itself keeps count of, made into samples at each scrape: see controlplane/figures.

M1, M4, M5, M6, M8 and M9 are here: they are judged by the pure node, which knows every lease and
the time, and it costs nothing while nobody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client.metrics_core import Metric

from controlplane.figures import NodeFigures, Ranked
from controlplane.telemetry.families import counter, counters, gauge, gauges

TAKEOVER_ERRORS: Final = ("recovery-failed", "misled", "fenced")
"""How an election ends that had been won, and came to nothing."""


class FigureSamples:
    """A collector, as the Prometheus client calls it."""

    def __init__(self, figures: Callable[[], NodeFigures]) -> None:
        self._figures = figures

    def describe(self) -> Iterable[Metric]:
        """Nothing: the node may not be ready when this is registered."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """All samples, of one moment."""
        figures = self._figures()
        yield from _leaders(figures)
        yield from _elections(figures)
        yield from _work(figures)
        yield from _copies(figures)
        yield from _ranked(figures)


def _leaders(figures: NodeFigures) -> Iterable[Metric]:
    seconds: dict[tuple[str, ...], float] = {}
    for group in figures.groups:
        seconds[group.group, "valid"] = group.valid_ms / 1_000
        seconds[group.group, "none"] = group.leaderless_ms / 1_000
    yield counters(
        "leadplane_leader_shard_seconds_total",
        "Seconds of shards with a valid leader, and with none, as judged by this node.",
        ["group", "leader"],
        seconds,
    )
    yield gauges(
        "leadplane_leaderless_shards",
        "Shards that surely have no valid leader, as judged by this node.",
        ["group"],
        {(group.group,): group.leaderless for group in figures.groups},
    )
    yield gauges(
        "leadplane_leaderless_longest_seconds",
        "For how long the first of them has had none.",
        ["group"],
        {(group.group,): group.leaderless_longest_ms / 1_000 for group in figures.groups},
    )
    yield gauge(
        "leadplane_flapping_shards",
        "Shards whose leader changed five times or more in a quarter of an hour.",
        figures.flapping,
    )
    yield counters(
        "leadplane_renewals_expected_total",
        "Renewals of this node's leases that were due.",
        ["group"],
        {(group.group,): group.rounds for group in figures.groups},
    )
    yield counters(
        "leadplane_renewals_done_total",
        "Of those, the ones that a majority acknowledged before the next was due.",
        ["group"],
        {(group.group,): group.rounds_done for group in figures.groups},
    )
    left = {g.group: g.lease_left_ms for g in figures.groups if g.lease_left_ms is not None}
    yield gauges(
        "leadplane_lease_remaining_seconds",
        "For how long this node may still lead what it leads, without another renewal.",
        ["group"],
        {(group,): ms / 1_000 for group, ms in left.items()},
    )


def _elections(figures: NodeFigures) -> Iterable[Metric]:
    ended = figures.elections
    yield counters(
        "leadplane_elections_total",
        "Elections that this node stood in, by what came of them.",
        ["result"],
        {(result,): count for result, count in ended.items()},
    )
    errors = sum(ended.get(why, 0) for why in TAKEOVER_ERRORS)
    yield counter(
        "leadplane_takeovers_total",
        "Elections won, whatever came of them then.",
        ended.get("won", 0) + errors,
    )
    yield counter(
        "leadplane_takeover_errors_total",
        "Of those, the ones whose log could not be recovered, or that were fenced meanwhile.",
        errors,
    )


def _work(figures: NodeFigures) -> Iterable[Metric]:
    yield counter(
        "leadplane_fenced_operations_total",
        "Writes whose leader lost the shard before a majority had them.",
        figures.fenced_writes,
    )
    yield gauge("leadplane_requests_open", "Requests not answered yet.", figures.requests_open)
    yield gauge(
        "leadplane_orphaned_tasks",
        "Requests whose time is up and that nobody has answered. Must stay 0.",
        figures.orphaned,
    )
    yield gauge(
        "leadplane_log_entries",
        "Entries of the logs led here that are kept for stores which lack them.",
        figures.log_entries,
    )
    yield gauge("leadplane_log_bytes", "Their size.", figures.log_bytes)
    yield gauge(
        "leadplane_led_bytes", "What the shards led here hold, in all.", figures.shard_bytes
    )


def _copies(figures: NodeFigures) -> Iterable[Metric]:
    yield gauges(
        "leadplane_follower_lag_seconds",
        "How old copies at stores of this region may be, at most, by the region of the leader.",
        ["from_region", "to_region"],
        {pair: ms / 1_000 for pair, ms in figures.follower_lag_ms.items()},
    )
    yield gauges(
        "leadplane_follower_lag_entries",
        "Entries that a store of a region lacks of a shard led here, at the worst.",
        ["to_region"],
        {(region,): count for region, count in figures.entries_behind.items()},
    )
    if figures.table_age_ms is not None:
        yield gauge(
            "leadplane_routing_table_age_seconds",
            "Since the shard map was last read to the end of its log.",
            figures.table_age_ms / 1_000,
        )
    yield gauge(
        "leadplane_stores_quarantined",
        "Stores that went back in time, and are not used by this process again.",
        len(figures.quarantined),
    )


def _ranked(figures: NodeFigures) -> Iterable[Metric]:
    """The only samples that name shards: a few of them, the greatest first."""
    yield gauges(
        "leadplane_busiest_shard_requests_per_second",
        "The busiest shards of this node's clients, ten at most.",
        ["shard"],
        _samples(figures.busiest),
    )
    yield gauges(
        "leadplane_flapping_shard",
        "1, with the name of a shard whose leader changes again and again, ten at most.",
        ["shard"],
        {(shard,): 1 for shard in figures.flapping_first},
    )
    waits = tuple((shard, ms / 1_000) for shard, ms in figures.longest_leaderless)
    yield gauges(
        "leadplane_longest_leaderless_shard_seconds",
        "The shards that have been without a leader for longest, ten at most.",
        ["shard"],
        _samples(waits),
    )


def _samples(ranked: Ranked) -> dict[tuple[str, ...], float]:
    return {(shard,): figure for shard, figure in ranked}
