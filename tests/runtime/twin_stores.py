"""Stores in memory behind real lanes: the twin of the function library, one call at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from regions.codec import FORMAT, Code, Reply
from regions.errors import StoreUnavailable
from regions.scripts.model import StoreModel
from regions.store import OnLost, OnReply, StoreIdentity, StoreRoom, StoreStatus
from shards.scripts.model import COMMANDS


class TwinStore:
    """One store; `down` breaks its lanes and refuses new ones."""

    def __init__(self, store: str, groups: list[str]) -> None:
        self.store = store
        self.down = False
        self.model = StoreModel(COMMANDS, f"{store}-run-0")
        self._must_work(["mint", "", 0, store, f"nonce of {store}"])
        for group in groups:
            self._must_work(["install", group, 1, b"a test"])
        self.lanes: set[TwinLane] = set()

    @property
    def incarnation(self) -> str:
        return str(self.model.state.incarnation)

    def make_lane(self, on_lost: OnLost) -> TwinLane:
        return TwinLane(self, on_lost)

    def break_down(self) -> None:
        self.down = True
        for lane in tuple(self.lanes):
            lane.close()
            lane.on_lost(StoreUnavailable("broken by the test"))

    def _must_work(self, command: list[Any]) -> None:
        incarnation = self.incarnation if command[0] != "mint" else ""
        reply = self.model.call([FORMAT, incarnation, "", 0], [command])
        codes = [reply.code, *(result[0] for result in reply.results)]
        assert codes == [Code.OK, Code.OK], f"a new store refused {command}: {reply}"


class TwinLane:
    """A connection: answers come in order, a turn of the loop later."""

    def __init__(self, store: TwinStore, on_lost: OnLost) -> None:
        self._store = store
        self.on_lost = on_lost
        self._loop = asyncio.get_running_loop()

    async def open(self) -> StoreStatus:
        await asyncio.sleep(0)
        store = self._store
        if store.down:
            raise StoreUnavailable(f"{store.store} is down")
        store.lanes.add(self)
        identity = StoreIdentity(store.store, store.incarnation)
        return StoreStatus(identity, "run", 0, "twin", ())

    def send(self, header: list[Any], commands: list[list[Any]], on_reply: OnReply) -> None:
        if self in self._store.lanes:
            self._loop.call_soon(self._answer, header, commands, on_reply)

    def look(self, on_room: Callable[[StoreRoom], None]) -> None:
        """A twin does not let anybody know."""

    def close(self) -> None:
        self._store.lanes.discard(self)

    def _answer(
        self, header: list[Any], commands: list[list[Any]], on_reply: Callable[[Reply], None]
    ) -> None:
        if self in self._store.lanes:
            on_reply(self._store.model.call(header, commands))
