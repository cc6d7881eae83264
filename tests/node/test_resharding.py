"""Shards that go over into others at real nodes over twin stores: whole courses, and each rule."""

from __future__ import annotations

from controlplane.node.drafts import Drafts
from controlplane.node.following import SYSTEM
from controlplane.requests import (
    CancelResharding,
    Compare,
    Consistency,
    Found,
    Problem,
    Put,
    Read,
    Refused,
    Reshard,
    Resharded,
    Written,
)
from regions.codec import pack
from shards.drafting import Stage
from shards.keyspace import SLOTS
from shards.resharding import Kind, Part, Phase, Resharding
from tests.node.resharding_rig import (
    KEYS,
    SHARD,
    answer,
    close,
    fleet,
    leader,
    put,
    rows,
    served_by,
    split,
    values,
    written,
)

# ---------------------------------------------------------------- whole courses


def test_a_split_shard_goes_on_in_two_and_keeps_all() -> None:
    rig = fleet()
    ordered = split(rig)
    assert isinstance(ordered, Resharded)
    rig.until(lambda: leader(rig, "s01") is not None and leader(rig, "s02") is not None)
    rig.run(2_000)
    assert [rows(seat) for seat in rig.seats.values()] == [{"s01", "s02"}] * 2
    assert values(rig) == [b"before"] * len(KEYS)
    again = written(rig, KEYS[0], b"before")
    assert isinstance(again, Written)
    assert again.replayed, "the child must know what its parent did"
    assert all(isinstance(written(rig, key, b"after"), Written) for key in KEYS)
    assert values(rig) == [b"after"] * len(KEYS)


def test_a_closed_shard_is_wiped_and_let_go() -> None:
    rig = fleet()
    split(rig)
    seat = next(iter(rig.seats.values()))
    rig.until(lambda: any(r.is_over for r in seat.node.reshardings.known.values()))
    rig.run(2_000)
    for store in rig.stores:
        assert not set(KEYS) & rig.log(store, SHARD).data.kv.keys()
        assert rig.grant(store, SHARD)[2] == "free"


def test_two_halves_are_merged_again() -> None:
    rig = fleet()
    split(rig)
    rig.until(lambda: leader(rig, "s01") is not None and leader(rig, "s02") is not None)
    rig.run(2_000)
    seat = served_by(rig, SYSTEM)
    ordered = answer(rig, seat, seat.ask(Reshard(Kind.MERGE, "s02", beside="s01")))
    assert isinstance(ordered, Resharded)
    rig.until(lambda: leader(rig, "s03") is not None)
    rig.run(2_000)
    assert rows(seat) == {"s03"}
    assert values(rig) == [b"before"] * len(KEYS)


def test_what_comes_while_a_shard_is_closed_waits_for_its_children() -> None:
    rig = fleet("n1")
    seat = served_by(rig, SHARD)
    seat.led(SHARD)
    split(rig)
    rig.until(lambda: SHARD in seat.group.led and seat.led(SHARD).is_closed)
    numbers = [seat.ask(put(key, b"meanwhile")) for key in KEYS]
    assert all(isinstance(answer(rig, seat, number), Written) for number in numbers)
    assert values(rig) == [b"meanwhile"] * len(KEYS)


def test_a_resharding_is_cancelled_while_it_drafts_and_not_later() -> None:
    rig = fleet("n1")
    seat = served_by(rig, SYSTEM)
    order = seat.ask(Reshard(Kind.SPLIT, SHARD))
    rig.until(lambda: order in seat.answers and bool(seat.node.reshardings.known))
    if seat.node.reshardings.known[1].phase is Phase.DRAFTING:
        cancelled = answer(rig, seat, seat.ask(CancelResharding(1)))
        assert isinstance(cancelled, Resharded)
        rig.until(lambda: seat.node.reshardings.known[1].is_over)
    assert values(rig) == [b"before"] * len(KEYS)
    split(rig)
    rig.until(lambda: leader(rig, "s03") is not None and leader(rig, "s04") is not None)
    late = answer(rig, seat, seat.ask(CancelResharding(2)))
    assert isinstance(late, Refused)
    assert late.problem is Problem.NOT_RESHARDED


