"""A shard moves from the stores of one region to those of another, where other nodes stand."""

from __future__ import annotations

import pytest

from tests.integration.fleet_on_test import FleetOnTest, wait_for
from tests.integration.test_resharding import lost, more, order, shards, until_done, writes

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("fleet")]


def test_a_shard_moves_between_two_regions_and_no_write_fails(fleet: FleetOnTest) -> None:
    access = fleet.access
    name, row = next(
        (name, row) for name, row in shards(access).items() if row["group"].startswith("region/")
    )
    region = next(
        node["region"]
        for node in fleet.state()["nodes"]
        if node["region"] != row["group"].removeprefix("region/")
    )
    target = f"region/{region}"
    with writes(fleet, "far", 0) as writer, writes(fleet, "near", 3) as other:
        more(writer)
        more(other)
        move = order(access, name, "move", to_group=target)
        until_done(access, move["number"])
        more(writer)
        more(other)
    child = move["children"][0]["shard"]

    def has_moved() -> bool:
        found = shards(access)
        moved = found.get(child)
        is_led_there = moved and moved["leader"] and moved["leader"]["region"] == region
        return bool(is_led_there) and moved["group"] == target and name not in found

    wait_for(has_moved, f"{child} is led in another region")
    assert (writer.refusals, other.refusals) == (0, 0)
    assert lost(access, "far", writer) == set()
    assert lost(access, "near", other) == set()
