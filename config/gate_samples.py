"""What nodes count of their own health, and what went by in a region before and after a wave."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

BUCKETS: Final = 18
"""Of latencies: 0 has those below 1 ms, n those from 2^(n-1) up to 2^n, the last one all above."""
REGIONS_MAX: Final = 100
WORD_MAX: Final = 512
COUNT_MAX: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Sample:
    """Where a node's counters were at a moment of the clock of whoever keeps it."""

    at_ms: int
    process: str
    requests: int = 0
    """Of clients, that this node answered itself."""
    errors: int = 0
    """Of those, how many it could not do."""
    fenced: int = 0
    """Writes that it led and could not confirm."""
    failovers: Mapping[str, int] = field(default_factory=dict)
    """Leaderships that it took over from nodes that fell silent, by the region of those."""
    lags: Mapping[str, int] = field(default_factory=dict)
    """No counter: by how many entries stores lack what it leads, at worst, by their region."""
    latency: tuple[int, ...] = ()
    """Requests by the time they took; buckets at the end that have none are left out."""

    def row(self, now_ms: int) -> list[Any]:
        """As it is told to another node: with its age."""
        return [
            now_ms - self.at_ms, self.process, self.requests, self.errors, self.fenced,
            dict(self.failovers), dict(self.lags), list(self.latency),
        ]  # fmt: skip


def read_sample(row: Any, now_ms: int) -> Sample | None:
    """A sample as another node told it; None when it has not the shape of one."""
    match row:
        case [
            int() as age_ms, str() as process, int() as requests, int() as errors, int() as fenced,
            dict() as failovers, dict() as lags, list() as latency,
        ]:  # fmt: skip
            counts = (age_ms, requests, errors, fenced, *latency)
            is_fit = len(latency) <= BUCKETS and len(process) <= WORD_MAX and _are_counts(counts)
            if is_fit and _is_by_region(failovers) and _is_by_region(lags):
                return Sample(
                    now_ms - age_ms, process, requests, errors, fenced, failovers, lags,
                    tuple(latency),
                )  # fmt: skip
    return None


def _are_counts(values: Iterable[Any]) -> bool:
    return all(type(value) is int and 0 <= value < COUNT_MAX for value in values)


def _is_by_region(found: Mapping[Any, Any]) -> bool:
    names = all(isinstance(name, str) and len(name) <= WORD_MAX for name in found)
    return names and len(found) <= REGIONS_MAX and _are_counts(found.values())


@dataclass(frozen=True, slots=True)
class Totals:
    """What went by in a region, or in several, in `span_ms`; 0 of that: nothing is known of it."""

    span_ms: int = 0
    requests: int = 0
    errors: int = 0
    fenced: int = 0
    failovers: int = 0
    """Leaderships that its nodes lost by falling silent."""
    lag: int | None = None
    """Entries that its stores lacked, at the worst of them, in the middle of the time; None: no
    leader has told of any."""
    latency: tuple[int, ...] = ()

    def plus(self, other: Totals) -> Totals:
        """Both together."""
        lags = [lag for lag in (self.lag, other.lag) if lag is not None]
        return Totals(
            max(self.span_ms, other.span_ms),
            self.requests + other.requests,
            self.errors + other.errors,
            self.fenced + other.fenced,
            self.failovers + other.failovers,
            max(lags, default=None),
            added(self.latency, other.latency),
        )


def together(found: Iterable[Totals]) -> Totals:
    """Those of several regions, as if they were one."""
    total = Totals()
    for each in found:
        total = total.plus(each)
    return total


def added(one: Sequence[int], other: Sequence[int]) -> tuple[int, ...]:
    """Bucket by bucket, the shorter one filled up with nothing."""
    if len(one) < len(other):
        one, other = other, one
    return tuple(count + (other[at] if at < len(other) else 0) for at, count in enumerate(one))


@dataclass(frozen=True, slots=True)
class RegionBefore:
    """A region before a wave: the nodes that were alive there, with their processes ("" for one
    that is not known), and what went by."""

    region: str
    alive: tuple[tuple[str, str], ...]
    totals: Totals


@dataclass(frozen=True, slots=True)
class Before:
    """The fleet before a wave; regions that were reached by an earlier one are as before that."""

    wave: int
    leaderless: int
    """Shards without a leader."""
    regions: tuple[RegionBefore, ...]

    def of(self, region: str) -> RegionBefore:
        """One region; one that nothing is known of had no nodes."""
        found = (each for each in self.regions if each.region == region)
        return next(found, RegionBefore(region, (), Totals()))


def before_of(content: Mapping[str, Any]) -> Before:
    """What was kept of it, as it was kept."""
    regions = []
    for each in content["regions"]:
        totals = dict(each["totals"])
        totals["latency"] = tuple(totals["latency"])
        alive = tuple((node, process) for node, process in each["alive"])
        regions.append(RegionBefore(each["region"], alive, Totals(**totals)))
    return Before(content["wave"], content["leaderless"], tuple(regions))
