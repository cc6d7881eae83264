"""The load of the whole fleet, by shard and region of origin, as its nodes report it.

Theory of operation. Each node says what came in at it: a row for a shard, which replaces the one it
said before. What a node has not repeated for `FORGET_AFTER_MS` is dropped, so a table forgets a
dead node and a shard out of use without anybody telling it. Nothing in it is for ever, and it is
kept by whoever collects it alone: another collector begins with an empty one, and has all again
after every node has said everything once.

A row is four floats in an array that grows by the row, since there may be a hundred thousand.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from sys import intern

from shards.load import NOTHING, Rates

FORGET_AFTER_MS = 300_000
SWEEP_EVERY_MS = 30_000
PARTS = len(Rates._fields)


class _Origin:
    """The rows of one node."""

    __slots__ = ("behind", "free", "heard_ms", "place", "rates", "region", "swept_ms", "told_ms")

    def __init__(self, region: str) -> None:
        self.region = region
        self.heard_ms = 0
        self.swept_ms = 0
        self.behind = 0
        self.place: dict[str, int] = {}
        self.rates = array("f")
        self.told_ms = array("q")
        self.free: list[int] = []

    def put(self, shard: str, rates: Rates, now_ms: int) -> None:
        at = self.place.get(shard)
        if at is None:
            if self.free:
                at = self.free.pop()
            else:
                at = len(self.told_ms)
                self.told_ms.append(0)
                self.rates.extend(NOTHING)
            self.place[intern(shard)] = at
        self.rates[PARTS * at : PARTS * at + PARTS] = array("f", rates)
        self.told_ms[at] = now_ms

    def drop(self, shard: str) -> None:
        at = self.place.pop(shard, None)
        if at is not None:
            self.rates[PARTS * at : PARTS * at + PARTS] = array("f", NOTHING)
            self.free.append(at)

    def requests_per_s(self) -> float:
        """Of all shards together."""
        return sum(self.rates[0::PARTS]) + sum(self.rates[1::PARTS])

    def get(self, shard: str) -> Rates:
        at = self.place.get(shard)
        return NOTHING if at is None else Rates(*self.rates[PARTS * at : PARTS * at + PARTS])

    def sweep(self, now_ms: int) -> None:
        if now_ms - self.swept_ms < SWEEP_EVERY_MS:
            return
        self.swept_ms, before_ms = now_ms, now_ms - FORGET_AFTER_MS
        for shard in [s for s, at in self.place.items() if self.told_ms[at] < before_ms]:
            self.drop(shard)


class LoadTable:
    """What the collector of the fleet's load knows."""

    def __init__(self) -> None:
        self._origins: dict[str, _Origin] = {}

    def take(
        self, node: str, region: str, rows: Iterable[tuple[str, Rates]], behind: int, now_ms: int
    ) -> None:
        """A node's rows; `behind` is how many more it has to say before it has said everything."""
        origin = self._origins.get(node)
        if origin is None or origin.region != region:
            origin = self._origins[node] = _Origin(region)
        origin.heard_ms, origin.behind = now_ms, behind
        for shard, rates in rows:
            if rates.is_next_to_nothing:
                origin.drop(shard)
            else:
                origin.put(shard, rates, now_ms)
        origin.sweep(now_ms)  # one node's rows at a time, and so a few milliseconds at most

    def forget_silent(self, now_ms: int) -> None:
        """Drop nodes that have said nothing for too long."""
        self._origins = {
            node: origin for node, origin in self._origins.items()
            if now_ms - origin.heard_ms <= FORGET_AFTER_MS
        }  # fmt: skip

    def of(self, shard: str) -> dict[str, Rates]:
        """The load of a shard, by the region it came from."""
        found: dict[str, Rates] = {}
        for origin in self._origins.values():
            rates = origin.get(shard)
            if rates is not NOTHING:
                found[origin.region] = found.get(origin.region, NOTHING).plus(rates)
        return found

    def by_region(self) -> dict[str, float]:
        """Requests a second that come from each region, of all shards together."""
        found: dict[str, float] = {}
        for origin in self._origins.values():
            found[origin.region] = found.get(origin.region, 0.0) + origin.requests_per_s()
        return found

    def shards(self) -> set[str]:
        """Every shard that is in use somewhere."""
        return {shard for origin in self._origins.values() for shard in origin.place}

    def reporters(self) -> Iterator[tuple[str, str, int, int, int]]:
        """Who reports: node, region, when last, how many shards, how many are yet to be said."""
        for node, origin in sorted(self._origins.items()):
            yield node, origin.region, origin.heard_ms, len(origin.place), origin.behind
