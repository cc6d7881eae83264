"""Groups that are made while a fleet runs: the same at all stores, joined by all nodes."""

from __future__ import annotations

import pytest

from controlplane.node import made_groups
from controlplane.node.following import SYSTEM
from controlplane.node.made_groups import MadeGroup, read_made_group
from controlplane.node_plan import Place
from controlplane.requests import (
    ChangeLease,
    DropGroup,
    GroupDropped,
    GroupWanted,
    MakeGroup,
    Outcome,
    Problem,
    Refused,
    Reshard,
    Resharded,
    StoresWanted,
    Write,
    Written,
)
from regions.codec import unpack
from regions.membership import GroupDescription
from shards.resharding import Kind
from tests.node.resharding_rig import (
    KEYS,
    SHARD,
    answer,
    fleet,
    rows,
    served_by,
    values,
    written,
)
from tests.node.rig import Rig

REGIONS = ("eu", "us", "ap")
NAME = "multi/ap+eu+us"


def spread_fleet() -> Rig:
    """A fleet with a store in each of three regions, ten milliseconds apart."""
    rig = fleet()
    for seat in rig.seats.values():
        for store, region in zip(rig.stores, REGIONS, strict=True):
            seat.node.sites.places[store] = Place(region, "a")
        seat.plan.region_rtt_ms.update({(a, b): 10.0 for a in REGIONS for b in REGIONS})
    return rig


def asked(rig: Rig, *regions: str, begin: bool = True) -> Outcome:
    seat = served_by(rig, SYSTEM)
    return answer(rig, seat, seat.ask(MakeGroup(regions, begin)))


def joined(rig: Rig) -> set[str]:
    """The nodes that stand in the new group."""
    return {name for name, seat in rig.seats.items() if NAME in seat.node.groups}


def made(rig: Rig) -> MadeGroup:
    return served_by(rig, SYSTEM).node.made_groups.known[NAME]


def test_a_group_that_is_asked_for_is_made_and_shards_go_there() -> None:
    rig = spread_fleet()
    wanted = asked(rig, *REGIONS)
    assert isinstance(wanted, GroupWanted)
    assert (wanted.group, wanted.voters, wanted.begun) == (NAME, ("s1", "s2", "s3"), True)
    rig.until(lambda: joined(rig) == {"n1", "n2"})
    assert all(NAME in store.state.groups for store in rig.stores.values())
    seat = served_by(rig, SYSTEM)
    move = answer(rig, seat, seat.ask(Reshard(Kind.MOVE, SHARD, to_group=NAME)))
    assert isinstance(move, Resharded)
    rig.until(lambda: rows(seat) == {"s01"} and seat.node.directory.rows["s01"].group == NAME)
    rig.run(2_000)
    assert values(rig) == [b"before"] * len(KEYS)
    assert all(isinstance(written(rig, key, b"after"), Written) for key in KEYS)


def test_nobody_joins_before_all_stores_have_the_group() -> None:
    rig = spread_fleet()
    for name in rig.seats:
        rig.disconnect(name, "s3")
    members = {name: store.state.incarnation for name, store in rig.stores.items()}
    record = MadeGroup(GroupDescription(NAME, 1, 1_000, members, {}), is_made=False)
    seat = served_by(rig, SYSTEM)
    assert isinstance(answer(rig, seat, seat.ask(Write(SYSTEM, (record.put(),)))), Written)
    rig.run(2_000)
    assert joined(rig) == set()
    seat = served_by(rig, SYSTEM)
    assert seat.node.made_groups.why(NAME) == f"{NAME} is not at s3 yet"
    for name in rig.seats:
        rig.connect(name, "s3")
    rig.until(lambda: joined(rig) == {"n1", "n2"})


def test_a_node_that_starts_later_joins_what_was_made() -> None:
    rig = spread_fleet()
    asked(rig, *REGIONS)
    rig.until(lambda: joined(rig) == {"n1", "n2"})
    other = next(name for name in rig.seats if not rig.seats[name].serves(SYSTEM))
    rig.start(other, tuple(rig.seats), life=2)
    assert joined(rig) == {"n1", "n2"} - {other}
    rig.until(lambda: joined(rig) == {"n1", "n2"})


