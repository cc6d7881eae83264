"""Descriptions: what is written is read again, and which may be proposed after which."""

from __future__ import annotations

from dataclasses import replace

import pytest

from regions.codec import Code
from regions.membership import (
    Forced,
    GroupDescription,
    Member,
    later_description,
    may_follow,
    members,
    read_description,
    write_description,
)


def described(
    voters: str, version: int = 1, followers: str = "", before: str = ""
) -> GroupDescription:
    """Stores by name; a name with a number is that incarnation of it: `a`, `a2`."""
    return GroupDescription("g", version, 1_000, named(voters), named(followers), named(before))


def named(stores: str) -> dict[str, str]:
    return {name[0]: name if name[1:] else f"{name}1" for name in stores.split()}


def test_a_description_is_read_as_it_was_written() -> None:
    first = described("a b c", followers="f")
    later = described("a2 b c", 2, "f", before="a b c")
    assert [read_description(write_description(d)) for d in (first, later)] == [first, later]
    assert b"before" not in write_description(first)


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"7", b'{"group": "g", "version": 2}'])
def test_what_is_no_description_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"not the description|Expecting"):
        read_description(text)


MAY = [
    ("a b c", "a2 b c"),  # one that forgot
    ("a b c", "b c d"),  # one for one
    ("a b c", "a b c d"),
    ("a b c", "a b c d e"),
    ("a b c d e", "a b c"),
    ("a b c d", "a b c"),
    ("a b c d e", "a b c d f"),
    ("a b", "a b c"),
]
MAY_NOT = [
    ("a b c", "a b c", "nothing would change"),
    ("a b c", "a d e", "adds 2 and removes 2"),
    ("a b c", "a2 b2 c", "adds 2 and removes 2"),
    ("a b c", "a b d e", "adds 2 and removes 1"),
    ("a b c", "a b c d e f", "adds 3 and removes 0"),
    ("a b c d e", "a b", "adds 0 and removes 3"),
    ("a b c", "", "nobody would vote"),
    ("a", "a b", "fewer than 2 of its voters"),
    ("a b", "a b c d", "fewer than 3 of its voters"),
]


def refusal(
    old: GroupDescription, new: GroupDescription, absent: str = "", behind: str = ""
) -> str:
    """Why it may not follow, when all answer but those absent, and all new ones have caught up."""
    everybody = {*members(old.voters), *members(new.incarnations)}
    answering = {m for m in everybody if m.store not in absent.split()}
    caught_up = {m for m in everybody if m.store not in behind.split()}
    return may_follow(old, new, caught_up, answering)


@pytest.mark.parametrize(("before", "after"), MAY)
def test_one_for_one_or_two_more_or_two_less_may_follow(before: str, after: str) -> None:
    old = described(before, 7)
    assert refusal(old, described(after, 8, before=before)) == ""


@pytest.mark.parametrize(("before", "after", "why"), MAY_NOT)
def test_more_may_not_follow(before: str, after: str, why: str) -> None:
    old = described(before, 7)
    assert why in refusal(old, described(after, 8, before=before))


def test_followers_may_change_alone() -> None:
    old = described("a b c", followers="f")
    assert refusal(old, described("a b c", 2, "f2", "a b c")) == ""
    assert refusal(old, described("a b c", 2, "", "a b c")) == ""


@pytest.mark.parametrize(
    "change",
    [
        {"ttl_ms": 1_001},
        {"ttl_ms": 60_000},
        {"ttl_ms": 999, "earlier_ttl_ms": 1_000},
        {"set_ttl_ms": 700},
    ],
)
def test_another_lease_may_follow_alone(change: dict[str, int]) -> None:
    old, same = described("a b c"), described("a b c", 2, before="a b c")
    assert refusal(old, same) == "nothing would change"
    assert refusal(old, replace(same, **change)) == ""  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"version": 3}, "version 3 does not follow on 1"),
        ({"version": 1}, "version 1 does not follow on 1"),
        ({"ttl_ms": 999}, "leases of 1000 ms may be left, and it does not say so"),
        ({"ttl_ms": 499, "earlier_ttl_ms": 1_000}, "a lease lasts 500 to 60000 ms"),
        ({"ttl_ms": 60_001}, "a lease lasts 500 to 60000 ms"),
        ({"group": "h"}, "the group, its cluster and its floor"),
        ({"cluster": "c"}, "the group, its cluster"),
        ({"floor": 7}, "and its floor of epochs"),
        ({"forced": Forced(1, {}, "ada", "")}, "what is forced is not put to the vote"),
        ({"before": {}}, "does not name the voters of version 1"),
        ({"voters": named("a b") | {"c": ""}}, "not minted: c"),
        ({"followers": named("c")}, "named twice: c"),
        ({"followers": {"f": "b1"}}, "two stores have one incarnation"),
    ],
)
def test_what_is_malformed_may_not_follow(change: dict[str, object], why: str) -> None:
    old = described("a b c")
    good = described("a2 b c", 2, before="a b c")
    assert refusal(old, good) == ""
    assert why in refusal(old, replace(good, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "after", "absent", "behind", "why"),
    [
        ("a b c", "b c d", "d", "", "does not answer: d"),
        ("a b c", "b c d", "", "d", "has not caught up: d"),
        ("a b c", "b c d", "a", "", ""),  # who goes need not be there
        ("a b c", "b c d", "b", "", "fewer than 2 of its voters"),
        ("a b c", "a2 b c", "b", "", "no quorum of version 1 answers: a, b"),
        ("a b c d e", "a b c d f", "d e", "", ""),
        ("a b c d e", "a b c d f", "d c e", "", "no quorum of version 1 answers: c, d, e"),
        ("a b c d e", "a b c", "d e", "", ""),
    ],
)
def test_enough_must_be_there_before_anything_is_proposed(
    before: str, after: str, absent: str, behind: str, why: str
) -> None:
    old, new = described(before), described(after, 2, before=before)
    everybody = {*members(old.voters), *members(new.voters)}
    gone = {Member("a", "a1")} if after.startswith("a2") else set()
    answering = {m for m in everybody - gone if m.store not in absent.split()}
    caught_up = {m for m in everybody if m.store not in behind.split()}
    told = may_follow(old, new, caught_up, answering)
    assert told.startswith(why) if why else told == ""


def test_the_dead_incarnation_does_not_answer_for_the_new_one() -> None:
    old, new = described("a b c"), described("a2 b c", 2, before="a b c")
    everybody = {*members(old.voters), *members(new.voters)}
    assert may_follow(old, new, everybody, everybody - {Member("a", "a2")}) != ""
    assert may_follow(old, new, {Member("a", "a1")}, everybody) != ""


def test_only_a_refusal_shows_what_was_decided() -> None:
    text = write_description(described("a b c", 2, before="a b c")).decode()
    shown = [
        later_description([code, 1, "sealed", text, "payload"], version)
        for code, version in [
            (Code.SEALED, 1), (Code.OLD_VERSION, 1), (Code.SEALED, 2), (Code.OK, 1),
            (Code.NEW_VERSION, 1),
        ]
    ]  # fmt: skip
    assert shown == [text.encode(), text.encode(), None, None, None]
    assert later_description([Code.SEALED, 1, "sealed", False], 1) is None
