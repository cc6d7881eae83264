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


@pytest.mark.parametrize("age_ms", [0, 1, 50, 99, 100, 101, 12_345])
def test_a_bound_holds_on_every_clock_within_rho(age_ms: int) -> None:
    """The other clock may have counted up to (age + 1) * (1 + rho)."""
    bound_ms = older_bound_ms(500, 500 + age_ms)
    assert bound_ms >= (age_ms + 1) * (1 + RHO_PERCENT / 100)
    assert bound_ms <= (age_ms + 1) * (1 + RHO_PERCENT / 100) + 1
