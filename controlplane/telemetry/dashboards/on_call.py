"""For whoever was woken: what is wrong now, who leads where, and what happened last."""

from __future__ import annotations

from typing import Final

from controlplane.telemetry.dashboards.panel import (
    RED,
    Dashboard,
    Panel,
    Query,
    Row,
    above,
    number,
)

_FIRING: Final = 'ALERTS{J,alertstate="firing"}'
_RATE: Final = "[$__rate_interval]"

_NOW: Final = Row(
    "Now",
    (
        number(
            "Shards without a leader",
            "As most nodes judge it.",
            "max(leadplane:leaderless_shards:middle{J})",
            steps=((None, "green"), (1.0, RED)),
            runbook="stuck-election",
        ),
        number(
            "Shards that do not come to rest",
            "Their leader changed five times or more in a quarter of an hour.",
            "max(leadplane_flapping_shards{J})",
            steps=((None, "green"), (1.0, RED)),
            runbook="flapping",
        ),
        number(
            "Groups without a quorum",
            "As most nodes see it. Their shards cannot be written.",
            "count(quantile by (group) (0.5, leadplane_group_has_quorum{J}) < 0.5) or vector(0)",
            steps=((None, "green"), (1.0, RED)),
            runbook="stuck-election",
        ),
        number(
            "Stores that are not up",
            "As most nodes see it.",
            "count(quantile by (store) (0.5, leadplane_store_up{J}) < 1) or vector(0)",
            steps=above(1, 2),
            runbook="store-lost",
        ),
        number(
            "Nodes that are silent",
            "As most nodes see it.",
            'sum(quantile by (region) (0.5, leadplane_nodes{J,state="silent"})) or vector(0)',
            steps=above(1, 2),
            runbook="region-lost",
        ),
        number(
            "Alerts",
            "Alerts that fire now.",
            f"count({_FIRING}) or vector(0)",
            steps=above(1),
        ),
        Panel(
            "Active alerts",
            "Each has a runbook: docs/runbooks/README.md lists them.",
            (
                Query(
                    f"max by (alertname, severity, region, store, group, instance) ({_FIRING})",
                    needs="any alert",
                ),
            ),
            kind="table",
            width=24,
        ),
    ),
)

_LEADERS: Final = Row(
    "Who leads where",
    (
        Panel(
            "Shards led, by node",
            "All shards, by the node that says that it leads them.",
            (Query("sum by (instance) (leadplane_shards_led_here{J})", "{{instance}}"),),
        ),
        Panel(
            "Shards with a known leader, and all",
            "The least that a node knows of. The gap is what clients have to look for.",
            (
                Query("min(leadplane_shards_led{J})", "led"),
                Query("max(leadplane_shards{J})", "all"),
            ),
            runbook="stuck-election",
        ),
        Panel(
            "Nodes, by region and state",
            "As most nodes see it.",
            (
                Query(
                    "quantile by (region, state) (0.5, leadplane_nodes{J})",
                    "{{region}} {{state}}",
                ),
            ),
            runbook="region-lost",
        ),
        Panel(
            "Longest without a leader",
            "Shards by name, ten at most.",
            (
                Query(
                    "max by (shard) (leadplane_longest_leaderless_shard_seconds{J})",
                    "{{shard}}",
                    "a leader that is killed",
                ),
            ),
            "s",
            steps=above(10, 30),
            runbook="stuck-election",
        ),
        Panel(
            "Shards that do not come to rest",
            "By name, ten at most: `leadplane shards history SHARD` tells between whom.",
            (
                Query(
                    "max by (shard) (leadplane_flapping_shard{J})",
                    "{{shard}}",
                    "a shard handed over five times",
                ),
            ),
            runbook="flapping",
        ),
        Panel(
            "The global leader is known",
            "By node; 0: it can make no plan and no rollout go on.",
            (Query("min by (instance) (leadplane_global_leader_known{J})", "{{instance}}"),),
            runbook="global-leader-lost",
        ),
    ),
)

