"""The rules of drafts, each in the smallest schedule that breaks without it.

They are those marked in docs/RESHARDING.md, as far as a store enforces them, and those of
docs/STORE_FORMAT.md, section 7, on which what a child holds depends.
"""

from __future__ import annotations

from typing import Any
from zlib import crc32

import pytest

from regions.codec import as_bytes
from shards.entry import Entry, read_entry, write_entry
from shards.keyspace import slot_of
from shards.reserved import FLOOR_KEY, RESERVED_PARTITION, closing
from tests.rules.one_draft import (
    ALL,
    BY,
    LATER,
    PARTS,
    A,
    B,
    N,
    Parent,
    copy_here,
    draft,
    fill,
    follow,
    held_by,
    new_store,
)
from tests.rules.one_store import GROUP, OneStore


@pytest.fixture
def store() -> OneStore:
    return new_store()


# -- what a draft is


@pytest.mark.parametrize(
    "words",
    [
        ("prepare", "d", "9", A, ["free"]),
        ("read", "d", "", 0, [], []),
        ("scan", "d", "", 0, "p", "", "", 9, 9),
        ("place", "d", 1, b""),
        ("release", "d", "9", A),
        ("page", "d", "kv", "", 9),
        ("digest", "d", 0, "kv", "", 9),
    ],
    ids=lambda words: words[0],
)
def test_a_draft_is_unripe(store: OneStore, words: tuple[Any, ...]) -> None:
    assert draft(store) == "OK"
    before = store.twin.copy()
    assert store.do(*words)[0] == "UNRIPE"
    assert store.twin.state == before


def test_a_draft_is_in_no_list(store: OneStore) -> None:
    draft(store)
    assert store.do("dump", "", 999, 0) == ["OK", [], 0]
    assert store.do("observe", 0, 9)[3] == []


def test_a_name_is_used_once(store: OneStore) -> None:
    Parent(store, "d").close(N - 1)
    assert draft(store) == "EXISTS"
    store.prepare("e", 1, A)
    assert draft(store, shard="e") == "EXISTS"


def test_what_was_dropped_is_not_made_again(store: OneStore) -> None:
    assert store.do("undraft", "d", N) == ["OK"]  # also where it never came
    assert draft(store) == "STALE"
    assert draft(store, number=N + 1) == "OK"


def test_a_ripe_draft_is_not_dropped(store: OneStore) -> None:
    parent = Parent(store)
    parent.close()
    draft(store)
    copy_here(store)
    assert store.do("undraft", "d", N) == ["EXISTS"]
    assert store.do("draft_state", "d", N) == ["OK", 1, []]


def test_what_is_decided_takes_the_place_of_a_draft(store: OneStore) -> None:
    parent = Parent(store)
    parent.put("x")
    draft(store)
    copy_here(store)
    assert store.append("d", 9, B, Entry(5, 2, 7, b""), ())[0] == "GAP"
    assert store.value("d", "x") is None
    assert draft(store) == "EXISTS"


# -- how a draft is filled


def test_a_draft_is_ripe_with_the_closing_entries_alone(store: OneStore) -> None:
    parent, other = Parent(store), Parent(store, "b")
    draft(store, ALL, ALL)
    last = parent.put("x")
    fill(store, parent, 0, last)
    assert follow(store, parent, last, 0)[:2] == ["OK", 0]
    end = parent.close()
    assert follow(store, parent, last, 0)[:2] == ["OK", 0]  # the other has not ended
    fill(store, other, 1)
    assert store.prepare("d", 9, A) == "UNRIPE"
    second = other.close()
    assert follow(store, other, None, 1) == ["OK", 1, []]
    chain = crc32(b"%d %d" % (end.chain, second.chain))
    assert held_by(store)[1] == (1, end.sequence, chain)
    assert store.grant("d") == (1, 0, "", "free")


