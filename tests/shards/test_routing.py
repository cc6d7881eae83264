"""Routing: from a key to a shard, and from a request to the node that serves it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards.keyspace import SLOTS, key_slot
from shards.routing import (
    Asked,
    Decision,
    Forward,
    Hints,
    Redirect,
    Refuse,
    RoutingTable,
    Serve,
    SlotRange,
    Target,
    Why,
    decide,
    nearest,
)

HERE = Target("n1", "eu", "http://n1", 5)
THERE = Target("n2", "us", "http://n2", 5)


# ---------------------------------------------------------------- the table


@given(st.sets(st.integers(1, SLOTS - 1), max_size=30), st.integers(0, SLOTS - 1))
def test_every_slot_is_found_in_its_range(cuts: set[int], slot: int) -> None:
    edges = [0, *sorted(cuts), SLOTS]
    ranges = [SlotRange(first, end, f"s{at}") for at, (first, end) in enumerate(pairwise(edges))]
    table = RoutingTable(reversed(ranges), 1)
    (owner,) = (r.shard for r in ranges if r.first_slot <= slot < r.end_slot)
    assert table.shard_of_slot(slot) == owner


def test_a_gap_has_no_shard_and_an_empty_range_no_key() -> None:
    table = RoutingTable(
        [SlotRange(0, 0, "system"), SlotRange(10, 20, "b"), SlotRange(5, 10, "a")], 7
    )
    found = {slot: table.shard_of_slot(slot) for slot in (0, 4, 5, 9, 10, 19, 20, SLOTS - 1)}
    assert found == {
        0: None,
        4: None,
        5: "a",
        9: "a",
        10: "b",
        19: "b",
        20: None,
        SLOTS - 1: None,
    }
    assert table.map_version == 7
    assert RoutingTable((), 0).shard_of("any") is None


def test_keys_of_a_partition_are_found_together() -> None:
    half = SLOTS // 2
    table = RoutingTable([SlotRange(0, half, "low"), SlotRange(half, SLOTS, "high")], 1)
    for number in range(50):
        one, other = f"{{c{number}}}/a", f"b/{{c{number}}}"
        assert table.shard_of(one) == table.shard_of(other)
        assert table.shard_of(one) == ("low" if key_slot(one) < half else "high")


@pytest.mark.parametrize(
    "ranges",
    [
        [SlotRange(0, 10, "a"), SlotRange(9, 20, "b")],
        [SlotRange(-1, 10, "a")],
        [SlotRange(0, SLOTS + 1, "a")],
    ],
)
def test_a_map_that_cannot_be_is_refused(ranges: list[SlotRange]) -> None:
    with pytest.raises(AssertionError):
        RoutingTable(ranges, 1)


# ---------------------------------------------------------------- claims


def test_a_hint_counts_until_the_node_knows_as_much() -> None:
    hints = Hints()
    known, claim = Target("n1", "eu", "u1", 4), Target("n2", "us", "u2", 6)
    assert not hints
    assert hints.leader("s1", known, 4) == known
    assert hints.learn("s1", claim)
    assert not hints.learn("s1", claim)
    assert not hints.learn("s1", Target("n3", "us", "u3", 5))
    assert hints.leader("s2", known, 4) == known
    assert hints.leader("s1", known, 4) == claim
    # The grant of epoch 6 is known here, but not yet who serves: the claim still helps.
    assert hints.leader("s1", None, 6) == claim
    # An election at a higher epoch is on: the claim is history.
    assert hints.leader("s1", None, 7) is None
    assert not hints
    assert hints.learn("s1", claim)
    assert hints.leader("s1", Target("n2", "us", "u2", 6), 6) == claim
    assert not hints


# ---------------------------------------------------------------- the decision

WRITE = Asked(needs_leader=True)
LOCAL = Asked(needs_leader=False)
FAILED_HOME = Asked(needs_leader=False, home_failed=True)
REDIRECTED = Asked(needs_leader=True, may_proxy=False)
SECOND_HAND = Asked(needs_leader=True, hops=1)

DECISIONS: tuple[tuple[Asked, Target | None, set[str], Decision], ...] = (
    # what needs the leader
    (WRITE, HERE, set(), Serve()),
    (WRITE, THERE, set(), Forward(THERE)),
    (WRITE, THERE, {"n2"}, Refuse(Why.UNREACHABLE, THERE)),
    (WRITE, THERE, {"n3"}, Forward(THERE)),
    (WRITE, HERE, {"n1"}, Serve()),
    (WRITE, None, set(), Serve()),
    # what does not
    (LOCAL, HERE, set(), Serve()),
    (LOCAL, THERE, {"n2"}, Serve()),
    (LOCAL, None, set(), Serve()),
    (Asked(needs_leader=False, hops=1), THERE, set(), Serve()),
    (Asked(needs_leader=False, may_proxy=False), THERE, set(), Serve()),
    # what home could not answer
    (FAILED_HOME, HERE, set(), Serve()),
    (FAILED_HOME, THERE, set(), Forward(THERE)),
    (FAILED_HOME, None, set(), Refuse(Why.NO_LEADER)),
    (Asked(False, 0, False, True), THERE, set(), Redirect(THERE)),
    (Asked(False, 1, True, True), THERE, set(), Refuse(Why.NOT_LEADER, THERE)),
    # a client that wants to go itself
    (REDIRECTED, HERE, set(), Serve()),
    (REDIRECTED, THERE, set(), Redirect(THERE)),
    (REDIRECTED, THERE, {"n2"}, Redirect(THERE)),
    (REDIRECTED, None, set(), Serve()),
    # one hop, never two
    (SECOND_HAND, HERE, set(), Serve()),
    (SECOND_HAND, THERE, set(), Refuse(Why.NOT_LEADER, THERE)),
    (Asked(True, 1, False), THERE, set(), Refuse(Why.NOT_LEADER, THERE)),
    (Asked(True, 9), THERE, set(), Refuse(Why.NOT_LEADER, THERE)),
    (SECOND_HAND, None, set(), Serve()),
)


@pytest.mark.parametrize(("asked", "leader", "failed", "decision"), DECISIONS)
def test_a_request_goes_where_it_can_be_answered(
    asked: Asked, leader: Target | None, failed: set[str], decision: Decision
) -> None:
    assert decide(asked, "n1", leader, failed) == decision


@given(
    st.booleans(),
    st.integers(0, 3),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, HERE, THERE]),
    st.sampled_from([set(), {"n1"}, {"n2"}]),
)
def test_nothing_is_passed_on_twice(
    needs: bool, hops: int, proxy: bool, failed: bool, leader: Target | None, down: set[str]
) -> None:
    decision = decide(Asked(needs, hops, proxy, failed), "n1", leader, down)
    if isinstance(decision, Forward):
        assert hops == 0
        assert proxy
        assert decision.target.node not in down | {"n1"}


# ---------------------------------------------------------------- where to read


@dataclass(frozen=True)
class Copy:
    """A replica as a test sees it."""

    node: str
    region: str
    position: int | None
    staleness_ms: int | None
    role: str = "follower"
    url: str = "u"


LEADER = Copy("n1", "eu", 100, 0, "leader")
FRESH = Copy("n2", "us", 95, 40)
OLD = Copy("n3", "us", 99, 400)
UNKNOWN = Copy("n4", "us", None, None)
FAR = Copy("n5", "ap", 100, None)
COPIES = (UNKNOWN, OLD, LEADER, FRESH, FAR)

NEAREST: tuple[tuple[str, int | None, int, Copy | None], ...] = (
    ("us", None, 0, FRESH),
    ("us", 100, 0, FRESH),
    ("us", 39, 0, UNKNOWN),
    ("us", None, 96, OLD),
    ("us", 100, 96, UNKNOWN),
    ("us", None, 100, UNKNOWN),
    ("eu", 0, 100, LEADER),
    ("eu", 0, 101, None),
    ("ap", None, 100, FAR),
    ("ap", 1_000, 0, FAR),
    ("ap", 1_000, 101, None),
    ("moon", None, 0, None),
)


@pytest.mark.parametrize(("region", "bound_ms", "sequence", "found"), NEAREST)
def test_the_freshest_fit_copy_of_the_region_is_read(
    region: str, bound_ms: int | None, sequence: int, found: Copy | None
) -> None:
    assert nearest(COPIES, region, bound_ms, sequence) is found