def test_what_is_asked_for_twice_is_made_once() -> None:
    rig = spread_fleet()
    seat = served_by(rig, SYSTEM)
    numbers = [seat.ask(MakeGroup(order)) for order in (REGIONS, tuple(reversed(REGIONS)))]
    first, second = (answer(rig, seat, number) for number in numbers)
    assert isinstance(first, GroupWanted)
    assert isinstance(second, Refused)
    rig.until(lambda: joined(rig) == {"n1", "n2"})
    again = asked(rig, *REGIONS)
    assert isinstance(again, GroupWanted)
    assert not again.begun


def test_a_record_says_where_a_later_node_begins() -> None:
    rig = spread_fleet()
    asked(rig, *REGIONS)
    rig.until(lambda: joined(rig) == {"n1", "n2"})
    seat = served_by(rig, SYSTEM)
    order = ChangeLease(NAME, 2_000)
    assert isinstance(seat.node.change_stores(order, rig.now_ms, begin=True), StoresWanted)
    rig.until(lambda: made(rig).description.version == 2)
    assert made(rig).description.ttl_ms == 2_000


def test_what_makes_no_sense_is_refused_and_nothing_is_written() -> None:
    rig = spread_fleet()
    trials = {
        ("eu", "us"): None,
        ("eu", "us", "us"): None,
        ("eu", "us", "mars"): 1_000,
    }
    for regions, retry_ms in trials.items():
        refused = asked(rig, *regions)
        assert isinstance(refused, Refused)
        assert (refused.problem, refused.retry_after_ms) == (Problem.GROUP_NOT_MADE, retry_ms)
    would = asked(rig, *REGIONS, begin=False)
    assert isinstance(would, GroupWanted)
    assert not would.begun
    served_by(rig, SYSTEM).plan.region_rtt_ms.clear()
    assert isinstance(asked(rig, *REGIONS), Refused), "nobody knows how long a lease has to be"
    rig.run(1_000)
    assert not served_by(rig, SYSTEM).node.made_groups.known


def test_what_is_written_is_read() -> None:
    record = MadeGroup(GroupDescription(NAME, 1, 1_000, {"s1": "i"}, {}), is_made=True, revision=7)
    assert read_made_group(record.key, record.put().value, 7) == record
    dropped = MadeGroup(record.description, is_made=True, revision=7, dropped="ada wants it")
    assert read_made_group(dropped.key, dropped.put().value, 7) == dropped
    assert len(unpack(dropped.put().value)) > 2, "who knows nothing of dropped ones reads nothing"


# -- groups that are let go

AGAIN = NAME + "~2"


def stuck_fleet() -> Rig:
    """A fleet that makes a group of which one store is gone."""
    rig = spread_fleet()
    for name in rig.seats:
        rig.disconnect(name, "s3")
    members = {name: store.state.incarnation for name, store in rig.stores.items()}
    record = MadeGroup(GroupDescription(NAME, 1, 1_000, members, {}), is_made=False)
    seat = served_by(rig, SYSTEM)
    assert isinstance(answer(rig, seat, seat.ask(Write(SYSTEM, (record.put(),)))), Written)
    rig.run(2_000)
    return rig


def dropped(rig: Rig, group: str = NAME, *, begin: bool = True) -> Outcome:
    seat = served_by(rig, SYSTEM)
    return answer(rig, seat, seat.ask(DropGroup(group, begin, reason="a fire")))


def comes_back(rig: Rig, store: str) -> None:
    for name in rig.seats:
        rig.connect(name, store)
    rig.run(2_000)


def test_people_are_told_what_a_group_waits_for_that_is_not_made() -> None:
    rig = stuck_fleet()
    leader = served_by(rig, SYSTEM)
    whys = {}
    for name, seat in rig.seats.items():
        (coming,) = seat.node.fleet(rig.now_ms).groups_coming
        assert (coming.group, coming.voters) == (NAME, ("s1", "s2", "s3"))
        whys[name] = coming.why
    assert whys.pop(leader.plan.node) == f"{NAME} is not at s3 yet"
    assert set(whys.values()) == {"s3 cannot be told now"}


