"""For whoever answers for the service: whether promises are kept, and what it costs."""

from __future__ import annotations

from typing import Final

from controlplane.telemetry.dashboards.panel import (
    ORANGE,
    RED,
    Dashboard,
    Panel,
    Query,
    Row,
    above,
    below,
    number,
)

_PAGES: Final = 'ALERTS{J,alertstate="firing",severity="page"}'
_NONE: Final = "avg_over_time(leadplane:leaderless:ratio_rate5m{J}[$__range])"
_MISSED: Final = "avg_over_time(leadplane:renewals_missed:ratio_rate5m{J}[$__range])"
_CHURN: Final = "leadplane:leader_changes:per_shard_1h"
_ELECTION: Final = "increase(leadplane_election_seconds_bucket{J}[$__range])"
_RECONCILE: Final = "increase(leadplane_reconcile_seconds_bucket{J}[$__range])"

PROMISES: Final = Row(
    "Promises, over the time that is looked at",
    (
        number(
            "Leader availability",
            "M1: of all seconds of shards, those with a valid leader. 99.95 % are promised.",
            f"1 - {_NONE}",
            "percentunit",
            steps=below(0.9995),
            runbook="stuck-election",
        ),
        number(
            "Error budget left",
            "What is left of the 0.05 % that may be without a leader. Less than 0: used up.",
            f"1 - {_NONE} / 0.0005",
            "percentunit",
            steps=((None, RED), (0.0, ORANGE), (0.5, "green")),
            runbook="stuck-election",
        ),
        number(
            "Elections, p99",
            "M2: from the last sign of a leader to the first entry of the next. Less than 30 s.",
            f"histogram_quantile(0.99, sum by (le) ({_ELECTION}))",
            "s",
            steps=above(10, 30),
            runbook="stuck-election",
        ),
        number(
            "Leader changes an hour",
            "M3: of a shard, on average. Less than one is promised.",
            f"{_CHURN}{{J}}",
            steps=above(0.5, 1),
            runbook="flapping",
        ),
        number(
            "Renewals in time",
            "M4: leases renewed before the next renewal was due. 99.9 % are promised.",
            f"1 - {_MISSED}",
            "percentunit",
            steps=below(0.999),
            runbook="stale-leader",
        ),
        number(
            "Stale operations accepted",
            "M5: writes of a superseded leader that a store took. Never.",
            "sum(increase(leadplane_stale_operations_accepted_total{J}[$__range]))",
            steps=((None, "green"), (0.5, RED)),
            runbook="split-brain",
        ),
        number(
            "Oldest copy",
            "M6: how old copies are at the worst. Less than 5 s.",
            "max(leadplane:follower_lag_seconds:max{J})",
            "s",
            steps=above(2, 5),
            runbook="store-lost",
        ),
        number(
            "Elections that stuck",
            "M7: elections that did not get on for four leases. None.",
            "sum(increase(leadplane_election_failures_total{J}[$__range]))",
            steps=above(0.5),
            runbook="stuck-election",
        ),
        number(
            "Takeovers that failed",
            "M8: leaders elected that could not take over. Less than 0.1 %.",
            "sum(increase(leadplane_takeover_errors_total{J}[$__range]))"
            " / (sum(increase(leadplane_takeovers_total{J}[$__range])) > 0)",
            "percentunit",
            steps=above(0.001),
            runbook="takeover",
        ),
        number(
            "Orphaned requests",
            "M9: requests that nobody answered in their time. None.",
            "sum(leadplane_orphaned_tasks{J})",
            steps=above(0.5),
            runbook="takeover",
        ),
        number(
            "Reconciling, p99",
            "M10: until a new leader has decided all that was under way. Less than 60 s.",
            f"histogram_quantile(0.99, sum by (le) ({_RECONCILE}))",
            "s",
            steps=above(15, 60),
            runbook="takeover",
        ),
        number(
            "Releases",
            "How many releases nodes run; two while an upgrade goes on.",
            "count(count by (version) (leadplane_build_info{J}))",
            steps=above(2),
            runbook="version-skew",
        ),
    ),
)

