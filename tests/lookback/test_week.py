"""The figures of a week, of what they are made, and what is said of what is not known."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.lookback.figures import flapping_of, leaderships
from controlplane.lookback.remembered import NEVER, known_shards
from controlplane.lookback.tenures import Window, merged
from controlplane.lookback.week import WEEK_MS, week_report
from controlplane.lookback.week_page import change, week_page
from tests.lookback.sample_past import (
    DAY,
    HOUR,
    LOST,
    TO,
    elected,
    event,
    first,
    line,
    past,
    row,
)

THIS = Window(TO - WEEK_MS, TO)


def cells(page: str, first_cell: str) -> list[str]:
    """The cells of the row of a table that begins so."""
    found = next(ln for ln in page.splitlines() if ln.startswith(f"| {first_cell} |"))
    return [cell.strip() for cell in found.strip("| ").split(" | ")][1:]


def test_availability_is_the_time_with_a_leader_of_all_shards() -> None:
    found = leaderships(known_shards(past()), THIS)
    assert (found.known_ms, found.unled_ms) == (3 * WEEK_MS, 4_000 + 9_000 + 12)
    assert found.availability == 1 - 13_012 / (3 * WEEK_MS)
    assert found.longest is not None
    assert (found.longest.shard, found.longest.lasts_ms) == ("s2", 9_000)
    by_shard = {shard.shard: shard.unled_ms for shard in found.shards}
    assert by_shard == {"s1": 4_000, "s2": 9_000, "s3": 12}


def test_changes_are_counted_by_cause_and_reason_and_elections_measured() -> None:
    found = leaderships(known_shards(past()), THIS)
    assert found.changes == {"unplanned": {"expired": 2}, "planned": {"transferred": 1}}
    assert (found.failover_unled.p50_ms, found.failover_unled.max_ms) == (4_000, 9_000)
    assert (found.planned_unled.count, found.planned_unled.max_ms) == (1, 12)
    assert (found.took.count, found.took.p99_ms) == (3, 31)
    assert found.changes_per_shard_hour == pytest.approx(3 / (3 * 7 * 24))


def test_a_gap_over_the_edge_counts_with_what_lies_in_each_week() -> None:
    over = line("s1", 2, THIS.from_ms + 1_000, "n2")
    told = past(histories={"s1": [first("s1", TO - 30 * DAY), over]}, events=[], shards=[row("s1")])
    report = week_report(told, TO)
    assert report.week.leaderships.unled_ms == 1_000
    assert report.before.leaderships.unled_ms == 3_000
    assert report.week.leaderships.count("unplanned") == 1
    assert report.before.leaderships.count("unplanned") == 0


def test_a_shard_counts_from_its_beginning_on() -> None:
    told = past(histories={"s1": [first("s1", TO - DAY)]}, events=[], shards=[row("s1")])
    found = leaderships(known_shards(told), THIS)
    assert (found.known_ms, found.availability) == (DAY, 1.0)
    report = week_report(told, TO)
    assert report.week.unknown == ()
    assert report.before.leaderships.availability is None


def full(since_ms: int) -> list[dict[str, Any]]:
    """A history that goes no further back."""
    return [line("s1", n, since_ms + n * HOUR, f"n{n % 2}") for n in range(64)]


def test_of_a_history_that_is_cut_only_the_time_it_covers_counts() -> None:
    told = past(
        histories={"s1": full(TO - 3 * DAY)}, events=[], shards=[row("s1")], events_since_ms=TO
    )
    found = leaderships(known_shards(told), THIS)
    assert found.known_ms == 3 * DAY
    assert "Not all of this time is known of s1." in week_report(told, TO).week.unknown


def test_events_that_go_further_back_than_a_history_fill_it_in() -> None:
    earlier = elected(1, line("s1", 0, TO - 5 * DAY, "n9", unled_ms=1_995))
    lines = [each | {"epoch": each["epoch"] + 1} for each in full(TO - 3 * DAY)]
    told = past(
        histories={"s1": lines}, events=[earlier], shards=[row("s1")],
        events_since_ms=TO - 6 * DAY,
    )  # fmt: skip
    found = leaderships(known_shards(told), THIS)
    assert found.known_ms == 6 * DAY
    assert found.unled_ms == 64 * 4_000 + 2_000
    assert found.count("unplanned") == 65


def test_a_shard_that_does_not_answer_counts_as_far_as_events_tell() -> None:
    born = elected(1, first("s1", TO - DAY))
    told = past(histories={}, events=[born], shards=[row("s1"), row("s2")], events_since_ms=LOST)
    known = known_shards(told)
    assert known["s1"].within(THIS).lasts_ms == DAY
    assert known["s2"].within(THIS).lasts_ms == TO - LOST
    nothing = known_shards(past(histories={}, events=[], events_since_ms=NEVER))
    assert {each.within(THIS).lasts_ms for each in nothing.values()} == {0}


def test_a_shard_that_is_gone_counts_until_it_was_closed() -> None:
    told = past(
        shards=[], histories={},
        events=[
            elected(1, first("s1", TO - 2 * DAY)),
            event(2, "closed", "s1", TO - DAY), elected(3, first("s2", TO - 2 * DAY)),
        ],
    )  # fmt: skip
    known = known_shards(told)
    assert known["s1"].within(THIS).lasts_ms == DAY
    assert known["s2"].within(THIS).lasts_ms == 0  # nobody knows until when there was one


def test_flapping_is_five_changes_in_a_quarter_of_an_hour() -> None:
    def changes(every_ms: int) -> Any:
        lines = [line("s1", n + 2, LOST + n * every_ms, "n2") for n in range(5)]
        return flapping_of(merged({"s1": lines}, [])["s1"], THIS)

    assert changes(HOUR) is None
    assert changes(15 * 60_000 // 4) is None
    assert (changes(60_000).changes, changes(60_000).at_ms) == (5, LOST)


def test_what_is_not_kept_any_more_is_counted_and_said() -> None:
    hour = {
        "since_ms": LOST - LOST % HOUR, "until_ms": LOST - LOST % HOUR + HOUR,
        "counts": [
            {"kind": "elected", "group": "global", "count": 40},
            {"kind": "fenced", "group": "", "count": 2},
        ],
    }  # fmt: skip
    before = {"since_ms": None, "until_ms": LOST, "counts": hour["counts"]}
    week = week_report(past(hours=[before, hour], events_since_ms=LOST + HOUR), TO).week
    assert (week.events["elected"], week.events["fenced"], week.elections) == (43, 2, 43)
    said = " ".join(week.unknown)
    assert "there are only counts, by the hour" in said
    assert "Of 43 elections that were counted, 3 are known." in said


def test_whatever_could_not_be_had_is_said() -> None:
    told = past(
        failed={"audit records": "nobody leads"}, events_since_ms=NEVER, audit_since_ms=LOST,
        not_asked=["s8", "s9"], shards=[row("s1", "electing"), row("s2"), row("s3")],
    )  # fmt: skip
    said = "\n".join(week_report(told, TO).week.unknown)
    assert "Not to be had: audit records: nobody leads" in said
    assert "Audit records before " in said
    assert "2 shards were not asked" in said
    assert "Without a leader when this was written: s1." in said


def test_a_failover_of_which_nobody_knows_how_long_it_took_is_said() -> None:
    blind = line("s1", 2, LOST, "n2", unled_ms=None)
    told = past(histories={"s1": [first("s1", TO - 30 * DAY), blind]}, events=[])
    assert "Before 1 of the failovers nobody knows" in " ".join(week_report(told, TO).week.unknown)


def test_the_page_has_both_weeks_side_by_side() -> None:
    page = week_page(week_report(past(), TO))
    assert "Longest without a leader: s2, 9.0 s" in page
    assert cells(page, "failovers (unplanned)") == ["2", "0", "new"]
    assert cells(page, "failovers, without a leader: worst") == ["9.0 s", "–", "–"]
    assert cells(page, "leader availability")[:2] == ["99.9993 %", "100.0000 %"]
    assert cells(page, "unplanned: expired") == ["2", "0", "new"]
    assert cells(page, "succeeded") == ["1", "0", "new"]
    assert cells(page, "rolled-back") == ["0", "1", "-100 %"]
    assert cells(page, "leaders moved by them") == ["3", "0", "new"]
    assert cells(page, "changes by people") == ["2", "0", "new"]
    assert cells(page, "s2") == ["99.9985 %", "9.0 s", "9.0 s", "1", "1"]
    assert "Everything that was asked for is kept." in page


def test_a_young_fleet_has_no_week_before() -> None:
    histories = {"s1": [first("s1", TO - HOUR)]}
    told = past(histories=histories, events=[], shards=[row("s1")], audit=[], rollouts=[])
    page = week_page(week_report(told, TO))
    assert cells(page, "leader availability") == ["100.0000 %", "–", "–"]
    assert "Of the week before nothing is known." in page


def test_a_week_of_which_not_all_is_known_has_a_star() -> None:
    assert "| this week | the week before | change |" in week_page(week_report(past(), TO))
    cut = week_page(week_report(past(audit_since_ms=TO - WEEK_MS - DAY), TO))
    assert "| this week | the week before \\* | change |" in cut
    assert "* The week before: Audit records before" in cut


@pytest.mark.parametrize(
    ("now", "then", "points", "said"),
    [
        (3, 2, False, "+50 %"), (1, 4, False, "-75 %"), (2, 2, False, "="), (2, 0, False, "new"),
        (None, 2, False, "–"), (2, None, False, "–"), (0.999, 0.9995, True, "-0.0500 points"),
    ],
)  # fmt: skip
def test_how_a_change_is_told(now: Any, then: Any, points: bool, said: str) -> None:
    assert change(now, then, in_points=points) == said


def test_the_document_holds_the_figures_behind_the_page() -> None:
    found = week_report(past(), TO).document()
    assert found["week"]["leaderships"]["longest_ms"] == 9_000
    assert found["week"]["elections"] == 3
    assert found["before"]["leaderships"]["longest_ms"] is None
