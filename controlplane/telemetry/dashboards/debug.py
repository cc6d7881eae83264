"""For whoever looks for a cause: heartbeats, lag, stores, processes, epochs, requests."""

from __future__ import annotations

from typing import Final

from controlplane.telemetry.dashboards.panel import Dashboard, Panel, Query, Row, above

_RATE: Final = "[$__rate_interval]"


def _p99(metric: str, by: str) -> Query:
    """The 99th percentile of a histogram, by a label."""
    expr = f"histogram_quantile(0.99, sum by ({by}, le) (rate({metric}_bucket{{J}}{_RATE})))"
    return Query(expr, f"{{{{{by}}}}}")


def _rates(metric: str, *by: str) -> Query:
    """How often something happens in a second, by labels."""
    legend = " ".join(f"{{{{{label}}}}}" for label in by)
    return Query(f"sum by ({', '.join(by)}) (rate({metric}{{J}}{_RATE}))", legend)


_HEARTBEATS: Final = Row(
    "Heartbeats",
    (
        Panel(
            "Renewals due and done",
            "Rounds of all nodes; done: acknowledged by a majority in time.",
            (
                Query(f"sum(rate(leadplane_renewals_expected_total{{J}}{_RATE}))", "due"),
                Query(f"sum(rate(leadplane_renewals_done_total{{J}}{_RATE}))", "done"),
            ),
            "ops",
            runbook="stale-leader",
        ),
        Panel(
            "Leases that run out first",
            "For how long a node may go on to lead without another renewal, by group.",
            (Query("min by (group) (leadplane_lease_remaining_seconds{J})", "{{group}}"),),
            "s",
            runbook="stale-leader",
        ),
        Panel(
            "Round trips to other regions",
            "The median, as nodes measure it, at the worst.",
            (
                Query(
                    "max by (instance, region) (leadplane_region_round_trip_seconds{J})",
                    "{{instance}} to {{region}}",
                ),
            ),
            "s",
            runbook="region-lost",
        ),
    ),
)

