"""What many durations amount to: how many there were, the middle, the tail, the worst."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """A summary of durations in milliseconds; all zero when there were none."""

    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    mean_ms: float


def spread(durations_ms: Sequence[float]) -> Spread:
    """Summarise durations, in any order.

    A percentile is a duration that was measured (nearest rank), never one between two of them: with
    few runs the p99 is the worst run, which is the honest reading.
    """
    if not durations_ms:
        return Spread(0, 0.0, 0.0, 0.0, 0.0)
    ordered = sorted(durations_ms)
    return Spread(
        count=len(ordered),
        p50_ms=round(nearest_rank(ordered, 0.50), 3),
        p99_ms=round(nearest_rank(ordered, 0.99), 3),
        max_ms=round(ordered[-1], 3),
        mean_ms=round(math.fsum(ordered) / len(ordered), 3),
    )


def nearest_rank(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed; `ordered` is sorted."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def ratio(ours: float, theirs: float) -> float:
    """How many times theirs ours is, to two places; infinite when theirs is nothing."""
    return round(ours / theirs, 2) if theirs else math.inf
