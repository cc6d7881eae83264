"""What a node counts of its own health, and what the global leader is told of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from config.gate_history import KEPT_MS
from config.gate_samples import BUCKETS, Sample, Totals
from config.rollout import Pause, Phase, Rollout, Why
from config.rollout_record import packed, rollout_key
from config.strategy import Strategy
from controlplane.node.following import SYSTEM
from controlplane.node.health import HURRIED_MS, REPEAT_MS, Health
from controlplane.node.load_reports import REPORT_EVERY_MS
from controlplane.requests import (
    Found,
    Outcome,
    Problem,
    Provenance,
    Put,
    Read,
    Refused,
    Request,
    Role,
    Write,
    Written,
)
from shards.key_in_slot import key_in_slot
from tests.node.rig import Rig, Seat
from tests.node.test_global_leader import fleet, leader
from tests.node.test_load_reports import gathered, global_leader

WRITE, READ = Write("a", ()), Read("a", ("k",))
DONE = Written("a", 1, 2)


def newest(seat: Seat, now_ms: int) -> Sample:
    """The node's counters as they are now."""
    seat.node.health.look(now_ms)
    row = seat.node.health.told(("nobody", now_ms), now_ms)[1][-1]
    return Sample(now_ms - row[0], row[1], *row[2:7], tuple(row[7]))


@pytest.fixture
def counted() -> Any:
    """Count one answer after so many milliseconds; gives requests, errors and latency."""
    rig = fleet("n1")
    seat = rig.seats["n1"]
    health: Health = seat.node.health

    def count(request: Request, outcome: Outcome, took_ms: int) -> tuple[int, int, tuple[int, ...]]:
        before = newest(seat, rig.now_ms)
        health.answered(request, outcome, seat.node.now_ms - took_ms)
        after = newest(seat, rig.now_ms)
        length = len(after.latency)
        was = before.latency + (0,) * (length - len(before.latency))
        grown = tuple(a - b for a, b in zip(after.latency, was, strict=True))
        return after.requests - before.requests, after.errors - before.errors, grown

    return count


@pytest.mark.parametrize(
    ("problem", "requests", "errors"),
    [
        (Problem.NO_LEADER, 1, 1),
        (Problem.NO_QUORUM, 1, 1),
        (Problem.OVERLOADED, 1, 1),
        (Problem.STORE_FULL, 1, 1),
        (Problem.UNKNOWN_OUTCOME, 1, 1),
        (Problem.PRECONDITION_FAILED, 1, 0),
        (Problem.INVALID, 1, 0),
        (Problem.NOT_LEADER, 0, 0),  # another node answers it, and counts it
        (Problem.STALE, 0, 0),
    ],
)
def test_what_a_client_cannot_help_is_an_error(
    counted: Any, problem: Problem, requests: int, errors: int
) -> None:
    assert counted(WRITE, Refused(problem, "why"), 0)[:2] == (requests, errors)


@pytest.mark.parametrize(
    ("took_ms", "bucket"),
    [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (1_000, 10), (10**9, BUCKETS - 1)],
)
def test_what_requests_took_is_counted_in_powers_of_two(
    counted: Any, took_ms: int, bucket: int
) -> None:
    assert counted(WRITE, DONE, took_ms) == (1, 0, (*(0,) * bucket, 1))


def test_what_nodes_ask_of_the_system_shard_and_of_each_other_is_no_request(counted: Any) -> None:
    where = Provenance("a", 1, 1, None, Role.LEADER, "s1")
    read = Found((), where)
    assert counted(Write(SYSTEM, ()), DONE, 0)[0] == 0
    assert counted(Read("a", (key_in_slot(5),)), read, 0)[0] == 0
    assert counted(READ, read, 0)[0] == 1
    assert counted(Read("a", ()), read, 0)[0] == 1


def put_all(rig: Rig, seat: Seat, count: int) -> None:
    for _ in range(count):
        number = seat.ask(Write("a", (Put("p", "k", b"v"),)))
        rig.until(lambda number=number: number in seat.answers)


def totals(rig: Rig, since_ms: int) -> Totals:
    found = gathered(rig).health.totals(since_ms, rig.now_ms)
    return found.get("eu", Totals())


def test_the_global_leader_is_told_what_nodes_count() -> None:
    rig = fleet("n1", "n2", "n3")
    began_ms = rig.now_ms
    shard_leader = leader(rig, "a")
    assert shard_leader is not None
    put_all(rig, shard_leader, 30)
    rig.run(2 * REPORT_EVERY_MS)
    found = totals(rig, began_ms - KEPT_MS)
    assert (found.requests, found.errors, sum(found.latency)) == (30, 0, 30)
    assert (found.lag, found.failovers) == (0, 0)
    assert gathered(rig).health.heard(began_ms, rig.now_ms) == {
        "eu": {name: f"{name}-1" for name in ("n1", "n2", "n3")}
    }


def test_the_next_global_leader_knows_how_it_was_before_it_led() -> None:
    rig = fleet("n1", "n2", "n3")
    rig.step_ms = 50
    for seat in rig.seats.values():
        seat.node.health.answered(WRITE, DONE, rig.now_ms)
    rig.run(3 * REPORT_EVERY_MS)
    before_ms = rig.now_ms
    gone = global_leader(rig)
    gone.asleep = True
    rig.until(lambda: leader(rig, SYSTEM) not in (None, gone))
    rig.run(2 * REPORT_EVERY_MS)
    known = gathered(rig).health
    living = {name for name, seat in rig.seats.items() if seat is not gone}
    assert known.totals(before_ms - KEPT_MS, before_ms)["eu"].requests == len(living)
    assert known.heard(before_ms - 2 * REPORT_EVERY_MS, before_ms) == {
        "eu": {name: f"{name}-1" for name in living}
    }


