"""Round trips between regions as the nodes measured them, beside what is set and what is expected.

Theory of operation. Every node says what it measured to nodes of other regions. For an ordered pair
of regions, who measured and to whom, the figures of all nodes of the first region are put together.
What counts of a pair is what an operator has set; where nothing is set, what was measured, if that
rests on enough samples; else the prior, the topology's figure. All of them are shown: a setting
that has come to be far from the truth is not hidden by being a setting. A node that says nothing
for `FORGET_AFTER_MS` has measured nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import NamedTuple, TypeAlias

from regions.latency import SAMPLES_TRUSTED

FORGET_AFTER_MS = 60_000
Pair: TypeAlias = tuple[str, str]


class Measured(NamedTuple):
    """What one node measured to one region."""

    p50_ms: float
    p99_ms: float
    samples: int


class Source(StrEnum):
    """Where a round trip that counts comes from."""

    OVERRIDE = "override"
    MEASURED = "measured"
    PRIOR = "prior"


@dataclass(frozen=True, slots=True)
class Distance:
    """What is known of the way from one region to another and back."""

    from_region: str
    to_region: str
    round_trip_ms: float
    """What counts."""
    source: Source
    samples: int
    p50_ms: float | None
    """None: nobody has measured it."""
    p99_ms: float | None
    prior_ms: float | None
    """None: the topology knows no such way."""
    override_ms: float | None


class LatencyMatrix:
    """What is known of every ordered pair of different regions."""

    def __init__(self, prior_ms: Mapping[Pair, float]) -> None:
        """`prior_ms` are the topology's figures."""
        self._prior_ms = prior_ms
        self._told: dict[str, tuple[str, int, Mapping[str, Measured]]] = {}

    def take(self, node: str, region: str, figures: Mapping[str, Measured], now_ms: int) -> None:
        """What a node of `region` measured, by the region it measured to."""
        self._told[node] = (region, now_ms, figures)

    def forget_old(self, now_ms: int) -> None:
        """Drop what nobody has repeated for too long."""
        oldest_ms = now_ms - FORGET_AFTER_MS
        self._told = {node: told for node, told in self._told.items() if told[1] >= oldest_ms}

    def distances(self, override_ms: Mapping[Pair, float]) -> Iterator[Distance]:
        """Every pair of which something is known, by name; `override_ms` is what operators have
        set. A region that came after the topology has no prior, until it is measured."""
        measured = ((here, to) for here, _, figures in self._told.values() for to in figures)
        for pair in sorted({*self._prior_ms, *override_ms, *measured}):
            found = self._distance(pair, override_ms.get(pair)) if pair[0] != pair[1] else None
            if found is not None:
                yield found

    def _distance(self, pair: Pair, override_ms: float | None) -> Distance | None:
        told = [
            figures[pair[1]]
            for region, _, figures in self._told.values()
            if region == pair[0] and pair[1] in figures
        ]
        samples = sum(figure.samples for figure in told)
        p50_ms = median(figure.p50_ms for figure in told) if told else None
        p99_ms = max((figure.p99_ms for figure in told), default=None)
        prior_ms = self._prior_ms.get(pair)
        if override_ms is not None:
            counts, source = override_ms, Source.OVERRIDE
        elif p50_ms is not None and samples >= SAMPLES_TRUSTED:
            counts, source = p50_ms, Source.MEASURED
        elif prior_ms is not None:
            counts, source = prior_ms, Source.PRIOR
        else:
            return None
        return Distance(*pair, counts, source, samples, p50_ms, p99_ms, prior_ms, override_ms)
