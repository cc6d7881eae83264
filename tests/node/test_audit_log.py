"""The audit log at the global leader: with every change its record, and one chain over leaders."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from config.audit import (
    ANCHOR_KEY,
    HEAD_KEY,
    PARTITION,
    RECORDS_PREFIX,
    Anchor,
    Head,
    Kept,
    Note,
    What,
    fields_of,
    read_anchor,
    read_head,
    sequence_of,
)
from config.audit_check import Known, Verdict, check
from controlplane.node import audit_log
from controlplane.node.following import SYSTEM
from controlplane.node_plan import Limits
from controlplane.requests import (
    ChangeLease,
    Compare,
    Evict,
    Problem,
    Put,
    Refused,
    Transfer,
    Write,
    Written,
)
from regions.codec import as_bytes
from tests.node.rig import Rig, Seat
from tests.node.test_global_leader import SEEDS, leader, scan

EDITION = "{config}/edition"


def fleet(*nodes: str, limits: Limits | None = None) -> Rig:
    """A fleet that runs until everything is led, and the leaderships are recorded."""
    rig = Rig(nodes or ("n1", "n2"), shards=(), group="global", seeds=SEEDS, limits=limits)
    rig.until(lambda: all(leader(rig, shard) for shard in ("a", "b", SYSTEM)))
    rig.run(3_000)
    return rig


def edit(number: int, version: int | None = None, op_id: str = "") -> Write:
    """A write to the system shard with its note; on a condition, if a version is given."""
    compares = () if version is None else (Compare(EDITION, version),)
    note = Note(What.DOCUMENT, f"d{number}", "ada", "because", None, {"n": number})
    puts = (Put("config", EDITION, str(number).encode()),)
    return Write(SYSTEM, puts, compares, op_id, "digest" if op_id else "", notes=(note,))


def at_leader(rig: Rig) -> Seat:
    seat = leader(rig, SYSTEM)
    assert seat is not None
    return seat


def submit(rig: Rig, *writes: Write) -> list[Any]:
    """What the leader of the system shard answers to these, given to it at once."""
    seat = at_leader(rig)
    numbers = [seat.ask(write) for write in writes]
    rig.until(lambda: all(number in seat.answers for number in numbers))
    return [seat.answers[number] for number in numbers]


def log(rig: Rig) -> tuple[list[Kept], Head, Anchor]:
    """What is kept of the audit log."""
    found = scan(rig, PARTITION)
    head, anchor = read_head(found.get(HEAD_KEY)), read_anchor(found.get(ANCHOR_KEY))
    keys = sorted(key for key in found if key.startswith(RECORDS_PREFIX))
    return [Kept(sequence_of(key), found[key]) for key in keys], head, anchor


def said(rig: Rig) -> list[dict[str, Any]]:
    """What every record says."""
    return [fields_of(record) or {} for record in log(rig)[0]]


def verdict(rig: Rig) -> Verdict:
    records, head, anchor = log(rig)
    return check(records, Known(anchor, head))


def edits(rig: Rig) -> list[str]:
    return [each["subject"] for each in said(rig) if each["kind"] == "document"]


def test_an_edit_and_its_record_are_in_one_entry() -> None:
    rig = fleet()
    (written,) = submit(rig, edit(1))
    assert isinstance(written, Written)
    last = said(rig)[-1]
    seat = at_leader(rig)
    assert {name: last[name] for name in ("kind", "subject", "principal", "reason", "after")} == {
        "kind": "document", "subject": "d1", "principal": "ada", "reason": "because",
        "after": {"n": 1},
    }  # fmt: skip
    assert (last["node"], last["epoch"]) == (seat.plan.node, seat.led(SYSTEM).epoch)
    kept = {key: version for key, version in versions(rig).items() if key.startswith("{")}
    assert kept[log(rig)[0][-1].key] == kept[HEAD_KEY] == kept[EDITION] == written.position
    assert verdict(rig).valid


def versions(rig: Rig) -> dict[str, int]:
    """Versions of keys of the system shard, at one store."""
    data = rig.log("s1", SYSTEM).data
    return {key: value[0] for key, value in data.kv.items()}


def test_an_edit_that_is_refused_leaves_no_record() -> None:
    rig = fleet()
    (first,) = submit(rig, edit(1))
    before = log(rig)
    stale = submit(rig, edit(2, version=first.position + 7), edit(3, first.position - 1, op_id="x"))
    assert [each.problem for each in stale] == [Problem.PRECONDITION_FAILED] * 2
    assert log(rig) == before


def test_of_edits_at_the_same_moment_one_is_made_and_all_that_are_made_are_one_chain() -> None:
    rig = fleet()
    (first,) = submit(rig, edit(1))
    outcomes = submit(rig, *(edit(n, first.position) for n in range(2, 6)), edit(6), edit(7))
    assert [isinstance(each, Written) for each in outcomes] == [True] + [False] * 3 + [True] * 2
    assert edits(rig) == ["d1", "d2", "d6", "d7"]
    assert verdict(rig).valid


def test_an_edit_that_is_sent_again_is_recorded_once() -> None:
    rig = fleet()
    submit(rig, edit(1, op_id="once"))
    (again,) = submit(rig, edit(1, op_id="once"))
    assert again.replayed
    assert edits(rig) == ["d1"]


def test_the_next_global_leader_goes_on_with_the_chain() -> None:
    rig = fleet("n1", "n2", "n3")
    submit(rig, edit(1))
    first = at_leader(rig)
    del rig.seats[first.plan.node]
    rig.until(lambda: leader(rig, SYSTEM) is not None)
    submit(rig, edit(2), edit(3))
    assert edits(rig) == ["d1", "d2", "d3"]
    by = {each["subject"]: (each["node"], each["epoch"]) for each in said(rig)}
    assert by["d1"] != by["d2"] == by["d3"]
    assert verdict(rig).valid


def test_a_record_that_reached_no_majority_is_not_followed_by_any() -> None:
    rig = fleet("n1", "n2", "n3")
    submit(rig, edit(1))
    first = at_leader(rig)
    rig.mute(first.plan.node, *rig.stores)
    rig.hold(first.plan.node, *rig.stores)
    lost = first.ask(edit(2))
    rig.until(lambda: any(s.serves(SYSTEM) for s in rig.seats.values() if s is not first))
    rig.let(first.plan.node, *rig.stores)
    rig.until(lambda: lost in first.answers)
    outcome = first.answers[lost]
    assert isinstance(outcome, Refused)
    submit(rig, edit(3))
    assert edits(rig) == ["d1", "d3"]
    assert verdict(rig).valid


def test_a_write_that_comes_before_the_last_record_is_known_waits_for_it() -> None:
    rig = fleet()
    seat = at_leader(rig)
    audit = seat.node.duties.audit
    audit._epoch = 0  # as when the epoch has just opened
    number = seat.ask(edit(1))
    rig.run(100)
    assert number not in seat.answers
    value = [0, log(rig)[1].packed()]
    audit.opened(seat.led(SYSTEM).epoch, [value, False], rig.now_ms)
    rig.until(lambda: number in seat.answers)
    assert isinstance(seat.answers[number], Written)
    assert verdict(rig).valid


def test_what_is_committed_is_read_once_an_epoch_since_more_may_be_under_way() -> None:
    rig = fleet()
    seat = at_leader(rig)
    before = log(rig)[1]
    submit(rig, edit(1))
    seat.node.duties.audit.opened(seat.led(SYSTEM).epoch, [[0, before.packed()], False], rig.now_ms)
    submit(rig, edit(2))
    assert edits(rig) == ["d1", "d2"]
    assert verdict(rig).valid


def test_where_the_last_record_cannot_be_read_nothing_is_changed_and_it_is_told() -> None:
    rig = fleet()
    seat = at_leader(rig)
    audit = seat.node.duties.audit
    audit._epoch = 0
    audit.opened(seat.led(SYSTEM).epoch, [[0, b"{}"], False], rig.now_ms)
    (outcome,) = submit(rig, edit(1))
    assert isinstance(outcome, Refused)
    assert outcome.problem is Problem.NOT_READY
    assert "audit-broken" in seat.kinds(SYSTEM)


def test_leaderships_are_recorded_in_the_entry_of_their_history() -> None:
    rig = fleet()
    records = [each for each in said(rig) if each["kind"] == "leadership"]
    changes = [tuple(change[:2]) for each in records for change in each["after"]["changes"]]
    assert sorted(changes) == sorted({*changes})
    assert {("a", 1), ("b", 1), (SYSTEM, 1)} <= {*changes}
    head = scan(rig, "history")["{history}/head"].decode()
    assert records[-1]["after"]["history"] == head
    hashes = [(each["before"]["history"], each["after"]["history"]) for each in records]
    assert [before for before, _ in hashes[1:]] == [after for _, after in hashes[:-1]]
    kept = versions(rig)
    assert kept[HEAD_KEY] == kept["{history}/head"]


def test_a_transfer_is_recorded_with_who_ordered_it_and_so_is_what_came_of_it() -> None:
    rig = fleet("n1", "n2", "n3")
    holder = leader(rig, "a")
    assert holder is not None
    heir = next(seat for seat in rig.seats.values() if seat is not holder)
    epoch = holder.led("a").epoch
    holder.ask(Transfer("a", heir.plan.node, "ada", "a test"))
    rig.until(lambda: heir.serves("a"))
    rig.run(4_000)
    (order,) = [each for each in said(rig) if each["kind"] == "transfer"]
    assert (order["subject"], order["principal"], order["reason"]) == ("a", "ada", "a test")
    assert order["before"] == {"epoch": epoch, "node": holder.plan.node}
    assert order["after"] == {"node": heir.plan.node}
    changes = [c for each in said(rig) for c in (each["after"] or {}).get("changes", ())]
    (made,) = [change for change in changes if change[0] == "a" and change[1] > epoch]
    assert made[2] == heir.plan.node
    assert made[4:] == [holder.plan.node, epoch, "ada", "a test"]
    assert verdict(rig).valid


def test_an_eviction_and_another_lease_are_recorded_once_though_they_are_told_again() -> None:
    rig = fleet("n1", "n2", "n3")
    holder = leader(rig, "a")
    assert holder is not None
    for seat in rig.seats.values():
        rig.untold.add(seat.plan.node)  # acknowledgements are lost, too
    holder.ask(Evict("a", "bob", "it is slow"))
    order = ChangeLease("global", 2_000, "ada", "calmer")
    told = holder.node.change_stores(order, rig.now_ms, begin=True)
    assert not isinstance(told, Refused), told
    rig.run(3_000)
    rig.untold.clear()
    rig.run(6_000)
    found = [(e["kind"], e["subject"], e["principal"], e["reason"]) for e in said(rig)]
    assert found.count(("eviction", "a", "bob", "it is slow")) == 1
    assert found.count(("lease", "global", "ada", "calmer")) == 1
    assert verdict(rig).valid


def test_what_no_node_does_by_itself_is_not_taken_from_one() -> None:
    rig = fleet()
    seat = at_leader(rig)
    before = log(rig)
    notes = [
        ["x/1", "document", "flags", "eve", "", None, {}],
        ["x/2", "checkpoint", "1", "eve", "", None, {}],
        ["x/3", "transfer", "a" * 3_000, "eve", "", None, {}],
        ["x/4", "transfer", "a", "eve", "", None, "b" * 5_000],
        ["x/5"],
        "x/6",
    ]
    seat.node.duties.audit_reports.heard("n9", notes)
    seat.node.duties.audit_reports.heard("n9", {"x": 1})
    rig.run(2_000)
    assert log(rig) == before


def test_a_checkpoint_is_made_and_told_when_something_was_recorded_long_ago(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audit_log, "CHECKPOINT_EVERY_MS", 10_000)
    rig = fleet()
    seat = at_leader(rig)
    submit(rig, edit(1))
    assert "audit-checkpoint" not in seat.kinds(SYSTEM)
    rig.run(12_000)
    told = [event.detail for event in at_leader(rig).happened if event.kind == "audit-checkpoint"]
    records, head, _ = log(rig)
    by_number = {record.sequence: record.digest for record in records}
    assert told
    assert {each["sequence"]: each["digest"] for each in told}.items() <= by_number.items()
    assert (fields_of(records[-1]) or {})["kind"] == "checkpoint"
    assert head.checkpoint == head.sequence


def test_what_is_too_much_is_trimmed_and_the_rest_is_a_chain_from_its_anchor() -> None:
    rig = fleet(limits=replace(Limits(), audit_records_max=20))
    for start in range(0, 60, 3):
        submit(rig, *(edit(n) for n in range(start, start + 3)))
    rig.run(200)
    records, head, anchor = log(rig)
    found = verdict(rig)
    assert (found.valid, found.problem) == (True, None)
    assert anchor.sequence > 30
    assert found.first == anchor.sequence + 1
    assert len(records) <= 22
    assert head.size_bytes - anchor.size_bytes == sum(len(record.data) for record in records)
    trims = [each for each in said(rig) if each["kind"] == "trimmed"]
    assert trims[-1]["after"] == {"first": anchor.sequence + 1, "previous": anchor.digest}
    del rig.seats[at_leader(rig).plan.node]
    rig.until(lambda: leader(rig, SYSTEM) is not None)
    submit(rig, *(edit(n) for n in range(100, 130)))
    rig.run(500)
    assert verdict(rig).valid
    assert log(rig)[2].sequence > anchor.sequence


def test_records_of_many_bytes_are_trimmed_by_their_bytes() -> None:
    rig = fleet(limits=replace(Limits(), audit_bytes_max=1 << 16))
    for number in range(30):
        note = Note(What.LEADERSHIP, f"s{number}", after={"text": "x" * 4_000})
        submit(rig, Write(SYSTEM, (), notes=(note,)))
    rig.run(200)
    records, _, anchor = log(rig)
    assert anchor.sequence > 0
    assert sum(len(record.data) for record in records) <= 1 << 16
    assert verdict(rig).valid


def test_what_was_tampered_with_is_not_trimmed_but_told_and_stays() -> None:
    rig = fleet(limits=replace(Limits(), audit_records_max=20))
    submit(rig, *(edit(n) for n in range(10)))
    rig.run(500)
    seat = at_leader(rig)
    for store in rig.stores:
        data = rig.log(store, SYSTEM).data
        key = f"{RECORDS_PREFIX}{4:016d}"
        version, value = data.kv[key]
        data.kv[key] = (version, as_bytes(value).replace(b'"epoch":', b'"epoch":9'))
    submit(rig, *(edit(n) for n in range(10, 40)))
    rig.run(500)
    assert "audit-broken" in seat.kinds(SYSTEM)
    found = verdict(rig)
    assert (found.valid, found.at, found.first) == (False, 4, 1)
