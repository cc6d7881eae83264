"""Durable writes at the node: put to the driver in its own process, without HTTP.

`python -m controlplane.bench.node_writes FOLDER` starts three stores, initialises them, and runs
one node that leads one shard. Then it reads runs from standard input, a JSON object on each line
(`clients`, `warmup_s`, `measured_s`), and answers each with a line of what it measured. It is the
real driver with real lanes to real stores; only the HTTP edge is missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import secrets
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

from controlplane.bench.bench_fleet import one_region_topology
from controlplane.bench.closed_loop import ClosedLoop, LoopTimes
from controlplane.bench.load import KEYS, LoadResult
from controlplane.bench.spread import spread
from controlplane.embedded import StoreProcess
from controlplane.fleet.directory import FleetDirectory, FleetOptions
from controlplane.fleet.first_start import initialise
from controlplane.fleet.layout import write_settings
from controlplane.machine import Call, Drop, Fetch, Probe, Tell
from controlplane.node import Node
from controlplane.node_plan import NodePlan
from controlplane.requests import Put, Write, Written
from controlplane.runtime.clock import boottime_ms
from controlplane.runtime.collection import collect_seldom
from controlplane.runtime.driver import Driver
from controlplane.runtime.lanes import BulkLane, OrderedLane
from controlplane.runtime.membership import learn_memberships
from controlplane.runtime.planning import make_plan
from controlplane.settings import NodeSettings, load_settings
from controlplane.store_config import StoreSpec, find_store_binary
from controlplane.store_lanes import lane_maker
from controlplane.survival import Survival
from regions.store import StoreIdentity
from regions.topology import StoreSite
from regions.topology_file import load_topology

LED_S_MAX = 300.0
VALUE_BYTES = 100


class Lanes:
    """Carries effects of a node that is alone: to the stores, and to nobody else."""

    def __init__(self) -> None:
        self.ordered: dict[str, OrderedLane] = {}
        self.bulk: dict[str, BulkLane] = {}

    def call(self, effect: Call) -> None:
        self.ordered[effect.store].call(effect)

    def drop(self, effect: Drop) -> None:
        self.ordered[effect.store].drop(effect)

    def fetch(self, effect: Fetch) -> None:
        self.bulk[effect.store].fetch(effect)

    def tell(self, effect: Tell) -> None:
        """There is no other node."""

    def probe(self, effect: Probe) -> None:
        """There is no other node."""


@contextlib.asynccontextmanager
async def lone_node(folder: Path, shards: int = 1) -> AsyncIterator[Driver]:
    """Three stores and a node that leads all its shards; gives its driver."""
    topology = load_topology(one_region_topology())
    directory = FleetDirectory(folder / "fleet")
    options = FleetOptions(shards=shards, survival=Survival.ZONE)
    directory.make(topology, options)
    binary = find_store_binary()
    stores = [
        StoreProcess(StoreSpec(s.id, directory.store_path(s.id), s.port, binary))
        for s in topology.stores
    ]
    try:
        for store in stores:
            await store.start()
        await initialise(topology, secrets.token_hex(8))
        write_settings(directory, topology, options, {})
        settings = load_settings(directory.settings_path(topology.nodes[0].id))
        changed = asyncio.Event()
        async with running_driver(settings, changed.set) as driver:
            async with asyncio.timeout(LED_S_MAX):
                while driver.node.fleet(driver.clock()).shards_led <= shards:  # and the system's
                    changed.clear()
                    await changed.wait()
            yield driver
    finally:
        for store in stores:
            await store.stop()


@contextlib.asynccontextmanager
async def running_driver(
    settings: NodeSettings, on_table: Callable[[], None]
) -> AsyncIterator[Driver]:
    """The node of these settings with its lanes, without HTTP, on this loop."""
    descriptions = await learn_memberships(
        settings.topology, lambda site: lane_maker(site, {}), settings.stores_wait_ms_max
    )
    plan = make_plan(settings, f"{settings.node}.{secrets.token_hex(4)}", descriptions)
    node = Node(plan, random.random, boottime_ms())
    lanes = Lanes()
    driver = Driver(node, lanes, on_happened=lambda event: None, on_table=on_table)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(driver.run())]
        for site in settings.topology.stores:
            ordered, bulk = _lanes(plan, driver, site)
            lanes.ordered[site.id], lanes.bulk[site.id] = ordered, bulk
            running += [tasks.create_task(ordered.run()), tasks.create_task(bulk.run())]
        yield driver
        for task in running:
            task.cancel()


def _lanes(plan: NodePlan, driver: Driver, site: StoreSite) -> tuple[OrderedLane, BulkLane]:
    voter = next(v for group in plan.groups for v in group.voters if v.store == site.id)
    make_lane = lane_maker(site, {}, expected=StoreIdentity(site.id, voter.incarnation))
    ordered = OrderedLane(
        site.id,
        make_lane,
        post=driver.post,
        refused=lambda name, why: sys.exit(f"store {name} is refused: {why}"),
        lost=lambda name: None,
        draw=random.random,
    )
    return ordered, BulkLane(site.id, make_lane, post=driver.post, draw=random.random)


async def measure(driver: Driver, shard: str, clients: int, times: LoopTimes) -> LoadResult:
    """Run a closed loop of writes in this process."""
    loop = ClosedLoop(clients, times)
    value = b"v" * VALUE_BYTES
    keys = itertools.cycle([f"bench-{number:08d}" for number in range(KEYS)])

    async def client() -> None:
        going = True
        while going:
            key = next(keys)
            sent_at = perf_counter()
            outcome = await driver.ask(Write(shard, (Put(key, key, value),)))
            failure = "" if isinstance(outcome, Written) else str(outcome)
            going = loop.answered(sent_at, failure)

    loop.start()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(clients):
            tasks.create_task(client())
    return LoadResult(
        clients=clients,
        per_second=round(len(loop.durations_ms) / times.measured_s, 1),
        latency=spread(loop.durations_ms),
        failures=dict(loop.failures),
    )


async def serve_runs(folder: Path) -> None:
    """Carry out the runs that standard input asks for, until it ends."""
    async with lone_node(folder) as driver:
        shard = driver.node.shard_views(driver.clock())[0].shard
        print(json.dumps({"leads": shard}), flush=True)  # noqa: T201
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            asked = json.loads(line)
            times = LoopTimes(asked["warmup_s"], asked["measured_s"])
            result = await measure(driver, shard, asked["clients"], times)
            print(json.dumps(asdict(result)), flush=True)  # noqa: T201


def main() -> None:
    """Entry of the process: FOLDER is the only argument."""
    import uvloop

    collect_seldom()  # as a node does
    uvloop.run(serve_runs(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
