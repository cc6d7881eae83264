"""Tenures out of events and of histories; the times between them."""

from __future__ import annotations

from controlplane.lookback.tenures import Window, gaps_in, merged, person, reigns_in
from tests.lookback.sample_past import LOST, WINDOW, elected, first, line, past


def test_the_shards_own_line_counts_and_the_event_says_how_long_the_election_took() -> None:
    found = past().tenures()["s1"]
    assert [t.epoch for t in found] == [1, 2]
    assert (found[1].unled_ms, found[1].took_ms, found[1].ended) == (4_000, 31, "expired")


def test_an_event_stands_for_a_line_that_is_gone() -> None:
    of = line("s1", 9, LOST, "n2")
    (tenure,) = merged({"s1": []}, [elected(1, of)])["s1"]
    assert (tenure.epoch, tenure.unled_ms, tenure.ended, tenure.node) == (9, 4_005, "expired", "n2")


def test_lines_of_a_parent_are_the_parents() -> None:
    lines = [first("s1", LOST - 50), first("s1a", LOST)]
    found = merged({"s1a": lines}, [])
    assert {shard: len(tenures) for shard, tenures in found.items()} == {"s1": 1, "s1a": 1}


def test_a_gap_lies_before_a_tenure_and_is_found_wherever_it_reaches_into_a_window() -> None:
    tenures = past().tenures()["s2"]
    (gap,) = gaps_in(tenures, WINDOW)
    assert (gap.from_ms, gap.to_ms, gap.lasts_ms) == (LOST, LOST + 9_000, 9_000)
    assert gaps_in(tenures, Window(LOST + 8_999, LOST + 60_000)) == [gap]
    assert gaps_in(tenures, Window(LOST - 60_000, LOST + 1)) == [gap]
    assert gaps_in(tenures, Window(LOST + 9_000, LOST + 60_000)) == []
    assert gaps_in(tenures, Window(LOST - 60_000, LOST)) == []


def test_a_tenure_ends_where_the_gap_begins() -> None:
    before, after = reigns_in(past().tenures()["s2"], WINDOW)
    assert (before.tenure.node, before.to_ms) == ("n1", LOST)
    assert (after.tenure.node, after.to_ms) == ("n3", None)
    (only,) = reigns_in(past().tenures()["s2"], Window(LOST + 10_000, LOST + 20_000))
    assert only.tenure.epoch == 2


def test_who_is_a_person() -> None:
    assert [person(p) for p in ("operator", "system", "node:n1", "")] == ["operator", "", "", ""]
