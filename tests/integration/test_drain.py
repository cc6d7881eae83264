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

pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("drain")]

SHARDS = 24
WRITERS = 4
PATIENCE_S = 12.0
AGAIN_S = 0.05
DEADLINE_MS = 24_000
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
        first = await until(lambda: looking.get(names[0], "/v1/leader"), "a leader", 30)
        others = [name for name in names if name != first["node"]]
        operator = Operator(client, fleet.urls[others[0]])
        region = next(n.region for n in fleet.topology.nodes if n.region != first["region"])
        there = {node.id for node in fleet.topology.nodes if node.region == region}
        before = await until(lambda: all_led(looking, others[0]), "all shards led", 30)
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
            some = lambda: has_left(looking, others[0], range(1, len(home)))  # noqa: E731
            await until(some, "the first steps", DEADLINE_MS / 1_000)
            await fleet.hold(first["node"])
            await fleet.kill(first["node"])
            await until(lambda: is_drained(looking, others), "the last step", 60)
            took_s = time.monotonic() - begun_s
            after = await until(lambda: all_led(looking, others[0]), "all shards led", 30)
            assert region not in after.values()
            assert took_s < DEADLINE_MS * 1.1 / 1_000, took_s

            for shard in sorted(home):
                tenures = await looking.get(others[0], f"/v1/shards/{shard}/history")
                left = [t for t in tenures["items"] if t["before"] in there]
                assert len(left) == 1, (shard, tenures)

            over = await operator.send("POST", f"/v1/regions/{region}/undrain")
            assert over["state"] == "over", over
            await until(lambda: is_home(looking, others[0], home, region), "leaders at home", 60)
            stop.set()
        assert writers.failed == []
        assert writers.written > 100


async def all_led(looking: Looking, node: str) -> Mapping[str, str]:
    found = await leaders(looking, node)
    return found if len(found) == SHARDS + 1 else {}


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
