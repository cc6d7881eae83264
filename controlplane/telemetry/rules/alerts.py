"""Alerts: what wakes somebody up, and what can wait until the morning.

A *page* is one of four things: shards have no leader, leaders do not come to rest, a store took a
write of a superseded epoch, or the error budget burns more than five times as fast as it may.
Everything else is a *ticket*. Each names what to do first, and the runbook that goes on from there.

Burn rates are looked at over two windows each, a long one that says that it matters and a short one
that says that it still goes on; so an alert ends soon after its cause.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from controlplane.telemetry.rules.recording import (
    DAY,
    ELECTIONS_SLOW,
    HOUR,
    LEADERLESS,
    MINUTE,
    RENEWALS_MISSED,
    TAKEOVERS_FAILED,
    recorded,
)
from controlplane.telemetry.rules.scale import Scale

RUNBOOKS: Final = "docs/runbooks"
PAGE: Final = "page"
TICKET: Final = "ticket"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. In `expr`, `{1h}` and the like stand for spans of time at the scale of the rules.

    `scope` says what it is of, for inhibition: an alert of a wider one silences those within.
    """

    name: str
    expr: str
    for_s: int
    severity: str
    runbook: str
    summary: str
    description: str
    scope: str = "fleet"


@dataclass(frozen=True, slots=True)
class Burn:
    """A budget, and how fast it may burn over which windows before whom it concerns."""

    factor: float
    long_s: int
    short_s: int
    severity: str


AVAILABILITY_BUDGET: Final = 0.0005
RENEWALS_BUDGET: Final = 0.001
ELECTIONS_BUDGET: Final = 0.01
BURNS: Final = (
    Burn(14.4, HOUR, 5 * MINUTE, PAGE),
    Burn(6.0, 6 * HOUR, 30 * MINUTE, PAGE),
    Burn(3.0, DAY, 2 * HOUR, TICKET),
    Burn(1.0, 3 * DAY, 6 * HOUR, TICKET),
)
SPANS: Final = {
    "1m": MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "1h": HOUR, "6h": 6 * HOUR, "1d": DAY,
}  # fmt: skip


def _burns(
    name: str, sli: str, budget: float, runbook: str, what: str, first: str, *, pages: bool
) -> list[Alert]:
    """The alerts of one SLI. One that does not page is looked at over the faster windows alone."""
    found = []
    for burn in BURNS if pages else BURNS[:2]:
        limit = f"{burn.factor * budget:.6g}"
        severity = burn.severity if pages else TICKET
        speed = "Fast" if burn.factor > 10 else "High" if burn.factor > 5 else "Slow"
        speed = "Creeping" if burn.factor <= 1 else speed
        found.append(
            Alert(
                f"Leadplane{name}Burn{speed}",
                f"{recorded(sli, burn.long_s)} > {limit}"
                f" and {recorded(sli, burn.short_s)} > {limit}",
                0,
                severity,
                runbook,
                f"{what} burns its budget {burn.factor:g} times too fast. {first}",
                f"{{{{ $value | humanizePercentage }}}} over the long window;"
                f" the budget is {budget:.2%}.",
            )
        )
    return found


