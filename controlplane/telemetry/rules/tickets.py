"""What can wait until the morning."""

from __future__ import annotations

from typing import Final

from controlplane.telemetry.rules.alert import TICKET, Alert
from controlplane.telemetry.rules.recording import DAY, HOUR, TAKEOVERS_FAILED, recorded


def _as_most_nodes_see(states: str) -> str:
    """How many nodes of each region are in these states: the middle of what all nodes count.

    A node that counts none does not show it, and is one that sees none: a region that is cut off
    sees itself, and nobody else.
    """
    place = "job, instance, region"
    return (
        f"quantile by (job, region) (0.5, sum by ({place}) (leadplane_nodes{{{states}}})"
        f" or sum by ({place}) (leadplane_nodes) * 0)"
    )


TICKETS: Final = (
    Alert(
        "LeadplaneElectionStuck",
        "sum by (job) (increase(leadplane_election_failures_total[{15m}])) > 0",
        0,
        TICKET,
        "stuck-election",
        "An election did not get on for four leases. First: `leadplane shards` names the"
        " store and the holder that it waits for.",
        "{{ $value }} elections in a quarter of an hour.",
    ),
    Alert(
        "LeadplaneTakeoverErrors",
        f"{recorded(TAKEOVERS_FAILED, HOUR)} > 0.001",
        0,
        TICKET,
        "takeover",
        "Leaders were elected and could not take over. First: `grep resigned` in the"
        " logs of nodes tells why each gave up.",
        "{{ $value | humanizePercentage }} of takeovers in an hour.",
    ),
    Alert(
        "LeadplaneReconcileSlow",
        'sum by (job) (increase(leadplane_reconcile_seconds_bucket{le="+Inf"}[{1h}]))'
        ' - sum by (job) (increase(leadplane_reconcile_seconds_bucket{le="60.0"}[{1h}])) > 0',
        0,
        TICKET,
        "takeover",
        "A takeover took more than a minute to decide what was under way. First: look at the"
        " latency of the stores of its group.",
        "{{ $value }} takeovers in an hour.",
    ),
    Alert(
        "LeadplaneOrphanedTasks",
        "max by (job, instance) (leadplane_orphaned_tasks) > 0",
        60,
        TICKET,
        "takeover",
        "Requests were left without an answer. First: keep the log of {{ $labels.instance }}, then"
        " restart that node.",
        "{{ $value }} requests. There is a defect.",
    ),
    Alert(
        "LeadplaneFencedOperations",
        "sum by (job) (increase(leadplane_fenced_operations_total[{15m}])) > 0",
        0,
        TICKET,
        "stale-leader",
        "Leaders lost shards with writes under way. First: `leadplane fenced` has each of"
        " them, and what became of it.",
        "{{ $value }} writes in a quarter of an hour, each answered as unknown.",
    ),
    Alert(
        "LeadplaneFollowerLag",
        "leadplane:follower_lag_seconds:max > 5",
        120,
        TICKET,
        "store-lost",
        "Copies in {{ $labels.to_region }} of what {{ $labels.from_region }} leads are old. First:"
        " `leadplane status` shows which store is slow or away.",
        "{{ $value | humanizeDuration }} old at the worst.",
        "region",
    ),
    Alert(
        "LeadplaneRegionDown",
        _as_most_nodes_see('state!="silent"') + " == 0",
        60,
        TICKET,
        "region-lost",
        "To most nodes, none of {{ $labels.region }} shows a sign of life: it is gone, or cut off."
        " First: `leadplane status` tells which shards went on elsewhere.",
        "Shards that have their quorum there are without a leader, and page by themselves.",
        "region-down",
    ),
    Alert(
        "LeadplaneNodeSilent",
        _as_most_nodes_see('state="silent"') + " > 0",
        300,
        TICKET,
        "region-lost",
        "A node of {{ $labels.region }} is gone. First: `leadplane nodes` names it; start it.",
        "{{ $value }} nodes are silent.",
        "region",
    ),
    Alert(
        "LeadplaneStoreDown",
        "quantile by (job, region, store) (0.5, leadplane_store_up) < 1",
        120,
        TICKET,
        "store-lost",
        "Store {{ $labels.store }} is down. First: start it again with the disk it had; its groups"
        " go on meanwhile.",
        "As most nodes see it.",
        "region",
    ),
    Alert(
        "LeadplaneStoreRefused",
        "max by (job, region, store) (leadplane_store_refused) > 0",
        60,
        TICKET,
        "store-lost",
        "Store {{ $labels.store }} answers and is not used: it forgot, went back in time, or is set"
        " up wrongly. First: `leadplane status` says which.",
        "It does not vote until it has been admitted again.",
        "region",
    ),
    Alert(
        "LeadplaneNoSpareStores",
        "min by (job, group) (leadplane_group_spare_stores) < 1"
        " and max by (job, group) (leadplane_group_shards) > 0",
        300,
        TICKET,
        "store-lost",
        "Group {{ $labels.group }} stops with the next store it loses. First: bring back the store"
        " that is missing, or have a spare take its place.",
        "No more stores can be lost.",
    ),
    Alert(
        "LeadplaneGroupLost",
        "max by (job, group) (leadplane_group_lost_voters) > 0",
        0,
        TICKET,
        "store-lost",
        "Group {{ $labels.group }} has lost too many stores for good. First: read the playbook of"
        " forced recovery before anything else.",
        "{{ $value }} voters forgot.",
    ),
    Alert(
        "LeadplaneStoreFilling",
        "max by (job, store) (leadplane_store_memory_used_bytes"
        " / (leadplane_store_memory_max_bytes > 0)) > 0.8",
        300,
        TICKET,
        "store-full",
        "Store {{ $labels.store }} fills up. First: give it more memory; writes that grow a shard"
        " are refused at 95 %.",
        "{{ $value | humanizePercentage }} of its memory is used.",
    ),
    Alert(
        "LeadplaneStoreErrors",
        "sum by (job, store) (rate(leadplane_store_errors_total[{5m}])) > 0.1",
        300,
        TICKET,
        "store-full",
        "Store {{ $labels.store }} refuses calls. First: the label `code` of"
        " leadplane_store_errors_total tells why.",
        "{{ $value }} calls a second.",
    ),
    Alert(
        "LeadplaneLoopLag",
        "1 - sum by (job, instance) (rate("
        'leadplane_event_loop_lag_seconds_bucket{le="0.25"}[{5m}]))'
        " / sum by (job, instance) (rate(leadplane_event_loop_lag_seconds_count[{5m}])) > 0.01",
        300,
        TICKET,
        "stale-leader",
        "{{ $labels.instance }} is often late. First: look what else its machine does; a leader"
        " that is late for its renewals loses its lease.",
        "{{ $value | humanizePercentage }} of its timers come a quarter of a second late.",
    ),
    Alert(
        "LeadplaneProbeFailed",
        'sum by (job) (increase(leadplane_events_total{kind="probe-failed"}[{15m}])) > 0',
        0,
        TICKET,
        "deaf-leader",
        "A leader renewed its lease and did not serve; its shards were taken away. First:"
        " `grep probe-failed` in the logs of nodes names it; restart it.",
        "{{ $value }} times in a quarter of an hour.",
    ),
    Alert(
        "LeadplaneRoutingTableOld",
        "max by (job, instance) (leadplane_routing_table_age_seconds) > 60",
        120,
        TICKET,
        "control-plane-down",
        "{{ $labels.instance }} has not read the shard map for a while. First: see whether a store"
        " of its region answers.",
        "{{ $value | humanizeDuration }} old; clients go on with what they know.",
    ),
    Alert(
        "LeadplaneRolloutStuck",
        'max by (job) (leadplane_rollouts{phase="stuck"}) > 0',
        600,
        TICKET,
        "rollout-stuck",
        "A rollout cannot reach a region. First: `leadplane rollouts` names it.",
        "{{ $value }} rollouts; they go on by themselves when the region is back.",
    ),
    Alert(
        "LeadplanePlacementInfeasible",
        "sum by (job) (increase("
        'leadplane_placement_plans_failed_total{why="no-placement"}[{1h}])) > 0',
        0,
        TICKET,
        "../placement",
        "No placement keeps every constraint. First: `leadplane placement plan` names those that"
        " conflict.",
        "{{ $value }} plans in an hour.",
    ),
    Alert(
        "LeadplaneVersionSkew",
        "count by (job) (count by (job, version) (leadplane_build_info)) > 1",
        DAY,
        TICKET,
        "version-skew",
        "Nodes have run different releases for a day. First: finish the upgrade, or take it back.",
        "{{ $value }} releases.",
    ),
    Alert(
        "LeadplaneBlind",
        'up{job=~"leadplane.*"} == 0',
        120,
        TICKET,
        "blind-spot",
        "{{ $labels.instance }} cannot be scraped. First: `leadplane nodes` tells whether it lives;"
        " if it does, the way from here to it is cut.",
        "Nothing is known of it but what other nodes see.",
    ),
)
