"""D3 to D14, each injected, seen, repaired as its runbook says, and over.

One fleet for all. What the alerts of the first two look back at takes longest to be over, so that
is waited for at the end.
"""

from __future__ import annotations

import pytest

from controlplane.cli.connection import CommandFailed
from tests.alerts.provoking import state_of, superseded, writing
from tests.alerts.watched_fleet import WatchedFleet
from tests.cli.stub_fleet import leadplane
from tests.drills.book import Book
from tests.drills.drill import Drill, drilled, until
from tests.drills.provoking import (
    NAMED,
    a_node,
    another_release,
    begin_rollout,
    jammed,
    led_by,
    path_in,
    pin,
    replay,
    rollout,
)
from tests.drills.signals import Fires, Grows
from tests.integration.runbook_reader import RunbookReader

pytestmark = [pytest.mark.timeout(1_500), pytest.mark.xdist_group("drills")]

NODE = "eu-central-1-n1"
"""As runbooks call any node."""
ROLLED_OUT_S_MAX = 120.0


@pytest.fixture(scope="module")
def later() -> list[Drill]:
    """Drills whose alert looks back for long."""
    return []


def test_a_leader_was_paused_and_wakes_up(
    watched: WatchedFleet, book: Book, later: list[Drill]
) -> None:
    node = a_node(watched)
    led_by(watched, "s02", node)
    fault = "a leader that was stopped with a write under way wakes up, and another one leads"
    with drilled(watched, book, "D4", fault, Fires("LeadplaneFencedOperations")) as drill:
        with superseded(watched, "s02", **NAMED):
            drill.strikes()
        drill.doctor_finds("fenced writes", node)
        drill.status_says("Healthy", None)
        drill.is_seen()
        replay(watched, node, "s02")
        drill.is_repaired("`fenced replay`")
        drill.doctor_is_well("fenced writes")
        assert watched.access.send("GET", path_in(watched, "s02")).body == b"v"
        later.append(drill.ends_later())


def test_a_leader_renews_and_does_not_serve(
    watched: WatchedFleet, book: Book, later: list[Drill]
) -> None:
    node = a_node(watched)
    led_by(watched, "s05", node)
    reader, yours = RunbookReader("docs/runbooks/deaf-leader.md"), {NODE: node}
    fault = "a leader cannot open another file: its front door is closed, and it renews"
    with drilled(watched, book, "D14", fault, Fires("LeadplaneProbeFailed")) as drill:
        drill.strikes()
        with jammed(watched, node):
            drill.doctor_finds("front doors", f"{node} renews its leases, and does not answer")
            drill.is_seen()
            drill.status_says("Healthy", None)
            line = f'leadplane nodes drain {NODE} --reason "front door is closed"'
            reader.does(line, yours=yours)
        assert leadplane("nodes", "undrain", node).exit_code == 0
        drill.is_repaired("`nodes drain`, the node started anew, `nodes undrain`")
        drill.doctor_is_well("front doors")
        later.append(drill.ends_later())


def test_a_leader_dies_with_a_write_under_way(watched: WatchedFleet, book: Book) -> None:
    node = a_node(watched)
    led_by(watched, "s04", node)
    fault = "a leader is killed with a write under way"
    with drilled(watched, book, "D10", fault, Grows("leadplane_reconcile_seconds_count")) as drill:
        with writing(watched, "s04", **NAMED) as (leader, outcome):
            drill.strikes()
            watched.do(watched.fleet.kill(leader))
            with pytest.raises(CommandFailed):
                outcome.result()
        drill.doctor_is_asked()
        drill.is_seen()
        drill.status_says("Healthy", None)
        assert "expired" in RunbookReader("docs/runbooks/takeover.md").types(
            "leadplane shards history s03", yours={"s03": "s04"}
        ).stdout  # fmt: skip
        drill.is_repaired("the client sends it again, with the same key")
        path = path_in(watched, "s04")
        first, again = (watched.access.send("PUT", path, None, NAMED, b"v") for _ in range(2))
        assert again.headers["idempotency-replayed"] == "true"
        assert first.headers["leadplane-epoch"] == again.headers["leadplane-epoch"]
        drill.is_over_when(
            lambda: nobody_waits(watched), "it happened once, and no request is left without answer"
        )


