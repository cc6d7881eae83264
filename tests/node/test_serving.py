"""Requests at a leader: conditions, retries, limits, and what is said when time is up."""

from dataclasses import replace
from typing import Any

import pytest

from controlplane.node_plan import Limits
from controlplane.requests import (
    Compare,
    Delete,
    Found,
    History,
    Outcome,
    Problem,
    Put,
    Read,
    Refused,
    Scan,
    Scanned,
    Tenures,
    Write,
    Written,
)
from shards.leadership import State
from tests.node.rig import Rig, Seat


def led_rig(*nodes: str, ttl_ms: int = 1_000) -> tuple[Rig, Seat]:
    """A fleet whose first node leads shard `a`."""
    rig = Rig(nodes or ("n1",), ttl_ms=ttl_ms)
    seat = rig.seats["n1"]
    rig.until(lambda: seat.serves("a"))
    rig.run(ttl_ms)
    return rig, seat


def limit(seat: Seat, **limits: int) -> None:
    seat.node.plan = replace(seat.node.plan, limits=replace(Limits(), **limits))


def write(key: str, value: bytes | None = b"v", *compares: tuple[str, int], **more: Any) -> Write:
    change = Delete("p", key) if value is None else Put("p", key, value)
    return Write("a", (change,), tuple(Compare(k, v) for k, v in compares), **more)


def answered(rig: Rig, seat: Seat, request: Any) -> Outcome:
    number = seat.ask(request)
    rig.until(lambda: number in seat.answers)
    return seat.answers[number]


def problem(outcome: Outcome) -> Problem | None:
    return outcome.problem if isinstance(outcome, Refused) else None


def test_nobody_hears_of_a_version_that_is_not_committed() -> None:
    rig, n1 = led_rig()
    rig.mute("n1", "s2", "s3")
    put = n1.put("a", "k")
    cas = n1.ask(write("k", b"w", ("k", 0)))
    rig.run(rig.step_ms)
    assert (put in n1.answers, cas in n1.answers) == (False, False)
    rig.let("n1", "s2", "s3")
    rig.until(lambda: cas in n1.answers)
    first, second = n1.answers[put], n1.answers[cas]
    assert isinstance(first, Written)
    assert isinstance(second, Refused)
    assert (second.problem, second.version) == (Problem.PRECONDITION_FAILED, first.position)


def test_a_write_is_acknowledged_when_a_majority_has_it() -> None:
    rig, n1 = led_rig()
    rig.mute("n1", "s2", "s3")
    number = n1.put("a", "k")
    rig.run(50)
    assert number not in n1.answers
    rig.let("n1", "s2")
    rig.run(5)
    assert n1.answers[number] == Written("a", 1, 2)


def test_conditions_are_decided_on_what_is_committed_and_what_is_under_way() -> None:
    rig, n1 = led_rig()
    outcomes = [
        answered(rig, n1, request)
        for request in (
            write("k", b"1", ("k", 0)),
            write("k", b"2", ("k", 0)),
            write("k", b"2", ("k", 2)),
            write("l", b"1", ("k", -1), ("l", 0)),
            write("k", None, ("k", 3)),
            write("k", b"9", ("k", -1)),
        )
    ]
    assert [problem(outcome) for outcome in outcomes] == [
        None, Problem.PRECONDITION_FAILED, None, None, None, Problem.PRECONDITION_FAILED,
    ]  # fmt: skip
    assert [outcome.version for outcome in outcomes if isinstance(outcome, Refused)] == [2, 0]
    first, second = n1.ask(write("m", b"1", ("m", 0))), n1.ask(write("m", b"2", ("m", 0)))
    rig.run(20)
    assert {problem(n1.answers[first]), problem(n1.answers[second])} == {
        None, Problem.PRECONDITION_FAILED,
    }  # fmt: skip