def test_nothing_is_applied_past_the_closing_entry(store: OneStore) -> None:
    parent = Parent(store)
    draft(store)
    fill(store, parent)
    end = parent.close()
    parent.write(["p", "y", "y", b"late", 2])
    assert follow(store, parent) == ["OK", 1, []]
    assert (store.value("d", "y"), held_by(store)[1][1]) == (None, end.sequence)


def test_whatever_way_it_comes_a_draft_ripens_to_the_same(store: OneStore) -> None:
    """Pages early or late, over the end or before it, or none but the log; or within a store."""
    parent = Parent(store)
    first = parent.put("x", op_id="o1")
    parent.write(["h", "1", "led"])
    early = {part: parent.pages(part) for part in PARTS}
    parent.put("x", b"w", op_id="o2")
    parent.write(["d", "x", "x"], ["p", "y", "y", b"v", 4])
    parent.write(["p", "", FLOOR_KEY, b"1", 1], ["x", 1])
    stores = [OneStore(f"s{i}") for i in range(3)]
    for at in [*stores, store]:
        draft(at)
    for part in PARTS:
        stores[0].do("draft_page", "d", N, 0, BY, part, early[part])
    stores[0].do("draft_data", "d", N, 0, BY, "1", first.sequence, first.chain)
    fill(stores[1], parent, 0, parent.log[-1])
    stores[2].do("draft_page", "d", N, 0, BY, "kv", [])
    stores[2].do("draft_data", "d", N, 0, BY, "0", 0, 0)
    end = parent.close()
    parent.write(["h", "4", "a later leader"], epoch=1)
    for at, after in zip(stores, (first, parent.log[-3], None), strict=True):
        assert follow(at, parent, after) == ["OK", 1, []]
    late = OneStore("late")
    draft(late)
    assert fill(late, parent, 0, end) == ["OK", 1, []]
    assert copy_here(store)[:2] == ["OK", 1]
    found = [held_by(at) for at in [*stores, late, store]]
    assert all(each == found[0] for each in found)


def test_entries_follow_the_cursor(store: OneStore) -> None:
    parent = Parent(store)
    draft(store)
    fill(store, parent)
    first = parent.put("x")
    second = parent.put("y")
    assert follow(store, parent, first) == ["GAP", 0]
    assert follow(store, parent)[0] == "OK"
    forked = Entry(2, 1, second.chain + 1, b"")
    parent.put("z")
    assert follow(store, parent, forked)[0] == "CONFLICT"


def test_a_child_takes_its_slots_alone(store: OneStore) -> None:
    parent = Parent(store)
    slot = slot_of("x")
    assert slot_of("y") != slot
    draft(store, [slot, slot + 1])
    parent.put("x")
    parent.put("y", op_id="of y")
    last = parent.log[-1]
    fill(store, parent, 0, last)
    parent.write(["p", "y", "y2", b"v", 3], ["p", "x", "x2", b"v", 3])
    parent.close()
    assert follow(store, parent, last)[1] == 1
    keys = ["x", "y", "x2", "y2"]
    values, ids = store.do("read", "d", "", 0, keys, ["of y"])[7:]
    assert [bool(value) for value in values] == [True, False, True, False]
    assert list(ids[0]) == [2, "d", ["done", 2]]  # ids go to all children


def test_the_floor_of_forgotten_ids_goes_along(store: OneStore) -> None:
    parent, other = Parent(store), Parent(store, "b")
    draft(store, ALL, ALL)
    for p, (of, floor) in enumerate([(parent, 5), (other, 3)]):
        of.write(["p", RESERVED_PARTITION, FLOOR_KEY, b"%d" % floor, floor])
        fill(store, of, p)
        of.close()
        follow(store, of, None, p)
    assert store.value("d", FLOOR_KEY) == b"5"


