"""Which shards are split because of their load, and which neighbours become one again.

Theory of operation. The machine is shown every shard at every look: how hot it is (shards/heat),
since when there is a shard of this name, and whether it is being resharded. A shard is *hot* from
when it carries what the document says until it carries clearly less (`HOT_SHARE`); one that stays
hot for `after_ms` is to be split where its sample says. If that leaves nearly all on one side
(`USEFUL_MAX`), one partition carries the load and no split can help: the shard is reported as a hot
partition, once, and left alone until another cut would be of use (`USEFUL_AGAIN`) or it is hot no
more. Two neighbours of one group, about which the documents say the same, are to be merged when
they carried little together, at every look of `merge.after_ms`, and are small.

It does not flap: what is split carries four times as much as what is merged (config/kind_checks),
a shard that came of a resharding is neither split nor merged for `cool_down_ms`, and an order that
was refused is not given again for as long. What is not known of a shard, because its leader is new
or silent, makes it neither hot nor cold.

All times are of one clock of the caller. Nothing here outlives a global leader: a new one watches
for as long again, and sees in the records of reshardings what was done before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from config.kind_checks import MERGED_PART_MAX
from controlplane.requests import Reshard
from shards.heat import Cut, Heat
from shards.resharding import Kind

PRINCIPAL: Final = "load"
HOT_SHARE: Final = 0.8
"""Of what makes a shard hot: below it, it is not any more."""
USEFUL_MAX: Final = 0.8
USEFUL_AGAIN: Final = 0.7
"""Shares of the larger side: above the one a split is of no use, below the other it is again."""


@dataclass(frozen=True, slots=True)
class ShardSeen:
    """One shard at one look. `heat` is None where its present leader has not told it.

    `alike`: shards of which this differs are never merged. `made_ms`: when a resharding that it
    came of was ordered, None if there was none, or long ago.
    """

    shard: str
    group: str
    first_slot: int
    end_slot: int
    node: str
    region: str
    heat: Heat | None
    alike: Hashable = ()
    made_ms: int | None = None
    is_busy: bool = False


@dataclass(frozen=True, slots=True)
class HotPartition:
    """A hot shard that no split would help: its partition that carries most, and what share."""

    shard: str
    partition: str
    share: float
    measure: str


@dataclass(frozen=True, slots=True)
class Due:
    """An order that is due, and the shards that it would close."""

    order: Reshard
    parents: tuple[ShardSeen, ...]


class Splitting:
    """The machine of one global leader."""

    def __init__(self) -> None:
        self._hot_ms: dict[str, int] = {}  # since when
        self._cold_ms: dict[tuple[str, str], int] = {}  # two neighbours
        self._rests_ms: dict[str, int] = {}  # until when
        self._stuck: dict[str, HotPartition] = {}
        self._news: list[HotPartition] = []

    @property
    def hot_partitions(self) -> tuple[HotPartition, ...]:
        """Shards that stay hot, since no split would help, by name."""
        return tuple(self._stuck[shard] for shard in sorted(self._stuck))

    def take(self) -> list[HotPartition]:
        """Those that are so since the last call."""
        news, self._news = self._news, []
        return news

    def refused(self, due: Due, policy: Mapping[str, Any], now_ms: int) -> None:
        """An order was not taken: its shards are left alone for a while."""
        for parent in due.parents:
            self._rests_ms[parent.shard] = now_ms + policy["cool_down_ms"]

    def look(
        self, policy: Mapping[str, Any], shards: Iterable[ShardSeen], bytes_max: int, now_ms: int
    ) -> list[Due]:
        """Take a look; what is due now, the hottest first. No merge makes more than `bytes_max`."""
        seen = sorted(shards, key=lambda each: each.first_slot)
        names = {each.shard for each in seen}
        self._hot_ms = {name: at for name, at in self._hot_ms.items() if name in names}
        self._stuck = {name: at for name, at in self._stuck.items() if name in names}
        self._rests_ms = {n: at for n, at in self._rests_ms.items() if n in names and now_ms < at}
        splits = [due for each in seen if (due := self._hot(policy, each, now_ms)) is not None]
        splits.sort(key=lambda due: -_hotness(policy, due[1]))
        return [due for due, _ in splits] + self._cold(policy, seen, bytes_max, now_ms)

    # -- hot ones

    def _hot(
        self, policy: Mapping[str, Any], seen: ShardSeen, now_ms: int
    ) -> tuple[Due, Heat] | None:
        heat, name = seen.heat, seen.shard
        if heat is None:
            self._hot_ms.pop(name, None)
            return None
        is_known = name in self._hot_ms or name in self._stuck
        if _hotness(policy, heat) < (HOT_SHARE if is_known else 1.0):
            self._hot_ms.pop(name, None)
            self._stuck.pop(name, None)
            return None
        since_ms = self._hot_ms.setdefault(name, now_ms)
        if now_ms - since_ms < policy["after_ms"] or not self._may(policy, seen, now_ms):
            return None
        cut, measure = _cut(policy, heat)
        if cut is None or self._is_stuck(seen, cut, measure):
            return None
        requests, written = heat.requests_per_s, heat.write_bytes_per_s
        reason = f"it carries {requests:.0f} requests and {written:.0f} bytes a second"
        order = Reshard(Kind.SPLIT, name, at=cut.at, principal=PRINCIPAL, reason=reason)
        return Due(order, (seen,)), heat

    def _is_stuck(self, seen: ShardSeen, cut: Cut, measure: str) -> bool:
        """Whether no split would help; said once."""
        known = self._stuck.get(seen.shard)
        fits = seen.first_slot < cut.at < seen.end_slot
        if fits and cut.larger_share <= (USEFUL_MAX if known is None else USEFUL_AGAIN):
            self._stuck.pop(seen.shard, None)
            return False
        found = HotPartition(seen.shard, cut.hottest, round(cut.hottest_share, 2), measure)
        self._stuck[seen.shard] = found
        if known is None:
            self._news.append(found)
        return True

    # -- cold ones

    def _cold(
        self, policy: Mapping[str, Any], seen: Sequence[ShardSeen], bytes_max: int, now_ms: int
    ) -> list[Due]:
        merge = policy.get("merge")
        if merge is None:
            self._cold_ms = {}
            return []
        since_ms = {
            (left.shard, right.shard): self._cold_ms.get((left.shard, right.shard), now_ms)
            for left, right in pairwise(seen)
            if _fit(left, right) and _are_cold(policy, left, right, bytes_max)
        }
        self._cold_ms = since_ms
        return list(self._merges(policy, seen, now_ms))

    def _merges(
        self, policy: Mapping[str, Any], seen: Sequence[ShardSeen], now_ms: int
    ) -> Iterator[Due]:
        merge = policy["merge"]
        left_of = Counter(each.group for each in seen)
        taken: set[str] = set()
        for left, right in pairwise(seen):
            cold_ms = self._cold_ms.get((left.shard, right.shard))
            if cold_ms is None or now_ms - cold_ms < merge["after_ms"] or left.shard in taken:
                continue
            if left_of[left.group] <= merge["shards_min"]:
                continue
            if self._may(policy, left, now_ms) and self._may(policy, right, now_ms):
                left_of[left.group] -= 1
                taken |= {left.shard, right.shard}
                reason = f"both together carry less than {merge['requests_per_s']:g} a second"
                yield Due(
                    Reshard(
                        Kind.MERGE, left.shard, beside=right.shard, principal=PRINCIPAL,
                        reason=reason,
                    ),
                    (left, right),
                )  # fmt: skip

    def _may(self, policy: Mapping[str, Any], seen: ShardSeen, now_ms: int) -> bool:
        cools = seen.made_ms is not None and now_ms - seen.made_ms < policy["cool_down_ms"]
        return not seen.is_busy and not cools and seen.shard not in self._rests_ms


def _shares(policy: Mapping[str, Any], heat: Heat) -> tuple[float, float]:
    """How hot a shard is by requests, and by bytes; 1 is hot."""
    by_bytes = heat.write_bytes_per_s / policy.get("write_bytes_per_s", float("inf"))
    return heat.requests_per_s / policy["requests_per_s"], by_bytes


def _hotness(policy: Mapping[str, Any], heat: Heat) -> float:
    return max(_shares(policy, heat))


def _cut(policy: Mapping[str, Any], heat: Heat) -> tuple[Cut | None, str]:
    """Where to split, by what is hot about it."""
    requests, written = _shares(policy, heat)
    return (heat.by_bytes, "bytes") if written > requests else (heat.by_requests, "requests")


def _fit(left: ShardSeen, right: ShardSeen) -> bool:
    return (left.end_slot, left.group, left.alike) == (right.first_slot, right.group, right.alike)


def _are_cold(policy: Mapping[str, Any], left: ShardSeen, right: ShardSeen, bytes_max: int) -> bool:
    if left.heat is None or right.heat is None:
        return False
    both = Heat(
        left.heat.requests_per_s + right.heat.requests_per_s,
        left.heat.write_bytes_per_s + right.heat.write_bytes_per_s,
        left.heat.size_bytes + right.heat.size_bytes,
    )
    few = both.requests_per_s <= policy["merge"]["requests_per_s"]
    return few and both.size_bytes <= bytes_max and MERGED_PART_MAX * _hotness(policy, both) <= 1.0