def nobody_waits(watched: WatchedFleet) -> bool:
    """Whether Prometheus has seen, from every node, that no request was left without an answer."""
    found = watched.prometheus.now("leadplane_orphaned_tasks")
    return len(found) == len(watched.nodes) and {each["value"][1] for each in found} == {"0"}


def test_a_shard_is_pinned_to_a_node_that_is_gone(watched: WatchedFleet, book: Book) -> None:
    node, shard = a_node(watched), "s01"
    led_by(watched, shard, node)
    pin(watched, shard, node)
    reader, yours = RunbookReader("docs/runbooks/stuck-election.md"), {"s03": shard}
    fault = "a shard is pinned to a node that is gone, and only an operator lets another lead it"
    with drilled(watched, book, "D3", fault, Fires("LeadplaneNoLeader")) as drill:
        drill.strikes()
        with watched.down(node):
            drill.doctor_finds("leaders", f"it is pinned to {node}")
            drill.status_says("Degraded: 1 of 7 shards have no leader.", "stuck-election")
            drill.is_seen()
            reader.does("leadplane shards unpin s03", yours=yours)
            drill.is_repaired("`shards unpin`, the node is down still")
            drill.is_over()


def test_the_global_leader_and_its_majority_are_lost_during_a_rollout(
    watched: WatchedFleet, book: Book
) -> None:
    fault = "during a rollout the global leader is killed, and two of three stores hang"
    with drilled(watched, book, "D8", fault, Fires("LeadplaneNoLeader")) as drill:
        number, leader = begin_rollout(watched, "drilled"), watched.leaders()["system"]
        drill.strikes()
        with watched.asleep(*watched.voters[1:]):
            watched.do(watched.fleet.kill(leader))
            drill.doctor_finds("global leader", "nobody leads the system shard")
            drill.status_says("Unavailable: no quorum in global.", "store-lost")
            drill.is_seen()
        drill.is_repaired("the stores go on")
        drill.is_over()
        done = until(
            lambda: found if (found := rollout(watched, number))["over"] else None,
            "the rollout is over", ROLLED_OUT_S_MAX,
        )  # fmt: skip
        assert done["phase"] == "succeeded", done
        assert sorted(region["step"] for region in done["regions"]) == [1, 2, 3]
        drill.finding.notes.append("its successor finished the rollout, each region ordered once")


def test_a_store_is_down(watched: WatchedFleet, book: Book) -> None:
    store = watched.voters[-1]
    signal = Fires("LeadplaneStoreDown", {"store": store})
    with drilled(watched, book, "D6", "a store is killed, and stays down", signal) as drill:
        drill.strikes()
        with watched.down(store):
            drill.doctor_finds("stores", store)
            drill.status_says("At risk: ", "store-lost")
            drill.is_seen()
        drill.is_repaired("it is started again")
        drill.is_over()


def test_a_store_has_lost_its_disk(watched: WatchedFleet, book: Book) -> None:
    store = watched.voters[-1]
    signal = Grows("leadplane_events_total", {"kind": "store-forgot"})
    with drilled(watched, book, "D6", "a store comes back without its files", signal) as drill:
        drill.strikes()
        watched.do(watched.fleet.forget(store, "wiped"))
        drill.is_repaired("nothing: it is filled, and votes again")
        drill.doctor_finds("stores", store)
        drill.is_over_when(lambda: is_up(watched, store), "every node uses it again")
        drill.status_says("Healthy", None)
        drill.is_seen()


