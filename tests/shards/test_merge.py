"""Merging what stores hold of a shard: the greatest of each, in whatever order."""

from __future__ import annotations

from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regions.membership import Member
from shards.merge import Held, Placed, Record, Tip, merge_command, merged, read_record

small = st.integers(0, 3)
names = st.sampled_from(["", "p/1", "q/2"])
records = st.builds(
    Record,
    small,
    small,
    st.builds(Held, small, names, st.integers(0, 1), small),
    st.builds(Placed, small, st.sampled_from([b"", b"x"])),
    st.builds(Tip, small, small, small),
    st.frozensets(
        st.sampled_from([Member("s1", "i"), Member("s2", "i"), Member("s2", "j")]), min_size=1
    ),
    small,
)


@given(records, records, records)
def test_the_order_and_the_grouping_do_not_matter(a: Record, b: Record, c: Record) -> None:
    assert merged(a, b) == merged(b, a)
    assert merged(merged(a, b), c) == merged(a, merged(b, c))


@given(records, records)
def test_what_is_in_it_already_changes_nothing(a: Record, b: Record) -> None:
    assert merged(a, a) == a
    assert merged(merged(a, b), a) == merged(a, b)


@given(st.lists(records, min_size=1, max_size=4))
def test_each_part_is_that_of_a_store_and_none_has_a_greater(some: list[Record]) -> None:
    found = reduce(merged, some)
    parts = ("promised", "floor", "grant", "placed", "tip", "committed")
    assert [getattr(found, p) for p in parts] == [max(getattr(r, p) for r in some) for p in parts]
    having = [r.sources for r in some if r.tip == found.tip]
    assert found.sources == frozenset().union(*having)


def fields(**changed: Any) -> list[Any]:
    """A shard's record as `dump` gives it, after its name."""
    given = {
        "pe": "7", "pf": "2", "he": "6", "h": "p/1", "st": "held", "rvk": 0, "ver": 3, "prev": 1,
        "pref": "x", "te": "6", "ts": 9, "tc": 90, "cm": 8, "be": "1", "bs": 2, "bc": 20,
    }  # fmt: skip
    return list({**given, **changed}.values())


def of(store: str, **changed: Any) -> Record:
    return read_record(fields(**changed), frozenset({Member(store, "i")}), 3)


def test_a_record_is_read_as_it_stands() -> None:
    assert of("s1") == Record(
        7,
        2,
        Held(6, "p/1", 0, 3),
        Placed(1, b"x"),
        Tip(6, 9, 90),
        frozenset({Member("s1", "i")}),
        8,
    )


@pytest.mark.parametrize(
    ("one", "other", "tip"),
    [
        ({"te": "6", "ts": 9}, {"te": "5", "ts": 40}, Tip(6, 9, 90)),
        ({"te": "10", "ts": 3}, {"te": "9", "ts": 40}, Tip(10, 3, 90)),  # numbers, not text
        ({"te": "6", "ts": 9}, {"te": "6", "ts": 10}, Tip(6, 10, 90)),
    ],
)
def test_the_log_of_the_greatest_epoch_wins_never_the_longest(
    one: dict[str, Any], other: dict[str, Any], tip: Tip
) -> None:
    assert merged(of("s1", **one), of("s2", **other)).tip == tip


def test_presence_is_not_commitment() -> None:
    """An entry that every dump has is committed as far as some store knew, and no further."""
    everywhere = [of(store, ts=9, cm=cm) for store, cm in (("s1", 5), ("s2", 6), ("s3", 4))]
    assert reduce(merged, everywhere).committed == 6


def test_a_grant_of_the_new_version_comes_over_as_one_of_the_old() -> None:
    """So that it reads as inherited: the store that gets it has granted nothing in the new one."""
    assert of("s1", ver=4).grant.version == 3
    assert of("s1", ver=2).grant.version == 2


def test_the_command_carries_every_part() -> None:
    assert merge_command("g", 4, "a", "2/p", of("s1"), 10, []) == [
        "merge", "g", 4, "a", "2/p", "7", "2", "6", "p/1", 0, 3, 1, b"x", 10, [], "6", 9, 90, 8,
    ]  # fmt: skip
