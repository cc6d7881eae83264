"""Shards of a real fleet are split, merged and moved while clients write: nothing fails, all stays.

The tests share one fleet of one region, three stores and three nodes, and run in their order.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from controlplane.bench.bench_fleet import one_region_topology
from controlplane.bench.numbered_writes import NumberedWrites
from controlplane.cli.connection import FleetAccess
from tests.integration.conftest import DOWN_S_MAX, LEADPLANE, UP_S_MAX
from tests.integration.fleet_on_test import MEND_S_MAX, FleetOnTest, wait_for

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("resharding")]

PARTITIONS = 16
WRITE_PAUSE_S = 0.005
ANSWER_S_MAX = 10.0
DONE_S_MAX = 90.0
BEFORE = 50
"""So many writes are acknowledged before, between and after what is done to shards."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetOnTest]:
    """One region, three nodes; two shards, each in a group of its own."""
    directory = tmp_path_factory.mktemp("resharding")
    regions = directory / "regions.yaml"
    regions.write_text(one_region_topology(nodes=3))
    place = ["--dir", str(directory / "fleet")]
    words = ["up", *place, "--regions", str(regions), "--shards", "2", "--detach", "-o", "json"]
    try:
        up = subprocess.run(
            [*LEADPLANE, *words], capture_output=True, text=True, timeout=UP_S_MAX, check=False
        )
        assert up.returncode == 0, up.stderr
        yield FleetOnTest(directory / "fleet")
    finally:
        subprocess.run(
            [*LEADPLANE, "down", *place], capture_output=True, timeout=DOWN_S_MAX, check=False
        )


def key_of(chapter: str, number: int) -> str:
    """A key of one partition after the other, so that every shard is written."""
    return f"{{p{number % PARTITIONS}}}/{chapter}/{number:06}"


def writes(fleet: FleetOnTest, chapter: str, node: int) -> NumberedWrites:
    """A client that goes on writing by way of one node."""
    url = str(fleet.state()["nodes"][node]["url"])
    return NumberedWrites(url, lambda n: key_of(chapter, n), WRITE_PAUSE_S, ANSWER_S_MAX)


def more(writer: NumberedWrites) -> None:
    """Wait until so many more writes are acknowledged."""
    assert writer.wait_for_number(len(writer.acks) + BEFORE, MEND_S_MAX), "no writes get through"


def settled(fleet: FleetOnTest) -> dict[str, dict[str, Any]]:
    """Shards with slots, once all of them are led, and all nodes know the same of them: nodes that
    a test killed are back."""

    def look() -> dict[str, dict[str, Any]] | None:
        found = [shards(fleet.at(node["id"])) for node in fleet.state()["nodes"]]
        known = [{name: (row["group"], row["leader"]) for name, row in f.items()} for f in found]
        is_led = all(leader for _, leader in known[0].values())
        groups = [groups_of(fleet.at(node["id"])) for node in fleet.state()["nodes"]]
        is_same = all(each == known[0] for each in known) and all(g == groups[0] for g in groups)
        return found[0] if found[0] and is_led and is_same else None

    return wait_for(look, "all nodes know who leads what", DONE_S_MAX)


def groups_of(access: FleetAccess) -> set[str]:
    """The groups that are known."""
    return {group["group"] for group in access.items("/v1/regions/groups")["items"]}


def order(access: FleetAccess, shard: str, action: str, **body: Any) -> dict[str, Any]:
    """Begin to split, merge or move a shard; give what was written down."""
    headers = {"Content-Type": "application/json"}
    sent = json.dumps(body).encode()
    reply = access.send("POST", f"/v1/shards/{shard}/{action}", headers=headers, body=sent)
    assert reply.status == 202
    begun: dict[str, Any] = reply.document()
    return begun


def until_done(access: FleetAccess, number: int) -> dict[str, Any]:
    """Wait until nothing is left of a resharding's parents."""

    def look() -> dict[str, Any] | None:
        view: dict[str, Any] = access.get(f"/v1/reshardings/{number}")
        return view if view["phase"] == "done" and view["swept"] else None

    return wait_for(look, f"resharding {number} is done", DONE_S_MAX)


def lost(access: FleetAccess, chapter: str, writer: NumberedWrites) -> set[int]:
    """Acknowledged numbers that strong scans of all partitions do not find."""
    stored: set[int] = set()
    for partition in (f"p{n}" for n in range(PARTITIONS)):
        prefix = f"{{{partition}}}/{chapter}/"
        found = wait_for(
            lambda partition=partition, prefix=prefix: access.items(
                "/v1/kv", partition=partition, prefix=prefix, limit=1_000
            ),
            "a strong scan",
        )
        stored |= {int(item["key"].rsplit("/", 1)[1]) for item in found["items"]}
    return {ack.number for ack in writer.acks} - stored


