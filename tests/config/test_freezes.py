"""When no rollout may begin a step: windows by the week and once, and what is said of bad ones."""

from __future__ import annotations

import zoneinfo
from datetime import datetime
from typing import Any

import pytest

from config.builtin import builtin_content
from config.document import Kind
from config.freezes import DAYS, Freezes, Hold, freezes_of
from config.freezes import held as freezes_held
from config.revision import Revision
from tests.config.sample_fleet import feed, put, refused

WEEKEND = {"name": "weekend", "weekly": {"days": ["sat", "sun"], "from": "00:00", "until": "00:00"}}


def ms(moment: str) -> int:
    """A moment with its offset, as the wall clock has it."""
    return round(datetime.fromisoformat(moment).timestamp() * 1_000)


def held(*windows: dict[str, Any], at: str, **more: str) -> Hold | None:
    """What holds a canary of `flags` in `eu` up at a moment."""
    return held_in(freezes_of({"freezes": list(windows)}), at, **more)


def held_in(
    freezes: Freezes, at: str, document: str = "flags", strategy: str = "canary", region: str = "eu"
) -> Hold | None:
    """The same, of windows that were read."""
    return freezes_held(freezes.of(document, strategy, (region,)), ms(at))


def weekly(days: list[str], begins: str, ends: str, zone: str = "UTC") -> dict[str, Any]:
    """A window of each week."""
    return {"name": "w", "weekly": {"days": days, "from": begins, "until": ends, "zone": zone}}


def test_nothing_is_frozen_unless_somebody_says_so() -> None:
    content = builtin_content(Kind.ROLLOUTS)
    assert freezes_of(content) == Freezes()
    assert held_in(Freezes(), "2026-11-28T12:00:00Z") is None


def test_a_weekly_window_holds_on_its_days_alone_to_the_minute() -> None:
    nights = weekly(["fri"], "22:00", "06:30")
    assert held(nights, at="2026-11-27T21:59:59Z") is None
    night = Hold(ms("2026-11-28T06:30:00Z"), "w")
    assert held(nights, at="2026-11-27T22:00:00Z") == night
    assert held(nights, at="2026-11-28T06:29:59Z") == night
    assert held(nights, at="2026-11-28T06:30:00Z") is None
    assert held(nights, at="2026-11-28T23:00:00Z") is None, "a Saturday"


def test_windows_that_follow_each_other_end_with_the_last() -> None:
    monday = ms("2026-11-30T00:00:00Z")
    assert held(WEEKEND, at="2026-11-28T12:00:00Z") == Hold(monday, "weekend")
    sale = {"name": "sale", "once": {"from": "2026-11-29T23:00:00Z", "until": "2026-12-02T00:00Z"}}
    assert held(WEEKEND, sale, at="2026-11-28T12:00:00Z") == Hold(
        ms("2026-12-02T00:00:00Z"), "weekend"
    )
    assert held(weekly(list(DAYS), "00:00", "00:00"), at="2026-11-28T12:00:00Z") is not None


def test_a_window_goes_by_the_clock_of_its_zone() -> None:
    berlin = weekly(["wed"], "09:00", "17:00", "Europe/Berlin")
    for day, offset in (("2026-01-14", "+01:00"), ("2026-07-15", "+02:00")):
        assert held(berlin, at=f"{day}T08:59:59{offset}") is None
        assert held(berlin, at=f"{day}T09:00:00{offset}") == Hold(ms(f"{day}T17:00{offset}"), "w")
        assert held(berlin, at=f"{day}T17:00:00{offset}") is None
    tokyo = weekly(["mon"], "00:00", "01:00", "Asia/Tokyo")
    assert held(tokyo, at="2026-11-29T15:30:00Z") is not None, "a Monday there"


def test_zones_are_known_on_a_machine_that_keeps_none() -> None:
    zoneinfo.reset_tzpath(to=[])
    try:
        assert zoneinfo.ZoneInfo.no_cache("Europe/Berlin").key == "Europe/Berlin"
    finally:
        zoneinfo.reset_tzpath()


