"""A region drained under load; its global leader dies on the way; its leaders come home."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from controlplane.chaos.local_fleet import local_fleet
from controlplane.chaos.scenario_file import read_scenario
from controlplane.http_client import HttpClient, PeerLost, PeerUnreachable
from tests.integration.looking import Looking, until
from tests.integration.test_placement import Operator, leaders

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("drain")]

SHARDS = 24
WRITERS = 4
PATIENCE_S = 30.0
AGAIN_S = 0.05
DEADLINE_MS = 24_000
LATE_MS = 8_000
"""What a busy machine may add; whoever begins to count anew after half of it is later."""
FLEET = f"""\
name: drain
shows: A drain is gone on with by whoever leads; the test itself asks for it.
lasts_s: 8
fleet: {{regions: 3, stores: 1, nodes: 2, shards: {SHARDS}, survival: region, ttl_ms: 2000}}
faults:
  - {{at_s: 2, do: kill, to: node us-east-1-n1}}
expect: {{leaders_change: false}}
"""


@dataclass
class Writers:
    """Clients that write all the time, repeat what was refused or got lost under its key, and note
    what did not come through in the end."""

    client: HttpClient
    urls: Mapping[str, str]
    failed: list[str] = field(default_factory=list)
    written: int = 0
    repeated: int = 0

    async def work(self, name: str, stop: asyncio.Event) -> None:
        for number in count():
            if stop.is_set():
                return
            await self._write(f"%7B{name}-{number % (4 * SHARDS)}%7D%2Fk", f"{name}-{number}")

    async def _write(self, key: str, op_id: str) -> None:
        said: Any = None
        nodes, until_s = sorted(self.urls), time.monotonic() + PATIENCE_S
        for attempt in count():
            url = f"{self.urls[nodes[attempt % len(nodes)]]}/v1/kv/{key}"
            try:
                reply = await self.client.send(
                    "PUT", url, headers={"Idempotency-Key": op_id}, body=b"v", timeout_ms=3_000
                )
            except (PeerLost, PeerUnreachable) as lost:
                said = lost
            else:
                said = (reply.status, reply.body)
                if reply.status == 200:
                    self.written += 1
                    return
            self.repeated += 1
            if time.monotonic() > until_s:
                self.failed.append(f"{op_id}: {said}")
                return
            await asyncio.sleep(AGAIN_S)


async def test_a_region_is_drained_under_load_though_the_global_leader_dies_on_the_way() -> None:
    async with local_fleet(read_scenario(FLEET, "here")) as fleet, HttpClient() as client:
        looking = Looking(fleet, client)
        names = [node.id for node in fleet.topology.nodes]
        before = await until(lambda: all_at_home(looking, names), "leaders at home", 90)
        first = await until(lambda: looking.get(names[0], "/v1/leader"), "a leader", 30)
        others = [name for name in names if name != first["node"]]
        operator = Operator(client, fleet.urls[others[0]])
        region = next(n.region for n in fleet.topology.nodes if n.region != first["region"])
        there = {node.id for node in fleet.topology.nodes if node.region == region}
        home = {shard for shard, at in before.items() if at == region and shard != "system"}
        assert len(home) > 3, before

        writers, stop = Writers(client, {n: fleet.urls[n] for n in others}), asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for number in range(WRITERS):
                tasks.create_task(writers.work(f"w{number}", stop))
            order = {"deadline_ms": DEADLINE_MS}
            begun_s = time.monotonic()
            drain = await operator.send("POST", f"/v1/regions/{region}/drain", order)
            assert (drain["status"], drain["total"]) == (202, len(home)), drain
            some = lambda: has_left(looking, others[0], range(len(home) // 2, len(home)))  # noqa: E731
            await until(some, "the first half", 2 * DEADLINE_MS / 1_000)
            await fleet.hold(first["node"])
            await fleet.kill(first["node"])
            await until(lambda: is_drained(looking, others), "the last step", 60)
            took_s = time.monotonic() - begun_s
            after = await until(lambda: all_led(looking, others[0]), "all shards led", 60)
            assert region not in after.values()
            assert took_s < (DEADLINE_MS + LATE_MS) / 1_000, took_s

            for shard in sorted(home):
                left_once = lambda name=shard: has_left_once(looking, others[0], name, there)  # noqa: E731
                await until(left_once, f"{shard} left once", 30)

            over = await operator.send("POST", f"/v1/regions/{region}/undrain")
            assert over["state"] == "over", over
            await until(lambda: is_home(looking, others[0], home, region), "leaders at home", 120)
            stop.set()
        assert writers.failed == []
        assert writers.written > 100


async def all_led(looking: Looking, node: str) -> Mapping[str, str]:
    found = await leaders(looking, node)
    return found if len(found) == SHARDS + 1 else {}


async def all_at_home(looking: Looking, nodes: list[str]) -> Mapping[str, str]:
    """The region that leads each shard, once each is led where it prefers to be, as all know."""
    known = []
    for node in nodes:
        rows = (await looking.get(node, "/v1/shards") or {"items": []})["items"]
        if len(rows) < SHARDS + 1:
            return {}
        if any(not r["leader"] or r["leader"]["region"] != r["regions"][0] for r in rows):
            return {}
        known.append({row["shard"]: row["leader"]["region"] for row in rows})
    return known[0]


async def has_left_once(looking: Looking, node: str, shard: str, there: set[str]) -> bool:
    """Whether history has one tenure that began as the shard left these nodes."""
    tenures = (await looking.get(node, f"/v1/shards/{shard}/history") or {"items": []})["items"]
    left = [t for t in tenures if t["before"] in there and t["node"] not in there]
    return len(left) == 1


async def drain_at(looking: Looking, node: str) -> Any:
    placement = await looking.get(node, "/v1/placement")
    return placement["drains"][0] if placement and placement["drains"] else None


async def has_left(looking: Looking, node: str, wanted: range) -> bool:
    drain = await drain_at(looking, node)
    return drain is not None and drain["total"] - drain["left"] in wanted


async def is_drained(looking: Looking, nodes: list[str]) -> bool:
    for node in nodes:
        drain = await drain_at(looking, node)
        if drain is not None:
            return bool(drain["state"] == "drained" and drain["left"] == 0)
    return False


async def is_home(looking: Looking, node: str, shards: set[str], region: str) -> bool:
    found = await leaders(looking, node)
    return {found.get(shard) for shard in shards} == {region}