def shards(access: FleetAccess) -> dict[str, dict[str, Any]]:
    """Shards with slots, in the order of them."""
    rows = [row for row in access.items("/v1/shards")["items"] if row["end_slot"]]
    return {row["shard"]: row for row in sorted(rows, key=lambda row: row["first_slot"])}


def test_shards_are_split_and_merged_and_no_write_fails(fleet: FleetOnTest) -> None:
    access = fleet.access
    first = next(iter(settled(fleet)))
    with writes(fleet, "halves", 0) as writer, writes(fleet, "elsewhere", 2) as other:
        more(writer)
        split = order(access, first, "split")
        until_done(access, split["number"])
        more(writer)
        left, right = (child["shard"] for child in split["children"])
        wait_for(lambda: list(shards(access))[:2] == [left, right], "both are in its place")
        merged = order(access, left, "merge", **{"with": right})
        until_done(access, merged["number"])
        more(writer)
        more(other)
    assert (writer.refusals, other.refusals) == (0, 0)
    assert lost(access, "halves", writer) == set()
    assert lost(access, "elsewhere", other) == set()


def test_a_shard_is_moved_to_other_stores_and_no_write_fails(fleet: FleetOnTest) -> None:
    access = fleet.access
    name, row = next(iter(settled(fleet).items()))
    target = min(groups_of(access) - {row["group"]})
    with writes(fleet, "moved", 1) as writer:
        more(writer)
        move = order(access, name, "move", to_group=target)
        until_done(access, move["number"])
        more(writer)
    assert writer.refusals == 0
    assert settled(fleet)[move["children"][0]["shard"]]["group"] == target
    assert lost(access, "moved", writer) == set()


def test_a_split_goes_on_when_the_leader_of_its_parent_is_killed(fleet: FleetOnTest) -> None:
    access = fleet.access
    name, row = list(settled(fleet).items())[-1]
    leader = row["leader"]["node"]
    nodes = [node["id"] for node in fleet.state()["nodes"]]
    with writes(fleet, "killed", nodes.index(leader) - 1) as writer:
        more(writer)
        split = order(access, name, "split")
        assert fleet.process("nodes", leader).signal(signal.SIGKILL)
        until_done(access, split["number"])
        more(writer)
    assert {child["shard"] for child in split["children"]} <= settled(fleet).keys()
    assert lost(access, "killed", writer) == set()


def goes_on_without_the_global_leader(fleet: FleetOnTest, begin: Callable[[], Any]) -> Any:
    """Begin a resharding, kill the global leader at once, and see every write and the end of it."""
    access = fleet.access
    leader = fleet.leader()
    nodes = [node["id"] for node in fleet.state()["nodes"]]
    with writes(fleet, "headless", nodes.index(leader) - 1) as writer:
        more(writer)
        begun = begin()
        assert fleet.process("nodes", leader).signal(signal.SIGKILL)
        view = until_done(access, begun["number"])
        more(writer)
    assert lost(access, "headless", writer) == set()
    found = settled(fleet)
    again = [each for each in access.items("/v1/reshardings")["items"] if each["phase"] != "done"]
    assert again == [], "nothing is left half"
    assert {child["shard"] for child in view["children"]} <= found.keys()
    assert not {parent["shard"] for parent in view["parents"]} & found.keys()
    return view


def test_a_split_goes_on_when_the_global_leader_is_killed(fleet: FleetOnTest) -> None:
    access, before = fleet.access, settled(fleet)
    name = next(reversed(before))
    goes_on_without_the_global_leader(fleet, lambda: order(access, name, "split"))
    assert len(settled(fleet)) == len(before) + 1, "it is split once"


def test_a_merge_goes_on_when_the_global_leader_is_killed(fleet: FleetOnTest) -> None:
    access, before = fleet.access, settled(fleet)
    left, right = next(
        (a, b) for a, b in pairwise(before) if before[a]["group"] == before[b]["group"]
    )
    goes_on_without_the_global_leader(
        fleet, lambda: order(access, left, "merge", **{"with": right})
    )
    assert len(settled(fleet)) == len(before) - 1, "they are merged once"


def test_a_move_goes_on_when_the_global_leader_is_killed(fleet: FleetOnTest) -> None:
    access, before = fleet.access, settled(fleet)
    name, row = next(iter(before.items()))
    target = min(groups_of(access) - {row["group"]})
    moved = goes_on_without_the_global_leader(
        fleet, lambda: order(access, name, "move", to_group=target)
    )
    after = settled(fleet)
    assert after[moved["children"][0]["shard"]]["group"] == target
    assert len(after) == len(before), "it is moved once"