_CHURN_AND_INCIDENTS: Final = Row(
    "Churn and incidents",
    (
        Panel(
            "Leader changes of a shard an hour, and a week before",
            "Rising from week to week: something does not come to rest.",
            (
                Query(f"{_CHURN}{{J}}", "now"),
                Query(f"{_CHURN}{{J}} offset 1w", "a week before"),
            ),
            steps=above(1),
            runbook="flapping",
        ),
        Panel(
            "Changes planned, and not",
            "Planned: moves, drains, restarts. Unplanned: a leader fell silent or did not serve.",
            (
                Query(
                    "sum by (cause)"
                    " (increase(leadplane_leader_changes_total{J}[$__rate_interval]))",
                    "{{cause}}",
                ),
            ),
            runbook="flapping",
        ),
        number(
            "Pages",
            "Alerts that woke somebody, by kind, over the time that is looked at.",
            f"count(max_over_time({_PAGES}[$__range])) or vector(0)",
            steps=above(0.5, 3),
        ),
        number(
            "Stores lost at worst",
            "Most stores that were down at a time, as most nodes saw it.",
            "max_over_time(count(quantile by (store) (0.5, leadplane_store_up{J}) < 1)[$__range:])"
            " or vector(0)",
            steps=above(1, 3),
            runbook="store-lost",
        ),
        Panel(
            "Incidents",
            "What woke somebody, and for how long it went on.",
            (Query(f"count by (alertname) ({_PAGES})", "{{alertname}}", "any page"),),
            width=24,
            steps=above(1),
        ),
    ),
)  # fmt: skip

_COST: Final = Row(
    "Cost of placement",
    (
        Panel(
            "USD a month",
            "The last plan: as it was, as planned, and what no placement costs less than.",
            (
                Query(
                    "max by (what) (leadplane_placement_cost_usd_per_month{J})",
                    "{{what}}",
                    "a plan: `leadplane placement plan`",
                ),
            ),
            "currencyUSD",
        ),
        Panel(
            "Traffic between regions, USD a month",
            "What is measured, at the prices in force; and what the last plan says of it.",
            (
                Query("sum(leadplane:region_pair_usd_per_month:rate1h{J})", "measured"),
                Query(
                    "max by (what) (leadplane_placement_traffic_usd_per_month{J})",
                    "planned: {{what}}",
                    "a plan: `leadplane placement plan`",
                ),
            ),
            "currencyUSD",
        ),
        Panel(
            "The same by regions, as measured",
            "From one region to another, over the last hour, by what was sent and its price.",
            (
                Query(
                    "sum by (from_region, to_region)"
                    " (leadplane:region_pair_usd_per_month:rate1h{J})",
                    "{{from_region}} to {{to_region}}",
                ),
            ),
            "currencyUSD",
        ),
        Panel(
            "Moves of that plan",
            "Moves that it would take, and those on their way.",
            (
                Query(
                    "max(leadplane_placement_plan_moves{J})",
                    "planned",
                    "a plan: `leadplane placement plan`",
                ),
                Query("max(leadplane_placement_moves_in_flight{J})", "on their way"),
            ),
        ),
        Panel(
            "Rollouts that are on",
            "By phase; `stuck` and `held` wait for somebody.",
            (Query("max by (phase) (leadplane_rollouts{J}) > 0", "{{phase}}", "a rollout"),),
            runbook="rollout-stuck",
        ),
    ),
)

EXECUTIVE: Final = Dashboard(
    "leadplane-executive",
    "Leadplane: promises and cost",
    "Whether Leadplane keeps its ten promises, how that changes, and what placement costs.",
    (PROMISES, _CHURN_AND_INCIDENTS, _COST),
    "now-7d",
    "5m",
)
