"""Documents reach every node through its region's copy of the system shard."""

from __future__ import annotations

from config.document import Kind, canonical
from config.effect import (
    EVERYWHERE,
    PARTITION,
    Target,
    first_in_line,
    live_key,
    place_in_line,
    target_key,
)
from config.revision import Revision, head_key
from config.rollout_step import Ack
from controlplane.machine import Happened
from controlplane.node_plan import ShardSeed
from controlplane.requests import Delete, Put, Refused, Write, Written
from tests.node.rig import Rig, Seat

SEEDS = (ShardSeed("a", "global", 0, 100, ("eu",)),)
CONTENT = {"usd_per_ms_per_million_requests": {"reads": 1, "writes": 2}}


def fleet() -> Rig:
    """Two nodes of which one leads the system shard."""
    rig = Rig(("n1", "n2"), shards=(), group="global", seeds=SEEDS)
    rig.until(lambda: any(seat.serves("system") for seat in rig.seats.values()))
    return rig


def leader(rig: Rig) -> Seat:
    """Who leads the system shard."""
    return next(seat for seat in rig.seats.values() if seat.serves("system"))


def write(rig: Rig, *changes: Put | Delete) -> None:
    number = leader(rig).ask(Write("system", changes))
    rig.until(lambda: number in leader(rig).answers)
    assert isinstance(leader(rig).answers[number], Written)


def live(revision: Revision, packed: bytes | None = None) -> Put:
    """The revision is where nodes find it."""
    key = live_key(revision.name, revision.version)
    return Put(PARTITION, key, packed or revision.packed())


def target(revision: Revision, region: str = EVERYWHERE, epoch: int = 1, step: int = 1) -> Put:
    """A region is to run it."""
    wanted = Target(revision.version, revision.digest, 7, step, epoch)
    return Put(PARTITION, target_key(revision.name, region), wanted.packed())


def keep(rig: Rig, revision: Revision, packed: bytes | None = None) -> None:
    """Have a revision in force everywhere, as a rollout does that is over."""
    write(rig, live(revision, packed), target(revision))


def applied(seat: Seat) -> list[Happened]:
    """What the node said of documents."""
    return [event for event in seat.happened if event.kind.startswith("document-")]


def test_a_revision_is_in_force_at_every_node_soon_after_it_was_kept() -> None:
    rig = fleet()
    rig.run(1_000)
    keep(rig, Revision("placement", 1, canonical(CONTENT)))
    for seat in rig.seats.values():
        rig.until(lambda: seat.node.feed.content(Kind.PLACEMENT) == CONTENT, 1_000)  # noqa: B023
        (event,) = applied(seat)
        assert (event.kind, event.detail["document"], event.detail["version"]) == (
            "document-applied",
            "placement",
            "1",
        )
        assert "content" not in event.detail


def test_a_node_that_starts_later_reads_what_is_kept_and_says_nothing_of_it() -> None:
    rig = fleet()
    keep(rig, Revision("placement", 1, canonical(CONTENT)))
    keep(rig, Revision("flags", 1, canonical({"a": 1})))
    rig.run(1_000)  # until every store has applied both
    late = rig.start("n3", ("n1", "n2", "n3"))
    rig.until(lambda: late.node.feed.get("flags") is not None)
    assert late.node.feed.content(Kind.PLACEMENT) == CONTENT
    assert applied(late) == []


def test_what_cannot_be_read_leaves_in_force_what_was() -> None:
    rig = fleet()
    keep(rig, Revision("flags", 1, canonical({"a": 1})))
    rig.run(1_000)
    keep(rig, Revision("flags", 2, b""), b"\x91\x63")
    rig.run(1_000)
    for seat in rig.seats.values():
        assert applied(seat)[-1].kind == "document-unreadable"
        found = seat.node.feed.get("flags")
        assert found is not None
        assert found.version == 1


def test_a_revision_may_be_larger_than_a_clients_value_and_not_without_bound() -> None:
    rig = fleet()
    most = rig.seats["n1"].plan.limits.value_bytes_max
    keep(rig, Revision("flags", 1, canonical("x" * (most + 1_000))))
    too_large = Write("system", (Put("config", head_key("flags"), b"x" * 128 * 1024),))
    number = leader(rig).ask(too_large)
    rig.until(lambda: number in leader(rig).answers)
    assert isinstance(leader(rig).answers[number], Refused)


ONE = Revision("flags", 1, canonical({"a": 1}))
TWO = Revision("flags", 2, canonical({"a": 2}))


def versions(rig: Rig) -> set[int]:
    """What the nodes run."""
    found = [seat.node.feed.get("flags") for seat in rig.seats.values()]
    return {0 if each is None else each.version for each in found}


