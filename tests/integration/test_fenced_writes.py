"""A write that no majority had when its leader lost the shard: what the fleet says became of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import pytest

from controlplane.cli.connection import FleetAccess, Problem
from tests.integration.fleet_on_test import FleetOnTest, asleep, wait_for

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("fleet")]

REGION = "eu-central-1"
HOME = f"region/{REGION}"
TRIES = 5
"""Where a leader was quicker to see that its majority is gone than the test was to write."""


def test_it_is_listed_with_what_became_of_it(fleet: FleetOnTest) -> None:
    with ExitStack() as absent:
        for _ in range(TRIES):
            shard = fleet.shard(HOME)
            leader, key = shard["leader"]["node"], f"{{{shard['partition']}}}/doubtful"
            refused = _sent_without_majority(fleet, leader, key, absent)
            if refused != "no-quorum":
                break
            fleet.until_whole()
        other = next(n["url"] for n in fleet.state()["nodes"] if n["id"] != leader)
        wait_for(lambda: _led_again(fleet.access.only(other), shard), "somebody else leads")
    assert refused == "unknown-outcome"
    lost = wait_for(lambda: _doubtful(fleet, leader, key), "the old leader knows that it lost")
    assert (lost["shard"], lost["changes"][0]["value_base64"]) == (shard["shard"], None)
    fleet.until_whole()

    def told() -> dict[str, Any] | None:
        found = _doubtful(fleet, leader, key)
        return found if found is not None and found["fate"] != "unknown" else None

    fate = wait_for(told, "a store has committed its place")["fate"]
    assert (fate == "kept") is _has_value(fleet, key)


def _sent_without_majority(fleet: FleetOnTest, leader: str, key: str, absent: ExitStack) -> str:
    """How a leader refuses a write that no majority can have. If it may have been done, the leader
    sleeps before the stores wake up; if the leader knew of the majority, nothing was sent."""
    stores = [s["id"] for s in fleet.state()["stores"] if s["region"] == REGION]
    processes = [fleet.process("stores", store) for store in stores[1:]]
    to_leader, itself = fleet.at(leader), fleet.process("nodes", leader)
    with ExitStack() as stores_absent:
        for process in processes:
            stores_absent.enter_context(asleep(process))
        with pytest.raises(Problem) as refused:
            fleet.put(to_leader, key, "v")
        if refused.value.kind != "no-quorum":
            absent.enter_context(asleep(itself))
    return refused.value.kind


def _doubtful(fleet: FleetOnTest, node: str, key: str) -> dict[str, Any] | None:
    listed = fleet.at(node).items(f"/v1/nodes/{node}/fenced-writes")["items"]
    return next((row for row in listed if row["changes"][0]["key"] == key), None)


def _led_again(access: FleetAccess, shard: Mapping[str, Any]) -> bool:
    row = access.get(f"/v1/shards/{shard['shard']}")
    return bool(row["leader"]) and row["epoch"] > shard["epoch"]


def _has_value(fleet: FleetOnTest, key: str) -> bool:
    partition = key.partition("}")[0].removeprefix("{")
    listed = fleet.access.items("/v1/kv", partition=partition, prefix=key)["items"]
    return bool(listed)