def test_a_group_that_is_not_made_can_be_dropped_and_its_regions_get_another() -> None:
    rig = stuck_fleet()
    would = dropped(rig, begin=False)
    assert isinstance(would, GroupDropped)
    assert not would.begun
    found = dropped(rig)
    assert found == GroupDropped(NAME, "operator wants it: a fire", begun=True)
    rig.run(500)
    comes_back(rig, "s3")
    assert joined(rig) == set(), "it is not made any more, though all could have it"
    assert NAME not in rig.stores["s3"].state.groups
    wanted = asked(rig, *REGIONS)
    assert isinstance(wanted, GroupWanted)
    assert (wanted.group, wanted.begun) == (AGAIN, True)
    rig.until(lambda: all(AGAIN in seat.node.groups for seat in rig.seats.values()))
    assert dropped(rig) == GroupDropped(NAME, "operator wants it: a fire", begun=False)
    assert not served_by(rig, SYSTEM).node.fleet(rig.now_ms).groups_coming


def test_a_group_that_nobody_finishes_is_dropped_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(made_groups, "DROP_AFTER_MS", 5_000)
    rig = stuck_fleet()
    assert not made(rig).dropped
    rig.until(lambda: made(rig).dropped == f"{NAME} is not at s3 yet")
    comes_back(rig, "s3")
    assert joined(rig) == set()


def test_a_group_of_a_store_that_forgot_is_dropped_at_once() -> None:
    rig = stuck_fleet()
    rig.forget("s3")
    rig.until(lambda: made(rig).dropped == "s3 is another store by now", ms_max=2_000)


def test_an_unused_group_that_was_made_is_dropped_by_order_and_every_node_leaves_it() -> None:
    rig = spread_fleet()
    asked(rig, *REGIONS)
    rig.until(lambda: joined(rig) == {"n1", "n2"})
    assert isinstance(dropped(rig), GroupDropped)
    rig.until(lambda: joined(rig) == set())
    calls: set[str] = set()
    rig.on_call = lambda _, commands: calls.update(str(c[1]) for c in commands if len(c) > 1)
    rig.run(3 * rig.ttl_ms)
    assert NAME not in calls, "nobody speaks of it to any store"
    asked(rig, *REGIONS)
    rig.until(lambda: all(AGAIN in seat.node.groups for seat in rig.seats.values()))
    seat = served_by(rig, SYSTEM)
    move = answer(rig, seat, seat.ask(Reshard(Kind.MOVE, SHARD, to_group=AGAIN)))
    assert isinstance(move, Resharded)
    rig.until(lambda: rows(seat) == {"s01"} and seat.node.directory.rows["s01"].group == AGAIN)
    rig.run(2_000)
    assert values(rig) == [b"before"] * len(KEYS)


def test_a_group_with_a_shard_in_it_or_on_its_way_is_never_dropped() -> None:
    rig = spread_fleet()
    asked(rig, *REGIONS)
    rig.until(lambda: joined(rig) == {"n1", "n2"})
    seat = served_by(rig, SYSTEM)
    answer(rig, seat, seat.ask(Reshard(Kind.MOVE, SHARD, to_group=NAME)))
    refusals = []
    while not (rows(seat) == {"s01"} and not seat.node.reshardings.unfinished()):
        refusals.append(dropped(rig))
        rig.run(100)
    refusals.append(dropped(rig))
    assert all(
        isinstance(each, Refused) and each.problem is Problem.GROUP_NOT_DROPPED for each in refusals
    ), refusals
    assert "1 shards are in" in str(refusals[-1])
    for group, problem in (("global", Problem.GROUP_NOT_DROPPED), ("x", Problem.UNKNOWN_GROUP)):
        refused = dropped(rig, group)
        assert isinstance(refused, Refused)
        assert refused.problem is problem


@pytest.mark.parametrize("drops_first", [True, False])
@pytest.mark.parametrize("apart_ms", [0, 5, 10, 20, 50])
def test_of_a_drop_and_a_move_at_the_same_moment_only_one_is_done(
    drops_first: bool, apart_ms: int
) -> None:
    rig = spread_fleet()
    asked(rig, *REGIONS)
    rig.until(lambda: joined(rig) == {"n1", "n2"})
    seat = served_by(rig, SYSTEM)
    drop, move = DropGroup(NAME), Reshard(Kind.MOVE, SHARD, to_group=NAME)
    first = seat.ask(drop if drops_first else move)
    rig.run(apart_ms)
    second = seat.ask(move if drops_first else drop)
    outcomes = [answer(rig, seat, number) for number in (first, second)]
    assert isinstance(outcomes[0], GroupDropped | Resharded)
    assert isinstance(outcomes[1], Refused)
    rig.run(10_000)
    assert (joined(rig) == set()) is drops_first
    assert values(rig) == [b"before"] * len(KEYS)
