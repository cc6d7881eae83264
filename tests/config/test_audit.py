"""The audit log's chain: whatever is done to records is seen, given head or checkpoint."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.audit import (
    CHECKPOINT_RECORDS,
    Anchor,
    Head,
    Kept,
    Note,
    Stamp,
    What,
    brief,
    chained,
    exported,
    fields_of,
    read_anchor,
    read_head,
    sequence_of,
    shown,
)
from config.audit_check import (
    Checkpoint,
    Held,
    Hole,
    Known,
    check,
    read_checkpoint,
)
from config.document import canonical

STAMP = Stamp("n1", 3, 1_700_000_000_000)
RECORDS = 12
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)  # fmt: skip
PLACES = st.integers(0, RECORDS - 1)


def chain(count: int = RECORDS, head: Head | None = None) -> tuple[list[Kept], Head]:
    """Records of edits, one after the other."""
    notes = [Note(What.DOCUMENT, f"d{n}", "ada", "because", n, {"n": n + 1}) for n in range(count)]
    records, after = chained(head or Head(), notes, STAMP)
    return list(records), after


def changed(record: Kept, **fields: Any) -> Kept:
    """A record that says something else under the same number."""
    said = fields_of(record)
    assert said is not None
    return Kept(record.sequence, canonical({**said, **fields}))


def test_a_chain_as_it_was_written_is_whole() -> None:
    records, head = chain()
    verdict = check(records, Known(Anchor(), head, Checkpoint(5, records[4].digest)))
    assert (verdict.valid, verdict.records, verdict.first, verdict.last) == (True, 12, 1, 12)
    assert (verdict.head, verdict.holes, verdict.problem) == (head.digest, (), None)
    assert verdict.checkpoint is Held.MATCHES
    assert head.size_bytes == sum(len(record.data) for record in records)
    assert check([], Known(Anchor(), Head())).valid


@given(PLACES, st.sampled_from(("subject", "principal", "reason")), st.text(max_size=5))
def test_a_record_that_was_changed_is_named(at: int, field: str, text: str) -> None:
    records, head = chain()
    good = records[at]
    records[at] = changed(good, **{field: text + "!"})
    verdict = check(records, Known(Anchor(), head))
    assert not verdict.valid
    assert verdict.at == at + 1


@given(PLACES, VALUES)
def test_what_a_record_says_of_before_and_after_is_held_to_the_chain(at: int, value: Any) -> None:
    records, head = chain()
    records[at] = changed(records[at], after={"other": value}, before=[value])
    assert check(records, Known(Anchor(), head)).at == at + 1


@given(PLACES)
def test_a_record_that_is_left_out_is_a_hole(at: int) -> None:
    records, head = chain()
    del records[at]
    verdict = check(records, Known(Anchor(), head))
    assert not verdict.valid
    assert verdict.holes == (Hole(at + 1, at + 1),)


@given(PLACES, PLACES)
def test_records_in_another_order_are_not_whole(first: int, second: int) -> None:
    records, head = chain()
    records[first], records[second] = records[second], records[first]
    assert check(records, Known(Anchor(), head)).valid is (first == second)


@given(PLACES, PLACES)
def test_a_record_that_stands_in_the_place_of_another_is_none(place: int, taken: int) -> None:
    records, head = chain()
    records[place] = Kept(place + 1, records[taken].data)
    verdict = check(records, Known(Anchor(), head))
    assert (verdict.valid, verdict.at) == ((True, None) if place == taken else (False, place + 1))


@given(PLACES)
def test_a_tail_that_is_cut_off_is_missed_by_the_head_and_by_a_checkpoint(kept: int) -> None:
    records, head = chain()
    cut = records[:kept]
    assert not check(cut, Known(Anchor(), head)).valid
    assert check(cut, Known()).valid  # nobody knows what came then
    checkpoint = Checkpoint(RECORDS, head.digest)
    verdict = check(cut, Known(checkpoint=checkpoint))
    assert (verdict.valid, verdict.checkpoint, verdict.at) == (False, Held.MISSING, RECORDS)


@given(PLACES, st.integers(1, RECORDS))
def test_a_chain_that_is_written_anew_differs_from_a_checkpoint_behind_it(
    at: int, kept: int
) -> None:
    records, _ = chain()
    before = Head(at, records[at - 1].digest if at else "")
    notes = [Note(What.DOCUMENT, f"other {n}", "eve") for n in range(RECORDS - at)]
    anew, head = chained(before, notes, STAMP)
    forged = [*records[:at], *anew]
    assert check(forged, Known(Anchor(), head)).valid  # in itself it is a chain
    verdict = check(forged, Known(Anchor(), head, Checkpoint(kept, records[kept - 1].digest)))
    assert verdict.valid is (kept <= at)
    assert verdict.checkpoint is (Held.MATCHES if kept <= at else Held.DIFFERS)


@given(st.integers(1, RECORDS - 1), st.integers(0, RECORDS))
def test_what_was_trimmed_leaves_a_chain_that_begins_at_its_anchor(gone: int, at: int) -> None:
    records, head = chain()
    anchor = Anchor(gone, records[gone - 1].digest)
    checkpoint = Checkpoint(at, records[at - 1].digest if at else "")
    verdict = check(records[gone:], Known(anchor, head, checkpoint))
    assert (verdict.valid, verdict.first) == (True, gone + 1)
    assert verdict.checkpoint is (Held.TRIMMED if at < gone else Held.MATCHES)
    assert not check(records[gone:], Known(replace(anchor, digest="0" * 64), head)).valid
    assert not check(records[gone - 1 :], Known(anchor, head)).valid


@given(st.lists(VALUES, min_size=1, max_size=5))
def test_an_export_is_read_back_as_it_was(values: list[Any]) -> None:
    notes = [Note(What.MOVE, "s03", before=value, after=[value]) for value in values]
    records, _ = chained(Head(), notes, STAMP)
    lines = [json.dumps(shown(record)) for record in records]
    back = [exported(json.loads(line)) for line in lines]
    assert [record for record, _ in back] == list(records)
    assert [digest for _, digest in back] == [record.digest for record in records]


def test_in_an_export_the_record_that_was_changed_is_known_by_its_own_digest() -> None:
    records, _ = chain()
    digests = {record.sequence: record.digest for record in records}
    records[-1] = changed(records[-1], principal="eve")
    verdict = check(records, Known(digests=digests))
    assert (verdict.valid, verdict.at) == (False, RECORDS)


def test_an_export_may_begin_anywhere_and_a_first_record_follows_none() -> None:
    records, _ = chain()
    assert check(records[4:], Known()).valid
    held = check(records[4:], Known(checkpoint=Checkpoint(4, records[3].digest)))
    assert held.checkpoint is Held.MATCHES
    verdict = check([changed(records[0], previous="0" * 64), *records[1:]], Known())
    assert (verdict.valid, verdict.at) == (False, 1)


def test_what_is_no_record_any_more_is_named_and_shown_as_such() -> None:
    records, head = chain()
    for spoilt in (b"", b"[1]", b"{}", b"\xff", records[3].data.replace(b'"previous"', b'"p"')):
        broken = [*records[:6], Kept(7, spoilt), *records[7:]]
        verdict = check(broken, Known(Anchor(), head))
        assert (verdict.valid, verdict.at) == (False, 7)
        assert shown(broken[6])["kind"] == "unreadable"


def test_every_so_often_a_record_is_a_checkpoint() -> None:
    records, head = chain(CHECKPOINT_RECORDS - 1)
    assert head.checkpoint == 0
    more, after = chain(1, head)
    assert [fields_of(record)["kind"] for record in more] == ["document", "checkpoint"]  # type: ignore[index]
    told = fields_of(more[1])
    assert told is not None
    assert told["after"] == {"sequence": CHECKPOINT_RECORDS, "digest": more[0].digest}
    assert after.checkpoint == after.sequence == CHECKPOINT_RECORDS + 1
    assert check([*records, *more], Known(Anchor(), after)).valid


def test_head_and_anchor_are_read_as_they_were_kept_and_nothing_else_is() -> None:
    head, anchor = Head(7, "aa", 900, 3), Anchor(2, "bb", 100)
    assert (read_head(head.packed()), read_anchor(anchor.packed())) == (head, anchor)
    assert (read_head(None), read_anchor(b"")) == (Head(), Anchor())
    for value in (b"x", b"[]", b'{"sequence": "1"}'):
        with pytest.raises(ValueError, match=r"audit log|JSON|expected|unexpected"):
            read_head(value)
        with pytest.raises(ValueError, match=r"audit log|JSON|expected|unexpected"):
            read_anchor(value)


def test_keys_sort_as_records_do_and_long_values_are_told_by_their_digest() -> None:
    records, _ = chain(11)
    keys = [record.key for record in records]
    assert sorted(keys) == keys
    assert [sequence_of(key) for key in keys] == list(range(1, 12))
    assert brief({"a": 1}) == {"a": 1}
    assert brief("x" * 5_000).keys() == {"digest", "size_bytes"}
    (long,), _ = chained(Head(), [Note(What.PLAN, "order 1", after="x" * 5_000)], STAMP)
    assert len(long.data) < 1_000


@pytest.mark.parametrize(
    "text", ["", "7", "7:", "x:" + "a" * 64, "7:" + "a" * 63, "-1:" + "a" * 64]
)
def test_a_checkpoint_is_a_number_and_a_digest(text: str) -> None:
    with pytest.raises(ValueError, match="number of a record"):
        read_checkpoint(text)
    assert read_checkpoint("7:" + "a" * 64 + "\n") == Checkpoint(7, "a" * 64)
