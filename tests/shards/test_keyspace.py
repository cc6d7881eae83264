"""Keys, partitions and slots: rules that can never change, pinned."""

from __future__ import annotations

from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards.keyspace import SLOTS, key_complaint, key_slot, partition_of, slot_of

PARTITIONS = (
    ("plain", "plain"),
    ("a/b/c", "a/b/c"),
    ("{customer42}/orders/7", "customer42"),
    ("orders/{customer42}/7", "customer42"),
    ("{a}{b}", "a"),
    ("{a}", "a"),
    ("{}", "{}"),
    ("{}{a}", "{}{a}"),
    ("x{}y", "x{}y"),
    ("{a{b}c}/x", "a{b}c"),
    ("{{a}}", "{a}"),
    ("{{}}", "{}"),
    ("{a", "{a"),
    ("a}", "a}"),
    ("}{", "}{"),
    ("{{a}", "a"),
    ("}{a}", "a"),
    ("{a{b}", "b"),
    ("{x{y}z{a}", "y"),
    ("{ä}", "ä"),
)


@pytest.mark.parametrize(("key", "partition"), PARTITIONS)
def test_the_first_pair_of_balanced_braces_is_the_partition(key: str, partition: str) -> None:
    assert partition_of(key) == partition


# Data lies where these numbers say: if one of them changes, everybody's data has to move.
PINNED = (
    ("123456789", 0xCBF439),  # the check value by which implementations of CRC-32 are compared
    ("a", 0xE8B7BE),
    ("customer42", 15328804),
    ("{customer42}/orders/7", 15328804),
    ("ä", 7386609),
    ("", 0),
)


@pytest.mark.parametrize(("key", "slot"), PINNED)
def test_slots_stay_where_they_are(key: str, slot: int) -> None:
    assert key_slot(key) == slot


@given(st.text())
def test_a_key_has_the_slot_of_its_partition(key: str) -> None:
    partition = partition_of(key)
    assert key_slot(key) == slot_of(partition) == crc32(partition.encode()) >> 8
    assert 0 <= key_slot(key) < SLOTS
    assert partition in key
    assert partition or not key


@given(st.text(alphabet="ab{}", max_size=12))
def test_the_partition_is_the_balanced_pair_that_opens_first(key: str) -> None:
    assert partition_of(key) == _slowly(key)


def _slowly(key: str) -> str:
    """The rule, said as plainly as possible."""
    for start, character in enumerate(key):
        if character != "{":
            continue
        depth = 0
        for end in range(start, len(key)):
            depth += (key[end] == "{") - (key[end] == "}")
            if depth == 0:
                return key[start + 1 : end] or key
    return key


def test_slots_spread_evenly() -> None:
    buckets = [0] * 16
    for number in range(16_000):
        buckets[key_slot(f"user/{number}") * 16 // SLOTS] += 1
    assert min(buckets) > 800
    assert max(buckets) < 1_200


COMPLAINTS = (
    ("a", None),
    ("a b ä {x}/7 ~", None),
    ("x" * 8, None),
    ("", "must not be empty"),
    ("x" * 9, "has 9 bytes, at most 8 are allowed"),
    ("ä" * 5, "has 10 bytes, at most 8 are allowed"),
    ("a\x00b", "holds the control character U+0000 at character 1"),
    ("a\nb", "holds the control character U+000A at character 1"),
    ("\x7f", "holds the control character U+007F at character 0"),
    ("ab\x85", "holds the control character U+0085 at character 2"),
    ("\ud800", "is not valid UTF-8"),
)


@pytest.mark.parametrize(("key", "complaint"), COMPLAINTS)
def test_what_cannot_be_a_key_is_told_why(key: str, complaint: str | None) -> None:
    shown = key_complaint(key, 1_024 if complaint is None else 8)
    assert shown == complaint