# ---------------------------------------------------------------- orders


def test_orders_that_make_no_sense_are_refused_and_write_nothing() -> None:
    rig = fleet("n1")
    seat = served_by(rig, SYSTEM)
    orders = {
        Reshard(Kind.SPLIT, "s99"): Problem.UNKNOWN_SHARD,
        Reshard(Kind.SPLIT, SYSTEM): Problem.NOT_RESHARDED,
        Reshard(Kind.SPLIT, SHARD, at=0): Problem.NOT_RESHARDED,
        Reshard(Kind.MERGE, SHARD, beside=SHARD): Problem.NOT_RESHARDED,
        Reshard(Kind.MOVE, SHARD, to_group="global"): Problem.NOT_RESHARDED,
        Reshard(Kind.MOVE, SHARD, to_group="region/none"): Problem.UNKNOWN_GROUP,
    }
    found = {order: answer(rig, seat, seat.ask(order)) for order in orders}
    told = {
        order: outcome.problem if isinstance(outcome, Refused) else outcome
        for order, outcome in found.items()
    }
    assert told == orders
    trial = answer(rig, seat, seat.ask(Reshard(Kind.SPLIT, SHARD, begin=False)))
    assert isinstance(trial, Resharded)
    assert not trial.begun
    rig.run(2_000)
    assert not seat.node.reshardings.known


def test_a_shard_is_in_one_resharding_at_a_time_and_names_are_never_given_twice() -> None:
    rig = fleet("n1")
    seat = served_by(rig, SYSTEM)
    numbers = [seat.ask(Reshard(Kind.SPLIT, SHARD)) for _ in range(2)]
    first, second = (answer(rig, seat, number) for number in numbers)
    assert isinstance(first, Resharded)
    assert isinstance(second, Refused)
    rig.until(lambda: leader(rig, "s01") is not None and leader(rig, "s02") is not None)
    rig.run(2_000)
    third = answer(rig, seat, seat.ask(Reshard(Kind.SPLIT, "s01")))
    assert isinstance(third, Resharded)
    assert [child.shard for child in third.children] == ["s03", "s04"]


# ---------------------------------------------------------------- closing


def test_who_has_closed_a_shard_serves_and_vouches_no_more() -> None:
    rig = fleet("n1")
    seat = served_by(rig, SHARD)
    rig.until(lambda: all(rig.is_fresh(store, SHARD)[0] for store in rig.stores))
    close(seat)
    assert not seat.serves(SHARD)
    number = seat.ask(put(KEYS[0], b"late"))
    rig.run(2_000)
    assert number not in seat.answers
    for store in rig.stores:
        assert rig.do(store, "read", SHARD, "", 0, [], [])[0] == "CLOSED"


def test_a_later_leader_that_finds_the_end_in_a_tail_serves_nothing() -> None:
    rig = fleet()
    first = served_by(rig, SHARD)
    close(first)
    rig.mute(first.plan.node, *rig.stores)  # the entry is everywhere, and nobody was told so
    rig.settle()
    assert all(rig.log(store, SHARD).data.closed_at == 0 for store in rig.stores)
    first.asleep = True
    other = next(seat for seat in rig.seats.values() if seat is not first)
    rig.until(lambda: "elected" in other.kinds(SHARD))
    assert other.led(SHARD).is_closed
    assert not other.serves(SHARD)


def test_a_later_leader_that_learns_of_the_end_from_grants_serves_nothing() -> None:
    rig = fleet()
    first = served_by(rig, SHARD)
    close(first)
    rig.until(lambda: all(rig.log(store, SHARD).data.closed_at for store in rig.stores))
    first.asleep = True
    other = next(seat for seat in rig.seats.values() if seat is not first)
    rig.until(lambda: "elected" in other.kinds(SHARD))
    assert other.led(SHARD).is_closed
    assert not other.serves(SHARD)


# ---------------------------------------------------------------- standing for children


