"""An incident: what a window of time amounted to, as facts for the people who look into it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from controlplane.lookback.figures import Leaderships, leaderships
from controlplane.lookback.remembered import (
    Known,
    Remembered,
    counted_events,
    known_shards,
    unknowns,
)
from controlplane.lookback.story import Happened, story
from controlplane.lookback.tenures import (
    FAILOVER,
    Gap,
    Reign,
    Row,
    Tenure,
    Window,
    gaps_in,
    reigns_in,
)
from shards.tenures import overlaps


@dataclass(frozen=True, slots=True)
class Checked:
    """A history that was held against itself; `problems` is empty where no tenures overlap."""

    shard: str
    tenures: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Incident:
    """All that is known of a window.

    `reigns` are of shards that changed their leader in it; `steady` counts the others. `lost` are
    nodes whose leaderships others took over unplanned, with how many.
    """

    window: Window
    asked_ms: int
    shards: tuple[str, ...]
    figures: Leaderships
    gaps: tuple[Gap, ...]
    reigns: Mapping[str, tuple[Reign, ...]]
    steady: int
    lost: Mapping[str, int]
    story: tuple[Happened, ...]
    events: Mapping[str, int]
    checked: tuple[Checked, ...]
    rollouts: tuple[Row, ...]
    unknown: tuple[str, ...]

    @property
    def affected(self) -> list[str]:
        """Shards that had no leader for a while."""
        return sorted({gap.shard for gap in self.gaps})

    @property
    def failed_over(self) -> list[str]:
        """Those of them that lost their leader unplanned."""
        return sorted({gap.shard for gap in self.gaps if gap.cause == FAILOVER})


def incident(told: Remembered, window: Window, shards: Collection[str] = ()) -> Incident:
    """What is known of a window; with `shards`, of these alone."""
    known = {n: each for n, each in known_shards(told).items() if not shards or n in shards}
    tenures = [t for each in known.values() for t in each.tenures]
    reigns = _reigns(known, window)
    return Incident(
        window,
        told.asked_ms,
        tuple(sorted(shards)),
        leaderships(known, window),
        tuple(gaps_in(tenures, window)),
        reigns,
        len(known) - len(reigns),
        _lost(tenures, window),
        tuple(story(told, tenures, window, shards)),
        counted_events(told, window),
        tuple(
            Checked(shard, len(lines), tuple(overlaps(lines)))
            for shard, lines in sorted(told.histories.items())
            if shard in known
        ),
        tuple(each for each in told.rollouts if _was_on(each, window)),
        tuple(unknowns(told, window)),
    )


def _reigns(known: Mapping[str, Known], window: Window) -> dict[str, tuple[Reign, ...]]:
    found = {shard: tuple(reigns_in(each.tenures, window)) for shard, each in known.items()}
    return {
        shard: reigns
        for shard, reigns in found.items()
        if any(window.has(reign.tenure.wall_ms) for reign in reigns)
        or gaps_in(known[shard].tenures, window)
    }


def _lost(tenures: Collection[Tenure], window: Window) -> dict[str, int]:
    counted = Counter(
        t.before
        for t in tenures
        if t.cause == FAILOVER
        and t.before
        and (window.has(t.wall_ms) or window.has(t.wall_ms - (t.unled_ms or 0)))
    )
    return dict(counted.most_common())


def _was_on(rollout: Row, window: Window) -> bool:
    ended_ms = rollout["ended_wall_ms"]
    is_begun = rollout["began_wall_ms"] < window.to_ms
    return is_begun and (ended_ms is None or ended_ms > window.from_ms)