def test_a_leadership_taken_over_from_a_silent_node_counts_for_the_region_of_that() -> None:
    rig = fleet("n1", "n2", "n3")
    rig.step_ms = 50
    rig.run(REPORT_EVERY_MS)
    since_ms = rig.now_ms
    gone = leader(rig, "a")
    assert gone is not None
    led = sum(gone.serves(shard) for shard in ("a", "b", SYSTEM))
    gone.asleep = True
    rig.until(lambda: all(leader(rig, shard) not in (None, gone) for shard in ("a", "b", SYSTEM)))
    rig.run(2 * REPORT_EVERY_MS)
    assert totals(rig, since_ms).failovers == led


def test_stores_that_lack_entries_count_for_their_region_while_they_are_in_reach() -> None:
    rig = fleet("n1")
    seat = rig.seats["n1"]
    rig.run(REPORT_EVERY_MS)
    assert newest(seat, rig.now_ms).lags == {"eu": 0}
    rig.wire("n1", "s3").held = True
    put_all(rig, seat, 40)
    seat.node.health.look(rig.now_ms + REPORT_EVERY_MS)
    held = newest(seat, rig.now_ms + REPORT_EVERY_MS)
    assert 30 <= held.lags["eu"] <= 45
    rig.disconnect("n1", "s3")
    rig.run(rig.step_ms)
    assert newest(seat, rig.now_ms + 2 * REPORT_EVERY_MS).lags == {"eu": 0}


def health_messages(seat: Seat, kind: str) -> list[dict[str, Any]]:
    messages = [getattr(effect, "message", {}) for effect in seat.effects]
    return [message for message in messages if message.get("kind") == kind]


def test_samples_are_told_with_the_load_and_every_second_while_a_rollout_goes_on() -> None:
    rig = fleet("n1", "n2")
    rig.step_ms = 100
    other = next(s for s in rig.seats.values() if s is not global_leader(rig))
    rig.run(REPEAT_MS + 3 * REPORT_EVERY_MS)
    assert health_messages(other, "health") == []
    loads = health_messages(other, "load")
    whole = [message["health"][0] for message in loads]
    assert len(loads) >= REPEAT_MS // REPORT_EVERY_MS
    assert whole.count(True) == 2, "all of it at first, and now and then"
    assert all(len(message["health"][1]) == 1 for message in loads if not message["health"][0])
    for seat in rig.seats.values():
        seat.node.rollouts._on.add("one")
    rig.run(10 * HURRIED_MS)
    assert 9 <= len(health_messages(other, "health")) <= 12
    assert health_messages(other, "health")[-1]["region"] == "eu"


@pytest.mark.parametrize(
    ("phase", "pause", "goes_on"),
    [
        (Phase.BAKING, None, True),
        (Phase.ROLLING_BACK, None, True),
        (Phase.BAKING, Pause(Why.OPERATOR), False),
        (Phase.APPLYING, Pause(Why.FROZEN, until_ms=5), False),
        (Phase.STUCK, None, False),
        (Phase.SUCCEEDED, None, False),
    ],
)
def test_a_rollout_that_stands_still_is_not_told_for_every_second(
    phase: Phase, pause: Pause | None, goes_on: bool
) -> None:
    rig = fleet("n1")
    rollouts = rig.seats["n1"].node.rollouts
    record = Rollout(7, "flags", 2, "d", Strategy(), (), (), "ann", phase=phase, pause=pause)
    rollouts.put(rollout_key(7), packed(replace(record, phase=Phase.BAKING, pause=None)), 1)
    assert rollouts.is_any_on
    rollouts.put(rollout_key(7), packed(record), 2)
    assert rollouts.is_any_on is goes_on


@pytest.mark.parametrize(
    "health",
    [None, [], 5, [True], [True, 5], [1, []], [True, [[1, 2]]], [False, [None]], ["", []]],
)
def test_what_has_not_the_shape_of_it_is_ignored_and_the_rest_of_a_message_counts(
    health: Any,
) -> None:
    rig = fleet("n1", "n2")
    node = global_leader(rig).node
    message = {"region": "us", "behind": 0, "rows": [["a", 1, 2, 3, 4]], "trips": []}
    node.reports.heard("n9", message | {"health": health}, rig.now_ms)
    node.health.heard("n9", {"region": "us", "health": health}, rig.now_ms)
    assert gathered(rig).load.of("a")["us"].reads == 1
    assert gathered(rig).health.newest_ms("n9") is None


def test_a_message_of_an_older_release_says_nothing_of_health() -> None:
    rig = fleet("n1", "n2")
    node = global_leader(rig).node
    node.reports.heard("n9", {"region": "us", "behind": 0, "rows": [], "trips": []}, rig.now_ms)
    assert gathered(rig).health.newest_ms("n9") is None


def test_who_does_not_lead_gathers_nothing() -> None:
    rig = fleet("n1", "n2")
    other = next(s for s in rig.seats.values() if s is not global_leader(rig))
    row = Sample(rig.now_ms, "p").row(rig.now_ms)
    other.node.health.heard("n9", {"region": "us", "health": [True, [row]]}, rig.now_ms)
    assert other.node.reports.gathered is None
