"""The lanes of this process to one store: one ordered and always open, one for bulk when needed.

The ordered lane is numbered by a generation that grows with every connection. When it is lost, the
node is told at once, and another one is opened after a wait that grows with every failure, with
full jitter: when a store comes back, its clients do not all arrive together. A store that must not
be used as it is (wrong settings, another incarnation) is looked at again only now and then.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from time import perf_counter
from typing import TypeAlias

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
from regions.backoff import full_jitter_ms
from regions.codec import Code, Reply
from regions.conversation import MakeLane
from regions.errors import RegionsError, StoreUnsuitable
from regions.store import Lane, OnLost, StoreRoom

Post: TypeAlias = Callable[[Event], None]
Draw: TypeAlias = Callable[[], float]

RENEW = "renew"
RETRY_FIRST_MS = 50
RETRY_CEILING_MS = 2_000
REFUSED_FIRST_MS = 5_000
REFUSED_CEILING_MS = 20_000
STEADY_S = 5.0
"""A lane that lasted so long was well: the next failure starts the back-off anew."""
FETCHES_MAX = 10_000
"""Calls of a bulk lane that wait or are under way; one more is answered with nothing at once."""


class OrderedLane:
    """Keeps the ordered lane to one store open, and says whenever it comes and goes."""

    def __init__(
        self,
        store: str,
        make_lane: MakeLane,
        *,
        post: Post,
        refused: Callable[[str, StoreUnsuitable], None],
        lost: Callable[[str], None],
        draw: Draw,
        renewed: Callable[[str], None] = lambda outcome: None,
        answered: Callable[[float, str], None] = lambda seconds, code: None,
        traced: Callable[[str, Call], Callable[[Reply], None] | None] | None = None,
    ) -> None:
        """`renewed` is told how each renewal ended: `ok`, the store's code, or `lost`; `answered`
        how many seconds each call took, and its code. `traced` hears of each call that is sent, and
        may want to hear of its answer."""
        self.generation = 0
        self._store = store
        self._make_lane = make_lane
        self._post = post
        self._refused = refused
        self._lost = lost
        self._draw = draw
        self._renewed = renewed
        self._answered = answered
        self._traced = traced
        self._renewing = 0
        self._lane: Lane | None = None
        self._ended: asyncio.Future[str] | None = None
        self._hurry = asyncio.Event()

    def call(self, effect: Call) -> None:
        """Send a call; one of a lane that is gone is dropped."""
        if self._lane is None or effect.generation != self.generation:
            return
        generation = self.generation
        renewals = [at for at, command in enumerate(effect.commands) if command[0] == RENEW]
        self._renewing += len(renewals)
        told = None if self._traced is None else self._traced(self._store, effect)
        sent_s = perf_counter()

        def on_reply(reply: Reply) -> None:
            if told is not None:
                told(reply)
            self._answer(generation, reply, renewals, sent_s)

        self._lane.send(effect.header, effect.commands, on_reply)

    def look(self, on_room: Callable[[StoreRoom], None]) -> None:
        """Ask how much room the store has; without a lane nobody answers."""
        if self._lane is not None:
            self._lane.look(on_room)

    def drop(self, effect: Drop) -> None:
        """Close the lane, if it is still the one that is meant."""
        if effect.generation == self.generation:
            self._end(effect.why)

    def rewire(self, make_lane: MakeLane) -> None:
        """From now on lanes are made by `make_lane`; the present one ends, the next is due now."""
        self._make_lane = make_lane
        self._hurry.set()
        self._end("the store is another one now")

    async def run(self) -> None:
        """Open the lane again and again, until cancelled."""
        loop = asyncio.get_running_loop()
        failures = refusals = 0
        while True:
            ended: asyncio.Future[str] = loop.create_future()
            self._ended = ended
            lane = self._make_lane(_setter(ended))
            try:
                await lane.open()
                refusals = 0
                since_s = loop.time()
                self._open(lane)
                self._close(await ended)
                failures = 0 if loop.time() - since_s > STEADY_S else failures + 1
            except StoreUnsuitable as error:
                if not self._hurry.is_set():  # else it was meant for another incarnation
                    self._refused(self._store, error)
                refusals += 1
            except RegionsError:
                failures += 1  # the store is down or out of reach: the next try comes later
            finally:
                lane.close()
                self._lane = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._wait_ms(failures, refusals) / 1_000):
                    await self._hurry.wait()
            if self._hurry.is_set():
                self._hurry.clear()
                failures = refusals = 0

    def _open(self, lane: Lane) -> None:
        self.generation += 1
        self._lane = lane
        self._post(Connected(self._store, self.generation))

    def _answer(self, generation: int, reply: Reply, renewals: list[int], sent_s: float) -> None:
        self._answered(perf_counter() - sent_s, reply.code)
        for at in renewals:
            code = reply.results[at][0] if at < len(reply.results) else reply.code
            self._renewing -= 1
            self._renewed("ok" if code == Code.OK else str(code))
        self._post(Answered(self._store, generation, reply))

    def _close(self, why: str) -> None:
        self._lane = None
        for _ in range(self._renewing):
            self._renewed("lost")
        self._renewing = 0
        self._lost(self._store)
        self._post(Disconnected(self._store, self.generation, why))

    def _end(self, why: str) -> None:
        if self._ended is not None:
            _set(self._ended, why)

    def _wait_ms(self, failures: int, refusals: int) -> int:
        if refusals:
            first_ms, ceiling_ms, attempt = REFUSED_FIRST_MS, REFUSED_CEILING_MS, refusals - 1
        else:
            first_ms, ceiling_ms, attempt = RETRY_FIRST_MS, RETRY_CEILING_MS, failures
        return full_jitter_ms(attempt, first_ms=first_ms, ceiling_ms=ceiling_ms, draw=self._draw())


class BulkLane:
    """Large and occasional calls to one store, on a connection of their own, opened when needed."""

    def __init__(self, store: str, make_lane: MakeLane, *, post: Post, draw: Draw) -> None:
        self._store = store
        self._make_lane = make_lane
        self._post = post
        self._draw = draw
        self._lane: Lane | None = None
        self._ended: asyncio.Future[str] | None = None
        self._waiting: dict[int, Fetch] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._wanted = asyncio.Event()

    def fetch(self, effect: Fetch) -> None:
        """Send a call now, or as soon as there is a connection; it is answered in any case."""
        if len(self._timers) >= FETCHES_MAX:
            self._post(Fetched(effect.token, None))
            return
        loop = asyncio.get_running_loop()
        timer = loop.call_later(effect.timeout_ms / 1_000, self._overdue, effect.token)
        self._timers[effect.token] = timer
        if self._lane is None:
            self._waiting[effect.token] = effect
            self._wanted.set()
        else:
            self._send(self._lane, effect)

    def close(self) -> None:
        """Answer whoever waits with nothing: the lane is not run any more."""
        self._fail_all()

    async def run(self) -> None:
        """Keep a connection while there is something to fetch, until cancelled."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            await self._wanted.wait()
            ended: asyncio.Future[str] = loop.create_future()
            self._ended = ended
            lane = self._make_lane(_setter(ended))
            try:
                await lane.open()
                failures = 0
                self._open(lane)
                await ended
            except RegionsError:
                failures += 1  # whoever asked is told below
            finally:
                lane.close()
                self._lane = None
            self._fail_all()
            wait_ms = full_jitter_ms(
                failures, first_ms=RETRY_FIRST_MS, ceiling_ms=RETRY_CEILING_MS, draw=self._draw()
            )
            await asyncio.sleep(wait_ms / 1_000)

    def _open(self, lane: Lane) -> None:
        self._lane = lane
        self._wanted.clear()
        waiting, self._waiting = self._waiting, {}
        for effect in waiting.values():
            self._send(lane, effect)

    def _send(self, lane: Lane, effect: Fetch) -> None:
        token = effect.token
        lane.send(effect.header, effect.commands, lambda reply: self._answer(Fetched(token, reply)))

    def _answer(self, event: Fetched) -> None:
        timer = self._timers.pop(event.token, None)
        if timer is not None:
            timer.cancel()
            self._post(event)

    def _overdue(self, token: int) -> None:
        """Answer with nothing; a lane that kept silent so long is given up."""
        was_sent = self._waiting.pop(token, None) is None
        self._answer(Fetched(token, None))
        if was_sent and self._ended is not None:
            _set(self._ended, "a call on the bulk lane timed out")

    def _fail_all(self) -> None:
        self._waiting.clear()
        self._wanted.clear()
        for token in tuple(self._timers):
            self._answer(Fetched(token, None))


def _setter(ended: asyncio.Future[str]) -> OnLost:
    return lambda error: _set(ended, str(error))


def _set(future: asyncio.Future[str], value: str) -> None:
    if not future.done():
        future.set_result(value)
