"""A plan on a running fleet: made of measured load, carried out, gone on with by a successor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from controlplane.chaos.local_fleet import local_fleet
from controlplane.chaos.scenario_file import read_scenario
from controlplane.cli.connection import ELECTING
from controlplane.http_client import HttpClient, PeerLost, PeerUnreachable
from tests.integration.fleet_on_test import AT_ONCE
from tests.integration.looking import LOOK_S, Looking, until

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("placement")]

KEYS = 24
SHARDS = 6
WRITES = 15
ELECTED_S_MAX = 30.0
FLEET = """\
name: placement
shows: Leaders go to where the clients are; the test itself asks for it.
lasts_s: 8
fleet:
  {regions: 3, stores: 1, nodes: 2, shards: 6, survival: region, ttl_ms: 2000, latency: 0.3,
   network: proxy}
faults:
  - {at_s: 2, do: hamper, to: region us-east-1, delay_ms: 5, for_s: 5}
expect: {leaders_change: false}
"""
PLACEMENT = {
    "usd_per_ms_per_million_requests": {"reads": 1.0, "writes": 1.0},
    "churn_budget": {"leaders_share_max": 1.0},
    "hysteresis": {"gain_usd_per_month_min": 0.01, "residence_min_ms": 0},
    "move_rate": {"leaders_per_minute_max": 20},
    "assumptions": {"strong_read_share": 0.5, "shard_bytes": 1_000_000},
}


class Operator:
    """Sends orders to one node, and says what was answered."""

    def __init__(self, client: HttpClient, url: str) -> None:
        self._client = client
        self.url = url

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The document of the answer, with its status; None when no answer came. While nobody
        leads it is sent again."""
        found, until_s = None, time.monotonic() + ELECTED_S_MAX
        while found is None or (is_election(found) and time.monotonic() < until_s):
            found = await self._send(method, path, body, **headers)
            if found is None:
                return None
            await asyncio.sleep(LOOK_S if is_election(found) else 0)
        return found

    async def _send(self, method: str, path: str, body: Any, **headers: str) -> Any:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        named["Content-Type"] = "application/json"
        try:
            reply = await self._client.send(
                method, self.url + path, headers=named, body=orjson.dumps(body or {}),
                timeout_ms=60_000,
            )  # fmt: skip
        except (PeerLost, PeerUnreachable):
            return None
        found = orjson.loads(reply.body)
        found["status"] = reply.status
        return found


def is_election(found: Mapping[str, Any]) -> bool:
    """Whether an order was refused because nobody leads just now."""
    return found["status"] >= 400 and found["type"].rsplit("/", 1)[-1] in ELECTING


async def test_leaders_go_to_their_clients_and_a_successor_goes_on_with_the_next_move() -> None:
    async with local_fleet(read_scenario(FLEET, "here")) as fleet, HttpClient() as client:
        looking = Looking(fleet, client)
        home = min(region.name for region in fleet.topology.regions)
        near = [node.id for node in fleet.topology.nodes if node.region == home]
        first = await until(lambda: looking.get(near[0], "/v1/leader"), "a leader", 30)
        asked = next(n for n in near if n != first["node"])
        operator = Operator(client, fleet.urls[asked])

        put = await operator.send(
            "PUT", f"/v1/config/placement?{AT_ONCE}", {"content": PLACEMENT}, If_Match="*"
        )
        assert put["status"] == 200, put
        for number in range(KEYS * WRITES):
            await looking.put(asked, f"%7Bp{number % KEYS}%7D%2Fk")
        plan = await until(lambda: planned(operator, home), "a plan that moves two", 60)
        before = await leaders(looking, asked)
        assert all(before.get(move["shard"]) != home for move in plan["moves"])

        order = await operator.send("POST", "/v1/placement/apply", {"plan": plan["plan"]})
        assert order["status"] == 202, order
        await until(lambda: progressed(looking, asked), "the first move", 60)
        await fleet.hold(first["node"])
        await fleet.kill(first["node"])
        done = await until(lambda: ended(looking, asked, order["number"]), "the last move", 120)
        assert done["done"] == done["total"] == len(plan["moves"])
        assert done["moved"] + len(done["skipped"]) == done["total"]

        stays = {each["shard"] for each in done["skipped"]}
        moved = [m["shard"] for m in plan["moves"] if m["shard"] not in stays]
        await until(lambda: are_led_from(looking, asked, moved, home), "leaders at home", 90)
        await until(lambda: is_explained(looking, asked, moved[0], home), "why", 60)


