"""Documents reach every node through its region's copy of the system shard."""

from __future__ import annotations

from config.document import Kind, canonical
from config.revision import EDITION_KEY, PARTITION, Revision, head_key, version_key
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


def keep(rig: Rig, revision: Revision, packed: bytes | None = None) -> None:
    """Write a revision as the leader's HTTP edge does."""
    value = packed or revision.packed()
    changes = (
        Put(PARTITION, head_key(revision.name), value),
        Put(PARTITION, version_key(revision.name, revision.version), value),
        Put(PARTITION, EDITION_KEY, b"1"),
    )
    number = leader(rig).ask(Write("system", changes))
    rig.until(lambda: number in leader(rig).answers)
    assert isinstance(leader(rig).answers[number], Written)


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
    too_large = Write("system", (Put(PARTITION, head_key("flags"), b"x" * 128 * 1024),))
    number = leader(rig).ask(too_large)
    rig.until(lambda: number in leader(rig).answers)
    assert isinstance(leader(rig).answers[number], Refused)


def test_a_document_that_is_not_remembered_any_more_is_forgotten() -> None:
    rig = fleet()
    keep(rig, Revision("flags", 2, b"", deleted=True))
    rig.until(lambda: all(s.node.feed.latest("flags") for s in rig.seats.values()))
    leader(rig).ask(Write("system", (Delete(PARTITION, head_key("flags")),)))
    rig.until(lambda: not any(s.node.feed.latest("flags") for s in rig.seats.values()))
