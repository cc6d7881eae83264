"""What is said of a shard follows to those that continue it, through any number of reshardings."""

from __future__ import annotations

from typing import Any

import pytest

from config.revision import Revision
from controlplane.node import reshard_orders
from controlplane.node.directory import MAP, MAP_PREFIX, MapRow
from controlplane.node.following import SYSTEM
from controlplane.requests import (
    Consistency,
    Found,
    Outcome,
    Problem,
    Put,
    Read,
    Refused,
    Reshard,
    Resharded,
    Transfer,
    Transferred,
    Write,
    Written,
)
from shards.keyspace import SLOTS
from shards.resharding import Kind, Phase
from tests.config.sample_fleet import put as put_document
from tests.node.resharding_rig import (
    KEYS,
    SHARD,
    answer,
    fleet,
    leader,
    served_by,
    split,
    values,
    written,
)
from tests.node.rig import Rig

LONG_MS = 30_000


def constrain(rig: Rig, **content: Any) -> None:
    """Every node knows the document `constraints`."""
    for seat in rig.seats.values():
        assert isinstance(put_document(seat.node.feed, "constraints", content), Revision)


def ordered(rig: Rig, order: Reshard) -> Outcome:
    seat = served_by(rig, SYSTEM)
    return answer(rig, seat, seat.ask(order))


def until_over(rig: Rig, number: int = 1) -> None:
    """Nothing is left to do for a resharding, as every node knows."""
    rig.until(
        lambda: all(
            number in (known := seat.node.reshardings.known) and known[number].is_over
            for seat in rig.seats.values()
        ),
        LONG_MS,
    )


def resharded(rig: Rig, order: Reshard) -> None:
    outcome = ordered(rig, order)
    assert isinstance(outcome, Resharded), outcome
    until_over(rig, outcome.number)


def test_children_of_a_pinned_shard_are_led_by_its_node() -> None:
    rig = fleet("n1", "n2", "n3")
    constrain(rig, pins=[{"shard": SHARD, "node": "n3", "failover": "operator"}])
    rig.until(lambda: leader(rig, SHARD) is rig.seats["n3"], LONG_MS)
    split(rig)
    until_over(rig)
    for child in ("s01", "s02"):
        rig.until(lambda child=child: leader(rig, child) is rig.seats["n3"], LONG_MS)
    for store in rig.stores:
        rig.disconnect("n3", store)
    rig.run(LONG_MS)
    assert leader(rig, "s01") is None, "nobody but an operator lets another node lead"
    view = rig.seats["n1"].node.standing[rig.group].why["s01"]
    assert "pinned to n3" in view


def test_a_pin_of_its_own_comes_before_that_of_a_shard_that_it_continues() -> None:
    rig = fleet("n1", "n2")
    constrain(rig, pins=[{"shard": SHARD, "node": "n1"}, {"shard": "s02", "node": "n2"}])
    split(rig)
    until_over(rig)
    rig.until(lambda: leader(rig, "s01") is rig.seats["n1"], LONG_MS)
    rig.until(lambda: leader(rig, "s02") is rig.seats["n2"], LONG_MS)


def test_reads_of_children_stop_with_their_quorum_if_those_of_their_parent_did() -> None:
    rig = fleet("n1")
    constrain(rig, on_quorum_loss=[{"shards": SHARD, "then": "stop"}])
    split(rig)
    until_over(rig)
    node = rig.seats["n1"].node
    assert [node.quorum_loss.stops(shard) for shard in ("s01", "s02", "s77")] == [
        True, True, False,
    ]  # fmt: skip


def test_the_node_that_is_preferred_for_a_shard_is_preferred_for_its_children() -> None:
    rig = fleet("n1", "n2")
    seat = served_by(rig, SYSTEM)
    row = MapRow(SHARD, "global", 0, SLOTS, ("eu",), 0, "n2")
    write = Write(SYSTEM, (Put(MAP, MAP_PREFIX + SHARD, row.packed()),))
    assert isinstance(answer(rig, seat, seat.ask(write)), Written)
    rig.until(lambda: leader(rig, SHARD) is rig.seats["n2"], LONG_MS)
    rig.run(rig.ttl_ms)
    resharded(rig, Reshard(Kind.SPLIT, SHARD))
    found = {name: each.node for name, each in seat.node.directory.rows.items()}
    assert found == {"s01": "n2", "s02": "n2"}


def test_neighbours_of_which_not_the_same_is_said_are_not_merged() -> None:
    rig = fleet("n1")
    split(rig)
    until_over(rig)
    constrain(rig, pins=[{"shard": "s01", "node": "n1"}])
    refused = ordered(rig, Reshard(Kind.MERGE, "s01", beside="s02"))
    assert isinstance(refused, Refused)
    assert (refused.problem, "differ in pins" in refused.detail) == (Problem.NOT_RESHARDED, True)
    constrain(rig)
    assert isinstance(ordered(rig, Reshard(Kind.MERGE, "s01", beside="s02")), Resharded)


