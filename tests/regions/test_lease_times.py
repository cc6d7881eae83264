"""Times of a lease: a holder's window ends before a challenger's wait, whatever the clocks do."""

import pytest

from regions.lease_times import RHO_PERCENT, LeaseTimes, older_bound_ms

TTLS = [100, 300, 1_000, 2_000, 4_000, 10_000, 60_000]


@pytest.mark.parametrize("ttl_ms", TTLS)
def test_a_slow_holder_is_done_before_a_fast_challenger(ttl_ms: int) -> None:
    """Both measure from the same instant; rates differ by rho, reading a clock by a millisecond."""
    times = LeaseTimes(ttl_ms)
    held_ms = times.hold_ms / (1 - RHO_PERCENT / 100)  # on a clock that runs slow by rho
    waited_ms = times.wait_ms / (1 + RHO_PERCENT / 100)  # on one that runs fast by rho
    assert waited_ms - held_ms >= 2


@pytest.mark.parametrize("ttl_ms", TTLS)
def test_everything_that_keeps_a_lease_alive_fits_into_it(ttl_ms: int) -> None:
    times = LeaseTimes(ttl_ms)
    assert times.renew_every_ms * 4 < times.hold_ms
    assert times.poll_every_ms <= times.renew_every_ms
    assert times.renew_every_ms < times.silent_ms < times.quiet_ms < times.hold_ms
    assert times.call_timeout_ms < times.silent_ms or ttl_ms <= 100


def test_the_times_of_a_lease_of_a_second() -> None:
    times = LeaseTimes(1_000)
    assert (times.hold_ms, times.wait_ms) == (980, 1_031)
    assert (times.renew_every_ms, times.poll_every_ms) == (166, 100)
    assert (times.quiet_ms, times.silent_ms, times.call_timeout_ms) == (666, 500, 333)


@pytest.mark.parametrize("elapsed_ms", [0, 1, 50, 99, 100, 101, 12_345, 60_000, 3_600_000])
def test_an_age_counted_by_a_slow_clock_is_not_understated(elapsed_ms: int) -> None:
    """The clock counts (1 - rho) of what passes, and shows whole milliseconds."""
    for start_ms in range(100):
        since_ms, now_ms = (
            at * (100 - RHO_PERCENT) // 100 for at in (start_ms, start_ms + elapsed_ms)
        )
        bound_ms = older_bound_ms(since_ms, now_ms)
        assert elapsed_ms <= bound_ms <= elapsed_ms + 3