def test_ids_are_forgotten_by_the_parent_they_came_from(store: OneStore) -> None:
    parent, other = Parent(store), Parent(store, "b")
    draft(store, ALL, ALL)
    parent.put("x", op_id="mine")
    parent.put("y", op_id="both")
    other.put("z", op_id="its")
    other.write(op_id="both")
    starts = parent.log[-1], other.log[-1]
    fill(store, parent, 0, starts[0])
    fill(store, other, 1, starts[1])
    other.write(["x", 1])
    parent.write(["x", 2])
    for p, of in enumerate((parent, other)):
        of.close()
        follow(store, of, starts[p], p)
    ids = store.do("read", "d", "", 0, [], ["mine", "its", "both"])[8]
    assert [bool(known) for known in ids] == [False, False, True]
    assert list(ids[2]) == [2, "d", ["done", 2]]


def test_a_retry_is_judged_by_the_ids_of_its_own_parent(store: OneStore) -> None:
    parent, other = Parent(store), Parent(store, "b")
    draft(store, ALL, ALL)
    parent.put("x", op_id="same")
    fill(store, parent, 0)
    other.put("y")
    other.put("z", b"its own", op_id="same")
    other.write(["p", "z", "z", b"twice", 3], op_id="same")
    fill(store, other, 1)
    for p, of in enumerate((parent, other)):
        of.close()
        follow(store, of, None, p)
    assert store.value("d", "z") == b"its own"


def test_pages_of_ids_go_on_behind_an_id_of_the_same_sequence(store: OneStore) -> None:
    parent, other = Parent(store), Parent(store, "b")
    draft(store, ALL, ALL)
    for p, of in enumerate((parent, other)):
        of.put("x" * (p + 1), op_id=f"op{p}")
        fill(store, of, p)
        of.close()
        follow(store, of, None, p)
    names, more = [], 1
    while more:
        code, _, records, more = store.do("page", "d", "id", names[-1] if names else "", 0)
        assert code == "OK"
        names += [record[0] for record in records]
    assert names == ["1 op0", "1 op1", f"2 closing {N}"]


def test_history_is_of_the_first_parent_alone(store: OneStore) -> None:
    parent, other = Parent(store), Parent(store, "b")
    draft(store, ALL, ALL)
    parent.write(["h", "1", "first"])
    other.write(["h", "1", "second"], ["h", "2", "second"])
    for p, of in enumerate((parent, other)):
        fill(store, of, p)
        of.close()
        follow(store, of, None, p)
    assert store.do("history", "d") == ["OK", [["1", "first"]]]


def test_pages_come_no_more_when_they_are_complete(store: OneStore) -> None:
    parent = Parent(store)
    draft(store)
    parent.put("x", b"old")
    late = parent.pages("kv")
    last = parent.put("x", b"new")
    fill(store, parent, 0, last)
    assert store.do("draft_page", "d", N, 0, BY, "kv", late) == ["STALE", N, BY]
    parent.close()
    follow(store, parent, last)
    assert store.value("d", "x") == b"new"


def test_a_later_attempt_begins_with_nothing(store: OneStore) -> None:
    parent = Parent(store)
    draft(store)
    parent.put("x")
    fill(store, parent, 0, parent.log[-1])
    parent.write(["d", "x", "x"])
    fill(store, parent, 0, parent.log[-1], LATER)
    assert follow(store, parent, parent.log[-1]) == ["STALE", N, LATER]
    parent.close()
    assert follow(store, parent, parent.log[1], by=LATER) == ["OK", 1, []]
    assert store.value("d", "x") is None


def test_a_parent_that_begins_anew_ends_the_attempt_of_the_other(store: OneStore) -> None:
    parent, other = Parent(store), Parent(store, "b")
    draft(store, ALL, ALL)
    other.put("y")
    fill(store, parent, 0)
    store.do("draft_page", "d", N, 1, BY, "kv", other.pages("kv"))
    store.do("draft_page", "d", N, 0, LATER, "kv", [])  # all that came is gone
    late = store.do("draft_data", "d", N, 1, BY, "1", 1, other.log[0].chain)
    assert late == ["STALE", N, BY]
    assert store.do("draft_local", "d", N, 1, BY, GROUP, "b", 0) == late
    store.do("draft_page", "d", N, 1, LATER, "kv", [])
    states = store.do("draft_state", "d", N)[2]
    assert [state[1] for state in states] == ["pages", "pages"]  # and they do not fight


