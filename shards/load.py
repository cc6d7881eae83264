"""What clients ask of each shard, as rates that fade: reads, writes, and the bytes of both.

Theory of operation. A request costs an addition: whoever takes it adds to the counts of its shard,
which are made when a shard is first asked for. Now and then `fold` turns what was counted since the
last time into rates. A rate is an average over the past in which what is `HALF_LIFE_MS` old counts
half, so it follows a change within a few minutes and does not jump with every request. A shard that
nobody uses fades, and is forgotten when it is next to nothing: memory is bounded by the shards that
are in use. Shards are folded one by one, so that whoever has very many of them can take his time.

Rates are estimates: placement weighs them, nothing that must be right rests on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from shards.resharding import Part

HALF_LIFE_MS = 60_000
NEXT_TO_NOTHING_PER_S = 0.001
"""One request in a quarter of an hour: below it, a shard is not in use."""
NEXT_TO_NO_BYTES_PER_S = 1.0
MATERIAL_SHARE = 0.2
"""A rate that changed by less than this part of itself is the same as far as anybody minds."""
MATERIAL_PER_S = 0.05
MATERIAL_BYTES_PER_S = 64.0


class Rates(NamedTuple):
    """How much of each in a second."""

    reads: float
    writes: float
    read_bytes: float
    write_bytes: float

    @property
    def requests(self) -> float:
        """Reads and writes."""
        return self.reads + self.writes

    @property
    def bytes(self) -> float:
        """Of reads and writes."""
        return self.read_bytes + self.write_bytes

    @property
    def is_next_to_nothing(self) -> bool:
        """Whether it may be forgotten."""
        return self.requests < NEXT_TO_NOTHING_PER_S and self.bytes < NEXT_TO_NO_BYTES_PER_S

    def plus(self, other: Rates) -> Rates:
        """Both together."""
        return Rates(
            self.reads + other.reads,
            self.writes + other.writes,
            self.read_bytes + other.read_bytes,
            self.write_bytes + other.write_bytes,
        )

    def times(self, share: float) -> Rates:
        """A part of it."""
        return Rates(*(rate * share for rate in self))

    def differs(self, other: Rates) -> bool:
        """Whether the difference is worth a word."""
        return (
            _differ(self.reads, other.reads, MATERIAL_PER_S)
            or _differ(self.writes, other.writes, MATERIAL_PER_S)
            or _differ(self.read_bytes, other.read_bytes, MATERIAL_BYTES_PER_S)
            or _differ(self.write_bytes, other.write_bytes, MATERIAL_BYTES_PER_S)
        )


def _differ(one: float, other: float, least: float) -> bool:
    return abs(one - other) > max(least, MATERIAL_SHARE * max(one, other))


NOTHING = Rates(0.0, 0.0, 0.0, 0.0)


class ShardLoad:
    """The load of one shard at one place. Whoever takes a request adds to the counts.

    Counts are of the time since the latest `fold`, `rates` as of then.
    """

    __slots__ = ("_folded_ms", "rates", "read_bytes", "reads", "write_bytes", "writes")

    def __init__(self, now_ms: int) -> None:
        self.reads = 0
        self.writes = 0
        self.read_bytes = 0
        self.write_bytes = 0
        self.rates = NOTHING
        self._folded_ms = now_ms

    def fold(self, now_ms: int) -> None:
        """Make rates of what was counted; it counts as evenly spread over the time it took."""
        took_ms = now_ms - self._folded_ms
        if took_ms <= 0:
            return
        self._folded_ms = now_ms
        kept: float = 2.0 ** (-took_ms / HALF_LIFE_MS)
        share = (1.0 - kept) * 1_000 / took_ms  # of a count, as a rate
        old = self.rates
        self.rates = Rates(
            old.reads * kept + self.reads * share,
            old.writes * kept + self.writes * share,
            old.read_bytes * kept + self.read_bytes * share,
            old.write_bytes * kept + self.write_bytes * share,
        )
        self.reads = self.writes = self.read_bytes = self.write_bytes = 0


class RouterLoad:
    """The load that comes in at one node, by shard."""

    __slots__ = ("_loads", "now_ms")

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms  # of the latest look: where what is new begins to count
        self._loads: dict[str, ShardLoad] = {}

    def of(self, shard: str) -> ShardLoad:
        """Where to add what is asked of a shard; the same one as long as the shard is in use."""
        try:
            return self._loads[shard]
        except KeyError:
            found = self._loads[shard] = ShardLoad(self.now_ms)
            return found

    def folded(self, shard: str, now_ms: int) -> Rates:
        """The rates of a shard as of now; one that is not in use any more is forgotten."""
        self.now_ms = now_ms
        load = self._loads.get(shard)
        if load is None:
            return NOTHING
        load.fold(now_ms)
        if load.rates.is_next_to_nothing and not (load.reads or load.writes):
            del self._loads[shard]
            return NOTHING
        return load.rates

    def went_over(self, parents: Iterable[Part], children: Sequence[Part], now_ms: int) -> None:
        """Shards go on in others: whoever has a part of their slots has that part of their load."""
        for parent in parents:
            load = self._loads.pop(parent.shard, None)
            if load is None:
                continue
            load.fold(now_ms)
            width = parent.end_slot - parent.first_slot
            for child in children:
                first = max(child.first_slot, parent.first_slot)
                share = (min(child.end_slot, parent.end_slot) - first) / width
                if share > 0:
                    heir = self.of(child.shard)
                    heir.rates = heir.rates.plus(load.rates.times(share))

    def rates(self) -> Iterator[tuple[str, float]]:
        """Requests a second of each shard in use, as of when each was folded last."""
        return ((shard, load.rates.requests) for shard, load in self._loads.items())

    def shards(self) -> list[str]:
        """Shards in use, in the order in which they came into it."""
        return list(self._loads)

    def __len__(self) -> int:
        """How many shards are in use."""
        return len(self._loads)
