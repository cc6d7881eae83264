"""A fleet of real processes keeps its promises while leaders and stores are killed and stopped.

The tests share one fleet and mend it after themselves; all of them together take a few minutes.
"""

from __future__ import annotations

import http.client
import signal
import time
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest

from controlplane.cli.connection import FleetAccess, Problem
from controlplane.cli.kv import key_path
from tests.integration.fleet_on_test import MEND_S_MAX, SHARDS, FleetOnTest, asleep, wait_for

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("fleet")]

AFTER = 20
"""So many writes must be acknowledged by the new leader before a test looks."""
SLACK_MS = 3_000
"""What a busy machine may add to a failover."""
TRIES = 3
"""So often what has to be quick is tried: what is slow every time is not the machine."""
HOME = "region/eu-central-1"


def test_every_node_answers_for_every_shard(fleet: FleetOnTest) -> None:
    for node in fleet.state()["nodes"]:
        access = fleet.by_way_of(node["id"])
        assert wait_for(lambda at=access: at.send("GET", "/readyz"), "it is ready").status == 200
        rows = access.items("/v1/shards", limit=100)["items"]
        assert len(rows) == SHARDS
        for row in rows:
            wait_for(
                lambda at=access, shard=row["shard"]: at.get(f"/v1/shards/{shard}")["leader"],
                f"{row['shard']} is led, as {node['id']} sees it",
            )
        goals = {row["shard"]: row["goal"] for row in rows}
        assert set(goals.values()) == {"region", "zone"}


def test_a_write_anywhere_is_read_everywhere(fleet: FleetOnTest) -> None:
    ways = [fleet.by_way_of(node["id"]) for node in fleet.state()["nodes"]]
    for number, way in enumerate(ways):
        key = f"{{anywhere-{number}}}/k"
        fleet.put(way, key, f"v{number}")
        for other in ways:
            reply = other.send("GET", key_path(key))
            assert reply.body == f"v{number}".encode()
            assert reply.headers["leadplane-staleness-ms"] == "0"


def test_reads_are_local_and_say_how_old_they_are(fleet: FleetOnTest) -> None:
    shard = fleet.shard(HOME)
    key = f"{{{shard['partition']}}}/near"
    fleet.put(fleet.access, key, "v")
    far = next(n for n in fleet.state()["nodes"] if n["region"] == "us-east-1")

    def look() -> bool:
        query = {"consistency": "bounded", "max_staleness_ms": 5_000}
        reply = fleet.access.only(far["url"]).send("GET", key_path(key), query=query)
        local = reply.headers["leadplane-role"] == "follower"
        assert int(reply.headers["leadplane-staleness-ms"]) <= 5_000
        return local and reply.body == b"v"

    wait_for(look, "a bounded read nearby")


def test_a_killed_leader_is_replaced_and_no_acknowledged_write_is_lost(fleet: FleetOnTest) -> None:
    longest_ms = 1.15 * fleet.ttl_ms(HOME) + SLACK_MS
    took_ms: list[float] = []
    while not took_ms or (took_ms[-1] > longest_ms and len(took_ms) < TRIES):
        fleet.until_whole()
        took_ms.append(replaced_within_ms(fleet, f"killed-{len(took_ms)}"))
    assert took_ms[-1] <= longest_ms, took_ms


def replaced_within_ms(fleet: FleetOnTest, chapter: str) -> float:
    """Kill a leader under writes, see that nothing is lost, and give how long it took."""
    shard = fleet.shard(HOME)
    leader = shard["leader"]
    with fleet.writes(shard, chapter) as writer:
        epoch = writer.acks[-1].epoch
        killed_s = time.monotonic()
        assert fleet.process("nodes", leader["node"]).signal(signal.SIGKILL)
        taken = writer.wait_for_epoch_after(epoch, MEND_S_MAX)
        assert taken is not None, "nobody took over"
        assert writer.wait_for_number(taken.number + AFTER, MEND_S_MAX)
    assert fleet.lost(shard, chapter, writer) == set()
    epochs = [ack.epoch for ack in writer.acks]
    assert epochs == sorted(epochs)
    return (taken.at_s - killed_s) * 1_000


