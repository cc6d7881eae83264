"""The fleet is broken for real; who is to be told is told, nobody else is woken, and it ends.

One fleet for all, so the order counts: what wakes nobody comes first, what nothing mends, last.
"""

from __future__ import annotations

import time
from functools import partial

import pytest

from controlplane.cli.connection import Problem
from tests.alerts.provoked import FAILOVER, FIRED, LINGERS
from tests.alerts.provoking import (
    drained,
    hand_over,
    led_by_another,
    pass_around,
    restart_nodes,
    restart_store,
    rolled_out,
    superseded,
)
from tests.alerts.watched_fleet import WatchedFleet
from tests.integration.fleet_on_test import AT_ONCE, wait_for

pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("alerts")]

LATER = "ap-southeast-1"
"""The last region: the global leader prefers another."""
UNLED_S = 32.0
"""Longer than an election may take."""
LOOKS_BACK_S = 100.0
"""An hour, here a minute, and what telling of its end adds."""
LATE_S, PULSE_S, PULSES = 0.4, 1.0, 12


def test_what_is_planned_wakes_nobody(watched: WatchedFleet) -> None:
    with watched.case():
        node = watched.leaders()["system"]
        with drained(watched, f"/v1/nodes/{node}", (node,)):
            pass
        shard, leader = next(iter(watched.leaders().items()))
        hand_over(watched, shard, next(n for n in watched.nodes if n not in (node, leader)))
        restart_store(watched, watched.voters[-1])
        restart_nodes(watched, watched.nodes[::2])


def test_nodes_that_are_gone_and_a_region_without_any(watched: WatchedFleet) -> None:
    first, second = watched.nodes_of(LATER)
    with watched.case() as case, drained(watched, f"/v1/regions/{LATER}", (first, second)):
        number = rolled_out(watched)
        with watched.down(first):
            case.arrives("LeadplaneNodeSilent", region=LATER)
            case.arrives("LeadplaneBlind")
            with watched.down(second):
                case.arrives("LeadplaneRegionDown", region=LATER)
                watched.order("POST", f"/v1/rollouts/{number}/abort")
                case.arrives("LeadplaneRolloutStuck")
        case.ends(
            "LeadplaneNodeSilent", "LeadplaneBlind", "LeadplaneRegionDown", "LeadplaneRolloutStuck"
        )


def test_a_store_that_stays_down_and_a_node_that_is_late(watched: WatchedFleet) -> None:
    store = watched.voters[-1]
    region = watched.region_of(store)
    with watched.case() as case:
        with watched.down(store):
            case.arrives("LeadplaneStoreDown", store=store)
            case.arrives("LeadplaneFollowerLag", to_region=region)
            case.arrives("LeadplaneNoSpareStores", group="global")
            be_late(watched, watched.nodes_of(region)[0])
            case.arrives("LeadplaneLoopLag")
        case.ends(
            "LeadplaneStoreDown", "LeadplaneFollowerLag", "LeadplaneNoSpareStores",
            "LeadplaneLoopLag",
        )  # fmt: skip


def be_late(watched: WatchedFleet, node: str) -> None:
    """Stop a node now and then, each time for less than its lease."""
    for _ in range(PULSES):
        with watched.asleep(node):
            time.sleep(LATE_S)
        time.sleep(PULSE_S - LATE_S)


def test_a_store_without_its_data_and_one_that_fills_up(watched: WatchedFleet) -> None:
    wiped, full = watched.voters[-1], watched.voters[-2]
    with watched.case() as case:
        watched.do(watched.fleet.forget(wiped, "wiped"))
        case.arrives("LeadplaneStoreRefused", store=wiped)
        watched.until_whole()
        watched.do(watched.fleet.fill(full, "memory", 0))
        case.arrives("LeadplaneStoreFilling", store=full)
        watched.do(watched.fleet.empty(full, "memory"))
        case.ends("LeadplaneStoreRefused", "LeadplaneStoreFilling")


