"""A node by itself: three stores, the real driver with real lanes, and neither HTTP nor peers.

It runs in the process that measures it. `on_call` and `on_event` let a measurement listen to what
goes over the ordered lanes.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Set
from dataclasses import dataclass
from pathlib import Path

from controlplane.bench.bench_fleet import one_region_topology
from controlplane.embedded import StoreProcess
from controlplane.fleet.directory import FleetDirectory, FleetOptions
from controlplane.fleet.first_start import initialise
from controlplane.fleet.layout import write_settings
from controlplane.machine import Call, Drop, Event, Fetch, Happened, Locate, Probe, Rewire, Tell
from controlplane.node import Node
from controlplane.node_plan import NodePlan
from controlplane.runtime.clock import boottime_ms
from controlplane.runtime.driver import Driver
from controlplane.runtime.lanes import BulkLane, OrderedLane
from controlplane.runtime.membership import learn_fleet
from controlplane.runtime.planning import make_plan
from controlplane.settings import NodeSettings, load_settings
from controlplane.store_config import MEMORY_MIB_MAX, StoreSpec, find_store_binary
from controlplane.store_lanes import lane_maker
from controlplane.survival import Survival
from regions.store import StoreIdentity
from regions.topology import StoreSite
from regions.topology_file import load_topology

LED_S_MAX = 300.0


@dataclass(frozen=True, slots=True)
class Ears:
    """Who listens: to calls as they leave, to what comes back, to what happens at the node."""

    on_call: Callable[[Call], None] = lambda call: None
    on_event: Callable[[Event], None] = lambda event: None
    on_happened: Callable[[Happened], None] = lambda event: None


class Lanes:
    """Carries effects of a node that is alone: to the stores, and to nobody else."""

    def __init__(self, ears: Ears) -> None:
        self.ordered: dict[str, OrderedLane] = {}
        self.bulk: dict[str, BulkLane] = {}
        self._ears = ears

    def call(self, effect: Call) -> None:
        self._ears.on_call(effect)
        self.ordered[effect.store].call(effect)

    def drop(self, effect: Drop) -> None:
        self.ordered[effect.store].drop(effect)

    def fetch(self, effect: Fetch) -> None:
        self.bulk[effect.store].fetch(effect)

    def tell(self, effect: Tell) -> None:
        """There is no other node."""

    def probe(self, effect: Probe) -> None:
        """There is no other node."""

    def rewire(self, effect: Rewire) -> None:
        """No store forgets."""

    def locate(self, effect: Locate) -> None:
        """No document says where stores are."""


@dataclass(frozen=True, slots=True)
class LoneNode:
    """The node, its driver and its stores; `shard` is one that it leads."""

    driver: Driver
    node: Node
    stores: list[StoreProcess]

    @property
    def shard(self) -> str:
        """The first shard of the map."""
        return self.node.shard_views(self.driver.clock())[0].shard

    @property
    def ports(self) -> list[int]:
        """Where the stores listen."""
        return [store.spec.port for store in self.stores]


@contextlib.asynccontextmanager
async def lone_node(
    folder: Path,
    shards: int = 1,
    ears: Ears | None = None,
    topology_text: str = "",
    store_mib: int = MEMORY_MIB_MAX,
    shard_bytes_max: int | None = None,
) -> AsyncIterator[LoneNode]:
    """Three stores, or those of a topology, each of so much memory, and a node that leads all its
    shards."""
    topology = load_topology(topology_text or one_region_topology())
    directory = FleetDirectory(folder / "fleet")
    options = FleetOptions(shards=shards, survival=Survival.ZONE)
    directory.make(topology, options)
    binary = find_store_binary()
    stores = [
        StoreProcess(StoreSpec(s.id, directory.store_path(s.id), s.port, binary, store_mib))
        for s in topology.stores
    ]
    try:
        for store in stores:
            await store.start()
        await initialise(topology, secrets.token_hex(8))
        write_settings(directory, topology, options, {})
        settings = load_settings(directory.settings_path(topology.nodes[0].id))
        if shard_bytes_max is not None:
            limits = settings.limits.model_copy(update={"shard_bytes_max": shard_bytes_max})
            settings = settings.model_copy(update={"limits": limits})
        changed = asyncio.Event()
        async with running_driver(settings, lambda _: changed.set(), ears or Ears()) as (
            driver,
            node,
        ):
            async with asyncio.timeout(LED_S_MAX):
                while node.fleet(driver.clock()).shards_led <= shards:  # and the system's
                    changed.clear()
                    await changed.wait()
            yield LoneNode(driver, node, stores)
    finally:
        for store in stores:
            await store.stop()


@contextlib.asynccontextmanager
async def running_driver(
    settings: NodeSettings, on_table: Callable[[Set[str]], None], ears: Ears
) -> AsyncIterator[tuple[Driver, Node]]:
    """The node of these settings with its lanes, without HTTP, on this loop."""
    fleet = await learn_fleet(
        settings.topology, lambda at: lane_maker(at, {}), settings.stores_wait_ms_max
    )
    plan = make_plan(settings, f"{settings.node}.{secrets.token_hex(4)}", fleet)
    node = Node(plan, random.random, boottime_ms())
    lanes = Lanes(ears)
    driver = Driver(node, lanes, on_happened=ears.on_happened, on_table=on_table)

    def post(event: Event) -> None:
        ears.on_event(event)
        driver.post(event)

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(driver.run())]
        for site in settings.topology.stores:
            ordered, bulk = _lanes(plan, post, site)
            lanes.ordered[site.id], lanes.bulk[site.id] = ordered, bulk
            running += [tasks.create_task(ordered.run()), tasks.create_task(bulk.run())]
        yield driver, node
        for task in running:
            task.cancel()


def _lanes(
    plan: NodePlan, post: Callable[[Event], None], site: StoreSite
) -> tuple[OrderedLane, BulkLane]:
    voter = next(v for group in plan.groups for v in group.voters if v.store == site.id)
    make_lane = lane_maker(site.listens_at, {}, expected=StoreIdentity(site.id, voter.incarnation))
    ordered = OrderedLane(
        site.id,
        make_lane,
        post=post,
        refused=lambda name, error: sys.exit(f"store {name} is refused: {error}"),
        lost=lambda name: None,
        draw=random.random,
    )
    return ordered, BulkLane(site.id, make_lane, post=post, draw=random.random)
