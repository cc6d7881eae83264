"""What is done to a watched fleet: on purpose, as people do it, and as it happens to a leader."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pytest

from controlplane.cli.connection import Problem, Reply
from controlplane.cli.kv import key_path
from tests.alerts.watched_fleet import WatchedFleet
from tests.integration.fleet_on_test import wait_for

UNDER_WAY_S_MAX = 20.0
QUICK = {"name": "all-at-once", "final_bake_ms": 60_000, "step_deadline_ms": 3_000}


@contextmanager
def drained(watched: WatchedFleet, path: str, nodes: tuple[str, ...]) -> Iterator[None]:
    """Within, these nodes lead nothing."""
    watched.order("POST", f"{path}/drain")
    try:
        wait_for(lambda: not {*nodes} & {*watched.leaders().values()}, f"{path} leads nothing", 60)
        yield
    finally:
        wait_for(lambda: watched.order("POST", f"{path}/undrain"), "it may lead again")


def restart_nodes(watched: WatchedFleet, nodes: Collection[str]) -> None:
    """One after the other, as an upgrade does it."""
    for node in nodes:
        start_anew(watched, node)
        watched.until_whole()


def start_anew(watched: WatchedFleet, node: str) -> None:
    """End a node's process well, and wait for the next one."""
    before = process_of(watched, node)
    watched.do(watched.fleet.end(node))
    wait_for(partial(is_new, watched, node, before), f"{node} is started again")


def is_new(watched: WatchedFleet, node: str, before: str) -> bool:
    return process_of(watched, node) not in ("", before)


def process_of(watched: WatchedFleet, node: str) -> str:
    found = watched.access.items("/v1/nodes")["items"]
    return next(str(each["process"]) for each in found if each["node"] == node)


def restart_store(watched: WatchedFleet, store: str) -> None:
    """Crash a store, and start it again once that was seen."""
    with watched.down(store):
        wait_for(lambda: state_of(watched, store) == "down", f"{store} is seen down")


def state_of(watched: WatchedFleet, store: str) -> str:
    found = watched.access.get("/v1/status")["stores"]
    return next(str(each["state"]) for each in found if each["store"] == store)


def hand_over(watched: WatchedFleet, shard: str, node: str) -> None:
    """Have a shard led by this node."""
    order = {"to_node": node, "force": True}
    path = f"/v1/shards/{shard}/transfer"
    wait_for(lambda: watched.order("POST", path, **order), f"{shard} is handed to {node}")
    wait_for(lambda: watched.leaders().get(shard) == node, f"{node} leads {shard}")


def pass_around(watched: WatchedFleet, shard: str, times: int) -> None:
    """Have a shard led by one node after the other."""
    for number in range(times):
        leader = watched.leaders()[shard]
        hand_over(watched, shard, [n for n in watched.nodes if n != leader][number % 2])


def rolled_out(watched: WatchedFleet) -> int:
    """A rollout that has reached every region, and is not over."""
    watched.access.send(
        "PUT", "/v1/config/noted", None,
        {"Content-Type": "application/json", "If-None-Match": "*"}, b'{"content": {"n": 1}}',
    )  # fmt: skip
    begun = watched.order("POST", "/v1/rollouts", document="noted", strategy=QUICK, gates=[])
    number = int(begun["rollout"])

    def has_reached_all() -> bool:
        return bool(watched.access.get(f"/v1/rollouts/{number}")["phase"] == "final-bake")

    wait_for(has_reached_all, "it is in force everywhere")
    return number


@contextmanager
def superseded(watched: WatchedFleet, shard: str, **names: str) -> Iterator[str]:
    """Within, a leader sleeps that has a write under way, and another one leads in its place.

    The write has `names`, its headers. The one store that may have it sleeps until that is over, so
    the next leader knows nothing of it.
    """
    with writing(watched, shard, **names) as (leader, outcome):
        with watched.asleep(leader):
            with watched.asleep(voter_beside(watched, leader)):
                wait_for(lambda: led_by_another(watched, shard, leader), "somebody else leads")
            watched.do(watched.fleet.ways.mend("late", loses=False))
            yield leader
        with pytest.raises(Problem) as refused:
            outcome.result(UNDER_WAY_S_MAX)
        assert refused.value.kind == "unknown-outcome"


@contextmanager
def writing(watched: WatchedFleet, shard: str, **names: str) -> Iterator[tuple[str, Future[Reply]]]:
    """Within, a shard's leader has a write under way, and reaches the store beside it alone."""
    leader, path = watched.leaders()[shard], key_path(f"{{{watched.partition_of(shard)}}}/k")
    ways = {(leader, each) for each in watched.voters if each != voter_beside(watched, leader)}
    with ThreadPoolExecutor(1) as one:
        watched.do(watched.fleet.ways.cut("late", ways | {(b, a) for a, b in ways}))
        try:
            before = log_entries(watched, leader)
            outcome = one.submit(watched.at(leader).send, "PUT", path, None, names, b"v")
            wait_for(lambda: log_entries(watched, leader) > before, f"{leader} has it under way")
            yield leader, outcome
        finally:
            watched.do(watched.fleet.ways.mend("late", loses=False))


def voter_beside(watched: WatchedFleet, node: str) -> str:
    """The store of a node's region that votes about all shards."""
    here = watched.region_of(node)
    return next(store for store in watched.voters if watched.region_of(store) == here)


def log_entries(watched: WatchedFleet, node: str) -> float:
    """How many entries the logs have that a node leads, by its own metrics."""
    text = watched.at(node).send("GET", "/metrics").body.decode()
    return float(re.findall(r"^leadplane_log_entries (\S+)", text, re.MULTILINE)[0])


def led_by_another(watched: WatchedFleet, shard: str, leader: str) -> bool:
    other = next(node for node in watched.nodes if node != leader)
    found = watched.at(other).get(f"/v1/shards/{shard}")["leader"]
    return bool(found) and found["node"] != leader