def is_up(watched: WatchedFleet, store: str) -> bool:
    """Whether every node says so."""
    return all(
        {"store": store, "state": "up"}.items() <= row.items()
        for node in watched.nodes
        for row in watched.at(node).get("/v1/status")["stores"]
        if row["store"] == store
    )


def test_a_store_runs_full(watched: WatchedFleet, book: Book) -> None:
    store = watched.voters[-1]
    signal = Fires("LeadplaneStoreFilling", {"store": store})
    with drilled(watched, book, "D11", "a store has no memory left", signal) as drill:
        drill.strikes()
        watched.do(watched.fleet.fill(store, "memory", 0))
        drill.doctor_finds("headroom", store)
        drill.status_says("At risk: 1 of 9 stores needs looking after", "store-full")
        drill.is_seen()
        watched.do(watched.fleet.empty(store, "memory"))
        drill.is_repaired("it may use more memory")
        drill.doctor_is_well("headroom")
        drill.is_over()


def test_nothing_is_heard_of_a_node_that_lives(watched: WatchedFleet, book: Book) -> None:
    node = a_node(watched)
    signal = Fires("LeadplaneBlind", {"instance": watched.instances[node]})
    with drilled(watched, book, "D5", "Prometheus gets no answer of a node", signal) as drill:
        drill.strikes()
        with watched.unseen(node):
            drill.is_seen()
            looked = RunbookReader("docs/runbooks/blind-spot.md").look()
            assert node in looked, "`nodes` tells that it lives"
            drill.doctor_is_asked("--production")
            drill.status_says("Healthy", None)
        drill.is_repaired("the way to it")
        drill.is_over()
        assert leadplane("audit", "verify").exit_code == 0


def test_a_node_is_of_another_release(watched: WatchedFleet, book: Book) -> None:
    node = a_node(watched)
    signal = Fires("LeadplaneVersionSkew", state="pending")
    with drilled(watched, book, "D13", "a node of another release is started", signal) as drill:
        drill.strikes()
        with another_release(watched, node):
            drill.doctor_finds("releases", "9.9.9")
            drill.status_says("Healthy", None)
            drill.is_seen()
        drill.is_repaired("the node is of the common release again")
        drill.doctor_is_well("releases")
        drill.is_over()
        drill.finding.notes.append("it fires after a day, which is not waited for")


def test_a_region_is_lost(watched: WatchedFleet, book: Book) -> None:
    region = watched.region_of(a_node(watched))
    here = [site.id for site in watched.fleet.sites if site.region == region]
    signal = Fires("LeadplaneRegionDown", {"region": region})
    with drilled(watched, book, "D7", "all of a region is killed, and stays down", signal) as drill:
        drill.strikes()
        with watched.down(*here):
            drill.doctor_finds("regions", f"{region}: no node is left")
            drill.status_says("", "region-lost")
            drill.is_seen()
        drill.is_repaired("it comes back")
        drill.is_over()


def test_all_nodes_are_down(watched: WatchedFleet, book: Book) -> None:
    with drilled(
        watched, book, "D9", "all nodes are killed, and stay down", Fires("LeadplaneNobodyAnswers")
    ) as drill:
        drill.strikes()
        with watched.down(*watched.nodes):
            for command in ("doctor", "status"):
                said = leadplane(command)
                assert said.exit_code == 1, said
                assert "docs/runbooks/control-plane-down.md" in said.stderr, said
            drill.finding.doctor = "no node of the fleet answers, control-plane-down.md"
            drill.finding.status = "no node of the fleet answers (control-plane-down.md)"
            drill.is_seen()
        drill.is_repaired("nodes are started")
        drill.is_over()
        assert watched.access.send("GET", path_in(watched, "s02")).body == b"v"


def test_all_alerts_have_ended(watched: WatchedFleet, later: list[Drill]) -> None:
    for each in later:
        each.is_over()
    watched.until_whole()
    assert {state_of(watched, store) for store in watched.voters} == {"up"}