def test_a_paused_leader_wakes_up_fenced(fleet: FleetOnTest) -> None:
    shard = fleet.shard(HOME)
    leader = shard["leader"]
    node = fleet.record("nodes", leader["node"])
    late_key = f"{{{shard['partition']}}}/late"
    with fleet.writes(shard, "paused") as writer:
        epoch = writer.acks[-1].epoch
        with asleep(fleet.process("nodes", leader["node"])):
            late = send_alone(node, late_key, b"too late")
            taken = writer.wait_for_epoch_after(epoch, MEND_S_MAX)
            assert taken is not None, "nobody took over"
        answer = late.getresponse()
        body = answer.read()
        late.close()
        assert writer.wait_for_number(taken.number + AFTER, MEND_S_MAX)
    assert answer.status >= 400, f"a stale write was accepted: {answer.status} {body!r}"
    assert fleet.lost(shard, "paused", writer) == set()
    epochs = [ack.epoch for ack in writer.acks]
    assert epochs == sorted(epochs), "an old epoch acknowledged after a new one"
    wait_for(
        lambda: fleet.at(leader["node"]).get(f"/v1/shards/{shard['shard']}")["epoch"] > epoch,
        "the old leader knows the new epoch",
    )


def test_a_node_that_is_told_to_stop_hands_over_without_waiting(fleet: FleetOnTest) -> None:
    longest_ms: list[float] = []
    while not longest_ms or (longest_ms[-1] >= fleet.ttl_ms(HOME) and len(longest_ms) < TRIES):
        fleet.until_whole()
        longest_ms.append(longest_gap_of_a_stop_ms(fleet, f"stopped-{len(longest_ms)}"))
    assert longest_ms[-1] < fleet.ttl_ms(HOME), f"a transfer waits for no lease: {longest_ms}"


def longest_gap_of_a_stop_ms(fleet: FleetOnTest, chapter: str) -> float:
    """End a leader's process under writes, see that nothing is lost, and give the longest gap."""
    shard = fleet.shard(HOME)
    leader = shard["leader"]["node"]
    process = fleet.process("nodes", leader)
    with fleet.writes(shard, chapter) as writer:
        epoch, asked_s = writer.acks[-1].epoch, time.monotonic()
        assert process.signal(signal.SIGTERM)
        taken = writer.wait_for_epoch_after(epoch, MEND_S_MAX)
        assert taken is not None, "nobody took over"
        assert writer.wait_for_number(taken.number + AFTER, MEND_S_MAX)
        longest_ms = writer.longest_gap_ms(asked_s)
    assert fleet.lost(shard, chapter, writer) == set()
    wait_for(lambda: not process.alive, "the drained node has ended")
    log = (fleet.directory / "nodes" / f"{leader}.log").read_text("utf-8")
    assert "draining" in log
    assert log.count(" stopped") >= 1
    return longest_ms


def test_a_store_that_is_killed_comes_back_with_what_it_had(fleet: FleetOnTest) -> None:
    shard = fleet.shard(HOME)
    store = next(g["stores"][0] for g in fleet.state()["groups"] if g["name"] == HOME)
    process = fleet.process("stores", store)
    with fleet.writes(shard, "store") as writer:
        killed_s = time.monotonic()
        assert process.signal(signal.SIGKILL)
        wait_for(lambda: fleet.record("stores", store)["pid"] != process.pid, "it is started again")
        assert writer.wait_for_number(len(writer.acks) + AFTER, MEND_S_MAX)
        longest_ms = writer.longest_gap_ms(killed_s)
    assert fleet.lost(shard, "store", writer) == set()
    is_quick = longest_ms < fleet.ttl_ms(HOME)
    assert is_quick or len({ack.epoch for ack in writer.acks}) == 1, "one of three is no failover"
    wait_for(lambda: store_state(fleet, store) == "up", "the nodes use it again")


