"""Round trips as measured, and the time-outs that follow from them.

A time-out that is too short makes a healthy store look dead; one that is too long hides a dead
one. Both follow from the round trip, and the round trip differs a hundredfold between a
neighbouring zone and another continent. So nothing here is one number for the whole fleet: every
group is timed by what its own quorum needs, above floors that no measurement can undercut.

All of it is liveness. A wrong estimate costs time, never safety.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, inf

from regions.lease_times import LeaseTimes

TTL_FLOOR_MS = 500
"""No lease is shorter: below this, a scheduler's hiccup is enough to lose it."""
TTL_ROUND_TRIPS = 10
"""A lease lasts at least this many of the round trips its quorum needs: one poll in ten, one
renewal in six, and still time for a second try."""
CALL_FLOOR_MS = 250
CALL_ROUND_TRIPS = 8
SAMPLES_MAX = 256
"""Window of an estimator: minutes of renewals, old enough to hold a p99, young enough to follow."""
SAMPLES_TRUSTED = 8
"""Fewer samples than this say less than the figure in the topology does."""


@dataclass(slots=True)
class RoundTrip:
    """Percentiles of the last round trips to one store or peer, in milliseconds.

    Percentiles, not a mean with a deviation: one pause of a second must not move the middle, and
    the tail must not be guessed from a bell curve that networks do not follow. Until
    `SAMPLES_TRUSTED` samples are in, `expected_ms` (the topology's figure) is the answer.
    """

    expected_ms: float
    samples_max: int
    _recent: deque[float]
    _sorted: list[float]

    def __init__(self, expected_ms: float, samples_max: int = SAMPLES_MAX) -> None:
        assert 0 <= expected_ms < inf, expected_ms
        self.expected_ms = expected_ms
        self.samples_max = samples_max
        self._recent = deque()
        self._sorted = []

    def add(self, sample_ms: float) -> None:
        """Take one measured round trip. A call that timed out counts with its time-out."""
        assert 0 <= sample_ms < inf, sample_ms
        if len(self._recent) == self.samples_max:
            del self._sorted[bisect_left(self._sorted, self._recent.popleft())]
        self._recent.append(sample_ms)
        insort(self._sorted, sample_ms)

    @property
    def samples(self) -> int:
        """How many measurements the percentiles rest on."""
        return len(self._recent)

    @property
    def p50_ms(self) -> float:
        """The middle: what a round trip usually takes."""
        return self._percentile_ms(50)

    @property
    def p90_ms(self) -> float:
        """What most round trips keep to: it has changed when the way has, not when it hiccups."""
        return self._percentile_ms(90)

    @property
    def p99_ms(self) -> float:
        """The tail: what time-outs must allow for."""
        return self._percentile_ms(99)

    def _percentile_ms(self, percent: int) -> float:
        if len(self._sorted) < SAMPLES_TRUSTED:
            return self.expected_ms
        return self._sorted[ceil(len(self._sorted) * percent / 100) - 1]


def quorum_round_trip_ms(round_trips_ms: Iterable[float]) -> float:
    """Give the round trip after which a majority has answered a call sent to all at once.

    `round_trips_ms` holds one figure per voter of the group, the own store's included.
    """
    ordered = sorted(round_trips_ms)
    assert ordered, "a group has at least one voter"
    return ordered[len(ordered) // 2]


def ttl_needed_ms(quorum_rtt_ms: float) -> int:
    """Give the shortest safe lease, in ms, of a group whose quorum takes `quorum_rtt_ms`."""
    return max(TTL_FLOOR_MS, ceil(TTL_ROUND_TRIPS * quorum_rtt_ms))


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The intervals of one group, in milliseconds."""

    call_ms: int
    """How long a call to a store may take before its outcome is called unknown."""
    renew_ms: int
    """Between two renewals of a session, before jitter."""
    poll_ms: int
    """Between two looks at the other sessions."""


def timeouts_for(ttl_ms: int, rtt_ms: float) -> Timeouts:
    """Derive a group's intervals from its lease and the p99 round trip to its slowest needed store.

    A call gets `CALL_ROUND_TRIPS` round trips, at least `CALL_FLOOR_MS` (a disk that syncs every
    write has slow moments), and at most what the lease allows: a renewal that hangs must leave
    time for another one before writes stop. The rest follows from the lease alone.
    """
    assert ttl_ms >= TTL_FLOOR_MS, ttl_ms
    assert 0 <= rtt_ms < inf, rtt_ms
    times = LeaseTimes(ttl_ms)
    generous_ms = max(CALL_FLOOR_MS, ceil(CALL_ROUND_TRIPS * rtt_ms))
    return Timeouts(
        call_ms=min(generous_ms, times.call_timeout_ms),
        renew_ms=times.renew_every_ms,
        poll_ms=times.poll_every_ms,
    )