_ELECTIONS: Final = Row(
    "Last elections",
    (
        Panel(
            "Changes of leaders",
            "Planned: moves, drains, restarts. Unplanned: a leader fell silent or did not serve.",
            (
                Query(
                    f"sum by (cause) (increase(leadplane_leader_changes_total{{J}}{_RATE}))",
                    "{{cause}}",
                ),
            ),
            runbook="flapping",
        ),
        Panel(
            "How long shards were without a leader",
            "From the last sign of the leader before to the first entry of the next one.",
            (
                Query(
                    f"sum by (cause) (rate(leadplane_election_seconds_sum{{J}}{_RATE}))"
                    f" / (sum by (cause) (rate(leadplane_election_seconds_count{{J}}{_RATE})) > 0)",
                    "{{cause}}",
                ),
            ),
            "s",
            steps=above(10, 30),
            runbook="stuck-election",
        ),
        Panel(
            "How elections ended",
            "`lost` where another node won is nothing bad.",
            (
                Query(
                    f"sum by (result) (increase(leadplane_elections_total{{J}}{_RATE}))",
                    "{{result}}",
                ),
            ),
            runbook="stuck-election",
        ),
        Panel(
            "Elections that stuck, takeovers that failed, probes that failed",
            "None of them should be.",
            (
                Query(f"sum(increase(leadplane_election_failures_total{{J}}{_RATE}))", "stuck"),
                Query(f"sum(increase(leadplane_takeover_errors_total{{J}}{_RATE}))", "failed"),
                Query(
                    f'sum(increase(leadplane_events_total{{J,kind="probe-failed"}}{_RATE}))',
                    "did not serve",
                ),
            ),
            steps=above(1),
            runbook="takeover",
        ),
        Panel(
            "Writes that were fenced",
            "Their leaders lost the shard first: `leadplane fenced` has each of them.",
            (
                Query(
                    f"sum by (instance) (increase(leadplane_fenced_operations_total{{J}}{_RATE}))",
                    "{{instance}}",
                ),
            ),
            steps=above(1),
            runbook="stale-leader",
        ),
        Panel(
            "Copies that are old",
            "At the worst, by the region of the leader and of the copy.",
            (
                Query(
                    "leadplane:follower_lag_seconds:max{J}",
                    "{{from_region}} in {{to_region}}",
                ),
            ),
            "s",
            steps=above(2, 5),
            runbook="store-lost",
        ),
    ),
)

_RENEWALS: Final = Row(
    "Renewals that failed",
    (
        Panel(
            "Renewals missed, by node",
            "Rounds that no majority acknowledged before the next one was due.",
            (
                Query(
                    f"1 - sum by (instance) (rate(leadplane_renewals_done_total{{J}}{_RATE}))"
                    f" / sum by (instance) (rate(leadplane_renewals_expected_total{{J}}{_RATE}))",
                    "{{instance}}",
                ),
            ),
            "percentunit",
            steps=above(0.001, 0.0144),
            runbook="stale-leader",
        ),
        Panel(
            "Renewals at single stores, by outcome",
            "`lost`: no answer. One store that is down makes no round fail.",
            (
                Query(
                    f"sum by (outcome) (rate(leadplane_renewals_total{{J}}{_RATE}))",
                    "{{outcome}}",
                ),
            ),
            "ops",
            runbook="stale-leader",
        ),
        Panel(
            "Event loops that are late, p99",
            "A leader that is late for its renewals loses its lease.",
            (
                Query(
                    "histogram_quantile(0.99, sum by (instance, le)"
                    f" (rate(leadplane_event_loop_lag_seconds_bucket{{J}}{_RATE})))",
                    "{{instance}}",
                ),
            ),
            "s",
            steps=above(0.1, 0.25),
            runbook="stale-leader",
        ),
    ),
)

ON_CALL: Final = Dashboard(
    "leadplane-on-call",
    "Leadplane: on call",
    "What is wrong now, who leads where, what happened last. `leadplane doctor` knows more.",
    (_NOW, _LEADERS, _ELECTIONS, _RENEWALS),
    "now-1h",
    "10s",
)
