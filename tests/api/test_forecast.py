"""Follow the sun: learnt at the global leader, kept in the system shard, shown in the plan."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.planning import forecaster
from controlplane.planning.forecaster import PROFILE_KEY, Forecaster
from regions.codec import pack
from shards.daily_profile import HOUR_MS
from tests.api.listening import Node
from tests.api.test_placement_plans import Pair, planned, ready
from tests.config.sample_fleet import put

MINUTE_MS = 60_000
AHEAD = {"follow_the_sun": {"ahead_ms": HOUR_MS}}


async def watched(known: Forecaster, minutes: int, from_ms: int = 0) -> None:
    for minute in range(minutes):
        await known.turn(from_ms + minute * MINUTE_MS)


def look_ahead(node: Node) -> None:
    feed = node.service.feed
    assert put(feed, "placement", dict(feed.get("placement").content) | AHEAD)  # type: ignore[union-attr]


async def test_what_an_hour_taught_is_written_down_for_the_next_leader(pair: Pair) -> None:
    leader, _ = pair
    await ready(leader)
    look_ahead(leader)
    await watched(Forecaster(leader.service), 121)
    assert PROFILE_KEY in leader.service.fleet_of.shards["system"].values
    successor = Forecaster(leader.service)
    assert successor.factors(leader.service.feed, 0) == {}
    await successor.turn(3 * HOUR_MS)
    assert successor.factors(leader.service.feed, 0) == {"eu": 1.0, "us": 1.0}


async def test_it_is_off_unless_the_document_says_how_far_ahead_to_look(pair: Pair) -> None:
    leader, _ = pair
    await ready(leader)
    known = Forecaster(leader.service)
    await watched(known, 121)
    assert known.factors(leader.service.feed, 0) == {}


async def test_only_the_global_leader_learns(pair: Pair) -> None:
    leader, follower = pair
    await ready(leader)
    look_ahead(follower)
    known = Forecaster(follower.service)
    await watched(known, 121)
    assert known.factors(follower.service.feed, 0) == {}
    assert PROFILE_KEY not in leader.service.fleet_of.shards["system"].values


async def test_what_is_no_profile_is_begun_anew(pair: Pair) -> None:
    leader, _ = pair
    await ready(leader)
    look_ahead(leader)
    shard = leader.service.fleet_of.shards["system"]
    known = Forecaster(leader.service)
    await watched(known, 61)
    partition, value = shard.values[PROFILE_KEY]
    shard.values[PROFILE_KEY] = (partition, type(value)(value.version, pack("nonsense")))
    await watched(known := Forecaster(leader.service), 121)
    assert known.factors(leader.service.feed, 0) == {"eu": 1.0, "us": 1.0}


async def test_a_plan_is_made_for_the_load_to_come_and_says_so(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader, _ = pair
    await ready(leader)
    monkeypatch.setattr(forecaster, "_wall_ms", lambda: 8 * HOUR_MS)
    days: list[Any] = [["us", [1.0] * 9 + [0.0] * 15], ["eu", [1.0] * 24]]
    known = leader.edge.planner.forecaster
    known._profile = known._profile.read(days)
    now = await planned(leader)
    assert now["forecast"] == {}
    look_ahead(leader)
    then = await planned(leader)
    assert then["forecast"] == {"eu": 1.0, "us": 0.1}
    assert then["before"]["usd_per_month"] < now["before"]["usd_per_month"]
