"""Ways that become longer under a running fleet: seen, shown, and followed by the leases.

Three regions behind the built-in proxy, half as far apart as they are. Then one of them is moved
150 ms away from the others, there and back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pytest

from controlplane.chaos.local_fleet import local_fleet
from controlplane.chaos.scenario_file import read_scenario
from controlplane.chaos.ways import Hindrance
from controlplane.http_client import HttpClient
from tests.integration.looking import Looking, until

pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("measured-ways")]

TTL_MS = 1_600
FARTHER_MS = 150
FLEET = """\
name: measured-ways
shows: A region moves away from the others; the test itself moves it.
lasts_s: 8
fleet:
  {regions: 3, stores: 1, nodes: 1, shards: 4, survival: region, ttl_ms: 1600, latency: 0.5,
   network: proxy}
faults:
  - {at_s: 2, do: hamper, to: region us-east-1, delay_ms: 75, for_s: 5}
expect: {leaders_change: false}
"""


async def measured_everywhere(looking: Looking, node: str) -> Any:
    distances = await looking.distances(node)
    far = len(distances) == 6 and all(d["source"] == "measured" for d in distances.values())
    return distances if far else None


async def moved_away(looking: Looking, node: str, region: str, before: Any) -> Any:
    """Every way of a region is that much longer, in both directions; the others are not."""
    distances = await looking.distances(node)
    for pair, distance in distances.items():
        longer_ms = distance["round_trip_ms"] - before[pair]["round_trip_ms"]
        if (longer_ms > 0.9 * FARTHER_MS) != (region in pair):
            return None
    return distances or None


async def test_ways_are_measured_and_leases_follow_and_loads_survive_their_gatherer() -> None:
    async with local_fleet(read_scenario(FLEET, "here")) as fleet, HttpClient() as client:
        looking = Looking(fleet, client)
        nodes = {node.region: node.id for node in fleet.topology.nodes}
        here, away, _ = nodes
        before = await until(
            lambda: measured_everywhere(looking, nodes[here]), "every way is measured", 60
        )
        for (origin, target), distance in before.items():
            prior_ms = fleet.topology.round_trip_ms(origin, target)
            assert distance["prior_ms"] == prior_ms
            assert 0.45 * prior_ms < distance["round_trip_ms"] < 0.55 * prior_ms + 20

        for number in range(60):
            await looking.put(list(nodes.values())[number % 3], f"k{number % 8}")
        sites = [store.id for store in fleet.topology.stores if store.region == away]
        farther = Hindrance(delay_ms=FARTHER_MS / 2)
        await fleet.ways.hamper("farther", [*sites, nodes[away]], farther)
        after = await until(
            lambda: moved_away(looking, nodes[here], away, before), "the ways are longer", 60
        )
        assert all(d["source"] == "measured" for d in after.values())

        async def follows() -> Any:
            known = [await looking.lease(node) for node in nodes.values()]
            return known[0] if len(set(known)) == 1 and known[0][0] > 1 else None

        version, ttl_ms = await until(follows, "the lease follows", 60)
        assert version >= 2
        assert ttl_ms > 10 * FARTHER_MS
        group = await looking.get(nodes[away], "/v1/regions/groups/global")
        assert group["set_ttl_ms"] == TTL_MS
        assert group["needed_ttl_ms"] > TTL_MS
        await looking.put(nodes[here], "after")

        await loads_survive(looking, nodes)


async def loads_survive(looking: Looking, nodes: Mapping[str, str]) -> None:
    """What came in at any region is known to the global leader, and of those that live to the next
    one after it died."""
    leader = await until(
        lambda: looking.get(next(iter(nodes.values())), "/v1/leader"), "a leader", 30
    )
    others = {region: node for region, node in nodes.items() if node != leader["node"]}
    asked = next(iter(others.values()))

    async def told(regions: Collection[str], gone: str = "") -> Any:
        load = await looking.get(asked, "/v1/placement/load") or {"node": gone}
        if load["node"] == gone or not load["whole"]:
            return None
        origins = {o["region"] for item in load["items"] for o in item["origins"]}
        return load if origins == set(regions) else None

    first = await until(lambda: told(nodes), "the load is known", 30)
    assert first["node"] == leader["node"]
    await looking.fleet.hold(leader["node"])
    await looking.fleet.kill(leader["node"])
    second = await until(lambda: told(others, leader["node"]), "the next one knows it too", 60)
    assert second["epoch"] > first["epoch"]
    assert {item["shard"] for item in second["items"]} <= {item["shard"] for item in first["items"]}
