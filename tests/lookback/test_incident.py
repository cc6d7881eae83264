"""An incident as facts, as a page and as a picture."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from controlplane.lookback.incident import incident
from controlplane.lookback.incident_page import TO_FILL_IN, incident_page
from controlplane.lookback.incident_svg import ROWS_MAX, draw
from controlplane.lookback.story import TOGETHER_MIN, Happened, together
from controlplane.time_picture import LEFT, PLOT, TROUBLE, WIDTH
from tests.lookback.sample_past import DAY, LOST, TO, WINDOW, event, first, line, past, rollout, row

SVG = "{http://www.w3.org/2000/svg}"


def part(page: str, title: str) -> str:
    """What stands below a heading."""
    return page.split(f"## {title}\n")[1].split("\n## ")[0]


def test_events_records_and_tenures_are_one_story_in_the_order_of_time() -> None:
    found = incident(past(), WINDOW).story
    assert [(each.what, each.about, each.by) for each in found] == [
        ("lease-expired", "global", ""),
        ("elected", "s1", ""),
        ("elected", "s2", ""),
        ("document", "placement", "operator"),
        ("transfer", "s3", "operator"),
        ("elected", "s3", "operator"),
    ]
    assert [each.trouble for each in found] == [True, True, True, False, False, False]
    assert "after n1, expired; nobody led for 9.0 s" in found[2].detail


def test_an_election_whose_event_was_never_kept_is_told_by_the_history() -> None:
    found = incident(past(events=[]), WINDOW).story
    assert [each.about for each in found if each.what == "elected"] == ["s1", "s2", "s3"]


def test_only_what_concerns_a_shard_is_told_of_it() -> None:
    more = [event(9, "stuck", "s1", LOST), event(10, "stores-wanted", "", LOST, group="other")]
    found = incident(past(events=[*past().events, *more]), WINDOW, ("s2",))
    assert [each.what for each in found.story] == ["lease-expired", "elected", "document"]
    assert found.affected == ["s2"]
    assert list(found.reigns) == ["s2"]
    assert (found.figures.unled_ms, found.steady) == (9_000, 0)
    assert "Only of: s2." in incident_page(found)


def test_many_of_a_kind_at_one_moment_are_one_line() -> None:
    def line_at(number: int, wall_ms: int) -> Happened:
        return Happened(wall_ms, "elected", f"s{number:02}", "n2", "epoch 2")

    few = [line_at(n, LOST + n) for n in range(TOGETHER_MIN - 1)]
    assert together(few) == few
    many = [line_at(n, LOST + n) for n in range(20)]
    (one,) = together(many)
    assert (one.about, one.wall_ms) == ("20 times", LOST)
    assert one.detail.startswith("within 19 ms: s00, s01")
    assert "and 10 more" in one.detail
    assert len(together([*many, line_at(1, LOST + 5_000)])) == 2


def test_who_led_when_and_who_did_not() -> None:
    found = incident(past(), WINDOW)
    assert found.affected == ["s1", "s2", "s3"]
    assert found.failed_over == ["s1", "s2"]
    assert found.lost == {"n1": 2}
    assert [(r.tenure.node, r.to_ms) for r in found.reigns["s1"]] == [("n1", LOST), ("n2", None)]
    page = incident_page(found)
    assert "| s2 | 1 | 9.0 s | 9.0 s |" in part(page, "Time without a leader")
    assert "0 shards did not change their leader." in part(page, "Who led when")
    assert "| shards without a leader for a while | 3 of 3 |" in part(page, "Summary")
    assert "| leaders that were lost, with how many shards | n1 (2) |" in part(page, "Summary")


def test_a_gap_that_ends_after_the_window_is_in_it() -> None:
    window = WINDOW._replace(to_ms=LOST + 1_000)
    found = incident(past(), window)
    assert found.affected == ["s1", "s2"]
    assert found.figures.unled_ms == 2_000
    assert found.lost == {"n1": 2}


def test_tenures_that_overlap_are_told() -> None:
    page = incident_page(incident(past(), WINDOW))
    assert "No. 6 tenures of 3 shards" in part(page, "Do tenures overlap?")
    wrong = [first("s1", TO - 9 * DAY), line("s1", 3, LOST, "n2", previous=[9, 0, 0])]
    page = incident_page(incident(past(histories={"s1": wrong}), WINDOW))
    assert "**Yes, or a tenure is missing.**" in page
    assert "* s1: epoch 3 goes on behind an entry of epoch 0, not of 1" in page


def test_what_was_in_force_is_what_was_rolled_out_meanwhile() -> None:
    rollouts = [
        *past().rollouts,
        rollout(8, "applying", LOST, None), rollout(9, "rolled-back", LOST - 1, LOST),
        rollout(10, "applying", WINDOW.to_ms, None),
        rollout(11, "succeeded", LOST - DAY, WINDOW.from_ms),
    ]  # fmt: skip
    found = incident(past(rollouts=rollouts), WINDOW)
    assert [each["rollout"] for each in found.rollouts] == [7, 8, 9]
    assert "| 7 | placement | 4 | succeeded |" in part(incident_page(found), "What was in force")


def test_words_of_people_do_not_break_the_page() -> None:
    page = part(incident_page(incident(past(), WINDOW)), "Timeline")
    assert "a \\| b &lt;c&gt;" in page
    assert "**by operator**" in page
    rows = [ln for ln in page.splitlines() if ln.startswith("|")]
    assert {len(ln.replace("\\|", "").split("|")) for ln in rows} == {8}


def test_the_page_leaves_places_for_people() -> None:
    page = incident_page(incident(past(), WINDOW), "incident.md.svg")
    for title in ("Summary", "Impact", "Root cause", "What went well", "What went badly"):
        assert TO_FILL_IN in part(page, title)
    assert "| what | who | until when |" in part(page, "Actions")
    assert "](incident.md.svg)" in part(page, "Timeline")
    assert "leadplane postmortem --prometheus URL" in part(page, "Indicators")


def test_a_quiet_time_makes_a_page_and_a_picture_too() -> None:
    window = WINDOW._replace(from_ms=LOST - DAY, to_ms=LOST - DAY + 60_000)
    found = incident(past(audit=[], rollouts=[]), window)
    assert "Nothing is kept of this time." in incident_page(found)
    assert "No shard changed its leader." in draw(found)


def boxes(found: Any) -> list[dict[str, str]]:
    root = ElementTree.fromstring(draw(found))
    return [
        box.attrib | {"told": box.findtext(f"{SVG}title") or ""} for box in root.iter(f"{SVG}rect")
    ]


def test_the_picture_has_leaders_as_bars_gaps_in_red_and_marks() -> None:
    found = boxes(incident(past(), WINDOW))
    gap = next(box for box in found if box["told"].startswith("s2: nobody for 9.0 s"))
    assert gap["fill"] == TROUBLE
    assert float(gap["x"]) == round(LEFT + PLOT / 2, 1)
    assert abs(float(gap["width"]) - PLOT * 9 / 120) < 0.1
    bars = [box for box in found if box["told"].startswith("s2: n")]
    assert sum(float(bar["width"]) for bar in bars) + float(gap["width"]) > PLOT - 4
    marks = [box for box in found if " document placement" in box["told"]]
    assert len(marks) == 1
    for box in found:
        assert float(box.get("x", "0")) >= 0
        assert float(box.get("x", "0")) + float(box["width"]) <= WIDTH + 0.1


def test_the_picture_has_the_worst_shards_of_many() -> None:
    names = [f"s{n:03}" for n in range(ROWS_MAX + 5)]
    histories = {
        name: [first(name, TO - 9 * DAY), line(name, 2, LOST + n, "n2", unled_ms=1 + n)]
        for n, name in enumerate(names)
    }
    told = past(histories=histories, shards=[row(name) for name in names], events=[])
    drawn = draw(incident(told, WINDOW))
    assert "and 5 shards more" in drawn
    assert f">{names[-1]}</text>" in drawn
    assert f">{names[0]}</text>" not in drawn