def test_a_page_of_another_end_is_refused(store: OneStore) -> None:
    parent = Parent(store)
    parent.close(N - 1)
    draft(store)
    pages = parent.pages("kv")
    assert store.do("draft_page", "d", N, 0, BY, "kv", pages)[0] == "CONFLICT"
    assert store.do("draft_local", "d", N, 0, BY, GROUP, "a", 9)[0] == "CONFLICT"


def test_pages_do_not_begin_behind_the_end(store: OneStore) -> None:
    parent = Parent(store)
    parent.close()
    after = parent.write()
    draft(store)
    assert fill(store, parent, 0, after)[0] == "CONFLICT"


def test_a_store_copies_what_is_committed_alone(store: OneStore) -> None:
    parent = Parent(store)
    first = parent.put("x")
    draft(store)
    copy_here(store)
    end = write_entry(1, first.chain, 1, closing(N, 2))
    store.append("a", 1, A, first, (end,), commit=1)
    assert copy_here(store)[:2] == ["OK", 0]
    store.append("a", 1, A, end, (), commit=2)
    assert copy_here(store)[:2] == ["OK", 1]


def test_ids_that_are_forgotten_while_they_are_copied_make_it_begin_anew(store: OneStore) -> None:
    """Else a retry between the start and what forgot its id would be applied."""
    parent = Parent(store)
    parent.put("x", b"once", op_id="o1")
    parent.put("y", op_id="o2")
    parent.put("z", op_id="o3")
    draft(store)
    store.do("draft_local", "d", N, 0, BY, GROUP, "a", 0)
    assert store.do("draft_local", "d", N, 0, BY, GROUP, "a", 0)[2][0][1] == "walk"
    parent.write(["p", "x", "x", b"twice", 4], op_id="o3")  # a retry: passed over
    parent.write(["x", 3])
    copy_here(store)
    parent.close()
    assert copy_here(store)[:2] == ["OK", 1]
    assert store.value("d", "x") == b"once"


def test_what_was_trimmed_is_a_gap_and_a_later_attempt_begins_anew(store: OneStore) -> None:
    parent = Parent(store)
    parent.put("x")
    draft(store)
    copy_here(store)
    parent.put("y")
    parent.put("z")
    store.do("trim", "a", "1", A, 3)
    assert copy_here(store) == ["GAP", 1]
    assert copy_here(store) == ["GAP", 1], "this attempt is over"
    assert copy_here(store, by=LATER)[:2] == ["OK", 0]
    parent.close()
    assert copy_here(store, by=LATER)[:2] == ["OK", 1]
    assert [store.value("d", key) for key in "xyz"] == [b"v"] * 3


def test_a_draft_counts_in_the_version_of_its_group(store: OneStore) -> None:
    draft(store)
    store.version = 2
    assert store.do("draft_state", "d", N)[0] == "NEW_VERSION"
    store.version = 1
    assert store.do("seal", b"next", 2) == ["OK"]
    assert store.do("draft_state", "d", N)[0] == "SEALED"


def test_a_ripe_shard_is_free_in_the_version_it_ripened_in(store: OneStore) -> None:
    assert store.do("seal", b"next", 3) == ["OK"]
    store.version = 3
    assert store.do("finish_install", "1/p1", 0, b"next") == ["OK"]
    store.register(A)
    parent = Parent(store)
    end = parent.close()
    draft(store)
    copy_here(store)
    assert store.prepare("d", 2, A, "free") == "OK"
    assert read_entry(end.sequence, as_bytes(end.blob)).chain == held_by(store)[1][2]
