"""What leaderships amounted to in a window: availability, failovers, elections, flapping.

Availability counts the time without a leader that the tenures themselves tell, before planned
changes as well, and until the new leader's log was recovered: so it is a little less than M1 of
the metrics, which leaves those out. It is counted of the time of which a shard's leaders are known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from controlplane.bench.spread import Spread, spread
from controlplane.lookback.remembered import Known
from controlplane.lookback.tenures import CHANGES, FAILOVER, Gap, Tenure, Window, gaps_in
from controlplane.node.flapping import CHANGES_MIN, WINDOW_MS

HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class ShardFigures:
    """One shard in a window; `availability` is None where nothing is known of it."""

    shard: str
    known_ms: int
    unled_ms: int
    longest_ms: int
    changes: int
    failovers: int
    availability: float | None


@dataclass(frozen=True, slots=True)
class Flapping:
    """A shard that did not come to rest: most changes of its leader in a quarter of an hour."""

    shard: str
    changes: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Leaderships:
    """All shards in a window.

    `changes` counts by cause and by why the leader before was none any more. `failover_unled` and
    `planned_unled` are times without a leader, `took` is from standing to the opened epoch.
    """

    known_ms: int
    unled_ms: int
    availability: float | None
    changes: Mapping[str, Mapping[str, int]]
    changes_per_shard_hour: float | None
    failover_unled: Spread
    planned_unled: Spread
    took: Spread
    longest: Gap | None
    flapping: tuple[Flapping, ...]
    shards: tuple[ShardFigures, ...]

    def count(self, cause: str) -> int:
        """How many changes there were for a cause."""
        return sum(self.changes.get(cause, {}).values())


def leaderships(known: Mapping[str, Known], window: Window) -> Leaderships:
    """What is known of a window."""
    shards = tuple(_of_shard(each, window) for each in known.values())
    within = [t for each in known.values() for t in each.tenures if window.has(t.wall_ms)]
    changed = [t for t in within if t.cause in CHANGES]
    gaps = gaps_in((t for each in known.values() for t in each.tenures), window)
    known_ms, unled_ms = sum(s.known_ms for s in shards), sum(s.unled_ms for s in shards)
    return Leaderships(
        known_ms,
        unled_ms,
        _availability(known_ms, unled_ms),
        _by_cause(changed),
        len(changed) * HOUR_MS / known_ms if known_ms else None,
        spread(_unled(t for t in changed if t.cause == FAILOVER)),
        spread(_unled(t for t in changed if t.cause != FAILOVER)),
        spread([t.took_ms for t in changed if t.took_ms is not None]),
        max(gaps, key=lambda gap: gap.lasts_ms, default=None),
        tuple(filter(None, (flapping_of(each.tenures, window) for each in known.values()))),
        shards,
    )


def _of_shard(known: Known, window: Window) -> ShardFigures:
    gaps = gaps_in(known.tenures, window)
    seen = known.within(window)
    unled_ms = min(seen.lasts_ms, sum(seen.shared_ms(gap.from_ms, gap.to_ms) for gap in gaps))
    changed = [t for t in known.tenures if window.has(t.wall_ms) and t.cause in CHANGES]
    return ShardFigures(
        known.shard,
        seen.lasts_ms,
        unled_ms,
        max((gap.lasts_ms for gap in gaps), default=0),
        len(changed),
        sum(t.cause == FAILOVER for t in changed),
        _availability(seen.lasts_ms, unled_ms),
    )


def _availability(known_ms: int, unled_ms: int) -> float | None:
    return 1 - unled_ms / known_ms if known_ms else None


def _unled(tenures: Iterable[Tenure]) -> list[float]:
    return [t.unled_ms for t in tenures if t.unled_ms is not None]


def _by_cause(tenures: Iterable[Tenure]) -> dict[str, dict[str, int]]:
    counted = Counter((t.cause, t.ended or "not known") for t in tenures)
    found: dict[str, dict[str, int]] = {}
    for (cause, ended), count in sorted(counted.items(), key=lambda each: (-each[1], each[0])):
        found.setdefault(cause, {})[ended] = count
    return found


def flapping_of(tenures: Sequence[Tenure], window: Window) -> Flapping | None:
    """Whether a shard changed its leader too often within a quarter of an hour, and when most."""
    times = sorted(t.wall_ms for t in tenures if t.cause in CHANGES and window.has(t.wall_ms))
    most, at_ms, oldest = 0, 0, 0
    for number, wall_ms in enumerate(times):
        while times[oldest] <= wall_ms - WINDOW_MS:
            oldest += 1
        if number - oldest + 1 > most:
            most, at_ms = number - oldest + 1, times[oldest]
    return Flapping(tenures[0].shard, most, at_ms) if most >= CHANGES_MIN else None
