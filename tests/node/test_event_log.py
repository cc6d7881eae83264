"""Life-cycle events on their way into the system shard: all of them, once each, the newest kept."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from hashlib import sha256

import pytest

from controlplane.node import outbox
from controlplane.node.event_records import (
    DROPPED,
    HEAD_KEY,
    HOURS_PREFIX,
    MARKS_PREFIX,
    PARTITION,
    RECORDS_PREFIX,
    EventRecord,
    read_counts,
    read_event_head,
    read_record,
)
from controlplane.node.following import SYSTEM
from controlplane.node_plan import Limits
from controlplane.requests import Put, Write, Written
from regions.codec import unpack
from tests.node.rig import Rig, Seat
from tests.node.test_global_leader import (
    SEEDS,
    fleet,
    history,
    leader,
    reporter_of,
    scan,
)


def kept(rig: Rig) -> list[EventRecord]:
    """Every record, by number."""
    found = scan(rig, PARTITION)
    records = [read_record(data) for key, data in found.items() if key.startswith(RECORDS_PREFIX)]
    head = read_event_head(found.get(HEAD_KEY))
    numbers = [record.sequence for record in records]
    assert numbers == list(range(head.first, head.last + 1)), "numbers have no gaps"
    return records


def of(rig: Rig, seat: Seat) -> list[tuple[str, int]]:
    """Kind and number of what is kept of one process."""
    return [(r.kind, r.number) for r in kept(rig) if r.process == seat.plan.process]


def happen(seat: Seat, count: int, why: str = "x") -> None:
    for _ in range(count):
        seat.node.happened("stuck", "a", 0, {"why": why})


def is_kept(seat: Seat) -> bool:
    return len(seat.node.duties.outbox) == 0


def test_every_epoch_that_opens_is_one_event_that_says_what_its_row_says() -> None:
    rig = fleet("n1", "n2", "n3")
    first = leader(rig, "a")
    assert first is not None
    rig.run(1_500)
    del rig.seats[first.plan.node]
    rig.until(lambda: leader(rig, "a") is not None and leader(rig, SYSTEM) is not None)
    rig.run(3_000)
    elected = [record for record in kept(rig) if record.kind == "elected"]
    rows = history(rig)
    assert Counter((r.shard, r.epoch) for r in elected) == Counter(
        (row["shard"], row["epoch"]) for row in rows.values()
    )
    event = next(record for record in elected if (record.shard, record.epoch != 1) == ("a", True))
    row = next(row for row in rows.values() if (row["shard"], row["epoch"]) == ("a", event.epoch))
    assert (event.node, event.group, event.wall_ms) == (row["node"], "global", row["wall_ms"])
    assert (row["cause"], event.detail["cause"]) == ("unplanned", "unplanned")
    assert row["unled_ms"] == event.detail["unled_ms"] > 0
    assert event.detail["before"] == first.plan.node
    packed = scan(rig, "history")
    assert event.detail["row"] in {sha256(data).hexdigest() for data in packed.values()}


def test_what_happens_at_any_node_is_kept_once_and_with_where_and_when() -> None:
    rig = fleet()
    rig.run(3_000)
    first, other = reporter_of(rig)
    happen(other, 2)
    happen(first, 1)
    other.node.happened("renewed", "a", 1, {})  # happens all the time
    rig.until(lambda: is_kept(other) and is_kept(first))
    rig.run(3_000)
    found = [r for r in kept(rig) if r.kind == "stuck"]
    assert Counter(r.node for r in found) == {other.plan.node: 2, first.plan.node: 1}
    assert {(r.region, r.shard, r.group, r.detail["why"]) for r in found} == {
        ("eu", "a", "global", "x")
    }
    assert not [r for r in kept(rig) if r.kind == "renewed"]
    marks = {k: d for k, d in scan(rig, PARTITION).items() if k.startswith(MARKS_PREFIX)}
    last = of(rig, other)[-1][1]
    assert marks[MARKS_PREFIX + other.plan.process] == str(last).encode()


def test_what_is_reported_again_is_not_kept_again() -> None:
    rig = fleet()
    rig.run(3_000)
    _, other = reporter_of(rig)
    rig.untold.add(other.plan.node)  # no word gets there that it is kept
    happen(other, 3)
    rig.run(5_000)
    before = of(rig, other)
    assert len([kind for kind, _ in before if kind == "stuck"]) == 3
    assert not is_kept(other)
    rig.untold.clear()
    rig.until(lambda: is_kept(other))
    assert of(rig, other) == before


def test_a_node_is_not_told_before_its_events_are_committed() -> None:
    rig = fleet()
    rig.run(3_000)
    first, other = reporter_of(rig)
    rig.mute(first.plan.node, "s2", "s3")
    happen(other, 1)
    rig.run(200)
    assert not is_kept(other)
    rig.let(first.plan.node, "s2", "s3")
    rig.until(lambda: is_kept(other))
    assert of(rig, other)[-1][0] == "stuck"


def test_a_lease_that_lapses_and_is_back_in_the_same_epoch_forgets_nothing_under_way() -> None:
    rig = fleet()
    rig.run(3_000)
    first, other = reporter_of(rig)
    epoch = first.led(SYSTEM).epoch
    rig.mute(first.plan.node, "s2", "s3")
    happen(other, 1)
    rig.until(lambda: not first.serves(SYSTEM))
    rig.run(200)
    assert first.node.duties.events.is_settled(epoch), "what is written may yet be decided"
    rig.let(first.plan.node, "s2", "s3")
    rig.until(lambda: first.serves(SYSTEM))
    happen(other, 1)
    rig.until(lambda: is_kept(other))
    assert first.led(SYSTEM).epoch == epoch
    found = of(rig, other)
    assert [kind for kind, _ in found].count("stuck") == 2
    assert len(set(found)) == len(found)


def test_what_was_not_committed_is_reported_to_the_next_leader() -> None:
    rig = fleet("n1", "n2", "n3")
    rig.run(3_000)
    first, other = reporter_of(rig)
    rig.hold(first.plan.node, *rig.stores)
    happen(other, 1)
    rig.run(200)
    del rig.seats[first.plan.node]
    rig.until(lambda: leader(rig, SYSTEM) is not None)
    rig.until(lambda: is_kept(other))
    assert [kind for kind, _ in of(rig, other)].count("stuck") == 1


def test_of_too_many_the_oldest_go_and_that_is_kept_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "HELD_MAX", 10)
    rig = fleet()
    rig.run(3_000)
    first, other = reporter_of(rig)
    before = of(rig, other)[-1][1] if of(rig, other) else 0
    rig.untold.add(first.plan.node)  # its reports do not get there
    happen(other, 25)
    rig.untold.clear()
    rig.until(lambda: is_kept(other))
    found = [r for r in kept(rig) if r.process == other.plan.process and r.number > before]
    assert [r.kind for r in found] == [DROPPED] + ["stuck"] * 10
    assert found[0].detail == {"count": 15, "first": before + 1, "last": before + 15}
    happen(other, 1)
    rig.until(lambda: is_kept(other))
    assert [kind for kind, _ in of(rig, other)].count(DROPPED) == 1


def test_epochs_that_nobody_was_told_of_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.node.duties.UNREPORTED_MAX", 5)
    rig = fleet()
    rig.run(3_000)
    first, other = reporter_of(rig)
    rig.untold.add(first.plan.node)
    for epoch in range(1, 9):
        other.node.duties.opened({"shard": "x", "epoch": epoch})
    rig.run(100)
    rig.untold.clear()
    rig.until(lambda: "elections-dropped" in {kind for kind, _ in of(rig, other)})
    rig.until(lambda: is_kept(other))
    (told,) = [r for r in kept(rig) if r.kind == "elections-dropped"]
    assert told.detail == {"count": 3}
    rows = {row["epoch"] for row in history(rig).values() if row["shard"] == "x"}
    assert rows == {4, 5, 6, 7, 8}


def bounded(kept_max: int) -> Rig:
    limits = replace(Limits(), events_kept_max=kept_max)
    rig = Rig(("n1", "n2"), shards=(), group="global", seeds=SEEDS, limits=limits)
    rig.until(lambda: all(leader(rig, shard) for shard in ("a", "b", SYSTEM)))
    rig.run(3_000)
    return rig


def test_the_newest_are_kept_and_the_others_are_counted() -> None:
    rig = bounded(20)
    rows = scan(rig, "history")
    elected = [r for r in kept(rig) if r.kind == "elected"]
    assert len(elected) == len(rows) - 1 > 2
    _, other = reporter_of(rig)
    for _ in range(6):
        happen(other, 10)
        rig.until(lambda: is_kept(other))
    rig.run(500)
    records = kept(rig)
    state = scan(rig, PARTITION)
    head = read_event_head(state[HEAD_KEY])
    assert 18 <= len(records) <= 20
    assert all(record.kind == "stuck" for record in records)
    hours = [read_counts(data) for key, data in state.items() if key.startswith(HOURS_PREFIX)]
    counted = sum(hours, Counter())
    assert counted.total() == head.first - 1
    assert counted["elected", "global"] == len(elected)
    assert counted["stuck", "global"] == 60 - len(records)
    assert head.recorded_ms > 0
    # The history is as bounded, and what it goes on behind is known.
    assert list(scan(rig, "history")) == ["{history}/head"]
    assert head.row == elected[-1].detail["row"] == rows["{history}/head"].decode()


def test_the_mark_of_a_process_goes_with_its_last_event() -> None:
    rig = bounded(20)
    first, other = reporter_of(rig)
    happen(other, 1)
    rig.until(lambda: is_kept(other))
    assert MARKS_PREFIX + other.plan.process in scan(rig, PARTITION)
    for _ in range(4):
        happen(first, 10)
        rig.until(lambda: is_kept(first))
    rig.run(500)
    found = scan(rig, PARTITION)
    assert MARKS_PREFIX + other.plan.process not in found
    assert MARKS_PREFIX + first.plan.process in found
    happen(other, 1)
    rig.until(lambda: is_kept(other))
    assert kept(rig)[-1].process == other.plan.process


def test_the_next_leader_goes_on_where_the_last_one_was() -> None:
    rig = fleet("n1", "n2", "n3")
    rig.run(3_000)
    first, other = reporter_of(rig)
    happen(other, 3)
    rig.until(lambda: is_kept(other))
    before = kept(rig)
    del rig.seats[first.plan.node]
    rig.until(lambda: leader(rig, SYSTEM) is not None)
    happen(other, 2)
    rig.until(lambda: is_kept(other))
    rig.run(2_000)
    after = kept(rig)
    assert after[: len(before)] == before
    numbers = [number for _, number in of(rig, other)]
    assert numbers == sorted(set(numbers))


def test_the_next_leader_says_what_is_kept_to_who_was_not_told() -> None:
    rig = fleet("n1", "n2", "n3")
    rig.run(3_000)
    first, other = reporter_of(rig)
    rig.untold.add(other.plan.node)
    happen(other, 2)
    rig.until(lambda: [kind for kind, _ in of(rig, other)].count("stuck") == 2)
    assert not is_kept(other)
    del rig.seats[first.plan.node]
    rig.untold.clear()
    rig.until(lambda: leader(rig, SYSTEM) is not None)
    rig.until(lambda: is_kept(other))
    assert [kind for kind, _ in of(rig, other)].count("stuck") == 2


def test_a_state_that_cannot_be_read_stops_events_and_nothing_else() -> None:
    rig = fleet("n1", "n2", "n3")
    rig.run(3_000)
    first, other = reporter_of(rig)
    number = first.ask(Write(SYSTEM, (Put(PARTITION, HEAD_KEY, b"\xc1"),)))
    rig.until(lambda: number in first.answers)
    assert isinstance(first.answers[number], Written)
    del rig.seats[first.plan.node]
    rig.until(lambda: leader(rig, SYSTEM) is not None)
    rig.run(3_000)
    second = leader(rig, SYSTEM)
    assert second is not None
    assert "events-unreadable" in second.kinds(SYSTEM)
    other.node.duties.opened({"shard": "x", "epoch": 7})
    rig.until(lambda: ("x", 7) in {(r["shard"], r["epoch"]) for r in history(rig).values()})


def test_reports_that_are_no_reports_are_left_alone() -> None:
    rig = fleet()
    seat = leader(rig, SYSTEM)
    assert seat is not None
    rig.run(3_000)
    before = kept(rig)
    for rows in (None, 7, ["x"], [[1, "stuck"]], [[0, "stuck", "a", "g", 0, 0, {}]]):
        message = {"process": "p", "region": "eu", "rows": rows}
        seat.node.duties.events.heard("somebody", message)
    for process in (None, 7, "p" * 300):
        rows = [[1, "stuck", "a", "g", 0, 0, {}]]
        message = {"process": process, "region": "eu", "rows": rows}
        seat.node.duties.events.heard("somebody", message)
    for process, upto in ((None, 1), (seat.plan.process, None), (seat.plan.process, "x")):
        seat.node.duties.outbox.kept(process, upto)
    rig.run(500)
    assert kept(rig) == before
    assert seat.serves(SYSTEM)


def test_a_process_that_is_stopped_waits_a_moment_for_what_it_reported() -> None:
    rig = fleet()
    rig.run(3_000)
    _, other = reporter_of(rig)
    rig.untold.add(other.plan.node)
    happen(other, 1)
    now_ms = rig.now_ms
    assert other.node.duties.waits_to_be_kept(now_ms)
    assert not other.node.duties.waits_to_be_kept(now_ms + 1_000)
    rig.untold.clear()
    rig.until(lambda: is_kept(other))
    assert not other.node.duties.waits_to_be_kept(now_ms)


def test_a_tenure_says_for_how_long_nobody_led_before_it() -> None:
    rig = fleet("n1", "n2", "n3")
    first = leader(rig, "a")
    assert first is not None
    rig.run(1_500)
    del rig.seats[first.plan.node]
    rig.until(lambda: leader(rig, "a") is not None)
    rig.run(500)
    lines = [unpack(line) for _, line in rig.do("s1", "history", "a")[1]]
    assert (lines[0]["cause"], lines[0]["unled_ms"]) == ("first", None)
    assert lines[-1]["cause"] == "unplanned"
    assert 0 < lines[-1]["unled_ms"] <= 5 * rig.ttl_ms