def test_where_the_clock_is_set_back_an_hour_holds_twice() -> None:
    night = weekly(["sun"], "02:10", "02:50", "Europe/Berlin")  # 3:00 is 2:00 again on 25 October
    for moment in ("2026-10-25T02:20:00+02:00", "2026-10-25T02:20:00+01:00"):
        assert held(night, at=moment) == Hold(ms("2026-10-25T02:50:00+01:00"), "w")


def test_an_hour_that_is_left_out_is_frozen_an_hour_later() -> None:
    night = weekly(["sun"], "02:10", "02:50", "Europe/Berlin")  # 2:00 is 3:00 on 29 March
    assert held(night, at="2026-03-29T01:59:59+01:00") is None
    assert held(night, at="2026-03-29T03:20:00+02:00") == Hold(ms("2026-03-29T03:50+02:00"), "w")
    assert held(night, at="2026-03-29T03:50:00+02:00") is None


@pytest.mark.parametrize(
    ("begins", "ends", "from_", "until"),
    [
        ("02:30", "03:15", "01:30:00+01:00", "03:15:00+02:00"),
        ("02:30", "03:30", "01:30:00+01:00", "03:30:00+02:00"),
        ("02:30", "04:00", "03:30:00+02:00", "04:00:00+02:00"),
        ("01:30", "02:30", "01:30:00+01:00", "03:30:00+02:00"),
    ],
)
def test_what_begins_or_ends_in_an_hour_that_is_left_out_does_not_vanish(
    begins: str, ends: str, from_: str, until: str
) -> None:
    night = weekly(["sun"], begins, ends, "Europe/Berlin")  # 2:00 is 3:00 on 29 March
    begins_ms, ends_ms = ms(f"2026-03-29T{from_}"), ms(f"2026-03-29T{until}")
    (window,) = freezes_of({"freezes": [night]}).windows
    assert window.when.until_ms(begins_ms) == window.when.until_ms(ends_ms - 1) == ends_ms
    assert window.when.until_ms(begins_ms - 1) == window.when.until_ms(ends_ms) == 0


def test_where_the_calendar_ends_no_weekly_window_holds_and_nothing_breaks() -> None:
    east = freezes_of({"freezes": [weekly(list(DAYS), "00:00", "00:00", "Asia/Tokyo")]})
    for moment in ("9999-12-31T12:00:00Z", "9999-12-31T23:59:59Z"):
        assert held_in(east, moment) is None
    assert held(weekly(["fri"], "22:00", "06:00"), at="9999-12-31T23:00:00Z") is None
    last = {"name": "long", "once": {"from": "2026-01-01T00:00Z", "until": "8999-12-31T23:59Z"}}
    assert held(last, at="2026-11-28T12:00:00Z") == Hold(ms("8999-12-31T23:59:00Z"), "long")


def test_a_window_holds_where_it_says_and_lets_pass_what_it_says() -> None:
    moment = "2026-11-28T12:00:00Z"
    here = {**WEEKEND, "regions": ["us", "eu"]}
    assert held(here, at=moment) is not None
    assert held(here, at=moment, region="ap") is None
    assert held(WEEKEND, at=moment, strategy="emergency") is None
    assert held({**WEEKEND, "passes": []}, at=moment, strategy="emergency") is not None
    assert held({**WEEKEND, "passes": ["canary"]}, at=moment) is None


def test_what_says_what_is_frozen_is_never_frozen_itself() -> None:
    shut = {**WEEKEND, "passes": []}
    assert held(shut, at="2026-11-28T12:00:00Z", document="rollouts") is None


@pytest.mark.parametrize(
    "window",
    [
        1,
        None,
        "weekend",
        {},
        {"name": 1},
        {"name": 1, "weekly": WEEKEND["weekly"]},
        {"weekly": WEEKEND["weekly"]},
        {**WEEKEND, "weekly": {"days": ["sat"], "from": 9, "until": "10:00"}},
        {**WEEKEND, "weekly": {"days": 6, "from": "09:00", "until": "10:00"}},
        {**WEEKEND, "weekly": {"days": ["caturday"], "from": "09:00", "until": "10:00"}},
        {**WEEKEND, "weekly": {**WEEKEND["weekly"], "zone": 3}},
        {**WEEKEND, "weekly": ["sat"]},
        {**WEEKEND, "regions": 3},
        {**WEEKEND, "regions": {"but": ["us"]}},
        {**WEEKEND, "passes": [["canary"]]},
        {"name": "w", "once": {"from": "2026-01-01T00:00:00Z"}},
        {"name": "w", "once": {"from": 1, "until": 2}},
        {"name": "w", "once": {"from": "2026-01-01T00:00:00Z", "until": "9999-12-31T23:59:59Z"}},
    ],
)
def test_a_window_that_cannot_be_read_is_left_out_and_the_others_hold(window: Any) -> None:
    found = freezes_of({"freezes": [window, WEEKEND]})
    assert found.unread == 1
    assert held_in(found, "2026-11-28T12:00:00Z") == Hold(ms("2026-11-30T00:00:00Z"), "weekend")


