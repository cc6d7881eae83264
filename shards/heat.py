"""What the leader of a shard carries, where in the shard it falls, and where to split it.

Theory of operation. A leader notes every request that it takes itself: writes and strong reads,
what another leader could take off it. Of those since the last look a sample of `SAMPLE_MAX` is kept
(each request is as likely to be in it as any other), as partitions with the bytes that were written
to them. A look makes rates of the counts and begins the next sample. Where the shard is to be
split is read off the sample: at the slot that leaves both sides as equal as can be. One partition
is in one slot, so a partition that carries nearly everything shows as a split that is no use.

Rates and samples are estimates: when to split rests on them, nothing that must be right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from shards.keyspace import slot_of

SAMPLE_MAX: Final = 256
SAMPLE_MIN: Final = 32
"""A smaller sample says nothing of where a shard is to be split."""


class Noted(NamedTuple):
    """One request of a sample."""

    partition: str
    write_bytes: int


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a shard is best split: `at` is the first slot of the right side, 0 if there is none.

    `larger_share` is what the side keeps that carries more, `hottest` the partition that carries
    most, with its share. Shares are parts of one.
    """

    at: int
    larger_share: float
    hottest: str
    hottest_share: float


@dataclass(frozen=True, slots=True)
class Heat:
    """What one look showed of a shard; a cut is None while too little was seen."""

    requests_per_s: float
    write_bytes_per_s: float
    size_bytes: int = 0
    by_requests: Cut | None = None
    by_bytes: Cut | None = None


class HeatGauge:
    """The heat of one led shard."""

    __slots__ = ("_began_ms", "_bytes", "_draw", "_requests", "_sample")

    def __init__(self, draw: Callable[[], float], now_ms: int) -> None:
        """`draw` gives uniform numbers in [0, 1)."""
        self._draw = draw
        self._began_ms = now_ms
        self._requests = 0
        self._bytes = 0
        self._sample: list[Noted] = []

    def note(self, partition: str, write_bytes: int) -> None:
        """The leader takes a request."""
        self._requests += 1
        self._bytes += write_bytes
        if len(self._sample) < SAMPLE_MAX:
            self._sample.append(Noted(partition, write_bytes))
            return
        at = int(self._draw() * self._requests)
        if at < SAMPLE_MAX:
            self._sample[at] = Noted(partition, write_bytes)

    def look(self, size_bytes: int, now_ms: int) -> Heat:
        """What there was since the last look; counting begins anew."""
        seconds = max(1, now_ms - self._began_ms) / 1_000
        sample = self._sample
        heat = Heat(
            self._requests / seconds,
            self._bytes / seconds,
            size_bytes,
            best_cut((each.partition, 1) for each in sample) if len(sample) >= SAMPLE_MIN else None,
            best_cut(sample) if len(sample) >= SAMPLE_MIN else None,
        )
        self._began_ms, self._requests, self._bytes, self._sample = now_ms, 0, 0, []
        return heat


def best_cut(sample: Iterable[tuple[str, int]]) -> Cut | None:
    """Where to split so that both sides carry the same, of partitions with weights; None where
    nothing weighs anything."""
    by_partition: Counter[str] = Counter()
    for partition, weight in sample:
        by_partition[partition] += weight
    total = by_partition.total()
    if not total:
        return None
    by_slot: Counter[int] = Counter()
    for partition, weight in by_partition.items():
        by_slot[slot_of(partition)] += weight
    (hottest, most), *_ = by_partition.most_common(1)
    left, at, larger = 0, 0, total
    for slot in sorted(by_slot):
        if max(left, total - left) < larger:
            at, larger = slot, max(left, total - left)
        left += by_slot[slot]
    return Cut(at, larger / total, hottest, most / total)