def test_nobody_stands_for_a_shard_that_is_neither_in_the_map_nor_told_to_be_ripe() -> None:
    rig = fleet()
    for store in rig.stores:
        rig.do(store, "place", "s07", 1, pack([["eu"], ""]))
    rig.run(5 * rig.ttl_ms)
    assert all("s07" not in seat.group.led for seat in rig.seats.values())
    assert all(rig.grant(store, "s07")[0] == 0 for store in rig.stores)


def test_who_is_misled_about_a_child_steps_down() -> None:
    rig = fleet("n1")
    seat = served_by(rig, SHARD)
    seat.node.reshardings.ripe.add("s07")
    seat.node.reshardings._children.add("s07")
    for store in rig.stores:
        rig.do(store, "place", "s07", 1, pack([["eu"], ""]))
    rig.until(lambda: any(event.detail.get("why") == "misled" for event in seat.happened))
    assert "elected" not in seat.kinds("s07")


def drafts_of(seat_fleet: object) -> Drafts:
    """The drafts of one child in its parent's own group, as nobody has filled them yet."""
    parent = Part(SHARD, "global", 0, SLOTS, ("eu",))
    child = Part("s01", "global", 0, SLOTS, ("eu",))
    resharding = Resharding(1, Kind.MOVE, (parent,), (child,), Phase.CLOSING, "", "", 0)
    drafts = Drafts(seat_fleet, resharding, 0, 1)  # type: ignore[arg-type]
    drafts._of(0)
    return drafts


def test_a_child_is_ripe_at_a_majority_in_one_version_of_its_group() -> None:
    rig = fleet("n1")
    seat = served_by(rig, SHARD)
    drafts = drafts_of(seat.node)
    stores = drafts._fillings[0]
    stores[0].drafting.stage = Stage.RIPE
    assert not drafts.is_ripe(0)
    stores[2].drafting.stage = Stage.RIPE
    assert drafts.is_ripe(0)
    seat.group.version += 1
    assert not drafts.is_ripe(0)
    drafts._of(0)
    assert not drafts.is_ripe(0), "what was counted in another version does not add up"


# ---------------------------------------------------------------- old maps


def test_a_position_of_a_later_map_is_not_answered_from_this_one() -> None:
    rig = fleet()
    follower = next(seat for seat in rig.seats.values() if not seat.serves(SHARD))

    def read(*beside: str) -> int:
        return follower.ask(Read(SHARD, (KEYS[0],), Consistency.SESSION, None, 0, False, beside))

    now, later = read(), read("s05")
    assert isinstance(answer(rig, follower, now), Found)
    refused = answer(rig, follower, later)
    assert isinstance(refused, Refused)
    assert refused.problem is Problem.STALE


def test_a_position_of_the_past_is_answered() -> None:
    rig = fleet()
    split(rig)
    rig.until(lambda: leader(rig, "s01") is not None and leader(rig, "s02") is not None)
    rig.run(2_000)
    for seat in rig.seats.values():
        request = seat.node.reshardings.addressed(
            Read("", (KEYS[0],), Consistency.SESSION), {SHARD: 5, "s01": 1}
        )
        assert isinstance(answer(rig, seat, seat.ask(request)), Found)


def test_what_an_order_has_beside_is_written_with_it_or_nothing_is() -> None:
    rig = fleet("n1")
    seat = served_by(rig, SYSTEM)
    beside = (Put("placement", "{placement}/order", b"next"),)
    late = (Compare("{placement}/order", 7),)
    refused = answer(rig, seat, seat.ask(Reshard(Kind.SPLIT, SHARD, also=beside, compares=late)))
    assert isinstance(refused, Refused)
    assert not seat.node.reshardings.known
    begun = answer(rig, seat, seat.ask(Reshard(Kind.SPLIT, SHARD, also=beside)))
    assert isinstance(begun, Resharded)
    found = answer(rig, seat, seat.ask(Read(SYSTEM, ("{placement}/order",))))
    assert isinstance(found, Found)
    assert found.values[0] is not None
    assert found.values[0].data == b"next"
