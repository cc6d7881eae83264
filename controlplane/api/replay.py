"""Orders that were given under an idempotency key: the first outcome is what every retry gets.

Writes to keys are remembered by the shard itself, at every store. Orders, such as a transfer or an
eviction, are remembered here, by the node that took them, for a while: a client that repeats an
order repeats it to the same node. Refusals are not remembered, whether they say "not done" or
"unknown": a retry asks anew.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from controlplane.problems import RequestRefused

PASSING_STATUSES = frozenset({408, 421, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer, as it can be given again."""

    status: int
    media_type: str
    body: bytes


@dataclass(slots=True)
class _Memory:
    digest: str
    until: float
    answer: asyncio.Future[Answered | None]


class Replays:
    """Answers by idempotency key, the last `kept_max`, each for `kept_ms`."""

    def __init__(self, kept_max: int, kept_ms: int) -> None:
        self._kept_max = kept_max
        self._kept_s = kept_ms / 1000
        self._by_key: OrderedDict[str, _Memory] = OrderedDict()

    async def once(
        self, key: str, digest: str, carry_out: Callable[[], Awaitable[web.Response]]
    ) -> web.Response:
        """The response to an order; the replay of an earlier one says so in a header.

        A retry that comes while the first attempt is under way waits for it. Raises RequestRefused
        (`idempotency-mismatch`) when the key was used for another order.
        """
        while (memory := self._remembered(key)) is not None:
            if memory.digest != digest:
                raise RequestRefused(
                    "idempotency-mismatch", "a different request was sent with this key before"
                )
            answered = await asyncio.shield(memory.answer)
            if answered is not None:
                return _response(answered)
        return await self._first(key, digest, carry_out)

    async def _first(
        self, key: str, digest: str, carry_out: Callable[[], Awaitable[web.Response]]
    ) -> web.Response:
        answer: asyncio.Future[Answered | None] = asyncio.get_running_loop().create_future()
        self._make_room()
        self._by_key[key] = _Memory(digest, time.monotonic() + self._kept_s, answer)
        answered: Answered | None = None
        try:
            response = await carry_out()
            if response.status not in PASSING_STATUSES:
                assert isinstance(response.body, bytes)
                answered = Answered(response.status, response.content_type, response.body)
            return response
        finally:
            if answered is None:
                self._by_key.pop(key, None)
            answer.set_result(answered)

    def _remembered(self, key: str) -> _Memory | None:
        now = time.monotonic()
        while (oldest := self._oldest()) is not None and oldest.until <= now:
            self._by_key.popitem(last=False)
        return self._by_key.get(key)

    def _make_room(self) -> None:
        while len(self._by_key) >= self._kept_max:
            oldest = self._oldest()
            if oldest is None or not oldest.answer.done():
                return
            self._by_key.popitem(last=False)

    def _oldest(self) -> _Memory | None:
        return next(iter(self._by_key.values()), None)


def _response(answered: Answered) -> web.Response:
    return web.Response(
        status=answered.status,
        body=answered.body,
        headers={"Content-Type": answered.media_type, "Idempotency-Replayed": "true"},
    )
