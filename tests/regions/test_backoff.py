"""Waits after failures: bounded, spread, and the caller's to draw."""

from __future__ import annotations

import random

import pytest

from regions.backoff import election_backoff_ms, full_jitter_ms


def test_the_ceiling_doubles_until_it_is_reached() -> None:
    almost_one = 1 - 1e-12
    waits = [full_jitter_ms(k, first_ms=100, ceiling_ms=1_000, draw=almost_one) for k in range(6)]
    assert waits == [99, 199, 399, 799, 999, 999]


def test_the_draw_decides_within_the_ceiling() -> None:
    assert full_jitter_ms(3, first_ms=100, ceiling_ms=10_000, draw=0.0) == 0
    assert full_jitter_ms(3, first_ms=100, ceiling_ms=10_000, draw=0.5) == 400


def test_a_thousand_failures_overflow_nothing() -> None:
    assert full_jitter_ms(1_000, first_ms=100, ceiling_ms=2_000, draw=0.5) == 1_000


def test_a_candidate_waits_at_most_half_a_lease() -> None:
    random_source = random.Random(7)
    waits = [
        election_backoff_ms(20, ttl_ms=2_000, rtt_ms=3.0, draw=random_source.random())
        for _ in range(2_000)
    ]
    assert max(waits) < 1_000
    assert min(waits) < 20, "the whole interval is used"
    assert max(waits) > 980, "the whole interval is used"
    assert 450 < sum(waits) / len(waits) < 550


def test_a_first_wait_is_at_most_two_round_trips() -> None:
    assert election_backoff_ms(0, ttl_ms=6_000, rtt_ms=160.0, draw=0.999) == 319


@pytest.mark.parametrize("draw", [-0.1, 1.0])
def test_a_draw_outside_its_range_is_a_bug(draw: float) -> None:
    with pytest.raises(AssertionError):
        full_jitter_ms(0, first_ms=1, ceiling_ms=1, draw=draw)
