"""Looking at stores: often enough for what they have left, and never twice at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from controlplane.machine import Headroom
from controlplane.runtime import headroom
from controlplane.runtime.headroom import EVERY_S_MAX, EVERY_S_MIN, pause_s, watch_headroom
from regions.store import StoreRoom

MIB = 1 << 20


@pytest.mark.parametrize(
    ("room", "seconds"),
    [
        (StoreRoom(10 * MIB, 4_096 * MIB), EVERY_S_MAX),
        (StoreRoom(896 * MIB, 1_024 * MIB), 0.5),
        (StoreRoom(1_023 * MIB, 1_024 * MIB), EVERY_S_MIN),
        (StoreRoom(2_000 * MIB, 1_024 * MIB), EVERY_S_MIN),
        (StoreRoom(10 * MIB, 4_096 * MIB, 64 * MIB, 1_000 * MIB), 0.25),
    ],
)
def test_the_less_is_left_the_sooner_the_next_look(room: StoreRoom, seconds: float) -> None:
    assert pause_s(room) == seconds


class Lane:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.asked: list[Callable[[StoreRoom], None]] = []

    def look(self, on_room: Callable[[StoreRoom], None]) -> None:
        self.asked.append(on_room)


async def test_a_store_that_does_not_answer_keeps_no_other_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(headroom, "EVERY_S_MAX", 0.02)
    monkeypatch.setattr(headroom, "EVERY_S_MIN", 0.01)
    lanes, told = {"a": Lane(), "b": Lane()}, asyncio.Queue[Headroom]()
    watching = [
        asyncio.create_task(watch_headroom(name, lane, told.put_nowait))
        for name, lane in lanes.items()
    ]
    async with asyncio.timeout(20):
        for number in range(1, 4):
            while len(lanes["a"].asked) < number:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            lanes["a"].asked[-1](StoreRoom(1, 2, 3, 4))
            assert await told.get() == Headroom("a", 1, 2, 3, 4)
        while len(lanes["b"].asked) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    for task in watching:
        task.cancel()
    assert told.empty()
