"""Asking a store a few things in turn, where waiting for each answer is all right."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from regions.codec import FORMAT, Code, Reply
from regions.errors import StoreOutcomeUnknown, StoreReplyMalformed
from regions.store import Lane, OnLost, StoreStatus

MakeLane: TypeAlias = Callable[[OnLost], Lane]

ANSWER_MS_MAX = 5_000


@dataclass(frozen=True, slots=True)
class Conversation:
    """An open lane, and what its store said when it was opened."""

    status: StoreStatus
    _lane: Lane
    _lost: asyncio.Future[Reply]

    async def call(self, header: list[Any], commands: list[list[Any]]) -> Reply:
        """The reply to one call. Raises StoreOutcomeUnknown when there is none in time."""
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[Reply] = loop.create_future()
        self._lane.send(header, commands, reply.set_result)
        done, _ = await asyncio.wait(
            {reply, self._lost},
            timeout=ANSWER_MS_MAX / 1_000,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not done:
            raise StoreOutcomeUnknown(f"no reply within {ANSWER_MS_MAX} ms")
        return done.pop().result()

    async def result(self, command: list[Any]) -> list[Any]:
        """The result of one command, sent to the store as it said it is. Raises
        StoreReplyMalformed when the whole call is refused."""
        identity = self.status.identity
        reply = await self.call([FORMAT, identity.incarnation, "", 0], [command])
        if reply.code != Code.OK:
            raise StoreReplyMalformed(f"{identity.store_id} refuses {command[0]}: {reply.code}")
        return reply.results[0]


@asynccontextmanager
async def conversation(make_lane: MakeLane) -> AsyncIterator[Conversation]:
    """Open a lane for the time of the block. Raises what Lane.open raises."""
    lost: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

    def on_lost(why: Exception) -> None:
        lost.set_exception(why)
        lost.exception()  # whoever waits for a reply raises it; nobody else needs to hear

    lane = make_lane(on_lost)
    try:
        yield Conversation(await lane.open(), lane, lost)
    finally:
        lane.close()
