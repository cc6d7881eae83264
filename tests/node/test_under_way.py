"""What is under way when a group goes over to its next version: reads, writes, and the map."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controlplane.node_plan import Place, ShardSeed, description_of
from controlplane.requests import Consistency, Problem, Refused, StoreAction, StoresWanted
from regions import latency
from regions.membership import GroupDescription
from tests.node.rig import Rig, Seat
from tests.node.test_store_changes import led_rig, order

ROWS = 1_100  # more than one page of a scan


def next_version(seat: Seat) -> GroupDescription:
    old = description_of(seat.group.plan)
    return GroupDescription("g", old.version + 1, old.ttl_ms, old.voters, {}, old.voters)


def test_a_read_that_was_under_way_is_answered_at_once() -> None:
    rig = led_rig()
    n2 = rig.seats["n2"]
    rig.mute("n2", *rig.stores)
    asked = n2.get("a", "x", consistency=Consistency.ANY)
    rig.run(5)
    n2.node.succession.follow(next_version(n2), rig.now_ms)
    for store in rig.stores:
        rig.disconnect("n2", store)
    rig.run(50)
    assert asked in n2.answers


def test_the_map_is_read_on_though_its_group_changed_between_two_pages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(latency, "CALL_FLOOR_MS", 5_000)  # no lane is given up meanwhile
    rows = tuple(ShardSeed(f"r{n}", "elsewhere", n, n + 1, ("eu",)) for n in range(ROWS))
    nodes = ("n1", "n2")
    rig = Rig(nodes, group="global", shards=("system",), seeds=rows, spares=1, ttl_ms=6_000)
    n1 = rig.seats["n1"]
    rig.until(lambda: len(n1.node.directory.rows) == ROWS)
    scanned: list[str] = []

    def scans(store: str, commands: list[list[Any]]) -> None:
        if not scanned and any(command[0] == "scan" for command in commands):
            scanned.append(store)
            rig.mute("n2", store)

    assert isinstance(order(rig, StoreAction.REPLACE, "s3", by="spare1"), StoresWanted)
    rig.until(lambda: "global" in rig.stores["spare1"].state.groups)
    rig.on_call = scans
    n2 = rig.start("n2", nodes, life=2)
    rig.until(lambda: n2.group.version == 2)
    assert scanned[0] != "s3"
    assert not n2.node.directory.rows
    rig.let("n2", *scanned)
    rig.until(lambda: len(n2.node.directory.rows) == ROWS)


def test_what_is_carried_over_goes_on_when_two_versions_come_one_after_the_other() -> None:
    rig = led_rig()
    n1 = rig.seats["n1"]
    rig.hold("n1", *rig.stores)
    number = n1.put("a", "y")
    rig.run(5)
    n1.node.succession.follow(next_version(n1), rig.now_ms)
    n1.node.succession.follow(next_version(n1), rig.now_ms)
    assert set(n1.group.carried) == {"a"}
    rig.run(2 * rig.ttl_ms)
    assert isinstance(n1.answers[number], Refused)
    assert n1.node.serving.pending_writes == 0


def test_writes_end_as_unknown_when_a_node_does_not_stand_in_the_next_version() -> None:
    rig = led_rig()
    n1 = rig.seats["n1"]
    rig.hold("n1", *rig.stores)
    number = n1.put("a", "y")
    rig.run(5)
    n1.node.sites.places.update({s: Place("us", "us-1") for s in rig.stores})
    n1.node.succession.follow(next_version(n1), rig.now_ms)
    assert not n1.group.plan.stands
    rig.run(5)
    assert n1.node.serving.pending_writes == 0
    refused = n1.answers[number]
    assert isinstance(refused, Refused)
    assert refused.problem is Problem.UNKNOWN_OUTCOME


def test_a_version_of_a_fleet_that_was_restored_is_not_gone_over_to() -> None:
    rig = led_rig()
    n1 = rig.seats["n1"]
    restored = replace(next_version(n1), cluster="another")
    n1.node.succession.follow(restored, rig.now_ms)
    n1.node.succession.follow(restored, rig.now_ms)
    rig.run(50)
    assert n1.group.version == restored.version - 1
    whys = [e.detail["why"] for e in n1.happened if e.kind == "group-not-followed"]
    assert len(whys) == 1
    assert "restored from a backup" in whys[0]
