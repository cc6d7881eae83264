"""The system shard: the map it holds and everybody follows, and the history it imports."""

from hashlib import sha256
from typing import Any

from controlplane.node.directory import MAP, MAP_PREFIX, MapRow
from controlplane.node.following import SYSTEM
from controlplane.node_plan import ShardSeed
from controlplane.requests import Put, Scan, Scanned, Write, Written
from regions.codec import unpack
from tests.node.rig import Rig, Seat

SEEDS = (
    ShardSeed("a", "global", 0, 100, ("eu",)),
    ShardSeed("b", "global", 100, 16_384, ("eu",)),
)


def fleet(*nodes: str) -> Rig:
    """A fleet that starts with empty stores, and runs until both its shards are led."""
    rig = Rig(nodes or ("n1", "n2"), shards=(), group="global", seeds=SEEDS)
    rig.until(lambda: all(leader(rig, shard) for shard in ("a", "b", SYSTEM)))
    return rig


def leader(rig: Rig, shard: str) -> Seat | None:
    return next((seat for seat in rig.seats.values() if seat.serves(shard)), None)


def scan(rig: Rig, partition: str) -> dict[str, bytes]:
    """A partition of the system shard, as its leader answers."""
    seat = leader(rig, SYSTEM)
    assert seat is not None
    number = seat.ask(Scan(SYSTEM, partition, limit=1_000))
    rig.until(lambda: number in seat.answers)
    found = seat.answers[number]
    assert isinstance(found, Scanned)
    return {key: value.data for key, value in found.items}


def history(rig: Rig) -> dict[str, dict[str, Any]]:
    rows = scan(rig, "history")
    return {key: unpack(row) for key, row in rows.items() if key != "{history}/head"}


def test_the_first_leader_writes_the_map_and_everybody_learns_it() -> None:
    rig = fleet()
    rig.run(1_000)
    for seat in rig.seats.values():
        rows = seat.node.directory.rows
        assert {name: (row.first_slot, row.end_slot) for name, row in rows.items()} == {
            "a": (0, 100), "b": (100, 16_384),
        }  # fmt: skip
    versions = {seat.node.map_version for seat in rig.seats.values()}
    assert len(versions) == 1
    assert sum(seat.kinds(SYSTEM).count("map-created") for seat in rig.seats.values()) == 1


def test_the_map_is_written_once_for_all_times() -> None:
    rig = fleet()
    before = scan(rig, MAP)
    first = leader(rig, SYSTEM)
    assert first is not None
    del rig.seats[first.plan.node]
    rig.until(lambda: leader(rig, SYSTEM) is not None)
    rig.run(500)
    assert scan(rig, MAP) == before
    second = leader(rig, SYSTEM)
    assert second is not None
    assert "map-created" not in second.kinds(SYSTEM)


def move_a(rig: Rig, *regions: str) -> int:
    """Another placement of shard `a`; returns the map's new version."""
    seat = leader(rig, SYSTEM)
    assert seat is not None
    row = MapRow("a", "global", 0, 100, regions, 0)
    number = seat.ask(Write(SYSTEM, (Put(MAP, MAP_PREFIX + "a", row.packed()),)))
    rig.until(lambda: number in seat.answers)
    outcome = seat.answers[number]
    assert isinstance(outcome, Written)
    return outcome.position


def test_a_change_of_the_map_is_followed_and_carried_to_the_stores() -> None:
    rig = fleet()
    version = move_a(rig, "us", "eu")
    rig.run(2_000)
    for seat in rig.seats.values():
        assert seat.node.map_version >= version
        assert seat.node.directory.rows["a"].regions == ("us", "eu")
        assert seat.group.sighted("a").regions == ("us", "eu")
    for twin in rig.stores.values():
        assert twin.state.groups["global"].grants["a"].prev == version


def test_a_node_that_missed_what_was_trimmed_away_reads_the_map_anew() -> None:
    rig = fleet()
    rig.run(1_000)
    late = next(seat for seat in rig.seats.values() if not seat.serves(SYSTEM))
    late.asleep = True
    version = move_a(rig, "us", "eu")
    for _ in range(5):
        move_a(rig, "us", "eu")
    rig.run(200)
    first = leader(rig, SYSTEM)
    assert first is not None
    led = first.led(SYSTEM)
    for store in rig.stores:
        upto = rig.log(store, SYSTEM).ap
        assert rig.do(store, "trim", SYSTEM, str(led.epoch), led.session.sid, upto)[0] == "OK"
    late.asleep = False
    rig.run(1_500)
    assert late.node.directory.rows["a"].regions == ("us", "eu")
    assert late.node.map_version >= version


def test_an_old_placement_never_wins() -> None:
    rig = fleet()
    version = move_a(rig, "us", "eu")
    rig.run(2_000)
    n1 = rig.seats["n1"]
    sighted = n1.group.sighted("a")
    n1.node.directory.placement_seen(sighted, version - 1, b"\x92\x91\xa2ap\xa0")
    assert sighted.regions == ("us", "eu")


