"""Lanes that are taken up, given up, and taken up again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TypeGuard

import pytest

from controlplane.machine import Connected, Event, Fetch, Fetched, Locate, Rewire
from controlplane.node_plan import Place
from controlplane.runtime import wiring
from controlplane.runtime.wiring import Wiring
from controlplane.telemetry.metrics import NodeMetrics
from controlplane.telemetry.traffic import BULK, LANES
from regions.codec import FORMAT
from regions.conversation import MakeLane
from regions.store import ByteCount, StoreAddress
from tests.runtime.test_lanes import ScriptedStore, until
from tests.runtime.twin_stores import TwinStore

STORE = "s1"
HERE, THERE = StoreAddress("127.0.0.1", 1), StoreAddress("127.0.0.1", 2)
PLACES = {STORE: Place("eu", "a", HERE)}


def _answers(event: Event, token: int) -> TypeGuard[Fetched]:
    return isinstance(event, Fetched) and event.token == token


def wires(bytes_of: Callable[[str, str], ByteCount | None] = lambda store, kind: None) -> Wiring:
    return Wiring({}, NodeMetrics(), lambda *why: None, lambda seen: None, None, bytes_of)


async def test_a_lane_to_a_store_that_came_back_is_younger_than_the_one_it_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = ScriptedStore()
    monkeypatch.setattr(wiring, "lane_maker", lambda *how, **more: store.make_lane)
    monkeypatch.setattr(random, "random", lambda: 0.0)
    lanes = wires()
    async with asyncio.TaskGroup() as tasks:
        lanes.open(PLACES, {STORE: "inc-1"}, store.events.append, tasks)
        await until(lambda: store.events == [Connected(STORE, 1)])
        lanes.rewire(Rewire(STORE, ""))
        lanes.rewire(Rewire(STORE, "inc-1"))
        await until(lambda: store.events[1:] == [Connected(STORE, 2)])
        lanes.close()


async def test_a_store_is_reached_where_it_is_said_to_be_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    twins = {HERE: TwinStore("here", []), THERE: TwinStore("there", [])}
    events: list[Event] = []

    def lane_maker(at: StoreAddress, *how: object, **more: object) -> MakeLane:
        return twins[at].make_lane

    monkeypatch.setattr(wiring, "lane_maker", lane_maker)
    monkeypatch.setattr(random, "random", lambda: 0.0)
    lanes = wires()

    async def who() -> str | None:
        """Which store answers on the bulk lane."""
        token = len(events)
        lanes.fetch(Fetch("new", token, [FORMAT, "", "", 0], [["hello", "", 0]], 5_000))
        await until(lambda: any(_answers(event, token) for event in events))
        (reply,) = (event.reply for event in events if _answers(event, token))
        return None if reply is None else reply.store_id

    async with asyncio.TaskGroup() as tasks:
        lanes.open({}, {}, events.append, tasks)
        assert await who() is None, "nobody says where it is"
        lanes.locate(Locate("new", HERE))
        assert await who() == "here"
        lanes.rewire(Rewire("new", "inc-1"))
        await until(lambda: Connected("new", 1) in events)
        lanes.locate(Locate("new", THERE))
        assert await who() == "there"
        await until(lambda: Connected("new", 2) in events)
        assert len(twins[HERE].lanes) == 0, "its lanes lead elsewhere now"
        lanes.rewire(Rewire("new", ""))
        lanes.locate(Locate("new", None))
        assert await who() is None
        await until(lambda: len(twins[THERE].lanes) == 0)
        lanes.close()


async def test_each_kind_of_lane_is_counted_where_its_store_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, given = ScriptedStore(), list[ByteCount | None]()
    byte_counts = {kind: ByteCount() for kind in (LANES, BULK)}

    def lane_maker(*how: object, byte_count: ByteCount | None = None, **more: object) -> MakeLane:
        given.append(byte_count)
        return store.make_lane

    monkeypatch.setattr(wiring, "lane_maker", lane_maker)
    asked: list[tuple[str, str]] = []

    def bytes_of(name: str, kind: str) -> ByteCount:
        asked.append((name, kind))
        return byte_counts[kind]

    lanes = wires(bytes_of)
    async with asyncio.TaskGroup() as tasks:
        lanes.open(PLACES, {STORE: "inc-1"}, store.events.append, tasks)
        lanes.close()
    assert asked == [(STORE, BULK), (STORE, LANES)]
    assert [id(byte_count) for byte_count in given] == [
        id(byte_counts[BULK]),
        id(byte_counts[LANES]),
    ]
