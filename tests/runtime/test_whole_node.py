"""Two whole nodes under the real driver, on stores in memory: elect, serve, survive, hand over."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Set
from contextlib import asynccontextmanager

import pytest

from controlplane.machine import (
    Call,
    Drop,
    Event,
    Fetch,
    Happened,
    Locate,
    Probe,
    Probed,
    Tell,
    Told,
)
from controlplane.node import Node
from controlplane.node_plan import GroupPlan, NodePlan, PeerPlan, ShardSeed, StorePlan
from controlplane.requests import Found, Put, Read, Write, Written
from controlplane.runtime.clock import boottime_ms
from controlplane.runtime.driver import Driver
from controlplane.runtime.lanes import BulkLane, OrderedLane
from controlplane.views import ShardView
from shards.keyspace import SLOTS
from tests.runtime.twin_stores import TwinStore

WAIT_S = 40
LEASE_MS = 4_000
"""Longer than a busy machine lets a process wait."""
SHARDS = 4
NODES = ("n1", "n2")


class Wiring:
    """Effects of one node: to twins of stores, and straight to the other node."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.ordered: dict[str, OrderedLane] = {}
        self.bulk: dict[str, BulkLane] = {}
        self.post: Callable[[Event], None] = lambda event: None
        self.node = ""

    def call(self, effect: Call) -> None:
        self.ordered[effect.store].call(effect)

    def drop(self, effect: Drop) -> None:
        self.ordered[effect.store].drop(effect)

    def fetch(self, effect: Fetch) -> None:
        self.bulk[effect.store].fetch(effect)

    def locate(self, effect: Locate) -> None:
        raise AssertionError(f"stores stay where they are: {effect}")

    def tell(self, effect: Tell) -> None:
        self.fleet.drivers[effect.node].post(Told(self.node, effect.message))

    def probe(self, effect: Probe) -> None:
        self.post(Probed(effect.node, effect.shard, served=True))


class Fleet:
    """Two nodes and three stores in one loop."""

    def __init__(self) -> None:
        self.stores = {name: TwinStore(name, ["global"]) for name in "abc"}
        self.drivers: dict[str, Driver] = {}
        self.happened: list[tuple[str, Happened]] = []
        self.rows: dict[str, dict[str, ShardView | None]] = {name: {} for name in NODES}

    def start(self, name: str, tasks: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        plans = tuple(StorePlan(s, "r", s, t.incarnation) for s, t in self.stores.items())
        node = Node(node_plan(name, plans), random.random, boottime_ms())
        wiring = Wiring(self)
        driver = Driver(
            node,
            wiring,
            on_happened=lambda event: self.happened.append((name, event)),
            on_table=lambda shards: self.look(name, shards),
        )
        wiring.node, wiring.post = name, driver.post
        self.drivers[name] = driver
        running = [tasks.create_task(driver.run())]
        for plan in plans:
            make_lane = self.stores[plan.store].make_lane
            ordered = OrderedLane(
                plan.store,
                make_lane,
                post=driver.post,
                refused=lambda store, error: pytest.fail(str(error)),
                lost=lambda store: None,
                draw=random.random,
            )
            bulk = BulkLane(plan.store, make_lane, post=driver.post, draw=random.random)
            wiring.ordered[plan.store], wiring.bulk[plan.store] = ordered, bulk
            running += [tasks.create_task(ordered.run()), tasks.create_task(bulk.run())]
        return running

    def look(self, name: str, shards: Set[str]) -> None:
        """These rows may have changed: see what they look like now."""
        node = self.drivers[name].node
        self.rows[name] |= {shard: node.shard_view(shard, boottime_ms()) for shard in shards}

    def led_by(self, name: str) -> set[str]:
        node = self.drivers[name].node
        views = node.shard_views(boottime_ms())
        return {v.shard for v in views if v.lease_remaining_ms is not None}

    def all_led(self) -> bool:
        views = [d.node.fleet(boottime_ms()) for d in self.drivers.values()]
        return all(v.shards_led == v.shards_total == SHARDS + 1 for v in views)

    def leader(self, shard: str) -> Driver:
        return next(d for name, d in self.drivers.items() if shard in self.led_by(name))


def node_plan(name: str, stores: tuple[StorePlan, ...]) -> NodePlan:
    width = SLOTS // SHARDS
    return NodePlan(
        node=name,
        region="r",
        url=f"http://{name}",
        process=f"{name}.{random.random()}",
        groups=(GroupPlan("global", 1, stores, (), LEASE_MS, stands=True),),
        peers=tuple(PeerPlan(other, "r", f"http://{other}") for other in NODES if other != name),
        seeds=tuple(
            ShardSeed(f"s{i}", "global", i * width, (i + 1) * width, ("r",)) for i in range(SHARDS)
        ),
    )


@asynccontextmanager
async def led_fleet() -> AsyncIterator[Fleet]:
    fleet = Fleet()
    async with asyncio.TaskGroup() as tasks:
        running = [task for name in NODES for task in fleet.start(name, tasks)]
        await until(fleet.all_led)
        yield fleet
        for task in running:
            task.cancel()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - anything may be waited for
            await asyncio.sleep(0.01)


async def test_what_is_written_is_read_and_survives_a_store() -> None:
    async with led_fleet() as fleet:
        writes = [Write("s0", (Put(f"k{i}", f"k{i}", b"v"),)) for i in range(100)]
        leader = fleet.leader("s0")
        turns = leader.turns
        written = await asyncio.gather(*(leader.ask(write) for write in writes))
        assert all(isinstance(each, Written) for each in written), written
        assert leader.turns - turns < len(writes), "a turn for each write is no batching"
        fleet.stores["b"].break_down()
        again = await leader.ask(Write("s0", (Put("k0", "k0", b"w"),)))
        assert isinstance(again, Written), again
        found = await leader.ask(Read("s0", ("k0", "k99")))
        assert isinstance(found, Found), found
        assert [value and value.data for value in found.values] == [b"w", b"v"]


async def test_a_draining_node_hands_everything_over_and_says_so() -> None:
    async with led_fleet() as fleet:
        leaving, staying = NODES
        fleet.drivers[leaving].drain()
        await asyncio.wait_for(fleet.drivers[leaving].drained.wait(), WAIT_S)
        await until(lambda: len(fleet.led_by(staying)) == SHARDS + 1)
        assert fleet.led_by(leaving) == set()


async def test_whoever_looks_at_the_rows_that_changed_sees_every_leader() -> None:
    async with led_fleet() as fleet:
        fleet.drivers["n1"].drain()
        await asyncio.wait_for(fleet.drivers["n1"].drained.wait(), WAIT_S)
        for name in NODES:
            await until(lambda: set(leaders(fleet, name)) == {"n2"})  # noqa: B023
            assert len(leaders(fleet, name)) == SHARDS + 1


def leaders(fleet: Fleet, name: str) -> list[str]:
    """Who leads, by the rows that a node said had changed."""
    rows = fleet.rows[name].values()
    return [r.leader.node for r in rows if r is not None and r.leader and r.state == "led"]