def test_every_epoch_that_was_opened_gets_into_the_history_once() -> None:
    rig = fleet()
    rig.run(3_000)
    rows = history(rig)
    epochs = {(row["shard"], row["epoch"]) for row in rows.values()}
    assert epochs >= {("a", 1), ("b", 1), (SYSTEM, 1)}
    assert len(rows) == len(epochs)
    rig.run(5_000)
    assert history(rig).keys() == rows.keys()


def test_rows_of_the_history_are_chained() -> None:
    rig = fleet()
    rig.run(3_000)
    rows = scan(rig, "history")
    head = rows.pop("{history}/head").decode()
    by_hash = {sha256(row).hexdigest(): unpack(row) for row in rows.values()}
    seen = 0
    while head:
        head = by_hash.pop(head)["previous_hash"]
        seen += 1
    assert seen == len(rows)
    assert not by_hash


def test_what_a_shards_next_leader_knows_of_the_last_one() -> None:
    rig = fleet("n1", "n2", "n3")
    first = leader(rig, "a")
    assert first is not None
    rig.run(1_500)
    del rig.seats[first.plan.node]
    rig.until(lambda: leader(rig, "a") is not None and leader(rig, SYSTEM) is not None)
    rig.run(3_000)
    rows = [row for row in history(rig).values() if row["shard"] == "a" and row["epoch"] > 1]
    assert [(row["before"], row["before_epoch"], row["ended"]) for row in rows] == [
        (first.plan.node, 1, "dead"),
    ]  # fmt: skip


def test_reports_that_are_no_reports_are_left_alone() -> None:
    rig = fleet()
    seat = leader(rig, SYSTEM)
    assert seat is not None
    for rows in (None, 7, ["x"], [{"shard": "a"}], [{"shard": 1, "epoch": 1}]):
        seat.node.duties.reported("somebody", rows)
    seat.node.duties.acknowledged("nothing")
    seat.node.duties.acknowledged([["a"], "b", 7])
    rig.run(500)
    assert seat.serves(SYSTEM)


def reporter_of(rig: Rig) -> tuple[Seat, Seat]:
    """The leader of the system shard, and a node that reports to it."""
    first = leader(rig, SYSTEM)
    assert first is not None
    return first, next(seat for seat in rig.seats.values() if seat is not first)


def unreported(seat: Seat) -> set[tuple[str, int]]:
    return set(seat.node.duties._unreported)


def test_a_report_is_acknowledged_when_its_row_is_committed_and_not_before() -> None:
    rig = fleet()
    rig.run(3_000)
    first, other = reporter_of(rig)
    assert unreported(other) == set()
    rig.mute(first.plan.node, "s2", "s3")
    other.node.duties.opened({"shard": "x", "epoch": 7})
    rig.until(lambda: any(seen(rig, store, "x", 7) for store in rig.stores))
    rig.run(50)
    assert unreported(other) == {("x", 7)}  # one store has it: that is nothing yet
    rig.let(first.plan.node, "s2", "s3")
    rig.until(lambda: unreported(other) == set())
    assert ("x", 7) in {(row["shard"], row["epoch"]) for row in history(rig).values()}


def seen(rig: Rig, store: str, shard: str, epoch: int) -> bool:
    """Whether a store's log of the system shard holds a row."""
    name = f"{{history}}/{shard}/{epoch:016d}".encode()
    return any(name in bytes(blob) for blob in rig.log(store, SYSTEM).log.values())


def test_a_report_that_comes_again_changes_nothing() -> None:
    rig = fleet()
    rig.run(3_000)
    _, other = reporter_of(rig)
    rig.untold.add(other.plan.node)  # no acknowledgement gets there
    other.node.duties.opened({"shard": "x", "epoch": 7})
    rig.until(lambda: ("x", 7) in {(r["shard"], r["epoch"]) for r in history(rig).values()})
    other.node.duties.opened({"shard": "y", "epoch": 8})
    rig.run(3_000)
    rows = scan(rig, "history")
    rig.run(3_000)
    assert scan(rig, "history") == rows
    assert unreported(other) == {("x", 7), ("y", 8)}
    rig.untold.clear()
    rig.until(lambda: unreported(other) == set())
    assert scan(rig, "history") == rows


def test_a_row_that_was_not_committed_is_reported_to_the_next_leader() -> None:
    rig = fleet("n1", "n2", "n3")
    rig.run(3_000)
    first, other = reporter_of(rig)
    rig.hold(first.plan.node, *rig.stores)
    other.node.duties.opened({"shard": "x", "epoch": 7})
    rig.until(lambda: other.node.duties._next_report_ms > rig.now_ms)
    rig.run(50)
    del rig.seats[first.plan.node]
    rig.until(lambda: leader(rig, SYSTEM) is not None)
    rig.until(lambda: unreported(other) == set())
    assert ("x", 7) in {(row["shard"], row["epoch"]) for row in history(rig).values()}
