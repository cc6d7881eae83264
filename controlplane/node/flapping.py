"""Shards that pass from leader to leader and do not come to rest, as every node sees them.

A change of leaders is nothing: nodes restart, shards are moved. The same shard again and again is.
So changes are counted by shard, but only the number of shards with too many of them is shown.
"""

from __future__ import annotations

from typing import Final

WINDOW_MS: Final = 15 * 60_000
CHANGES_MIN: Final = 5
"""A rolling restart makes three at most of one shard: away, home, and away once more."""


class Flapping:
    """Changes of leaders in the last `WINDOW_MS`."""

    __slots__ = ("_changes", "_swept_ms")

    def __init__(self) -> None:
        self._changes: dict[str, list[int]] = {}
        self._swept_ms = 0

    def changed(self, shard: str, now_ms: int) -> None:
        """Another process leads a shard; of more changes than matter the last ones are kept."""
        if now_ms - self._swept_ms > WINDOW_MS:
            self._sweep(now_ms)
        times = self._changes.setdefault(shard, [])
        times.append(now_ms)
        del times[:-CHANGES_MIN]

    def shards(self, now_ms: int) -> list[str]:
        """Shards that do not come to rest."""
        self._sweep(now_ms)
        oldest_ms = now_ms - WINDOW_MS
        return [
            shard
            for shard, times in self._changes.items()
            if len(times) >= CHANGES_MIN and times[0] >= oldest_ms
        ]

    def _sweep(self, now_ms: int) -> None:
        self._swept_ms, oldest_ms = now_ms, now_ms - WINDOW_MS
        self._changes = {s: times for s, times in self._changes.items() if times[-1] >= oldest_ms}
