"""The samples of each node, and what went by in each region between two moments.

Theory of operation. What went by is the sum of the growth of a node's counters from each sample to
the next, from the newest one at or before the beginning on. A sample of another process, or with
any counter smaller than before, is of a node that began anew: it grew from nothing. So a restart
loses what was counted between its last sample and its end, and counts nothing twice.

Samples are kept for `KEPT_MS`, one in `SPACED_MS` and the newest. A node has its own, and tells
whoever leads the fleet: at first all of them, so that a new leader knows how it was before.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Final

from config.gate_samples import BUCKETS, Sample, Totals, added

KEPT_MS: Final = 600_000
SPACED_MS: Final = 10_000
SAMPLES_MAX: Final = 2 * KEPT_MS // SPACED_MS
"""Of one node, in one message."""


class History:
    """The samples of one node, the oldest first."""

    __slots__ = ("region", "samples")

    def __init__(self, region: str) -> None:
        self.region = region
        self.samples: list[Sample] = []

    def add(self, sample: Sample) -> None:
        """A newer one; the one before it is kept if it is long enough after that one's own."""
        samples = self.samples
        if samples and sample.at_ms < samples[-1].at_ms:
            return
        if len(samples) > 1 and _is_between(samples[-2], samples[-1], sample):
            samples[-1] = sample
        else:
            samples.append(sample)
        while len(samples) > 1 and samples[1].at_ms <= sample.at_ms - KEPT_MS:
            samples.pop(0)

    def replace(self, told: Sequence[Sample]) -> None:
        """All that a process has; what is known of others that ran before it stays."""
        first = told[0]
        self.samples = [
            each
            for each in self.samples
            if each.process != first.process and each.at_ms <= first.at_ms
        ]
        for sample in told:
            self.add(sample)

    def between(self, since_ms: int, until_ms: int) -> list[Sample]:
        """From the newest one at or before a moment, up to another one."""
        found = [each for each in self.samples if each.at_ms <= until_ms]
        earlier = [at for at, each in enumerate(found) if each.at_ms <= since_ms]
        return found[earlier[-1] :] if earlier else found


def _is_between(before: Sample, between: Sample, after: Sample) -> bool:
    """Whether a sample can be left out: those beside it are near, and of the same process."""
    is_near = between.at_ms - before.at_ms < SPACED_MS
    return is_near and before.process == between.process == after.process


class Histories:
    """The samples of the fleet's nodes, at whoever leads it."""

    def __init__(self) -> None:
        self._nodes: dict[str, History] = {}

    def take(self, node: str, region: str, told: Sequence[Sample], *, all_of_it: bool) -> None:
        """Samples of a node, the oldest first: all that it has, or some that are new."""
        if not told:
            return
        known = self._nodes.get(node)
        if known is None or known.region != region:
            known = self._nodes[node] = History(region)
        if all_of_it:
            known.replace(told)
            return
        for sample in told:
            known.add(sample)

    def forget_old(self, now_ms: int) -> None:
        """Drop nodes that have said nothing for too long."""
        self._nodes = {
            node: known
            for node, known in self._nodes.items()
            if known.samples[-1].at_ms >= now_ms - KEPT_MS
        }

    def heard(self, since_ms: int, until_ms: int) -> dict[str, dict[str, str]]:
        """By region, the nodes of which there is a sample of that time, with the process that the
        newest of them is of."""
        found: dict[str, dict[str, str]] = {}
        for node, known in self._nodes.items():
            processes = [x.process for x in known.samples if since_ms <= x.at_ms <= until_ms]
            if processes:
                found.setdefault(known.region, {})[node] = processes[-1]
        return found

    def newest_ms(self, node: str) -> int | None:
        """When a node's last sample was taken; None if there is none."""
        known = self._nodes.get(node)
        return known.samples[-1].at_ms if known is not None else None

    def totals(self, since_ms: int, until_ms: int) -> dict[str, Totals]:
        """What went by in each region that has told of it."""
        found: dict[str, Totals] = {}
        for known in self._nodes.values():
            samples = known.between(since_ms, until_ms)
            if len(samples) < 2:
                continue
            for region, totals in _grown(known.region, samples).items():
                found[region] = found.get(region, Totals()).plus(totals)
        return found


def _grown(region: str, samples: Sequence[Sample]) -> dict[str, Totals]:
    """What one node's samples say: of its own region, and of others that it has dealt with."""
    span_ms = samples[-1].at_ms - samples[0].at_ms
    own, failovers = Totals(span_ms), dict[str, int]()
    for before, after in pairwise(samples):
        start = Sample(0, "") if is_anew(before, after) else before
        own = own.plus(
            Totals(
                0,
                after.requests - start.requests,
                after.errors - start.errors,
                after.fenced - start.fenced,
                latency=added(after.latency, [-count for count in start.latency]),
            )
        )
        for place, count in after.failovers.items():
            grown = count - start.failovers.get(place, 0)
            failovers[place] = failovers.get(place, 0) + grown
    found = {region: own}
    lags = _middle_lags(samples[1:])
    for place in {**failovers, **lags}:
        seen = Totals(0, failovers=failovers.get(place, 0), lag=lags.get(place))
        found[place] = found.get(place, Totals()).plus(seen)
    return found


def _middle_lags(samples: Sequence[Sample]) -> dict[str, int]:
    places = {place for each in samples for place in each.lags}
    return {
        place: int(median([each.lags[place] for each in samples if place in each.lags]))
        for place in places
    }


def is_anew(before: Sample, after: Sample) -> bool:
    """Whether the node began anew between two samples, and so its counters with it."""
    if before.process != after.process:
        return True
    counts = zip(
        (before.requests, before.errors, before.fenced, *before.latency),
        (after.requests, after.errors, after.fenced, *added(after.latency, (0,) * BUCKETS)),
        strict=False,
    )
    by_region = (
        count > after.failovers.get(region, 0) for region, count in before.failovers.items()
    )
    return any(was > now for was, now in counts) or any(by_region)
