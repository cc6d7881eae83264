"""The SLIs, recorded: for each the part of what went wrong, over the windows that alerts look at.

Availability is judged by every node of all shards. The middle of their judgements counts: a node
that is cut off sees no leader anywhere, and one that died judges nothing. All other SLIs are sums,
since each event and each renewal is counted at one node.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from controlplane.telemetry.rules.scale import Scale, named

MINUTE: Final = 60
HOUR: Final = 3_600
DAY: Final = 86_400
MONTH: Final = 730 * HOUR
"""As plans have it: a twelfth of a year."""
WINDOWS: Final = (5 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 6 * HOUR, DAY, 3 * DAY)
SLOW_ELECTION_S: Final = "30.0"

LEADERLESS: Final = "leadplane:leaderless:ratio"
RENEWALS_MISSED: Final = "leadplane:renewals_missed:ratio"
ELECTIONS_SLOW: Final = "leadplane:elections_slow:ratio"
TAKEOVERS_FAILED: Final = "leadplane:takeovers_failed:ratio"
LEADERLESS_NOW: Final = (
    "quantile by (job) (0.5, sum by (job, instance) (leadplane_leaderless_shards))"
)
"""Recorded for dashboards; the page asks itself, since what is recorded comes a turn later."""


def recorded(sli: str, window_s: int) -> str:
    """The name of an SLI over a window."""
    return f"{sli}_rate{named(window_s)}"


def recording_rules(scale: Scale) -> dict[str, Any]:
    """The file of recording rules."""
    rules = [rule for window in WINDOWS for rule in _over(window, scale)]
    rules += list(_figures(scale))
    return {"groups": [{"name": "leadplane-slis", "rules": rules}]}


def _over(window_s: int, scale: Scale) -> Iterator[dict[str, Any]]:
    span = scale.span(window_s)
    seconds = "leadplane_leader_shard_seconds_total"
    yield {
        "record": recorded(LEADERLESS, window_s),
        "expr": f"quantile by (job) (0.5, "
        f'sum by (job, instance) (rate({seconds}{{leader="none"}}[{span}]))'
        f" / sum by (job, instance) (rate({seconds}[{span}])))",
    }
    done, due = "leadplane_renewals_done_total", "leadplane_renewals_expected_total"
    yield {
        "record": recorded(RENEWALS_MISSED, window_s),
        "expr": f"1 - sum by (job) (rate({done}[{span}])) / sum by (job) (rate({due}[{span}]))",
    }
    elections = "leadplane_election_seconds"
    yield {
        "record": recorded(ELECTIONS_SLOW, window_s),
        "expr": f'1 - sum by (job) (rate({elections}_bucket{{le="{SLOW_ELECTION_S}"}}[{span}]))'
        f" / sum by (job) (rate({elections}_count[{span}]))",
    }
    errors, all_of_them = "leadplane_takeover_errors_total", "leadplane_takeovers_total"
    yield {
        "record": recorded(TAKEOVERS_FAILED, window_s),
        "expr": f"sum by (job) (rate({errors}[{span}]))"
        f" / sum by (job) (rate({all_of_them}[{span}]))",
    }


def _figures(scale: Scale) -> Iterator[dict[str, Any]]:
    """Figures of the whole fleet, for dashboards and for alerts."""
    yield {
        "record": "leadplane:leaderless_shards:middle",
        "expr": LEADERLESS_NOW,
    }
    yield {
        "record": "leadplane:leader_changes:per_shard_1h",
        "expr": f"sum by (job) (increase(leadplane_leader_changes_total[{scale.span(HOUR)}]))"
        " / max by (job) (leadplane_shards)",
    }
    yield {
        "record": "leadplane:election_seconds:p99_1h",
        "expr": "histogram_quantile(0.99, sum by (job, le) ("
        f"rate(leadplane_election_seconds_bucket[{scale.span(HOUR)}])))",
    }
    yield {
        "record": "leadplane:follower_lag_seconds:max",
        "expr": "max by (job, from_region, to_region) (leadplane_follower_lag_seconds)",
    }
    pair = "job, from_region, to_region"
    yield {
        "record": "leadplane:region_pair_usd_per_month:rate1h",
        "expr": f"sum by ({pair}) (rate(leadplane_region_pair_bytes_total[{scale.span(HOUR)}]))"
        f" * max by ({pair}) (leadplane_region_pair_usd_per_byte) * {MONTH}",
    }
