"""The node as its HTTP edge sees it: counted requests, news for subscribers, honest readiness."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from config.feed import Feed
from controlplane.api.service import Subscription
from controlplane.first_documents import first_documents
from controlplane.machine import Effect, Event, Happened, Requested, Told
from controlplane.node_plan import NodePlan
from controlplane.requests import Evict, Evicted
from controlplane.runtime.driver import Driver
from controlplane.runtime.service import NodeService, Subscribers
from controlplane.telemetry.metrics import NodeMetrics
from controlplane.views import FleetView, StoreView
from regions.reference import default_topology
from tests.runtime.scripted_node import FLEET, RecordingPerformer, ScriptedNode, answer_at_once

WAIT_S = 20
PLAN = NodePlan("n1", "here", "http://one", "n1.0", (), (), ())
STORE = StoreView("a", "here", "here-a", ("global",), "up", "", 5, 1, 2)
ELECTED = Happened("elected", "s1", 3, {})


class LookedAt(ScriptedNode):
    """A node whose fleet is what the test says."""

    def __init__(self, react: Callable[[Event], list[Effect]]) -> None:
        super().__init__(react)
        self.view = FLEET

    def fleet(self, now_ms: int) -> FleetView:
        return self.view


class Stage:
    """A service over a scripted node."""

    def __init__(self, react: Callable[[Event], list[Effect]]) -> None:
        self.node = LookedAt(react)
        self.subscribers = Subscribers()
        self.metrics = NodeMetrics()
        self.driver = Driver(
            self.node,
            RecordingPerformer(),
            on_happened=self.subscribers.happened,
            on_table=self.subscribers.table_changed,
        )
        self.service = NodeService(
            self.driver, PLAN, default_topology(), self.subscribers, self.metrics,
            self.subscribers.happened,
        )  # fmt: skip


@asynccontextmanager
async def running(react: Callable[[Event], list[Effect]]) -> AsyncIterator[Stage]:
    stage = Stage(react)
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(stage.driver.run())
        yield stage
        run.cancel()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - anything may be waited for
            await asyncio.sleep(0)


def failed(stage: Stage) -> list[str]:
    return [check.name for check in stage.service.readiness() if not check.ok]


async def test_requests_are_answered_and_counted_also_those_given_up() -> None:
    def once(event: Event) -> list[Effect]:
        return answer_at_once(event) if isinstance(event, Requested) and event.id == 1 else []

    async with running(once) as stage:
        assert await stage.service.submit(Evict("s1")) == Evicted("s1", 1, "n1")
        given_up = asyncio.ensure_future(stage.service.submit(Evict("s1")))
        await until(lambda: len(stage.node.batches) == 2)
        given_up.cancel()
        await asyncio.wait([given_up])
        assert stage.driver.unanswered == 0
    text = stage.service.metrics().decode()
    assert 'leadplane_requests_total{outcome="ok",request="evict"} 1.0' in text
    assert 'leadplane_requests_total{outcome="abandoned",request="evict"} 1.0' in text


async def test_subscribers_hear_until_they_leave() -> None:
    heard: list[object] = []
    async with running(lambda event: [ELECTED]) as stage:
        leave = stage.service.subscribe(Subscription(heard.append, heard.append))
        stage.node.changed_rows.add("s1")
        stage.service.told("n2", {"kind": "x"})
        await until(lambda: len(heard) == 2)
        leave()
        leave()
        stage.service.told("n2", {"kind": "x"})
        await until(lambda: len(stage.node.batches) == 2)
    assert heard == [ELECTED, {"s1"}]
    assert stage.node.batches[0] == [Told("n2", {"kind": "x"})]


async def test_ready_is_what_clients_can_be_sent_to() -> None:
    async with running(answer_at_once) as stage:
        assert failed(stage) == ["shard-map"]
        stage.node.view = replace(FLEET, shards_total=1, stores=(STORE,))
        assert failed(stage) == []
        stage.node.view = replace(FLEET, shards_total=1, stores=(replace(STORE, state="down"),))
        assert failed(stage) == ["local-store"]
        stage.service.condition.draining = True
        assert failed(stage) == ["not-draining", "local-store"]


async def test_regions_are_those_that_have_a_document() -> None:
    async with running(answer_at_once) as stage:
        topology = default_topology()
        stage.node.feed = Feed(first_documents(topology))
        shown = stage.service.regions()
        named = sorted(region.name for region in topology.regions)
        assert [region.region for region in shown] == named
        here, there = shown[0].region, shown[1].region
        assert shown[0].rtt_ms[there] == topology.round_trip_ms(here, there)
