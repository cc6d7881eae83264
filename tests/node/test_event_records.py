"""Records of life-cycle events: what is read back, what is refused, what is left of old ones."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from controlplane.node.event_records import (
    EARLIER,
    HEAD_KEY,
    HOUR_MS,
    HOURS_MAX,
    MARKS_PREFIX,
    EventHead,
    EventRecord,
    EventState,
    brief,
    detail_of_row,
    hour_key,
    packed_counts,
    read_counts,
    read_event_head,
    read_record,
    read_reported,
)
from regions.codec import pack

REPORTED = [3, "fenced", "a", "g", 7, 1_000, {"why": "x"}]


def record(sequence: int, hour: int, kind: str = "fenced", group: str = "g") -> EventRecord:
    wall_ms = hour * HOUR_MS + 5
    return EventRecord(sequence, kind, "a", group, 7, "n1", "eu", wall_ms, wall_ms, "n1-1", 3, {})


def test_what_is_packed_is_read_back() -> None:
    made = record(9, 4)
    assert read_record(made.packed()) == made
    head = EventHead(9, 4, 77, "aa")
    assert (read_event_head(head.packed()), head.kept) == (head, 6)
    assert read_event_head(None) == EventHead()
    counts = Counter({("fenced", "g"): 2, ("stuck", ""): 1})
    assert read_counts(packed_counts(counts)) == counts


@pytest.mark.parametrize("data", [b"", b"\xc1", pack(7), pack([1, "x"]), pack([["a", "b", "c"]])])
def test_what_is_no_record_is_refused(data: bytes) -> None:
    for read in (read_record, read_event_head, read_counts):
        with pytest.raises(ValueError, match=r"not MessagePack|no record|no head|no counts"):
            read(data)


@pytest.mark.parametrize(
    ("place", "value"),
    [(0, "x"), (0, -1), (1, None), (1, "k" * 257), (2, 3), (4, -1), (5, 1.5), (6, "x")],
)
def test_a_report_that_is_none_is_not_taken(place: int, value: Any) -> None:
    fields = list(REPORTED)
    assert read_reported(fields) is not None
    fields[place] = value
    assert read_reported(fields) is None
    assert read_reported(fields[:5]) is None
    assert read_reported("fenced") is None


def test_a_detail_that_is_too_long_is_told_by_its_length() -> None:
    assert brief({"why": "x"}) == {"why": "x"}
    assert brief({"why": "x" * 5_000}).keys() == {"left_out_bytes"}


def test_what_is_dropped_is_counted_by_hour_kind_and_group() -> None:
    state = EventState()
    changed = state.count([record(1, 5), record(2, 5), record(3, 6, "stuck", "h"), record(4, 5)])
    assert changed == {5, 6}
    assert state.hours == {
        5: Counter({("fenced", "g"): 3}), 6: Counter({("stuck", "h"): 1}),
    }  # fmt: skip


def test_hours_are_kept_for_a_month_and_older_ones_are_added_up() -> None:
    state = EventState()
    state.count([record(n, 100 + n) for n in range(HOURS_MAX)])
    assert EARLIER not in state.hours
    changed = state.count([record(0, 100 + HOURS_MAX), record(0, 101 + HOURS_MAX)])
    assert changed == {100, 101, EARLIER, 100 + HOURS_MAX, 101 + HOURS_MAX}
    assert state.hours[EARLIER] == Counter({("fenced", "g"): 2})
    assert len(state.hours) == HOURS_MAX + 1
    late = state.count([record(0, 3)])  # of a node that was cut off for long
    assert late == {3, EARLIER}
    assert state.hours[EARLIER].total() == 3
    assert sum(counts.total() for counts in state.hours.values()) == HOURS_MAX + 3


def test_the_state_is_taken_up_key_by_key() -> None:
    state = EventState()
    state.take(HEAD_KEY, EventHead(9, 4).packed())
    state.take(hour_key(5), packed_counts(Counter({("fenced", "g"): 3})))
    state.take(MARKS_PREFIX + "n1-1", b"17")
    assert (state.head.last, state.marks, state.hours[5].total()) == (9, {"n1-1": 17}, 3)
    with pytest.raises(ValueError, match="invalid literal"):
        state.take(MARKS_PREFIX + "n1-1", b"x")


def test_an_election_says_what_its_row_says() -> None:
    row = {
        "shard": "a", "epoch": 7, "node": "n1", "ended": "dead", "cause": "unplanned",
        "before": "n2", "before_epoch": 5, "unled_ms": 900, "principal": "",
    }  # fmt: skip
    assert detail_of_row(row, "aa") == {
        "why": "dead", "cause": "unplanned", "before": "n2", "before_epoch": 5, "unled_ms": 900,
        "row": "aa",
    }  # fmt: skip
