"""Estimates of round trips, and the intervals derived from them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regions.latency import (
    SAMPLES_MAX,
    SAMPLES_TRUSTED,
    TTL_FLOOR_MS,
    RoundTrip,
    quorum_round_trip_ms,
    timeouts_for,
    ttl_needed_ms,
)


def test_without_samples_the_topology_is_believed() -> None:
    trip = RoundTrip(88.5)
    for _ in range(SAMPLES_TRUSTED - 1):
        trip.add(1.0)
    assert (trip.p50_ms, trip.p99_ms) == (88.5, 88.5)
    trip.add(1.0)
    assert (trip.p50_ms, trip.p99_ms) == (1.0, 1.0)


def test_one_pause_moves_the_tail_but_not_the_middle() -> None:
    trip = RoundTrip(1.0)
    for _ in range(50):
        trip.add(2.0)
    trip.add(1_000.0)
    assert trip.p50_ms == 2.0
    assert trip.p99_ms == 1_000.0


def test_old_samples_leave_the_window() -> None:
    trip = RoundTrip(1.0)
    for _ in range(SAMPLES_MAX):
        trip.add(500.0)
    for _ in range(SAMPLES_MAX):
        trip.add(3.0)
    assert trip.samples == SAMPLES_MAX
    assert (trip.p50_ms, trip.p99_ms) == (3.0, 3.0)


@given(st.lists(st.floats(0, 10_000), min_size=SAMPLES_TRUSTED, max_size=3 * SAMPLES_MAX))
def test_percentiles_are_those_of_the_last_samples(samples: list[float]) -> None:
    trip = RoundTrip(1.0)
    for sample in samples:
        trip.add(sample)
    window = sorted(samples[-SAMPLES_MAX:])
    assert sum(1 for sample in window if sample <= trip.p99_ms) >= 0.99 * len(window)
    assert sum(1 for sample in window if sample < trip.p99_ms) < 0.99 * len(window)
    assert sum(1 for sample in window if sample <= trip.p50_ms) >= 0.5 * len(window)
    assert {trip.p50_ms, trip.p99_ms} <= set(window)


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_a_sample_that_is_no_duration_is_a_bug(bad: float) -> None:
    with pytest.raises(AssertionError):
        RoundTrip(1.0).add(bad)


@pytest.mark.parametrize(
    ("round_trips_ms", "needed_ms"),
    [([7.0], 7.0), ([1, 90, 160], 90), ([300, 1, 90, 160, 200], 160), ([1, 2, 3, 4], 3)],
)
def test_a_quorum_takes_as_long_as_its_slowest_needed_member(
    round_trips_ms: list[float], needed_ms: float
) -> None:
    random.Random(1).shuffle(round_trips_ms)
    assert quorum_round_trip_ms(round_trips_ms) == needed_ms


@pytest.mark.parametrize(("rtt_ms", "ttl_ms"), [(1.0, 500), (50.0, 500), (50.01, 501), (220, 2200)])
def test_a_lease_lasts_ten_round_trips_and_never_less_than_the_floor(
    rtt_ms: float, ttl_ms: int
) -> None:
    assert ttl_needed_ms(rtt_ms) == ttl_ms


def test_intervals_of_the_default_groups() -> None:
    near = timeouts_for(2_000, 1.0)
    assert (near.call_ms, near.renew_ms, near.poll_ms) == (250, 333, 200)
    far = timeouts_for(6_000, 220.0)
    assert (far.call_ms, far.renew_ms, far.poll_ms) == (1_760, 1_000, 600)


@given(st.floats(0, 3_000))
def test_a_hanging_renewal_leaves_time_for_another(rtt_ms: float) -> None:
    ttl_ms = ttl_needed_ms(rtt_ms)
    timeouts = timeouts_for(ttl_ms, rtt_ms)
    assert timeouts.call_ms + timeouts.renew_ms <= ttl_ms * 2 // 3
    assert timeouts.call_ms >= 3 * rtt_ms
    assert timeouts.poll_ms < timeouts.renew_ms


def test_no_lease_below_the_floor_is_timed() -> None:
    with pytest.raises(AssertionError):
        timeouts_for(TTL_FLOOR_MS - 1, 1.0)