def test_records_that_lead_a_rule_to_its_shards_are_not_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reshard_orders, "REMEMBERED_MAX", 1)
    rig = fleet("n1")
    constrain(rig, pins=[{"shard": "s02", "node": "n1"}])
    split(rig)
    until_over(rig)
    resharded(rig, Reshard(Kind.SPLIT, "s02"))
    resharded(rig, Reshard(Kind.SPLIT, "s04"))
    resharded(rig, Reshard(Kind.SPLIT, "s01"))
    node = rig.seats["n1"].node
    assert sorted(node.reshardings.known) == [2, 3, 4], "s04 and so s06 continue s02"
    assert node.pins.of("s06") is not None
    assert node.reshardings.ancestors("s01") == (), "what is forgotten counts at no node any more"


# ---------------------------------------------------------------- again and again


def test_children_are_resharded_again_and_names_of_all_of_the_past_find_their_keys() -> None:
    rig = fleet()
    seat = next(iter(rig.seats.values()))
    wrote = written(rig, KEYS[0], b"old")
    assert isinstance(wrote, Written)
    split(rig)
    until_over(rig)
    resharded(rig, Reshard(Kind.MERGE, "s01", beside="s02"))
    resharded(rig, Reshard(Kind.SPLIT, "s03"))
    assert set(seat.node.directory.rows) == {"s04", "s05"}
    assert seat.node.reshardings.ancestors("s04") == ("s03", "s01", "s02", SHARD)
    assert values(rig) == [b"old", *[b"before"] * (len(KEYS) - 1)]
    position = {SHARD: wrote.position}
    home = seat.node.reshardings.addressed(Read("", (KEYS[0],)), {}).shard
    for past in (SHARD, "s01", "s02", "s03"):
        at = served_by(rig, home)
        found = answer(rig, at, at.ask(Read(past, (KEYS[0],))))
        assert isinstance(found, Found), (past, found)
        assert found.provenance.shard == home
        session = at.node.reshardings.addressed(
            Read("", (KEYS[0],), Consistency.SESSION, None), position
        )
        seen = answer(rig, at, at.ask(session))
        assert isinstance(seen, Found)
        assert [value and value.data for value in seen.values] == [b"old"]
    again = written(rig, KEYS[0], b"old")
    assert isinstance(again, Written)
    assert again.replayed, "a retry is known after three reshardings"


# ---------------------------------------------------------------- and transfers


def test_a_split_goes_on_when_its_parent_is_transferred_while_drafts_are_filled() -> None:
    rig = fleet("n1", "n2")
    first = served_by(rig, SHARD)
    other = next(seat for seat in rig.seats.values() if seat is not first)
    system = served_by(rig, SYSTEM)
    number = system.ask(Reshard(Kind.SPLIT, SHARD))
    rig.until(lambda: number in system.answers)
    moved = first.ask(Transfer(SHARD, other.plan.node))
    rig.until(lambda: moved in first.answers)
    until_over(rig)
    assert set(system.node.directory.rows) == {"s01", "s02"}
    assert values(rig) == [b"before"] * len(KEYS)
    outcome = first.answers[moved]
    if isinstance(outcome, Refused):
        assert outcome.problem in (Problem.TRANSFERRING, Problem.UNKNOWN_SHARD)


def test_a_closed_shard_is_not_transferred_any_more_and_that_is_said() -> None:
    rig = fleet("n1", "n2")
    first = served_by(rig, SHARD)
    other = next(seat for seat in rig.seats.values() if seat is not first)
    split(rig)
    rig.until(lambda: SHARD in first.group.led and first.led(SHARD).is_closed)
    refused = answer(rig, first, first.ask(Transfer(SHARD, other.plan.node)))
    assert isinstance(refused, Refused)
    assert refused.problem is Problem.TRANSFERRING
    until_over(rig)
    assert values(rig) == [b"before"] * len(KEYS)


def test_a_split_that_is_asked_during_a_transfer_is_refused_or_done_and_nothing_is_lost() -> None:
    rig = fleet("n1", "n2")
    first = served_by(rig, SHARD)
    other = next(seat for seat in rig.seats.values() if seat is not first)
    system = served_by(rig, SYSTEM)
    moved = first.ask(Transfer(SHARD, other.plan.node))
    asked = system.ask(Reshard(Kind.SPLIT, SHARD))
    outcome = answer(rig, system, asked)
    assert isinstance(answer(rig, first, moved), Transferred)
    if isinstance(outcome, Refused):
        assert outcome.problem is Problem.NOT_RESHARDED
        assert outcome.retry_after_ms
        rig.until(lambda: leader(rig, SHARD) is other, LONG_MS)
        rig.run(rig.ttl_ms)
        resharded(rig, Reshard(Kind.SPLIT, SHARD))
    until_over(rig)
    rows = set(system.node.directory.rows)
    assert len(rows) == 2
    assert SHARD not in rows
    done = [r for r in system.node.reshardings.known.values() if r.phase is Phase.DONE]
    assert len(done) == 1
    assert values(rig) == [b"before"] * len(KEYS)
