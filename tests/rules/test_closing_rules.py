"""The rules of how a shard ends, each in the smallest schedule that breaks without it.

They are those marked in docs/RESHARDING.md, as far as a store enforces them, and those of
docs/STORE_FORMAT.md, section 7, on which what a child holds depends.
"""

from __future__ import annotations

import pytest

from shards.entry import forgets_ids, write_entry
from shards.reserved import BORN_KEY, RESERVED_PARTITION, closing, wiping
from tests.rules.one_draft import (
    BY,
    LATER,
    PARTS,
    A,
    N,
    Parent,
    copy_here,
    draft,
    new_store,
)
from tests.rules.one_store import GROUP, OneStore


@pytest.fixture
def store() -> OneStore:
    return new_store()


def test_what_is_closed_is_not_read(store: OneStore) -> None:
    parent = Parent(store)
    parent.put("x")
    assert store.value("a", "x") == b"v"
    parent.close()
    for words in (("read", "a", "", 0, ["x"], []), ("scan", "a", "", 0, "x", "", "", 9, 99)):
        code, _grant, number = store.do(*words)
        assert (code, number) == ("CLOSED", N)


def test_a_grant_tells_that_the_shard_is_closed(store: OneStore) -> None:
    parent = Parent(store)
    assert len(store.do("prepare", "a", "2", A, ["mine"])) == 11
    parent.store.append("a", 3, A, None, ())
    end = write_entry(0, 0, 3, closing(N, 1))
    store.append("a", 3, A, None, (end,), commit=1)
    assert store.do("prepare", "a", "4", A, ["mine"])[-2:] == [N, 0]


def test_what_a_client_may_call_its_key_closes_nothing(store: OneStore) -> None:
    parent = Parent(store)
    parent.put("closed", b"7")
    assert store.value("a", "closed") == b"7"
    for effect in (
        ["p", "p", closing(N, 1)[0][2], b"7", 1],
        ["p", RESERVED_PARTITION, BORN_KEY, b"7", 1],
        ["d", RESERVED_PARTITION, closing(N, 1)[0][2]],
    ):
        last = parent.log[-1]
        bad = write_entry(last.sequence, last.chain, 1, [effect])
        assert store.append("a", 1, A, last, (bad,))[0] == "BAD_COMMAND"


def test_behind_the_end_nothing_is_applied(store: OneStore) -> None:
    parent = Parent(store)
    parent.put("x")
    parent.close()
    before = [parent.pages(part) for part in PARTS]
    parent.write(
        ["p", "x", "x", b"late", 3], ["h", "9", "late"], ["x", 2], *closing(N + 1, 3), op_id="late"
    )
    assert [parent.pages(part) for part in PARTS] == before


def test_a_wipe_names_what_it_wipes(store: OneStore) -> None:
    parent = Parent(store)
    parent.put("x")
    parent.write(*wiping(N))
    assert store.value("a", "x") == b"v"  # nobody has closed it
    parent.close()
    before = parent.pages("kv")
    parent.write(*wiping(N - 1))
    assert parent.pages("kv") == before
    parent.write(["h", "5", "x"], *wiping(N))
    record = store.twin.state.groups[GROUP].shards["a"]
    assert (len(record.data.kv), record.data.ids) == (2, {})


def test_a_wipe_is_stored_where_the_end_is_not_yet_applied(store: OneStore) -> None:
    parent = Parent(store)
    first = parent.put("x")
    end = write_entry(1, first.chain, 1, closing(N, 2))
    wipe = write_entry(2, end.chain, 1, wiping(N))
    assert store.append("a", 1, A, first, (end, wipe), commit=1)[0] == "OK"
    assert store.value("a", "x") == b"v"
    store.append("a", 1, A, wipe, (), commit=3)
    assert store.do("draft_read", "a", "kv", "", 99)[0] == "CLOSED"


def test_what_is_wiped_fills_no_draft(store: OneStore) -> None:
    parent = Parent(store)
    parent.put("x")
    end = parent.close()
    draft(store)
    store.do("draft_local", "d", N, 0, BY, GROUP, "a", 0)
    parent.write(*wiping(N))
    assert store.do("draft_read", "a", "kv", "", 99)[::2] == ["CLOSED", N]
    assert store.do("draft_local", "d", N, 0, BY, GROUP, "a", 0) == ["CLOSED", N]
    record = store.do("page", "a", "kv", "", 9_999)[2]
    assert store.do("draft_page", "d", N, 0, LATER, "kv", record)[0] == "CONFLICT"
    assert end.sequence == 2


def test_a_closed_log_is_not_trimmed_past_its_end(store: OneStore) -> None:
    parent = Parent(store)
    parent.put("x")
    end = parent.close()
    parent.write()
    assert store.do("trim", "a", "1", A, 3) == ["OK", end.sequence]
    draft(store)
    assert copy_here(store)[:2] == ["OK", 1]


def test_a_copy_that_meets_a_wipe_begins_again() -> None:
    assert forgets_ids(write_entry(0, 0, 1, wiping(N)))