_LAG: Final = Row(
    "Lag",
    (
        Panel(
            "Age of copies",
            "By the region of the leader and of the copy, at the worst.",
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
        Panel(
            "Entries that copies lack",
            "Of a shard, at the worst, as its leader knows.",
            (Query("max by (to_region) (leadplane_follower_lag_entries{J})", "{{to_region}}"),),
            runbook="store-lost",
        ),
        Panel(
            "Log kept for stores that lack it",
            "By node: what slow stores cost in memory.",
            (Query("sum by (instance) (leadplane_log_bytes{J})", "{{instance}}"),),
            "bytes",
            runbook="store-lost",
        ),
        Panel(
            "Age of routing tables",
            "Since the shard map was read to its end.",
            (Query("max by (instance) (leadplane_routing_table_age_seconds{J})", "{{instance}}"),),
            "s",
            steps=above(10, 60),
            runbook="control-plane-down",
        ),
        Panel(
            "Bytes between regions a second",
            "By what they are for: ordered calls to stores, bulk reads, requests, messages.",
            (
                Query(
                    f"sum by (kind) (rate(leadplane_region_pair_bytes_total{{J}}{_RATE}))",
                    "{{kind}}",
                ),
            ),
            "bytes",
        ),
        Panel(
            "Stores that groups can still lose",
            "Of groups that hold shards. 0: the next one stops the group.",
            (
                Query(
                    "min by (group) (leadplane_group_spare_stores{J})"
                    " and max by (group) (leadplane_group_shards{J}) > 0",
                    "{{group}}",
                ),
            ),
            runbook="store-lost",
        ),
        Panel(
            "Staleness that was served, p99",
            "By how much answers from copies may have been behind, as they said.",
            (
                Query(
                    "histogram_quantile(0.99, sum by (le)"
                    f" (rate(leadplane_staleness_served_seconds_bucket{{J}}{_RATE})))",
                    "p99",
                ),
            ),
            "s",
            runbook="region-lost",
        ),
    ),
)

_STORES: Final = Row(
    "Stores",
    (
        Panel(
            "Calls, p99",
            "From a call on an ordered lane to its answer.",
            (_p99("leadplane_store_call_seconds", "store"),),
            "s",
            steps=above(0.1, 0.5),
            runbook="store-lost",
        ),
        Panel(
            "Calls",
            "Of all nodes, by store.",
            (_rates("leadplane_store_calls_total", "store"),),
            "ops",
        ),
        Panel(
            "Refusals and broken lanes",
            "The code tells why a store refused.",
            (
                Query(
                    f"sum by (store, code) (rate(leadplane_store_errors_total{{J}}{_RATE}))",
                    "{{store}} {{code}}",
                    "a store that refuses a call",
                ),
                Query(
                    f"sum by (store) (rate(leadplane_store_lanes_lost_total{{J}}{_RATE}))",
                    "{{store}} broke",
                    "a store that is killed",
                ),
            ),
            "ops",
            runbook="store-full",
        ),
        Panel(
            "Memory, of what it may use",
            "Of stores that have a limit. Writes that grow a shard are refused at 95 %.",
            (
                Query(
                    "max by (store) (leadplane_store_memory_used_bytes{J}"
                    " / (leadplane_store_memory_max_bytes{J} > 0))",
                    "{{store}}",
                ),
            ),
            "percentunit",
            steps=above(0.8, 0.95),
            runbook="store-full",
        ),
        Panel(
            "Stores as nodes see them",
            "1: usable, as most nodes see it.",
            (Query("quantile by (store) (0.5, leadplane_store_up{J})", "{{store}}"),),
            runbook="store-lost",
        ),
        Panel(
            "Changes at stores",
            "How fast each store's own count of changes goes up.",
            (
                Query(
                    f"max by (store) (deriv(leadplane_store_opseq{{J}}{_RATE}))",
                    "{{store}}",
                ),
            ),
            "ops",
            runbook="store-lost",
        ),
    ),
)

_PROCESSES: Final = Row(
    "Processes",
    (
        Panel(
            "Event loops that are late, p99",
            "Whatever a timer comes late is time in which no renewal could leave.",
            (_p99("leadplane_event_loop_lag_seconds", "instance"),),
            "s",
            steps=above(0.1, 0.25),
            runbook="stale-leader",
        ),
        Panel(
            "Garbage collections",
            "By generation; those of the oldest stop the process for longest.",
            (_rates("python_gc_collections_total", "generation"),),
            "ops",
            runbook="stale-leader",
        ),
        Panel(
            "Processors",
            "1: one processor is busy all the time, which is all that an event loop has.",
            (
                Query(
                    f"sum by (instance) (rate(process_cpu_seconds_total{{J}}{_RATE}))",
                    "{{instance}}",
                ),
            ),
            steps=above(0.7, 0.9),
            runbook="stale-leader",
        ),
        Panel(
            "Memory",
            "What nodes hold of real memory.",
            (Query("max by (instance) (process_resident_memory_bytes{J})", "{{instance}}"),),
            "bytes",
        ),
        Panel(
            "Open files",
            "Sockets are among them.",
            (Query("max by (instance) (process_open_fds{J})", "{{instance}}"),),
        ),
        Panel(
            "Requests not answered yet",
            "Orphaned: their time is up. There should be none.",
            (
                Query("sum(leadplane_requests_open{J})", "open"),
                Query("sum(leadplane_orphaned_tasks{J})", "orphaned"),
            ),
            runbook="takeover",
        ),
    ),
)

_EPOCHS: Final = Row(
    "Epochs",
    (
        Panel(
            "Changes of leaders, by node that leads next",
            "Each is a new epoch. `leadplane shards history SHARD` has those of one shard.",
            (
                Query(
                    "sum by (instance, cause)"
                    f" (increase(leadplane_leader_changes_total{{J}}{_RATE}))",
                    "{{instance}} {{cause}}",
                ),
            ),
            runbook="flapping",
        ),
        Panel(
            "Life-cycle events",
            "By kind. The log of the nodes has each of them.",
            (Query(f"sum by (kind) (increase(leadplane_events_total{{J}}{_RATE}))", "{{kind}}"),),
            runbook="blind-spot",
        ),
        Panel(
            "Reconciling, p99",
            "From the grant of a shard until everything in its log was decided.",
            (
                Query(
                    "histogram_quantile(0.99, sum by (le)"
                    f" (rate(leadplane_reconcile_seconds_bucket{{J}}{_RATE})))",
                    "p99",
                ),
            ),
            "s",
            steps=above(15, 60),
            runbook="takeover",
        ),
        Panel(
            "Version of the shard map",
            "By node; one that stays behind reads it late.",
            (Query("max by (instance) (leadplane_map_version{J})", "{{instance}}"),),
            runbook="control-plane-down",
        ),
        Panel(
            "Checkpoints of the audit log",
            "The newest that a leader made of it.",
            (Query("max(leadplane_audit_checkpoint{J})", "checkpoint"),),
        ),
        Panel(
            "Planned moves",
            "By what they were for and what came of them.",
            (
                Query(
                    "sum by (kind, result)"
                    f" (increase(leadplane_placement_moves_total{{J}}{_RATE}))",
                    "{{kind}} {{result}}",
                    "a drain, or a plan that is carried out",
                ),
                Query(
                    f"sum by (why) (increase(leadplane_moves_given_up_total{{J}}{_RATE}))",
                    "given up: {{why}}",
                    "a move whose target falls silent",
                ),
            ),
        ),
    ),
)  # fmt: skip

_REQUESTS: Final = Row(
    "Requests",
    (
        Panel(
            "By outcome",
            "`ok`, or why not.",
            (_rates("leadplane_requests_total", "request", "outcome"),),
            "reqps",
        ),
        Panel(
            "Until the answer, p99",
            "From arrival at a node.",
            (_p99("leadplane_request_seconds", "request"),),
            "s",
            steps=above(0.5, 2),
            runbook="store-lost",
        ),
        Panel(
            "Passed on",
            "Requests that another node was to answer, by what came of it.",
            (_rates("leadplane_routed_total", "result"),),
            "reqps",
        ),
        Panel(
            "HTTP, by status",
            "Streams are not among them.",
            (_rates("leadplane_http_requests_total", "status"),),
            "reqps",
        ),
        Panel(
            "HTTP, until the answer, p99",
            "By route.",
            (_p99("leadplane_http_request_seconds", "route"),),
            "s",
        ),
        Panel(
            "Busiest shards",
            "Of the clients of all nodes, by name, ten at most of each node.",
            (
                Query(
                    "topk(10, sum by (shard) (leadplane_busiest_shard_requests_per_second{J}))",
                    "{{shard}}",
                    "requests of clients",
                ),
            ),
            "reqps",
        ),
    ),
)

DEBUG: Final = Dashboard(
    "leadplane-debug",
    "Leadplane: looking for a cause",
    "Heartbeats, lag, stores, processes, epochs and requests, node by node.",
    (_HEARTBEATS, _LAG, _STORES, _PROCESSES, _EPOCHS, _REQUESTS),
    "now-1h",
    "10s",
)
