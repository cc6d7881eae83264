"""The driver turns once for all that arrived together, in time, and stops when the node breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Set
from contextlib import asynccontextmanager

import pytest

from controlplane.machine import (
    Call,
    Disconnected,
    Drained,
    Draining,
    Effect,
    Event,
    Happened,
    Requested,
)
from controlplane.requests import Evict, Evicted
from controlplane.runtime.clock import boottime_ms
from controlplane.runtime.driver import Driver
from tests.runtime.scripted_node import RecordingPerformer, ScriptedNode

LOST = Disconnected("a", 1, "test")
CALL = Call("a", 1, [], [["x"]])
ELECTED = Happened("elected", "s1", 3, {})
WAIT_S = 20


class Stage:
    """A driver with everything around it in sight."""

    def __init__(self, react: Callable[[Event], list[Effect]] | None = None) -> None:
        self.node = ScriptedNode(react)
        self.performer = RecordingPerformer()
        self.happened: list[Happened] = []
        self.changed_rows: list[Set[str]] = []
        self.driver = Driver(
            self.node,
            self.performer,
            on_happened=self.happened.append,
            on_table=self.changed_rows.append,
        )


@asynccontextmanager
async def running(
    react: Callable[[Event], list[Effect]] | None = None,
) -> AsyncIterator[Stage]:
    stage = Stage(react)
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(stage.driver.run())
        yield stage
        run.cancel()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - anything may be waited for
            await asyncio.sleep(0)


async def test_what_arrives_together_is_one_turn() -> None:
    async with running() as stage:
        events: list[Event] = [Disconnected("a", n, "test") for n in range(5)]
        for event in events:
            stage.driver.post(event)
        await until(lambda: bool(stage.node.batches))
        stage.driver.post(LOST)
        await until(lambda: len(stage.node.batches) == 2)
    assert stage.node.batches == [events, [LOST]]


async def test_effects_are_carried_out_in_order_and_to_whom_they_concern() -> None:
    async with running(lambda event: [CALL, ELECTED, Drained()]) as stage:
        stage.driver.post(LOST)
        await asyncio.wait_for(stage.driver.drained.wait(), WAIT_S)
    assert stage.performer.done == [CALL]
    assert stage.happened == [ELECTED]


async def test_the_node_advances_when_its_deadline_has_come_not_before() -> None:
    async with running() as stage:
        start_ms = boottime_ms()
        stage.node.deadline_ms = start_ms + 30
        stage.driver.post(LOST)
        await until(lambda: bool(stage.node.advanced_ms))
    assert start_ms + 30 <= stage.node.advanced_ms[0]


async def test_a_deadline_that_moves_closer_is_kept() -> None:
    async with running() as stage:
        stage.node.deadline_ms = boottime_ms() + 60_000
        stage.driver.post(LOST)
        await until(lambda: len(stage.node.batches) == 1)
        stage.node.deadline_ms = boottime_ms() + 10
        stage.driver.post(LOST)
        await until(lambda: bool(stage.node.advanced_ms))


async def test_each_request_gets_its_own_answer() -> None:
    async with running() as stage:
        asked = [stage.driver.ask(Evict("s1")) for _ in range(10)]
        outcomes = await asyncio.wait_for(asyncio.gather(*asked), WAIT_S)
        assert stage.driver.unanswered == 0
    assert sorted(o.epoch for o in outcomes if isinstance(o, Evicted)) == list(range(1, 11))
    assert len(stage.node.batches) == 1


async def test_a_client_that_goes_away_leaves_nothing_behind() -> None:
    requested: list[Event] = []

    def never(event: Event) -> list[Effect]:
        requested.append(event)
        return []

    async with running(never) as stage:
        asking = asyncio.ensure_future(stage.driver.ask(Evict("s1")))
        await until(lambda: bool(requested))
        assert stage.driver.unanswered == 1
        asking.cancel()
        await asyncio.wait([asking])
        assert stage.driver.unanswered == 0
    assert isinstance(requested[0], Requested)


async def test_a_change_of_the_table_is_told_once() -> None:
    async with running() as stage:
        stage.driver.post(LOST)
        await until(lambda: len(stage.node.batches) == 1)
        assert stage.changed_rows == []
        stage.node.changed_rows |= {"s1", "s2"}
        stage.driver.post(LOST)
        stage.driver.post(LOST)
        await until(lambda: len(stage.node.batches) == 2)
        assert stage.changed_rows == [{"s1", "s2"}]


async def test_draining_is_told_to_the_node() -> None:
    async with running(lambda event: [Drained()] if event == Draining() else []) as stage:
        stage.driver.drain()
        await asyncio.wait_for(stage.driver.drained.wait(), WAIT_S)


async def test_a_broken_invariant_stops_the_driver_for_good() -> None:
    def broken(event: Event) -> list[Effect]:
        raise AssertionError("he <= pe")

    stage = Stage(broken)
    stage.driver.post(LOST)
    with pytest.raises(AssertionError, match="he <= pe"):
        await asyncio.wait_for(stage.driver.run(), WAIT_S)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(stage.driver.ask(Evict("s1")), WAIT_S)
    stage.driver.post(LOST)
    await asyncio.sleep(0)
    assert stage.driver.turns == 0
    assert stage.performer.done == []


async def test_a_broken_invariant_ends_waiting_requests() -> None:
    def broken(event: Event) -> list[Effect]:
        raise AssertionError("he <= pe")

    stage = Stage(broken)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(stage.driver.ask(Evict("s1")), WAIT_S)
    with pytest.raises(AssertionError, match="he <= pe"):
        await asyncio.wait_for(stage.driver.run(), WAIT_S)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(stage.driver.ask(Evict("s1")), WAIT_S)
