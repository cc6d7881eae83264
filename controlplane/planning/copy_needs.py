"""Which copies are to follow, and which may rest: by what they save and cost in a month.

Theory of operation. A copy in a region without a vote saves the way to the leader of every read
that need not be strong, in time and in bytes sent back; it costs the bytes of every write, sent
there, and its room. What it saves beyond that is its *gain*, in the same money as that of a plan.
A copy that rests is to follow when its gain is at least what any move must gain, and one that
follows is to rest when its gain is below nothing: each at every look of `after_ms`, and no copy
rests that has not followed for `keep_ms`. Between the two all stays as it is, so a demand that goes
up and down has a copy come and go no more often than once in both times together.

All times are of one clock of the caller. Nothing here outlives a global leader: a new one watches
for as long again; since when a copy follows or rests, it finds written down.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

SECONDS_PER_MONTH: Final = 730.0 * 3_600.0
GB: Final = 1e9
MILLION: Final = 1e6


@dataclass(frozen=True, slots=True)
class Demand:
    """What clients ask of a shard, a second: reads that come from the copy's region, and every
    write; bytes are of all of them together. `strong_share` of the reads are the leader's."""

    reads: float
    read_bytes: float
    writes: float
    write_bytes: float
    size_bytes: float
    strong_share: float


@dataclass(frozen=True, slots=True)
class Prices:
    """Of one copy: how much farther (ms) the leader is than the copy, what a ms of a million reads
    is worth, and what a GB costs that comes from the leader's region, or is kept for a month."""

    farther_ms: float
    usd_per_ms_per_million_reads: float
    egress_usd_per_gb: float
    storage_usd_per_gb_month: float


@dataclass(frozen=True, slots=True)
class Balance:
    """USD a month."""

    saves_usd: float
    costs_usd: float

    @property
    def gain_usd(self) -> float:
        """What is left."""
        return self.saves_usd - self.costs_usd


@dataclass(frozen=True, slots=True)
class CopySeen:
    """The copy of a shard in a region without a vote; `since_ms`: for how long it is as it is, or
    None for as long as anybody knows."""

    shard: str
    region: str
    rests: bool
    since_ms: int | None
    reads_per_s: float
    balance: Balance


def balance_of(demand: Demand, prices: Prices) -> Balance:
    """What a copy saves and costs."""
    weak = 1.0 - demand.strong_share
    per_read = prices.usd_per_ms_per_million_reads * prices.farther_ms / MILLION
    read = weak * demand.reads * per_read
    sent_back = weak * demand.read_bytes / GB * prices.egress_usd_per_gb
    sent = demand.write_bytes / GB * prices.egress_usd_per_gb
    kept = demand.size_bytes / GB * prices.storage_usd_per_gb_month
    return Balance(SECONDS_PER_MONTH * (read + sent_back), SECONDS_PER_MONTH * sent + kept)


class CopyNeeds:
    """The machine of one global leader."""

    def __init__(self) -> None:
        self._since_ms: dict[tuple[str, str], int] = {}  # since when the other state is wanted

    def look(
        self, policy: Mapping[str, Any], gain_min_usd: float, copies: Iterable[CopySeen],
        now_ms: int,
    ) -> list[CopySeen]:  # fmt: skip
        """Take a look; the copies that are to change now, what gains or loses most first."""
        since_ms: dict[tuple[str, str], int] = {}
        due = []
        for copy in copies:
            gain = copy.balance.gain_usd
            if gain < gain_min_usd if copy.rests else gain >= 0.0:
                continue
            place = (copy.shard, copy.region)
            since_ms[place] = self._since_ms.get(place, now_ms)
            waits = now_ms - since_ms[place] < policy["after_ms"]
            is_young = copy.since_ms is not None and copy.since_ms < policy["keep_ms"]
            if not waits and (copy.rests or not is_young):
                due.append(copy)
        self._since_ms = since_ms
        return sorted(due, key=lambda copy: -abs(copy.balance.gain_usd))
