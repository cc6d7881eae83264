"""Faults of drills that no other test has, and what people do about them."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import psutil

from controlplane.cli.kv import key_path
from tests.alerts.provoking import hand_over, is_new, process_of, start_anew
from tests.alerts.watched_fleet import WatchedFleet
from tests.cli.stub_fleet import leadplane
from tests.integration.fleet_on_test import wait_for
from tests.integration.runbook_reader import RunbookReader

NAMED: Final[Mapping[str, str]] = {"Idempotency-Key": "a-drill"}
FILES_LEFT: Final = 8
"""A node has opened as many before it listens: no number is left for another connection."""
ANOTHER: Final = "leadplane-9.9.9.dist-info"
STRATEGY: Final = {"name": "linear", "bake_ms": 3_000, "final_bake_ms": 1_000}


def a_node(watched: WatchedFleet) -> str:
    """A node in a region that neither the global leader nor the first question goes to."""
    there = watched.region_of(watched.leaders()["system"])
    return next(node for node in reversed(watched.nodes) if watched.region_of(node) != there)


def led_by(watched: WatchedFleet, shard: str, node: str) -> None:
    """Have a shard led by a node, and nothing left to be mended."""
    if watched.leaders()[shard] != node:
        hand_over(watched, shard, node)
    watched.until_whole()


def path_in(watched: WatchedFleet, shard: str) -> str:
    """The path of a key in a shard: always the same one."""
    return key_path(f"{{{watched.partition_of(shard)}}}/k")


def all_ways_of(watched: WatchedFleet, region: str) -> set[tuple[str, str]]:
    """All ways between what stands in a region and what does not, in both directions."""
    here = {site.id for site in watched.fleet.sites if site.region == region}
    there = {site.id for site in watched.fleet.sites} - here
    return {(a, b) for a in here for b in there} | {(b, a) for a in here for b in there}


def replay(watched: WatchedFleet, node: str, shard: str) -> None:
    """Put again, by the runbook, the one write of a shard that its leader could not confirm."""

    def lost() -> int | None:
        rows = watched.at(node).items(f"/v1/nodes/{node}/fenced-writes")["items"]
        ours = [row["number"] for row in rows if (row["shard"], row["fate"]) == (shard, "replaced")]
        return int(ours[0]) if ours else None

    names = {"eu-central-1-n1 1": f"{node} {wait_for(lost, 'its place was taken')}"}
    reader = RunbookReader("docs/runbooks/stale-leader.md")
    assert shard in reader.look()
    line = "leadplane fenced replay eu-central-1-n1 1 --dry-run"
    assert "would be sent" in reader.does(line, yours=names)
    reader.does(line, really=True, yours=names)


@contextmanager
def jammed(watched: WatchedFleet, node: str) -> Iterator[None]:
    """Within, a node can open nothing more: its front door is closed, and it renews over the
    connections that it has. Those of its peers to it are broken off. It ends, and is started anew.
    """
    port = next(each.port for each in watched.fleet.topology.nodes if each.id == node)
    listening = {
        each.laddr.port: each.pid
        for each in psutil.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN
    }
    pid = listening[port]
    assert pid is not None
    _, most = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (FILES_LEFT, most))
    ways = {(peer, node) for peer in watched.nodes if peer != node}
    watched.do(watched.fleet.ways.cut("door", ways))
    watched.do(watched.fleet.ways.mend("door", loses=True))
    before = process_of(watched, node)
    try:
        yield
    finally:
        watched.do(watched.fleet.kill(node))
        wait_for(partial(is_new, watched, node, before), f"{node} is started again")


@contextmanager
def another_release(watched: WatchedFleet, node: str) -> Iterator[None]:
    """Within, a node runs that says it is of another release; then it is of the common one."""
    says = Path(os.environ["PYTHONPATH"]) / ANOTHER
    says.mkdir()
    (says / "METADATA").write_text("Metadata-Version: 2.1\nName: leadplane\nVersion: 9.9.9\n")
    try:
        start_anew(watched, node)
        yield
    finally:
        (says / "METADATA").unlink()
        says.rmdir()
        start_anew(watched, node)


def pin(watched: WatchedFleet, shard: str, node: str) -> None:
    """Have a shard led by this node and by nobody else, as every node knows."""
    words = ("shards", "pin", shard, node, "--failover", "operator", "--reason", "a drill")
    done = leadplane(*words)
    assert done.exit_code == 0, done.output

    def is_known() -> bool:
        found = [
            watched.at(each).get("/v1/config/constraints/effective")["content"]
            for each in watched.nodes
        ]
        return all(content and content.get("pins") for content in found)

    wait_for(is_known, f"every node knows that {shard} is pinned")


def begin_rollout(watched: WatchedFleet, document: str) -> int:
    """A rollout in three waves of which the first region has been reached."""
    watched.access.send(
        "PUT", f"/v1/config/{document}", None,
        {"Content-Type": "application/json", "If-None-Match": "*"}, b'{"content": {"n": 1}}',
    )  # fmt: skip
    order = {"document": document, "strategy": STRATEGY, "gates": []}
    number = int(watched.order("POST", "/v1/rollouts", **order)["rollout"])
    wait_for(lambda: rollout(watched, number)["wave"] == 2, "its second wave has begun")
    return number


def rollout(watched: WatchedFleet, number: int) -> dict[str, Any]:
    """How far it is."""
    found: dict[str, Any] = watched.access.get(f"/v1/rollouts/{number}")
    return found
