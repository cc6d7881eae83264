"""Every node of a fleet is started anew under load, and no client loses a write."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from controlplane.chaos.local_fleet import local_fleet
from controlplane.chaos.scenario_file import read_scenario
from controlplane.cli.connection import FleetAccess
from controlplane.http_client import HttpClient
from controlplane.rolling.restarting import Restarting, Wishes
from controlplane.rolling.sequence import Limits
from tests.integration.looking import Looking, until
from tests.integration.test_drain import Writers
from tests.integration.test_placement import leaders

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("rolling-restart")]

SHARDS = 12
WRITERS = 4
BAKE_MS = 2_000
FLEET = f"""\
name: rolling
shows: Nodes are started anew one after the other; the test itself asks for it.
lasts_s: 8
fleet: {{regions: 3, stores: 1, nodes: 1, shards: {SHARDS}, survival: region, ttl_ms: 2000}}
faults:
  - {{at_s: 2, do: kill, to: node us-east-1-n1}}
expect: {{leaders_change: false}}
"""
WISHES = Wishes(Limits(0.01, BAKE_MS, 120_000), despite=("last-of-region", "last-candidate"))


async def test_three_nodes_are_started_anew_under_load_without_a_failed_write(
    tmp_path: Path,
) -> None:
    told: list[str] = []
    async with local_fleet(read_scenario(FLEET, "here")) as fleet, HttpClient() as client:
        looking, loop = Looking(fleet, client), asyncio.get_running_loop()
        names = [node.id for node in fleet.topology.nodes]
        await until(lambda: all_led(looking, names[0]), "all shards led", 60)
        before = await processes(looking, names[0])
        ended: list[str] = []

        def end(node: Mapping[str, Any]) -> None:
            ended.append(node["node"])
            asyncio.run_coroutine_threadsafe(fleet.end(node["node"]), loop).result(60)

        access = FleetAccess(tuple(fleet.urls.values()))
        restarting = Restarting(access, WISHES, end, tmp_path / "rolling.json", told.append)
        writers, stop = Writers(client, fleet.urls), asyncio.Event()
        last = await until(lambda: settled_leader(looking, names[0]), "its leader at home", 90)
        async with asyncio.TaskGroup() as tasks:
            for number in range(WRITERS):
                tasks.create_task(writers.work(f"w{number}", stop))
            try:
                await asyncio.to_thread(restarting.run)
            finally:
                stop.set()
        after = await until(lambda: processes(looking, names[0]), "every process", 60)
    assert writers.failed == [], told
    assert sorted(ended) == sorted(names), told
    assert ended[-1] == last, "the global leader's node comes last"
    assert all(before[name] != after[name] for name in names)
    assert any("leads 1 shards, and more in" in line for line in told), told
    assert not (tmp_path / "rolling.json").exists()
    assert writers.written > 100


async def all_led(looking: Looking, node: str) -> bool:
    return len(await leaders(looking, node)) == SHARDS + 1


async def settled_leader(looking: Looking, node: str) -> str:
    """The global leader's node, once it is where it prefers to be."""
    row = await looking.get(node, "/v1/shards/system")
    is_home = row and row["leader"] and row["leader"]["region"] == row["regions"][0]
    return str(row["leader"]["node"]) if is_home else ""


async def processes(looking: Looking, node: str) -> Mapping[str, str]:
    """The process of every node; nothing while that of one is not known."""
    found = await looking.get(node, "/v1/nodes")
    known = {each["node"]: each["process"] for each in found["items"]} if found else {}
    return known if all(known.values()) else {}