def test_a_retry_gets_the_first_outcome_also_while_it_is_under_way() -> None:
    rig, n1 = led_rig()
    once = write("k", b"1", op_id="o", digest="d")
    rig.mute("n1", "s2", "s3")
    numbers = [n1.ask(once), n1.ask(once)]
    rig.run(50)
    rig.let("n1", "s2", "s3")
    rig.run(50)
    numbers.append(n1.ask(once))
    rig.run(20)
    assert [n1.answers[number] for number in numbers] == [
        Written("a", 1, 2), Written("a", 1, 2, True), Written("a", 1, 2, True),
    ]  # fmt: skip
    other = replace(once, digest="another body")
    assert problem(answered(rig, n1, other)) is Problem.IDEMPOTENCY_MISMATCH


def test_a_condition_that_failed_under_an_id_fails_again() -> None:
    rig, n1 = led_rig()
    cas = write("k", b"1", ("k", 7), op_id="o", digest="d")
    assert problem(answered(rig, n1, cas)) is Problem.PRECONDITION_FAILED
    assert isinstance(answered(rig, n1, write("k")), Written)
    again = answered(rig, n1, cas)
    assert isinstance(again, Refused)
    assert (again.problem, again.version) == (Problem.PRECONDITION_FAILED, 0)


def test_what_is_too_large_or_too_much_is_refused() -> None:
    rig, n1 = led_rig()
    limit(n1, value_bytes_max=10)
    assert problem(answered(rig, n1, write("k", bytes(11)))) is Problem.TOO_LARGE
    assert isinstance(answered(rig, n1, write("k", bytes(10))), Written)
    rig.run(50)
    limit(n1, shard_bytes_max=1)
    assert problem(answered(rig, n1, write("l"))) is Problem.QUOTA_EXCEEDED
    assert isinstance(answered(rig, n1, write("k", None)), Written)  # deletions make room
    limit(n1, pending_writes_max=1)
    rig.mute("n1", *rig.stores)
    n1.ask(write("x"))
    second = n1.ask(write("y"))
    rig.run(5)
    assert problem(n1.answers[second]) is Problem.OVERLOADED


def test_without_a_majority_a_write_is_refused_before_the_lease_ends() -> None:
    rig, n1 = led_rig()
    rig.disconnect("n1", "s1")
    rig.disconnect("n1", "s2")
    rig.run(5)
    assert n1.serves("a")
    assert problem(answered(rig, n1, write("k"))) is Problem.NO_QUORUM


