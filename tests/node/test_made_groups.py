"""Groups that are made while a fleet runs: the same at all stores, joined by all nodes."""

from __future__ import annotations

from controlplane.node.following import SYSTEM
from controlplane.node.made_groups import MadeGroup, read_made_group
from controlplane.node_plan import Place
from controlplane.requests import (
    ChangeLease,
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