@pytest.mark.parametrize(
    ("content", "unread"),
    [({}, 0), ({"x": 1}, 0), ({"freezes": 3}, 1), ({"freezes": None}, 1), ([1], 1), (None, 1)],
)
def test_a_document_that_says_something_else_freezes_nothing(content: Any, unread: int) -> None:
    assert freezes_of(content) == Freezes(unread=unread)


def test_an_offset_at_a_time_of_day_says_nothing_beside_the_zone() -> None:
    """The schema knows none; what was not checked may have one, at one of the two."""
    odd = {"name": "w", "weekly": {"days": ["fri"], "from": "09:00+01:00", "until": "10:00"}}
    assert held(odd, at="2026-11-27T09:30:00Z") == Hold(ms("2026-11-27T10:00:00Z"), "w")


@pytest.mark.parametrize(
    ("window", "place"),
    [
        ({}, "/freezes/0"),
        ({**WEEKEND, "once": {"from": "2026-01-01T00:00Z", "until": "2026-01-02T00:00Z"}},
         "/freezes/0"),
        ({"weekly": {"days": ["sat"], "from": "24:00", "until": "06:00"}},
         "/freezes/0/weekly/from"),
        ({"weekly": {"days": ["sat"], "from": "9:00", "until": "06:00"}},
         "/freezes/0/weekly/from"),
        ({"weekly": {"days": ["saturday"], "from": "09:00", "until": "10:00"}},
         "/freezes/0/weekly/days/0"),
        ({"weekly": {"days": [], "from": "09:00", "until": "10:00"}}, "/freezes/0/weekly/days"),
        ({"weekly": {"days": ["sat"], "from": "09:00", "until": "10:00", "zone": "Mars/Base"}},
         "/freezes/0/weekly/zone"),
        ({"weekly": {"days": ["sat"], "from": "09:00", "until": "10:00", "zone": "../etc"}},
         "/freezes/0/weekly/zone"),
        ({"once": {"from": "2026-13-01T00:00:00Z", "until": "2026-12-02T00:00:00Z"}},
         "/freezes/0/once/from"),
        ({"once": {"from": "2026-12-01T00:00:00", "until": "2026-12-02T00:00:00Z"}},
         "/freezes/0/once/from"),
        ({"once": {"from": "2026-12-01T00:00:00Z", "until": "2026-12-01T01:00:00+01:00"}},
         "/freezes/0/once/until"),
        ({"once": {"from": "2026-12-01T00:00:00Z", "until": "9999-12-31T23:59:59Z"}},
         "/freezes/0/once/until"),
        ({"once": {"from": "9000-01-01T00:00:00Z", "until": "9001-01-01T00:00:00Z"}},
         "/freezes/0/once/from"),
        ({**WEEKEND, "regions": ["mars"]}, "/freezes/0/regions/0"),
        ({**WEEKEND, "passes": ["bold"]}, "/freezes/0/passes/0"),
        ({**WEEKEND, "colour": "red"}, "/freezes/0/colour"),
    ],
)  # fmt: skip
def test_bad_windows_are_refused_by_place(window: dict[str, Any], place: str) -> None:
    assert refused(feed(), "rollouts", {"freezes": [{"name": "w", **window}]}) == [place]


def test_two_windows_of_one_name_are_refused_and_a_good_one_is_taken() -> None:
    assert refused(feed(), "rollouts", {"freezes": [WEEKEND, WEEKEND]}) == ["/freezes/1/name"]
    taken = put(feed(), "rollouts", {"freezes": [{**WEEKEND, "regions": ["eu"]}]})
    assert isinstance(taken, Revision)
