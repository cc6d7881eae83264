"""Lanes come back after every loss under a greater generation, and never mix the two up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from controlplane.machine import (
    Answered,
    Call,
    Connected,
    Disconnected,
    Drop,
    Event,
    Fetch,
    Fetched,
)
from controlplane.runtime import lanes
from controlplane.runtime.lanes import BulkLane, OrderedLane
from regions.codec import Reply
from regions.errors import StoreOutcomeUnknown, StoreUnavailable, StoreUnsuitable
from regions.store import OnLost, OnReply, StoreIdentity, StoreRoom, StoreStatus

WAIT_S = 20
REPLY = Reply("OK", "a", "inc-1", "run", 1, [])


class ScriptedLane:
    """A connection that is opened, answered and lost by the test."""

    def __init__(self, store: ScriptedStore, on_lost: OnLost) -> None:
        self.store = store
        self.on_lost = on_lost
        self.sent: list[tuple[list[Any], OnReply]] = []
        self.looks: list[Callable[[StoreRoom], None]] = []
        self.closed = False

    async def open(self) -> StoreStatus:
        self.store.tries += 1
        if self.store.fault is not None:
            raise self.store.fault
        return StoreStatus(StoreIdentity("a", "inc-1"), "run", 1, "valkey 9.1.2", ())

    def send(self, header: list[Any], commands: list[list[Any]], on_reply: OnReply) -> None:
        self.sent.append((commands, on_reply))

    def look(self, on_room: Callable[[StoreRoom], None]) -> None:
        self.looks.append(on_room)

    def close(self) -> None:
        self.closed = True


class ScriptedStore:
    """A store at the other end, and all that was reported about it."""

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self.tries = 0
        self.lanes: list[ScriptedLane] = []
        self.events: list[Event] = []
        self.refusals: list[str] = []
        self.losses = 0
        self.renewals: list[str] = []

    def make_lane(self, on_lost: OnLost) -> ScriptedLane:
        self.lanes.append(ScriptedLane(self, on_lost))
        return self.lanes[-1]

    def refused(self, store: str, why: str) -> None:
        self.refusals.append(why)

    def lost(self, store: str) -> None:
        self.losses += 1


@asynccontextmanager
async def ordered(store: ScriptedStore) -> AsyncIterator[OrderedLane]:
    lane = OrderedLane(
        "a",
        store.make_lane,
        post=store.events.append,
        refused=store.refused,
        lost=store.lost,
        draw=lambda: 0.0,
        renewed=store.renewals.append,
    )
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(lane.run())
        yield lane
        run.cancel()


@asynccontextmanager
async def bulk(store: ScriptedStore) -> AsyncIterator[BulkLane]:
    lane = BulkLane("a", store.make_lane, post=store.events.append, draw=lambda: 0.0)
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(lane.run())
        yield lane
        run.cancel()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - anything may be waited for
            await asyncio.sleep(0)


def call(generation: int) -> Call:
    return Call("a", generation, ["header"], [["observe"]])


def fetch(token: int, timeout_ms: int = 60_000) -> Fetch:
    return Fetch("a", token, ["header"], [["page"]], timeout_ms)


async def test_a_lane_is_opened_reported_and_answers_in_its_generation() -> None:
    store = ScriptedStore()
    async with ordered(store) as lane:
        await until(lambda: len(store.events) == 1)
        lane.call(call(1))
        store.lanes[0].sent[0][1](REPLY)
        assert store.events == [Connected("a", 1), Answered("a", 1, REPLY)]
    assert store.lanes[0].closed


async def test_a_lost_lane_is_followed_by_another_one_with_a_greater_generation() -> None:
    store = ScriptedStore()
    async with ordered(store):
        await until(lambda: len(store.events) == 1)
        store.lanes[0].on_lost(StoreOutcomeUnknown("cut"))
        await until(lambda: len(store.events) == 3)
    assert store.events == [Connected("a", 1), Disconnected("a", 1, "cut"), Connected("a", 2)]
    assert store.losses == 1


async def test_a_call_of_an_older_generation_is_not_sent() -> None:
    store = ScriptedStore()
    async with ordered(store) as lane:
        await until(lambda: len(store.events) == 1)
        store.lanes[0].on_lost(StoreOutcomeUnknown("cut"))
        await until(lambda: len(store.events) == 3)
        lane.call(call(1))
        assert store.lanes[1].sent == []
        lane.call(call(2))
        assert len(store.lanes[1].sent) == 1


async def test_a_drop_closes_the_lane_it_means_and_no_later_one() -> None:
    store = ScriptedStore()
    async with ordered(store) as lane:
        await until(lambda: len(store.events) == 1)
        lane.drop(Drop("a", 1, "late"))
        await until(lambda: len(store.events) == 3)
        assert store.events[1] == Disconnected("a", 1, "late")
        assert store.lanes[0].closed
        lane.drop(Drop("a", 1, "late"))
        await asyncio.sleep(0)
        assert not store.lanes[1].closed


async def test_renewals_are_counted_by_how_they_end() -> None:
    store = ScriptedStore()
    async with ordered(store) as lane:
        await until(lambda: len(store.events) == 1)
        renewal = Call("a", 1, ["header"], [["append"], ["renew"]])
        for _ in range(4):
            lane.call(renewal)
        for code in ("OK", "DEAD"):
            results: list[list[Any]] = [["OK", 1, "open", False], [code, 1, "open", False]]
            store.lanes[0].sent.pop(0)[1](Reply("OK", "a", "inc-1", "run", 1, results))
        store.lanes[0].sent.pop(0)[1](Reply("EMPTY", "", "", "", 0, []))
        store.lanes[0].on_lost(StoreOutcomeUnknown("cut"))
        await until(lambda: store.losses == 1)
    assert store.renewals == ["ok", "DEAD", "EMPTY", "lost"]


async def test_a_store_that_is_down_is_tried_until_it_is_back() -> None:
    store = ScriptedStore()
    store.fault = StoreUnavailable("nobody there")
    async with ordered(store):
        await until(lambda: store.tries == 3)
        assert store.events == []
        store.fault = None
        await until(lambda: store.events == [Connected("a", 1)])
    assert store.refusals == []


async def test_an_unsuitable_store_is_told_to_the_node_and_tried_again() -> None:
    store = ScriptedStore()
    store.fault = StoreUnsuitable("appendfsync is everysec")
    async with ordered(store):
        await until(lambda: len(store.refusals) == 2)
        store.fault = None
        await until(lambda: store.events == [Connected("a", 1)])


async def test_what_an_attempt_for_the_last_incarnation_meets_says_nothing_of_the_next() -> None:
    store, opened = ScriptedStore(), asyncio.Event()

    class SlowLane(ScriptedLane):
        async def open(self) -> StoreStatus:
            store.tries += 1
            await opened.wait()
            raise StoreUnsuitable("incarnation inc-2, not inc-1")

    async with asyncio.TaskGroup() as tasks:
        lane = OrderedLane(
            "a",
            lambda on_lost: SlowLane(store, on_lost),
            post=store.events.append,
            refused=store.refused,
            lost=store.lost,
            draw=lambda: 0.0,
        )
        run = tasks.create_task(lane.run())
        await until(lambda: store.tries == 1)
        lane.rewire(store.make_lane)
        opened.set()
        await until(lambda: store.events == [Connected("a", 1)])
        run.cancel()
    assert store.refusals == []


async def test_a_fetch_opens_the_bulk_lane_and_is_answered() -> None:
    store = ScriptedStore()
    async with bulk(store) as lane:
        await asyncio.sleep(0)
        assert store.tries == 0
        lane.fetch(fetch(1))
        await until(lambda: bool(store.lanes and store.lanes[0].sent))
        lane.fetch(fetch(2))
        for _, on_reply in store.lanes[0].sent:
            on_reply(REPLY)
    assert store.events == [Fetched(1, REPLY), Fetched(2, REPLY)]


async def test_fetches_of_a_store_that_is_down_come_back_empty() -> None:
    store = ScriptedStore()
    store.fault = StoreUnavailable("nobody there")
    async with bulk(store) as lane:
        lane.fetch(fetch(1))
        await until(lambda: store.events == [Fetched(1, None)])


async def test_a_fetch_that_takes_too_long_gives_the_lane_up() -> None:
    store = ScriptedStore()
    async with bulk(store) as lane:
        lane.fetch(fetch(1, timeout_ms=10))
        lane.fetch(fetch(2))
        await until(lambda: len(store.events) == 2)
        assert store.events == [Fetched(1, None), Fetched(2, None)]
        assert store.lanes[0].closed
        store.lanes[0].sent[0][1](REPLY)
        assert len(store.events) == 2
        lane.fetch(fetch(3))
        await until(lambda: len(store.lanes) == 2 and bool(store.lanes[1].sent))


async def test_more_fetches_than_the_limit_are_answered_empty_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes, "FETCHES_MAX", 1)
    store = ScriptedStore()
    async with bulk(store) as lane:
        lane.fetch(fetch(1))
        lane.fetch(fetch(2))
        assert store.events == [Fetched(2, None)]