def test_a_leader_that_is_not_renewed_takes_no_writes_while_it_still_reads() -> None:
    rig, n1 = led_rig()
    for store in rig.stores.values():
        for session in store.state.groups["g"].sessions.values():
            session.counter = 10**9  # every renewal is refused as stale
    rig.run(rig.ttl_ms * 8 // 10)
    assert n1.serves("a")
    assert problem(answered(rig, n1, write("k"))) is Problem.NO_QUORUM
    assert isinstance(answered(rig, n1, Read("a", ("k",))), Found)


def test_what_was_sent_and_not_confirmed_in_time_is_unknown() -> None:
    rig, n1 = led_rig(ttl_ms=20_000)
    rig.mute("n1", *rig.stores)
    number = n1.put("a", "k")
    rig.run(5_100)
    assert problem(n1.answers[number]) is Problem.UNKNOWN_OUTCOME
    rig.let("n1", *rig.stores)
    rig.run(100)
    assert rig.log("s1").data.kv  # it has happened, and nobody was told that it had not


@pytest.mark.parametrize("wait", ["lookup", "election"])
def test_what_was_refused_because_time_was_up_does_not_happen_later(wait: str) -> None:
    rig, n1 = led_rig(ttl_ms=20_000)
    if wait == "election":
        n1.led("a").end("resigned", rig.now_ms)
        rig.step_until(n1, lambda: "a" in n1.group.led and n1.led("a").state is State.RECOVERING)
    rig.mute("n1", *rig.stores)
    number = n1.ask(write("k", op_id="o" if wait == "lookup" else "", digest="d"))
    rig.run(5_100)
    assert problem(n1.answers[number]) is Problem.NO_QUORUM
    rig.let("n1", *rig.stores)
    rig.until(lambda: n1.serves("a"))
    rig.run(1_000)
    assert not rig.log("s1").data.kv


def test_what_waits_for_an_election_is_answered_though_it_is_lost() -> None:
    rig, n1 = led_rig("n1", "n2")
    n1.led("a").end("resigned", rig.now_ms)
    rig.step_until(n1, lambda: "a" in n1.group.led)
    number = n1.put("a", "k")
    rig.turn(n1)
    n1.led("a").end("lost", rig.now_ms)
    rig.until(lambda: number in n1.answers, ms_max=5 * rig.ttl_ms)
    assert problem(n1.answers[number]) in (None, Problem.NO_LEADER, Problem.NOT_LEADER)


def test_writes_under_way_when_a_leadership_ends_have_an_unknown_outcome() -> None:
    rig, n1 = led_rig()
    rig.mute("n1", *rig.stores)
    number = n1.put("a", "k")
    rig.run(5)
    n1.led("a").end("resigned", rig.now_ms)
    rig.run(5)
    assert problem(n1.answers[number]) is Problem.UNKNOWN_OUTCOME
    assert n1.node.serving.pending_writes == 0


def test_a_scan_is_in_order_and_says_whether_there_is_more() -> None:
    rig, n1 = led_rig()
    for key in ("b", "a", "c"):
        answered(rig, n1, write(key))
    found = answered(rig, n1, Scan("a", "p", limit=2))
    assert isinstance(found, Scanned)
    assert ([key for key, _ in found.items], found.more) == (["a", "b"], True)
    rest = answered(rig, n1, Scan("a", "p", after="b"))
    assert isinstance(rest, Scanned)
    assert ([key for key, _ in rest.items], rest.more) == (["c"], False)


def test_a_lost_lane_moves_a_read_to_another_store() -> None:
    rig, n1 = led_rig()
    answered(rig, n1, write("k"))
    rig.run(50)
    rig.mute("n1", "s1")
    number = n1.get("a", "k")
    rig.run(5)
    assert number not in n1.answers
    rig.disconnect("n1", "s1")
    rig.run(5)
    assert isinstance(n1.answers[number], Found)


def test_history_tells_who_led_and_why_it_ended() -> None:
    rig, n1 = led_rig("n1", "n2")
    n1.led("a").end("resigned", rig.now_ms)
    rig.until(lambda: n1.serves("a") or rig.seats["n2"].serves("a"))
    rig.run(200)
    found = answered(rig, n1, History("a"))
    assert isinstance(found, Tenures)
    assert [row["epoch"] for row in found.records] == [1, 2]
    assert found.records[0]["node"] == "n1"
    assert found.records[1]["ended"] == "vacant"


def test_unknown_shards_are_unknown() -> None:
    rig, n1 = led_rig()
    assert problem(answered(rig, n1, Read("nowhere", ("k",)))) is Problem.UNKNOWN_SHARD


def test_ids_are_forgotten_at_the_stores_while_the_shard_goes_on() -> None:
    rig, n1 = led_rig()
    limit(n1, id_memory_ms=5_000)
    number = n1.put("a", "x", op_id="once")
    rig.run(5_000)
    assert isinstance(n1.answers[number], Written)
    later = n1.put("a", "x", op_id="later")
    rig.run(20_000)
    assert isinstance(n1.answers[later], Written)
    last = n1.put("a", "y")
    rig.run(300)
    assert isinstance(n1.answers[last], Written)
    for store in rig.stores:
        assert rig.do(store, "read", "a", "", 0, [], ["once"])[-1] == [False]
    assert len(n1.kinds("a")) == 1, "elected once"


def test_a_store_that_finds_appends_malformed_is_asked_again_after_a_rest_and_named() -> None:
    rig, n1 = led_rig("n1", ttl_ms=1_000)
    spoilt: list[int] = []

    def spoil(store: str, commands: list[list[Any]]) -> None:
        for command in commands:
            if store == "s3" and command[0] == "append" and command[3] == "a":
                command[6] = "no number"
                spoilt.append(rig.now_ms)

    rig.on_call = spoil
    number = n1.put("a", "x")
    rig.run(11_000)
    assert isinstance(n1.answers[number], Written), "two stores are enough"
    assert 2 <= len(spoilt) <= 4
    assert {e.detail["store"] for e in n1.happened if e.kind == "append-malformed"} == {"s3"}
    rig.on_call = lambda store, commands: None
    rig.until(lambda: rig.log("s3").cm == rig.log("s1").cm)