def test_a_placement_that_nothing_fulfils(watched: WatchedFleet) -> None:
    with watched.case() as case:
        constrain(watched, {"region": {"leaders": 1}})
        wait_for(lambda: not can_be_planned(watched), "no placement is left")
        case.arrives("LeadplanePlacementInfeasible")
        constrain(watched, {})
        wait_for(lambda: can_be_planned(watched), "there is one again")


def can_be_planned(watched: WatchedFleet) -> bool:
    try:
        watched.order("POST", "/v1/placement/plan", scope="all")
    except Problem as problem:
        if problem.kind != "no-placement":
            raise
        return False
    return True


def constrain(watched: WatchedFleet, capacity: dict[str, object]) -> None:
    content = {"capacity": capacity}
    watched.order("PUT", f"/v1/config/constraints?{AT_ONCE}", content=content)


def test_a_shard_that_does_not_come_to_rest(watched: WatchedFleet) -> None:
    pages = {"LeadplaneFlapping", "LeadplaneNobodyAnswers", *FAILOVER}
    with watched.case(pages=pages) as case:
        pass_around(watched, watched.shard_of("restless"), 6)
        case.arrives("LeadplaneFlapping")
        # What a node counted in a quarter of an hour, it forgets only with its process.
        for node in watched.nodes:
            watched.do(watched.fleet.kill(node))
        case.ends("LeadplaneFlapping")


def test_a_node_that_renews_and_cannot_be_asked(watched: WatchedFleet) -> None:
    ways = watched.fleet.ways
    with watched.case(pages=FAILOVER) as case:
        deaf = watched.leaders()["system"]
        watched.do(ways.cut("deaf", {(node, deaf) for node in watched.nodes if node != deaf}))
        case.arrives("LeadplaneProbeFailed")
        watched.do(ways.mend("deaf", loses=True))


def test_a_leader_that_lost_its_shards_with_a_write_under_way(watched: WatchedFleet) -> None:
    with watched.case(pages=FAILOVER) as case:
        with superseded(watched, watched.shard_of("doubt")):
            pass
        case.arrives("LeadplaneFencedOperations")


def test_shards_without_a_majority(watched: WatchedFleet) -> None:
    with watched.case(pages=FAILOVER) as case:
        shard, leader = next(iter(watched.leaders().items()))
        with watched.asleep(leader):  # it would only go on
            with watched.asleep(*watched.voters[1:]):
                began_s = time.monotonic()
                case.arrives("LeadplaneNoLeader")
                case.arrives("LeadplaneRenewalsBurnFast")
                case.arrives("LeadplaneRenewalsBurnHigh")
                time.sleep(max(0.0, UNLED_S - (time.monotonic() - began_s)))
            wait_for(lambda: led_by_another(watched, shard, leader), "somebody else leads")
        for name in sorted(FIRED):
            if "Availability" in name or "ElectionsBurn" in name:
                case.arrives(name)
        # What ends while it is inhibited, Alertmanager tells nobody: not into the next case.
        case.ends("LeadplaneNoLeader", "LeadplaneElectionsBurnFast", "LeadplaneElectionsBurnHigh")


def test_no_node_is_left(watched: WatchedFleet) -> None:
    with watched.case(pages={"LeadplaneNobodyAnswers", *FAILOVER}) as case:
        with watched.down(*watched.nodes):
            case.arrives("LeadplaneNobodyAnswers")
        case.ends("LeadplaneNobodyAnswers")


def test_a_group_that_lost_its_data(watched: WatchedFleet) -> None:
    with watched.case(pages=FAILOVER) as case:
        for store in watched.voters[1:]:
            watched.do(watched.fleet.forget(store, "wiped"))
        case.arrives("LeadplaneGroupLost", group="global")
        path = "/v1/regions/groups/global/force-recover?reason=it+was+taken+away"
        watched.order("POST", path, accept_loss=True)
        case.ends("LeadplaneGroupLost")


def test_all_of_them_arrived_and_ended(watched: WatchedFleet) -> None:
    assert watched.shown == FIRED

    for name in sorted(FIRED - LINGERS.keys()):
        wait_for(partial(is_over, watched, name), f"{name} ends", LOOKS_BACK_S)


def is_over(watched: WatchedFleet, name: str) -> bool:
    return name not in watched.pager.firing()
