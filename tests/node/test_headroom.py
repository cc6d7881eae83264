"""Stores that run full: warned of, spared, never fed what they cannot take, and well again."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.machine import Headroom
from controlplane.node.headroom import Level, judged
from controlplane.node.outgoing import LAZY_MS
from controlplane.requests import Delete, Found, Outcome, Problem, Read, Refused, Write, Written
from regions.codec import Reply
from regions.scripts.model import StoreModel
from shards.leadership import State
from tests.node.rig import Rig, Seat

MIB = 1 << 20
FLOOR = 64 * MIB


def led_rig(*nodes: str, **shape: int) -> tuple[Rig, Seat]:
    rig = Rig(nodes or ("n1",), **shape)  # type: ignore[arg-type]
    seat = rig.seats["n1"]
    rig.until(lambda: seat.serves("a") and all(rig.is_fresh(store)[0] for store in rig.stores))
    return rig, seat


def memory(seat: Seat, percent: float, *stores: str) -> None:
    """The driver saw so much memory in use at these stores."""
    for store in stores:
        seat.inbox.append(Headroom(store, int(percent * 1_000), 100_000, None, None))
    seat.rig.run(20)


def disk(seat: Seat, free_mib: int, *stores: str) -> None:
    for store in stores:
        seat.inbox.append(Headroom(store, 0, 0, free_mib * MIB, 1_000 * MIB))
    seat.rig.run(20)


def answer(rig: Rig, seat: Seat, number: int) -> Outcome:
    rig.until(lambda: number in seat.answers)
    return seat.answers[number]


def put(rig: Rig, seat: Seat, key: str, size: int = 100) -> Outcome:
    return answer(rig, seat, seat.put("a", key, bytes(size)))


def delete(rig: Rig, seat: Seat, key: str) -> Outcome:
    return answer(rig, seat, seat.ask(Write("a", (Delete("p", key),))))


def keys_at(rig: Rig, store: str) -> set[str]:
    return set(rig.log(store).data.kv)


def problem(outcome: Outcome) -> Problem | None:
    return outcome.problem if isinstance(outcome, Refused) else None


@pytest.mark.parametrize(
    ("used", "before", "level"),
    [
        (79, Level.ROOMY, Level.ROOMY),
        (80, Level.ROOMY, Level.LOW),
        (79, Level.LOW, Level.LOW),
        (77, Level.LOW, Level.ROOMY),
        (95, Level.LOW, Level.FULL),
        (94, Level.FULL, Level.FULL),
        (92, Level.FULL, Level.LOW),
        (200, Level.ROOMY, Level.FULL),
    ],
)
def test_memory_is_judged_with_some_ease_on_the_way_back(
    used: int, before: Level, level: Level
) -> None:
    assert judged(Headroom("s", used, 100, None, None), before, FLOOR).level is level


@pytest.mark.parametrize(
    ("free_mib", "before", "level"),
    [
        (256, Level.ROOMY, Level.ROOMY),
        (255, Level.ROOMY, Level.LOW),
        (64, Level.ROOMY, Level.LOW),
        (63, Level.ROOMY, Level.FULL),
        (64, Level.FULL, Level.FULL),
        (66, Level.FULL, Level.LOW),
        (31, Level.FULL, Level.CLOSED),
        (33, Level.CLOSED, Level.FULL),
    ],
)
def test_a_disk_is_judged_by_what_is_free(free_mib: int, before: Level, level: Level) -> None:
    seen = Headroom("s", 99, 0, free_mib * MIB, 1_000 * MIB)
    assert judged(seen, before, FLOOR).level is level


def test_a_warning_is_given_once_and_shown_as_long_as_it_holds() -> None:
    rig, n1 = led_rig()
    for percent in (81, 83, 82):
        memory(n1, percent, "s2")
    warnings = [e for e in n1.happened if e.kind == "low-headroom"]
    assert [e.detail["store"] for e in warnings] == ["s2"]
    shown = {s.store: (s.state, s.why) for s in n1.node.fleet(rig.now_ms).stores}
    assert shown["s2"] == ("up", "memory 82 % of 0.1 MiB")
    assert shown["s1"] == ("up", "")
    memory(n1, 50, "s2")
    assert [e.kind for e in n1.happened][-1] == "headroom-restored"
    assert {s.why for s in n1.node.fleet(rig.now_ms).stores} == {""}


def test_one_full_store_is_spared_and_comes_back_by_itself() -> None:
    rig, n1 = led_rig()
    assert isinstance(put(rig, n1, "before"), Written)
    rig.run(200)
    memory(n1, 96, "s3")
    assert isinstance(put(rig, n1, "during"), Written)
    assert isinstance(put(rig, n1, "more"), Written)
    rig.run(2 * rig.ttl_ms)
    assert keys_at(rig, "s3") == {"before"}
    assert not rig.is_fresh("s3")[0]
    assert n1.serves("a")
    memory(n1, 60, "s3")
    rig.until(lambda: keys_at(rig, "s3") == {"before", "during", "more"})
    rig.until(lambda: rig.is_fresh("s3")[0])


def test_a_full_store_takes_what_does_not_make_its_copy_larger() -> None:
    rig, n1 = led_rig()
    for key in ("x", "y"):
        put(rig, n1, key)
    rig.run(200)
    memory(n1, 96, "s3")
    assert isinstance(delete(rig, n1, "x"), Written)
    rig.until(lambda: keys_at(rig, "s3") == {"y"})


def test_growth_is_refused_while_fewer_than_a_majority_has_room() -> None:
    rig, n1 = led_rig()
    for key in ("x", "y"):
        put(rig, n1, key)
    memory(n1, 96, "s2")
    assert [group.full for group in n1.node.fleet(rig.now_ms).groups] == [""], "a majority has room"
    memory(n1, 96, "s3")
    (group,) = n1.node.fleet(rig.now_ms).groups
    assert "s2: memory 96 %" in group.full
    assert "s3: memory 96 %" in group.full
    refused = put(rig, n1, "z")
    assert isinstance(refused, Refused)
    assert refused.problem is Problem.STORE_FULL
    assert refused.detail == "s2: memory 96 % of 0.1 MiB; s3: memory 96 % of 0.1 MiB"
    assert isinstance(delete(rig, n1, "x"), Written)
    read = answer(rig, n1, n1.ask(Read("a", ("y",))))
    assert isinstance(read, Found)
    memory(n1, 50, "s2")
    assert isinstance(put(rig, n1, "z"), Written)
    assert [group.full for group in n1.node.fleet(rig.now_ms).groups] == [""]
    memory(n1, 50, "s3")
    rig.until(lambda: all(keys_at(rig, s) == {"y", "z"} for s in rig.stores))


def test_a_store_that_cannot_be_reached_has_no_room_for_anybody() -> None:
    rig, n1 = led_rig()
    memory(n1, 96, "s2")
    rig.disconnect("n1", "s3")
    rig.run(20)
    assert problem(put(rig, n1, "x")) is Problem.STORE_FULL
    rig.connect("n1", "s3")
    rig.run(20)
    assert isinstance(put(rig, n1, "x"), Written)


def test_a_disk_below_half_of_the_floor_gets_nothing_and_stays_led() -> None:
    rig, n1 = led_rig()
    put(rig, n1, "x")
    disk(n1, 20, "s2", "s3")
    sizes = {store: rig.log(store).ts for store in rig.stores}
    assert problem(put(rig, n1, "y")) is Problem.STORE_FULL
    assert problem(delete(rig, n1, "x")) is Problem.STORE_FULL
    rig.run(3 * rig.ttl_ms)
    assert n1.serves("a")
    assert {store: rig.log(store).ts for store in rig.stores} == sizes
    disk(n1, 40, "s2", "s3")
    assert problem(put(rig, n1, "y")) is Problem.STORE_FULL
    assert isinstance(delete(rig, n1, "x"), Written)


class Full:
    """A store that declines calls with entries, as a server without memory does."""

    def __init__(self, twin: StoreModel) -> None:
        self.twin = twin
        self.state = twin.state
        self.declined = 0

    def call(self, header: list[Any], commands: list[list[Any]]) -> Reply:
        if any(command[0] == "append" and command[9] for command in commands):
            self.declined += 1
            return Reply("OOM", "", "", "", 0, [])
        return self.twin.call(header, commands)


def fill(rig: Rig, *stores: str) -> list[Full]:
    full = [Full(rig.stores[store]) for store in stores]
    rig.stores |= dict(zip(stores, full, strict=True))  # type: ignore[arg-type]
    return full


def test_a_store_that_declines_is_left_alone_for_a_while_and_tried_again() -> None:
    rig, n1 = led_rig()
    (full,) = fill(rig, "s3")
    epoch = n1.led("a").epoch
    for number in range(20):
        assert isinstance(put(rig, n1, f"k{number}"), Written)
        rig.run(50)
    assert 1 <= full.declined <= 4, "a declining store is not asked again at once"
    assert not rig.is_fresh("s3")[0]
    assert "memory is full" in n1.node.fleet(rig.now_ms).stores[2].why
    rig.stores["s3"] = full.twin
    rig.until(lambda: rig.is_fresh("s3")[0])
    assert len(keys_at(rig, "s3")) == 20
    assert n1.led("a").epoch == epoch


def test_a_majority_that_declines_ends_no_leadership() -> None:
    rig, n1 = led_rig()
    full = fill(rig, "s2", "s3")
    leadership = n1.led("a")
    asked = n1.put("a", "x")
    rig.run(4 * rig.ttl_ms)
    assert leadership.state is State.LEADING
    assert n1.serves("a")
    assert asked not in n1.answers or problem(n1.answers[asked]) is Problem.UNKNOWN_OUTCOME
    for store in full:
        rig.stores[store.twin.state.store_id] = store.twin
    rig.until(lambda: all(keys_at(rig, s) == {"x"} for s in rig.stores))
    assert leadership.epoch == n1.led("a").epoch


def test_no_renewal_vouches_for_entries_that_were_declined_on_the_way() -> None:
    """The declined call and the renewal behind it are both under way when somebody reads."""
    rig, n1 = led_rig()
    put(rig, n1, "x")
    rig.run(200)
    assert rig.is_fresh("s3")[0]
    n1.wires["s3"].muted = True  # what s3 answers is not known to the leader
    (full,) = fill(rig, "s3")
    assert isinstance(put(rig, n1, "lost on the way"), Written)
    assert full.declined
    rig.stores["s3"] = full.twin
    assert_not_vouched_for(rig, n1, "lost on the way")


def test_no_renewal_vouches_for_a_commit_index_that_was_declined_on_the_way() -> None:
    """It was in one call with entries of another shard, and the store has the entry itself."""
    rig = Rig(shards=("a", "b"))
    n1 = rig.seats["n1"]
    rig.until(lambda: n1.serves("a") and n1.serves("b"))
    put(rig, n1, "x")
    n1.put("b", "x")
    rig.run(2 * rig.ttl_ms)
    assert rig.is_fresh("s3")[0]
    n1.wires["s3"].muted = True
    assert isinstance(put(rig, n1, "not known to be committed"), Written)
    (full,) = fill(rig, "s3")
    rig.now_ms += LAZY_MS  # so that the commit index is due with the entry of b
    n1.put("b", "in the way")
    log = n1.led("a").log
    assert log is not None
    rig.step_until(n1, lambda: log.followers[2].commit_sent == log.commit and full.declined > 0)
    rig.stores["s3"] = full.twin
    assert rig.log("s3").ts == rig.log("s1").ts
    assert_not_vouched_for(rig, n1, "not known to be committed")


def assert_not_vouched_for(rig: Rig, n1: Seat, key: str) -> None:
    """After its next renewal s3 has the key or calls nothing fresh; in the end it has it."""
    renewals = renewals_at(rig, "s3")
    rig.until(lambda: renewals_at(rig, "s3") > renewals, rig.ttl_ms)
    assert key in keys_at(rig, "s3") or not rig.is_fresh("s3")[0]
    rig.let("n1", "s3")
    rig.until(lambda: rig.is_fresh("s3")[0] and key in keys_at(rig, "s3"))


def renewals_at(rig: Rig, store: str) -> int:
    """The counter of the only session."""
    (session,) = rig.stores[store].state.groups["g"].sessions.values()
    return session.counter


def test_a_shard_near_its_quota_is_warned_of_once() -> None:
    rig, n1 = led_rig()
    object.__setattr__(n1.plan.limits, "shard_bytes_max", 10_000)
    for number in range(9):
        put(rig, n1, f"k{number}", 1_000)
    warnings = [e for e in n1.happened if e.kind == "low-headroom"]
    assert [(e.shard, e.detail["max_bytes"]) for e in warnings] == [("a", 10_000)]
    for key in ("k9", "k10"):
        assert problem(put(rig, n1, key, 1_000)) is None  # its size is known an answer later
    assert problem(put(rig, n1, "k11", 1_000)) is Problem.QUOTA_EXCEEDED
    assert len([e for e in n1.happened if e.kind == "low-headroom"]) == 1
