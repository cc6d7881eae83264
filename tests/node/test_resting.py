"""Copies that rest: sent nothing, never vouched for in vain, and caught up when they are wanted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controlplane.node.resting import CopiesOf, CopyState, read_copies
from controlplane.requests import Consistency, Found, Problem, Read, Refused, Written
from shards.keyspace import SLOTS
from shards.resharding import Kind, Part, Phase, Resharding
from tests.node.rig import Rig, Seat

BOUNDED, ANY = Consistency.BOUNDED, Consistency.ANY


def followed_rig() -> tuple[Rig, Seat]:
    """Three stores that vote and `s4`, which follows; all have shard `a`."""
    rig = Rig(("n1",), followers=1)
    n1 = rig.seats["n1"]
    rig.until(lambda: n1.serves("a") and all(rig.is_fresh(store)[0] for store in rig.stores))
    return rig, n1


def say(rig: Rig, version: int, *, rests: bool) -> None:
    """A record of the system shard comes to every node."""
    put = CopiesOf("a", {"eu": CopyState(rests, 17)}).put()
    for seat in rig.seats.values():
        seat.node.resting.put(put.key, put.value, version)


def write(rig: Rig, seat: Seat, key: str) -> None:
    number = seat.put("a", key, bytes(100))
    rig.until(lambda: number in seat.answers)
    assert isinstance(seat.answers[number], Written)


def keys_at(rig: Rig, store: str) -> set[str]:
    return set(rig.log(store).data.kv)


def test_a_copy_that_rests_gets_nothing_and_is_not_vouched_for() -> None:
    rig, n1 = followed_rig()
    write(rig, n1, "before")
    rig.until(lambda: keys_at(rig, "s4") == {"before"})
    say(rig, 5, rests=True)
    write(rig, n1, "during")
    rig.run(2 * rig.ttl_ms)
    assert keys_at(rig, "s4") == {"before"}
    assert keys_at(rig, "s1") == keys_at(rig, "s2") == {"before", "during"}, "voters never rest"
    assert not rig.is_fresh("s4")[0]
    assert rig.grant("s4")[0] == n1.led("a").epoch, "it still knows who leads"


def test_a_copy_that_rests_is_fresh_as_long_as_nothing_is_written() -> None:
    rig, n1 = followed_rig()
    write(rig, n1, "before")
    rig.until(lambda: rig.is_fresh("s4")[0] and keys_at(rig, "s4") == {"before"})
    say(rig, 5, rests=True)
    rig.run(3 * rig.ttl_ms)
    assert rig.is_fresh("s4")[0]


@pytest.mark.parametrize("entries", [2, 400], ids=["entries", "a snapshot"])
def test_a_copy_that_is_wanted_again_is_caught_up(entries: int) -> None:
    rig, n1 = followed_rig()
    say(rig, 5, rests=True)
    for number in range(entries):
        write(rig, n1, f"k{number % 50}")
    rig.run(rig.ttl_ms)
    assert keys_at(rig, "s4") == set()
    say(rig, 6, rests=False)
    rig.until(lambda: keys_at(rig, "s4") == keys_at(rig, "s1"))
    rig.until(lambda: rig.is_fresh("s4")[0])


def reshard(rig: Rig, version: int, phase: Phase) -> None:
    """The shard is to go over into another, or that is over."""
    part = Part("a", rig.group, 0, SLOTS, ("eu",))
    found = Resharding(1, Kind.MOVE, (part,), (replace(part, shard="s01"),), phase, "", "", 0)
    for seat in rig.seats.values():
        seat.node.reshardings.put(found.key, found.packed(), version)


def test_no_copy_rests_of_a_shard_that_goes_over_into_another() -> None:
    rig, n1 = followed_rig()
    say(rig, 5, rests=True)
    write(rig, n1, "one")
    rig.run(rig.ttl_ms)
    assert keys_at(rig, "s4") == set()
    reshard(rig, 6, Phase.DRAFTING)
    rig.until(lambda: keys_at(rig, "s4") == {"one"})
    reshard(rig, 7, Phase.CANCELLED)
    write(rig, n1, "two")
    rig.run(rig.ttl_ms)
    assert keys_at(rig, "s4") == {"one"}


def test_a_leader_keeps_no_entries_for_a_copy_that_rests() -> None:
    rig, n1 = followed_rig()
    say(rig, 5, rests=True)
    for number in range(20):
        write(rig, n1, f"k{number}")
    rig.run(rig.ttl_ms)
    log = n1.led("a").log
    assert log is not None
    assert log.last.sequence - log.floor.sequence <= 4


def test_a_new_leader_lets_the_copy_rest_as_well() -> None:
    rig = Rig(("n1", "n2"), followers=1)
    n1, n2 = rig.seats["n1"], rig.seats["n2"]
    rig.until(lambda: n1.serves("a"))
    say(rig, 5, rests=True)
    write(rig, n1, "one")
    for store in rig.stores:
        rig.disconnect("n1", store)
        n1.wires[store].held = True
    rig.until(lambda: n2.serves("a"))
    write(rig, n2, "two")
    rig.run(rig.ttl_ms)
    assert keys_at(rig, "s4") == set()
    assert not rig.is_fresh("s4")[0]
    assert rig.grant("s4")[0] == n2.led("a").epoch


def reader_of_s4(rig: Rig) -> Seat:
    """A node that reaches no store but the one whose copy rests, and leads nothing."""
    seat = rig.seats["n2"]
    for store in ("s1", "s2", "s3"):
        rig.disconnect("n2", store)
    rig.run(5)
    return seat


def read(rig: Rig, seat: Seat, how: Consistency, **more: int) -> Found | Refused:
    number = seat.ask(Read("a", ("before",), how, **more))  # type: ignore[arg-type]
    rig.until(lambda: number in seat.answers)
    outcome = seat.answers[number]
    assert isinstance(outcome, Found | Refused)
    return outcome


def test_reads_are_never_answered_by_a_copy_that_rests_with_less_than_was_asked() -> None:
    rig = Rig(("n1", "n2"), followers=1)
    n1 = rig.seats["n1"]
    rig.until(lambda: n1.serves("a") and rig.is_fresh("s4")[0])
    write(rig, n1, "before")
    rig.run(rig.ttl_ms)
    n2 = reader_of_s4(rig)
    say(rig, 5, rests=True)
    for how in (BOUNDED, ANY):
        assert isinstance(read(rig, n2, how), Found), "nothing was written since"
    write(rig, n1, "during")
    rig.run(rig.ttl_ms)
    for how in (BOUNDED, ANY):
        refused = read(rig, n2, how)
        assert isinstance(refused, Refused)
        assert refused.problem is Problem.STALE, "the edge goes to the leader then"
        assert refused.leader is not None
        assert refused.leader.node == "n1"
    say(rig, 6, rests=False)
    rig.until(lambda: isinstance(read(rig, n2, BOUNDED, max_staleness_ms=1_000), Found))


def test_a_region_whose_copy_rests_is_no_replica() -> None:
    rig, n1 = followed_rig()
    regions = {store.region for store in n1.group.plan.voters}
    assert regions == {"eu"}, "the rig has one region, and it votes"
    say(rig, 5, rests=True)
    assert [r.role for r in n1.node.replicas("a", rig.now_ms)] == ["leader"]


def test_records_are_read_as_they_were_written_and_others_are_refused() -> None:
    kept = CopiesOf("a", {"eu": CopyState(True, 3), "us": CopyState(False, 4)})
    put = kept.put()
    assert read_copies(put.key, put.value, 0) == kept
    for broken in (b"\x01", b"\x91\x92\xa2eu\x01"):
        with pytest.raises(ValueError, match="copies"):
            read_copies(put.key, broken, 1)


def test_an_older_record_changes_nothing_and_a_deleted_one_has_all_follow() -> None:
    rig, n1 = followed_rig()
    resting = n1.node.resting
    say(rig, 5, rests=True)
    say(rig, 4, rests=False)
    assert resting.rests_in("a", "eu")
    resting.deleted("{copies}/a", 5)
    assert resting.rests_in("a", "eu"), "no later than what is known"
    resting.deleted("{copies}/a", 6)
    assert not resting.rests_in("a", "eu")
    say(rig, 7, rests=True)
    resting.begun()
    resting.scanned()
    assert not resting.rests_in("a", "eu"), "it was not there when all was read anew"