PAGES: Final = (
    Alert(
        "LeadplaneNoLeader",
        "leadplane:leaderless_shards:middle > 0",
        30,
        PAGE,
        "stuck-election",
        "Shards have no leader. First: `leadplane status` says which groups have no quorum, and"
        " `leadplane shards` what each shard waits for.",
        "{{ $value }} shards have had no valid leader for half a minute, as most nodes judge it.",
    ),
    Alert(
        "LeadplaneFlapping",
        "max by (job) (leadplane_flapping_shards) > 0",
        60,
        PAGE,
        "flapping",
        "Shards do not come to rest. First: `leadplane_flapping_shard` names some;"
        " `leadplane shards history SHARD` shows between whom it passes, and why.",
        "{{ $value }} shards changed their leader five times or more in a quarter of an hour.",
    ),
    Alert(
        "LeadplaneStaleOperationAccepted",
        "increase(leadplane_stale_operations_accepted_total[{1h}]) > 0",
        0,
        PAGE,
        "split-brain",
        "A store took a write of a superseded epoch, which it must never do. First: find"
        " the store in the log (`grep stale-accepted`), and take it out of its groups.",
        "Seen by {{ $labels.instance }}. The copies of the shard may differ.",
    ),
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
        "store-loss",
        "Copies in {{ $labels.to_region }} of what {{ $labels.from_region }} leads are old. First:"
        " `leadplane status` shows which store is slow or away.",
        "{{ $value | humanizeDuration }} old at the worst.",
        "region",
    ),
    Alert(
        "LeadplaneRegionDown",
        "count by (job, region) (leadplane_nodes) unless on (job, region)"
        ' (sum by (job, region) (leadplane_nodes{state!="silent"}) > 0)',
        60,
        TICKET,
        "region-loss",
        "No node of {{ $labels.region }} shows a sign of life. First: `leadplane status` tells"
        " which shards went on elsewhere.",
        "Shards that have their quorum there are without a leader, and page by themselves.",
        "region-down",
    ),
    Alert(
        "LeadplaneNodeSilent",
        'quantile by (job, region) (0.5, leadplane_nodes{state="silent"}) > 0',
        300,
        TICKET,
        "global-leader-loss",
        "A node of {{ $labels.region }} is gone. First: `leadplane nodes` names it; start it.",
        "{{ $value }} nodes are silent.",
        "region",
    ),
    Alert(
        "LeadplaneStoreDown",
        "quantile by (job, region, store) (0.5, leadplane_store_up) < 1",
        120,
        TICKET,
        "store-loss",
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
        "store-loss",
        "Store {{ $labels.store }} answers and is not used: it forgot, went back in time, or is set"
        " up wrongly. First: `leadplane status` says which.",
        "It does not vote until it has been admitted again.",
        "region",
    ),
    Alert(
        "LeadplaneNoSpareStores",
        "min by (job, group) (leadplane_group_spare_stores) < 1",
        300,
        TICKET,
        "store-loss",
        "Group {{ $labels.group }} stops with the next store it loses. First: bring back the store"
        " that is missing, or have a spare take its place.",
        "No more stores can be lost.",
    ),
    Alert(
        "LeadplaneGroupLost",
        "max by (job, group) (leadplane_group_lost_voters) > 0",
        0,
        TICKET,
        "store-loss",
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
        "full-store",
        "Store {{ $labels.store }} fills up. First: give it more memory; writes that grow a shard"
        " are refused at 95 %.",
        "{{ $value | humanizePercentage }} of its memory is used.",
    ),
    Alert(
        "LeadplaneStoreErrors",
        "sum by (job, store) (rate(leadplane_store_errors_total[{5m}])) > 0.1",
        300,
        TICKET,
        "full-store",
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
        "leader-not-serving",
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
        "global-leader-loss",
        "A rollout cannot reach a region. First: `leadplane rollouts` names it.",
        "{{ $value }} rollouts; they go on by themselves when the region is back.",
    ),
    Alert(
        "LeadplanePlacementInfeasible",
        "sum by (job) (increase("
        'leadplane_placement_plans_failed_total{why="no-placement"}[{1h}])) > 0',
        0,
        TICKET,
        "global-leader-loss",
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


def all_alerts() -> tuple[Alert, ...]:
    """Every alert, those that page first."""
    burns = [
        *_burns(
            "Availability",
            LEADERLESS,
            AVAILABILITY_BUDGET,
            "stuck-election",
            "Leader availability",
            "First: `leadplane status`, then the history of the shards it names.",
            pages=True,
        ),
        *_burns(
            "Renewals",
            RENEWALS_MISSED,
            RENEWALS_BUDGET,
            "stale-leader",
            "Renewal of leases",
            "First: look at the latency of stores and the lag of event loops.",
            pages=False,
        ),
        *_burns(
            "Elections",
            ELECTIONS_SLOW,
            ELECTIONS_BUDGET,
            "stuck-election",
            "Elections within 30 s",
            "First: `grep elected` in the logs of nodes has how long each took, as unled_ms.",
            pages=False,
        ),
    ]
    return (*PAGES, *burns, *TICKETS)


def alert_rules(scale: Scale) -> dict[str, Any]:
    """The file of alert rules."""
    rules = [_rule(alert, scale) for alert in all_alerts()]
    return {"groups": [{"name": "leadplane-alerts", "rules": rules}]}


def _rule(alert: Alert, scale: Scale) -> dict[str, Any]:
    expr = alert.expr
    for name, seconds in SPANS.items():
        expr = expr.replace("{" + name + "}", scale.span(seconds))
    rule: dict[str, Any] = {"alert": alert.name, "expr": expr}
    if alert.for_s:
        rule["for"] = scale.span(alert.for_s)
    rule["labels"] = {"severity": alert.severity, "scope": alert.scope}
    rule["annotations"] = {
        "summary": alert.summary,
        "description": alert.description,
        "runbook_url": f"{RUNBOOKS}/{alert.runbook}.md",
    }
    return rule


def inhibition() -> dict[str, Any]:
    """What Alertmanager is to keep quiet, since something wider says the same."""
    return {
        "inhibit_rules": [
            {
                "source_matchers": ['scope="region-down"'],
                "target_matchers": ['scope="region"'],
                "equal": ["job", "region"],
            },
            {
                "source_matchers": ['alertname="LeadplaneNoLeader"'],
                "target_matchers": ['alertname=~"LeadplaneAvailabilityBurn.*|LeadplaneElection.*"'],
                "equal": ["job"],
            },
            {
                "source_matchers": ['alertname="LeadplaneGroupLost"'],
                "target_matchers": ['alertname="LeadplaneNoSpareStores"'],
                "equal": ["job", "group"],
            },
        ]
    }
