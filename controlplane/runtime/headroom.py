"""Looks at the room every store has left, and tells the node.

A store with room is looked at now and then, one with little of it several times a second, since a
second is enough to fill what is left. The question goes over the ordered lane, in turn with the
calls: it costs the store some ten microseconds. A store that is away is not asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from controlplane.machine import Headroom
from regions.store import StoreRoom

EVERY_S = 2.0
CLOSELY_EVERY_S = 0.25
CLOSELY_FROM_PERCENT = 70
CLOSELY_BELOW_BYTES = 128 << 20
"""Of memory that is left."""
CLOSELY_BELOW_DISK_BYTES = 1 << 30
"""Of disk that is left."""


class Looks(Protocol):
    """What is asked: an ordered lane."""

    def look(self, on_room: Callable[[StoreRoom], None]) -> None: ...


async def watch_headroom(lanes: Mapping[str, Looks], tell: Callable[[Headroom], None]) -> None:
    """Look at all stores until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        for store, lane in lanes.items():
            tasks.create_task(_watch(store, lane, tell))


async def _watch(store: str, lane: Looks, tell: Callable[[Headroom], None]) -> None:
    every_s = EVERY_S

    def seen(room: StoreRoom) -> None:
        nonlocal every_s
        every_s = CLOSELY_EVERY_S if _is_tight(room) else EVERY_S
        tell(
            Headroom(
                store,
                room.memory_used_bytes,
                room.memory_max_bytes,
                room.disk_free_bytes,
                room.disk_size_bytes,
            )
        )

    while True:
        lane.look(seen)
        await asyncio.sleep(every_s)


def _is_tight(room: StoreRoom) -> bool:
    left_bytes = room.memory_max_bytes - room.memory_used_bytes
    if left_bytes < CLOSELY_BELOW_BYTES:
        return True
    if left_bytes * 100 < room.memory_max_bytes * (100 - CLOSELY_FROM_PERCENT):
        return True
    return room.disk_free_bytes is not None and room.disk_free_bytes < CLOSELY_BELOW_DISK_BYTES
