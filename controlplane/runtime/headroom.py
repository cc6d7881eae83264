"""Looks at the room a store has left, and tells the node.

How soon a store is looked at again depends on what it has left: before it could be filled by the
fastest writers there are. The question goes over the ordered lane, in turn with the calls, and
costs the store some ten microseconds. A store that is away is not asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from controlplane.machine import Headroom
from regions.store import StoreRoom

EVERY_S_MAX = 2.0
EVERY_S_MIN = 0.1
FILL_BYTES_PER_S = 256 << 20
"""Nobody fills a store faster."""


class Looks(Protocol):
    """What is asked: an ordered lane."""

    def look(self, on_room: Callable[[StoreRoom], None]) -> None: ...


async def watch_headroom(store: str, lane: Looks, tell: Callable[[Headroom], None]) -> None:
    """Look at a store until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        seen: asyncio.Future[StoreRoom] = loop.create_future()
        lane.look(seen.set_result)
        done, _ = await asyncio.wait({seen}, timeout=EVERY_S_MAX)
        if done:
            room = seen.result()
            tell(_headroom(store, room))
            await asyncio.sleep(pause_s(room))


def pause_s(room: StoreRoom) -> float:
    """How long a store may be left alone."""
    left_bytes = room.memory_max_bytes - room.memory_used_bytes
    if room.disk_free_bytes is not None:
        left_bytes = min(left_bytes, room.disk_free_bytes)
    return max(EVERY_S_MIN, min(EVERY_S_MAX, left_bytes / FILL_BYTES_PER_S))


def _headroom(store: str, room: StoreRoom) -> Headroom:
    return Headroom(
        store,
        room.memory_used_bytes,
        room.memory_max_bytes,
        room.disk_free_bytes,
        room.disk_size_bytes,
    )