async def test_no_node_leads_more_than_the_document_allows_and_then_nothing_moves() -> None:
    async with local_fleet(read_scenario(FLEET, "here")) as fleet, HttpClient() as client:
        looking, nodes = Looking(fleet, client), [node.id for node in fleet.topology.nodes]
        await until(lambda: looking.get(nodes[0], "/v1/leader"), "a leader", 30)
        await until(lambda: all_are_led(looking, nodes[0]), "leaders of all", 30)
        operator = Operator(client, fleet.urls[nodes[0]])
        apart = await until(lambda: two_together(looking, operator, nodes), "two at a node", 60)
        rules = {
            "capacity": {"node": {"leaders": 1}},
            "anti_affinity": [{"name": "pair", "shards": apart, "scope": "node"}],
        }
        for name, content in (("placement", PLACEMENT), ("constraints", rules)):
            put = await operator.send(
                "PUT", f"/v1/config/{name}?{AT_ONCE}", {"content": content}, If_Match="*"
            )
            assert put["status"] == 200, put
        plan = await until(lambda: moving(operator), "a plan", 60)
        assert all(move["to_node"] in nodes for move in plan["moves"])
        order = await operator.send("POST", "/v1/placement/apply", {"plan": plan["plan"]})
        assert order["status"] == 202, order

        await until(lambda: ended(looking, nodes[0], order["number"]), "the last move", 120)
        await until(lambda: leads_one_each(looking, nodes), "one leader a node", 60)
        await until(lambda: moves_nothing(operator), "nothing is left to move", 60)


async def is_explained(looking: Looking, node: str, shard: str, home: str) -> bool:
    """Whether a shard is said to be where it was put, and to belong there."""
    told = await looking.get(node, f"/v1/shards/{shard}/explain")
    return bool(told) and (told["now"], told["chosen"]["leader"]) == (home, home)


async def plan_of(operator: Operator) -> Any:
    plan = await operator.send("POST", "/v1/placement/plan")
    return plan if plan is not None and plan["status"] == 200 else None


async def moves_nothing(operator: Operator) -> bool:
    plan = await plan_of(operator)
    return plan is not None and plan["moves"] == []


async def two_together(looking: Looking, operator: Operator, nodes: list[str]) -> Any:
    """Two shards that one node leads, as the document will forbid; where there are none yet, one
    is handed over."""
    found = await loads(looking, nodes[0])
    crowded = next((led for led in found.values() if len(led) > 1), None)
    if crowded is not None:
        return sorted(crowded)[:2]
    if len(found) > 1:
        (_, shards), (node, _) = list(found.items())[:2]
        order = {"to_node": node, "force": True}
        await operator.send("POST", f"/v1/shards/{min(shards)}/transfer", order)
    return None


async def moving(operator: Operator) -> Any:
    """A plan that moves something."""
    plan = await plan_of(operator)
    return plan if plan and plan["moves"] else None


async def loads(looking: Looking, node: str) -> Mapping[str, set[str]]:
    """The shards that each node leads, the system shard left out."""
    found: dict[str, set[str]] = {}
    for shard in (await looking.get(node, "/v1/shards") or {"items": []})["items"]:
        if shard["leader"] and shard["shard"] != "system":
            found.setdefault(shard["leader"]["node"], set()).add(shard["shard"])
    return found


async def all_are_led(looking: Looking, node: str) -> bool:
    return sum(map(len, (await loads(looking, node)).values())) == SHARDS


async def leads_one_each(looking: Looking, nodes: list[str]) -> bool:
    found = await loads(looking, nodes[0])
    return {node: len(found.get(node, ())) for node in nodes} == dict.fromkeys(nodes, 1)


async def planned(operator: Operator, home: str) -> Any:
    """A plan that moves at least two leaders, all of them home."""
    plan = await operator.send("POST", "/v1/placement/plan")
    if plan is None or plan["status"] != 200 or len(plan["moves"]) < 2:
        return None
    return plan if {move["to_leader"] for move in plan["moves"]} == {home} else None


async def leaders(looking: Looking, node: str) -> Mapping[str, str]:
    """The region that leads each shard."""
    found = await looking.get(node, "/v1/shards") or {"items": []}
    return {s["shard"]: s["leader"]["region"] for s in found["items"] if s["leader"]}


async def progressed(looking: Looking, node: str) -> Any:
    placement = await looking.get(node, "/v1/placement")
    order = placement and placement["order"]
    return order if order and 0 < order["done"] < order["total"] else None


async def ended(looking: Looking, node: str, number: int) -> Any:
    placement = await looking.get(node, "/v1/placement")
    order = placement and placement["order"]
    return order if order and (order["number"], order["state"]) == (number, "done") else None


async def are_led_from(looking: Looking, node: str, shards: list[str], region: str) -> bool:
    found = await leaders(looking, node)
    return {found.get(shard) for shard in shards} == {region}
