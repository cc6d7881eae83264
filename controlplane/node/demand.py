"""Which shards clients ask for most, as far as this node sees: they are the first to be led again.

Every request that is put to the node counts: those it serves itself or reads nearby, and those of
clients whose leader has died, for they come here and wait. What is passed on to a living leader is
not seen here. Counts fade by half again and again, so that what is kept is little, and nothing at
all of shards that nobody uses.
"""

from __future__ import annotations

from collections.abc import Iterable

HALVE_EVERY_MS = 5_000


class Demand:
    """A fading count of requests by shard; only an order of work rests on it."""

    __slots__ = ("_asked", "_next_ms")

    def __init__(self) -> None:
        self._asked: dict[str, int] = {}
        self._next_ms = 0

    def asked(self, shard: str) -> None:
        """A request for a shard came in."""
        self._asked[shard] = self._asked.get(shard, 0) + 1

    def advance(self, now_ms: int) -> None:
        """Let old requests count less."""
        if now_ms >= self._next_ms:
            self._next_ms = now_ms + HALVE_EVERY_MS
            self._asked = {shard: n // 2 for shard, n in self._asked.items() if n > 1}

    def busiest_first(self, shards: Iterable[str]) -> list[str]:
        """These shards, those most asked for before all others; of equals by name."""
        asked = self._asked
        quiet = sorted(shards)
        busy = [shard for shard in quiet if shard in asked] if asked else []
        if not busy:
            return quiet
        busy.sort(key=lambda shard: (-asked[shard], shard))
        return busy + [shard for shard in quiet if shard not in asked]