def test_what_is_made_is_in_force_nowhere_until_a_target_names_it() -> None:
    rig = fleet()
    keep(rig, ONE)
    rig.until(lambda: versions(rig) == {1})
    write(rig, Put("config", head_key("flags"), TWO.packed()), live(TWO))
    rig.run(1_000)
    assert versions(rig) == {1}
    write(rig, target(TWO, "eu"))
    rig.until(lambda: versions(rig) == {2}, 1_000)


def test_a_region_without_a_target_of_its_own_runs_what_all_run() -> None:
    rig = fleet()
    keep(rig, ONE)
    write(rig, live(TWO), target(TWO, "us"))
    rig.run(1_000)
    assert versions(rig) == {1}
    write(rig, target(TWO), Delete(PARTITION, target_key("flags", "us")))
    rig.until(lambda: versions(rig) == {2}, 1_000)


def test_a_target_goes_back_to_an_older_version_and_to_none() -> None:
    rig = fleet()
    keep(rig, TWO)
    rig.until(lambda: versions(rig) == {2})
    keep(rig, ONE)
    rig.until(lambda: versions(rig) == {1}, 1_000)
    nothing = Target(0, "", 8, 2, 1)
    write(rig, Put(PARTITION, target_key("flags"), nothing.packed()))
    rig.until(lambda: versions(rig) == {0}, 1_000)


def test_a_target_of_an_older_global_leader_is_refused() -> None:
    rig = fleet()
    write(rig, live(ONE), live(TWO), target(TWO, epoch=5))
    rig.until(lambda: versions(rig) == {2})
    write(rig, target(ONE, epoch=4))
    rig.run(1_000)
    assert versions(rig) == {2}
    for seat in rig.seats.values():
        assert any(event.kind == "target-refused" for event in seat.happened)


def test_a_revision_that_is_not_what_its_target_says_is_refused_and_told() -> None:
    rig = fleet()
    keep(rig, ONE)
    rig.until(lambda: versions(rig) == {1})
    wrong = Target(2, ONE.digest, 7, 1, 1)
    write(rig, live(TWO), Put(PARTITION, target_key("flags"), wrong.packed()))
    rig.run(1_000)
    assert versions(rig) == {1}
    assert all(applied(seat)[-1].kind == "document-refused" for seat in rig.seats.values())


def test_the_global_leader_hears_what_each_node_runs_of_what_is_rolled_out() -> None:
    rig = fleet()
    keep(rig, ONE)
    write(rig, live(TWO), target(TWO, "eu", step=3))
    at_leader = leader(rig).node.documents
    rig.until(lambda: len(at_leader.acks("flags", 7)) == len(rig.seats), 2_000)
    assert set(at_leader.acks("flags", 7).values()) == {Ack(2, TWO.digest, 3)}


def test_who_was_away_takes_up_what_counts_now_and_nothing_in_between() -> None:
    rig = fleet()
    keep(rig, ONE)
    rig.until(lambda: versions(rig) == {1})
    ((name, away),) = ((n, seat) for n, seat in rig.seats.items() if seat is not leader(rig))
    seen = len(applied(away))
    rig.hold(name, *rig.stores)
    write(rig, live(TWO), target(TWO, "eu"))
    write(rig, target(ONE, "eu", step=2))
    rig.run(1_500)
    rig.let(name, *rig.stores)
    rig.run(2_000)
    assert [event.detail["version"] for event in applied(away)[seen:]] == []
    assert versions(rig) == {1}


def test_a_target_for_some_of_a_regions_nodes_is_taken_up_by_these_alone() -> None:
    rig = fleet()
    keep(rig, ONE)
    rig.until(lambda: versions(rig) == {1})
    first, other = sorted(rig.seats, key=lambda name: place_in_line("flags", name))
    within = first_in_line("flags", list(rig.seats), 50)
    part = Target(2, TWO.digest, 7, 3, 1, within, 1, ONE.digest)
    write(rig, live(TWO), Put(PARTITION, target_key("flags", "eu"), part.packed()))
    rig.until(lambda: versions(rig) == {1, 2}, 1_000)
    assert rig.seats[first].node.feed.latest("flags") == TWO
    at_leader = leader(rig).node.documents
    rig.until(lambda: len(at_leader.acks("flags", 7)) == 2, 2_000)
    assert at_leader.acks("flags", 7)[first] == Ack(2, TWO.digest, 3)
    assert at_leader.acks("flags", 7)[other] == Ack(1, ONE.digest, 3)
    write(rig, target(TWO, "eu", step=4))
    rig.until(lambda: versions(rig) == {2}, 1_000)