def test_without_a_majority_old_reads_go_on_and_all_else_is_refused_at_once(
    fleet: FleetOnTest,
) -> None:
    shard = fleet.shard(HOME)
    path = key_path(f"{{{shard['partition']}}}/quorum")
    fleet.access.send("PUT", path, body=b"before")
    nodes = [fleet.at(node["id"]) for node in fleet.state()["nodes"]]
    stores = next(group["stores"] for group in fleet.state()["groups"] if group["name"] == HOME)
    old = {"consistency": "bounded", "max_staleness_ms": 3_600_000}

    def refused(access: FleetAccess, method: str) -> str:
        took_s: list[float] = []
        while not took_s or (took_s[-1] >= SLACK_MS / 1_000 and len(took_s) < TRIES):
            began_s = time.monotonic()
            with pytest.raises(Problem) as caught:
                access.send(method, path, body=b"after" if method == "PUT" else None)
            took_s.append(time.monotonic() - began_s)
        assert took_s[-1] < SLACK_MS / 1_000, f"it hung: {took_s}"
        return caught.value.kind

    with asleep(fleet.process("stores", stores[1])), asleep(fleet.process("stores", stores[2])):
        for access in nodes:
            wait_for(
                lambda at=access: strong_read_kind(at, path) == "no-quorum", "the lease runs out"
            )
            assert {refused(access, "PUT"), refused(access, "GET")} == {"no-quorum"}
            reply = access.send("GET", path, query=old)
            assert (reply.body, reply.headers["leadplane-role"]) == (b"before", "follower")
            assert int(reply.headers["leadplane-staleness-ms"]) > 0
        said = ("unavailable", "1 of 3 stores reachable, 2 needed")
        row_path = f"/v1/shards/{shard['shard']}"
        wait_for(
            lambda: ((row := nodes[-1].get(row_path))["state"], row["why"]) == said, "it is shown"
        )
    fleet.until_whole()
    assert fleet.access.send("GET", path).body == b"before", "what was refused was not done"


def test_all_nodes_killed_at_once_come_back_with_everything(fleet: FleetOnTest) -> None:
    shards = [fleet.shard(HOME), fleet.shard("global")]
    for shard in shards:
        fleet.put(fleet.access, f"{{{shard['partition']}}}/kept", "before")
    before = {row["shard"]: row["epoch"] for row in rows_of(fleet)}
    processes = [fleet.process("nodes", node["id"]) for node in fleet.state()["nodes"]]
    for process in processes:
        assert process.signal(signal.SIGKILL)
    wait_for(lambda: not any(process.alive for process in processes), "all are dead")
    fleet.until_whole()

    def look() -> bool:
        after = {row["shard"]: row["epoch"] for row in rows_of(fleet)}
        return after.keys() == before.keys() and all(
            after[shard] > before[shard] for shard in before
        )

    wait_for(look, "every shard is led anew, as any node sees it")
    for shard in shards:
        reply = fleet.access.send("GET", key_path(f"{{{shard['partition']}}}/kept"))
        assert reply.body == b"before"


def test_metrics_say_that_nothing_stale_was_accepted(fleet: FleetOnTest) -> None:
    for node in fleet.state()["nodes"]:
        found = metrics_of(fleet, node["id"])
        assert found["leadplane_stale_operations_accepted_total"] == 0
        wait_for(partial(has_looked_at_its_loop, fleet, node["id"]), "it looks at its loop")
        assert found["leadplane_shards"] == SHARDS
        wait_for(partial(all_led, fleet, node["id"]), "all are led")


def has_looked_at_its_loop(fleet: FleetOnTest, node: str) -> bool:
    """Whether this node knows how late its event loop is."""
    return metrics_of(fleet, node)["leadplane_event_loop_lag_seconds_count"] > 0


def all_led(fleet: FleetOnTest, node: str) -> bool:
    """Whether this node counts every shard as led."""
    return metrics_of(fleet, node)["leadplane_shards_led"] == SHARDS


def metrics_of(fleet: FleetOnTest, node: str) -> dict[str, float]:
    """The samples of one node, by their names with labels."""
    text = fleet.at(node).send("GET", "/metrics").body.decode()
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if line[:1] != "#")
    return {name: float(value) for name, value in lines}


def rows_of(fleet: FleetOnTest) -> list[dict[str, Any]]:
    """Every shard, as any node shows it."""
    rows: list[dict[str, Any]] = fleet.access.items("/v1/shards", limit=100)["items"]
    return rows


def store_state(fleet: FleetOnTest, store: str) -> str:
    """How a node of the store's own region sees it."""
    region = fleet.record("stores", store)["region"]
    node = next(n for n in fleet.state()["nodes"] if n["region"] == region)
    status = fleet.access.only(node["url"]).get("/v1/status")
    return str(next(s["state"] for s in status["stores"] if s["store"] == store))


def send_alone(node: Mapping[str, Any], key: str, value: bytes) -> http.client.HTTPConnection:
    """Send a write to this node alone, not to be passed on; its answer is read later."""
    parts = urlsplit(str(node["url"]))
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    connection.request("PUT", key_path(key), value, {"Leadplane-Hop": "1"})
    return connection


def strong_read_kind(access: FleetAccess, path: str) -> str | None:
    """The kind of problem that a strong read is refused with; None when it is answered."""
    try:
        access.send("GET", path)
    except Problem as problem:
        return problem.kind
    return None
