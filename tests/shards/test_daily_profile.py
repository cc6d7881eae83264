"""What past days let expect: learnt by hour and region, foretold only where it is known."""

from __future__ import annotations

import pytest

from shards.daily_profile import FACTOR_MAX, HOUR_MS, RECENT_SHARE, WHOLE_NOTES, DailyProfile

MINUTE_MS = 60_000
DAY_MS = 24 * HOUR_MS


def after_days(*days: dict[int, float], region: str = "eu") -> DailyProfile:
    """A profile that saw such days: requests a second by hour, 1 where nothing is said."""
    profile = DailyProfile()
    for day, rates in enumerate(days):
        for minute in range(24 * 60):
            rate = rates.get(minute // 60, 1.0)
            profile.note({region: rate}, day * DAY_MS + minute * MINUTE_MS)
    profile.note({region: 1.0}, len(days) * DAY_MS)
    return profile


def test_a_peak_is_foretold_before_it_comes() -> None:
    profile = after_days({9: 5.0})
    at_eight = 7 * DAY_MS + 8 * HOUR_MS + 30 * MINUTE_MS
    assert profile.factor("eu", at_eight, HOUR_MS) == 5.0
    assert profile.factor("eu", at_eight + HOUR_MS, HOUR_MS) == 0.2
    assert profile.factor("eu", at_eight, 3 * HOUR_MS) == 1.0


def test_a_factor_is_the_same_for_a_whole_hour() -> None:
    profile = after_days({9: 5.0})
    found = {profile.factor("eu", 8 * HOUR_MS + m * MINUTE_MS, HOUR_MS) for m in range(60)}
    assert found == {5.0}


def test_a_later_day_counts_for_more_than_what_it_replaces() -> None:
    profile = after_days({9: 1.0}, {9: 11.0})
    assert profile.means["eu"][9] == pytest.approx(1.0 + RECENT_SHARE * 10.0)


def test_nothing_is_foretold_of_hours_that_were_never_seen_whole() -> None:
    profile = DailyProfile()
    for minute in range(61):
        learnt = profile.note({"eu": 3.0}, minute * MINUTE_MS)
    assert learnt
    assert profile.factor("eu", DAY_MS, HOUR_MS) is None
    assert profile.factor("us", DAY_MS, HOUR_MS) is None


def test_an_hour_that_was_hardly_looked_at_teaches_nothing() -> None:
    profile = DailyProfile()
    for minute in range(WHOLE_NOTES - 1):
        profile.note({"eu": 3.0}, minute * MINUTE_MS)
    assert not profile.note({"eu": 3.0}, HOUR_MS)
    assert profile.means == {}


def test_next_to_no_load_foretells_nothing_and_no_factor_is_beyond_measure() -> None:
    assert after_days({8: 0.05, 9: 5.0}).factor("eu", 8 * HOUR_MS, HOUR_MS) is None
    assert after_days({9: 500.0}).factor("eu", 8 * HOUR_MS, HOUR_MS) == FACTOR_MAX
    assert after_days({9: 0.0}).factor("eu", 8 * HOUR_MS, HOUR_MS) == 0.1


def test_a_region_that_falls_silent_is_noticed() -> None:
    profile = after_days({})
    for minute in range(61):
        profile.note({}, DAY_MS + 9 * HOUR_MS + minute * MINUTE_MS)
    assert profile.means["eu"][9] == pytest.approx(1.0 - RECENT_SHARE)


def test_what_was_learnt_is_read_again() -> None:
    profile = after_days({9: 5.0})
    assert DailyProfile.read(profile.packed()).means == profile.means


@pytest.mark.parametrize("document", [None, {}, [1], [["eu", [1.0]]], [[7, [1.0] * 24]]])
def test_what_is_no_profile_is_refused(document: object) -> None:
    with pytest.raises(ValueError, match="no profile"):
        DailyProfile.read(document)
