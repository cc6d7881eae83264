"""Where a key belongs: which part of it is hashed, and to which slot.

A key is any text without control characters. If it holds a pair of balanced braces with something
between them, that something is its *partition*, `customer42` of `{customer42}/orders/7`; otherwise
the whole key is. Only the partition is hashed, so keys of one partition share a slot, and therefore
a shard, for ever. There are 2^24 slots: enough to split any shard many times, few enough for
integers of every language.

These rules can never change without moving everybody's data. They are pinned by tests.
"""

from __future__ import annotations

import re
from typing import Final
from zlib import crc32

SLOT_BITS: Final = 24
SLOTS: Final = 1 << SLOT_BITS
"""Slots are numbered from 0 to SLOTS - 1; a shard has the slots [first_slot, end_slot)."""

_HASH_SHIFT: Final = 32 - SLOT_BITS
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")


def slot_of(partition: str) -> int:
    """The slot of a partition: the upper 24 bits of the CRC-32 of its UTF-8 bytes."""
    return crc32(partition.encode()) >> _HASH_SHIFT


def partition_of(key: str) -> str:
    """The part of the key that is hashed.

    It is what stands in the first pair of balanced braces, or the whole key when there is no such
    pair or nothing stands in it. An opening brace that is never closed does not count, so
    `{{a}` belongs to partition `a`.
    """
    start = key.find("{")
    if start < 0:
        return key
    end = key.find("}", start)
    if end < 0:
        return key
    if key.find("{", start + 1, end) < 0:
        return key[start + 1 : end] or key
    return _outermost(key) or key


def _outermost(key: str) -> str:
    """What stands in the pair of matching braces that opens first; empty without one."""
    opened: list[int] = []
    first: tuple[int, int] | None = None
    for at, character in enumerate(key):
        if character == "{":
            opened.append(at)
        elif character == "}" and opened:
            start = opened.pop()
            if first is None or start < first[0]:
                first = (start, at)
            if not opened:
                break
    return key[first[0] + 1 : first[1]] if first is not None else ""


def key_slot(key: str) -> int:
    """The slot of a key: `slot_of(partition_of(key))`, in one step for speed."""
    hashed = partition_of(key) if "{" in key else key
    return crc32(hashed.encode()) >> _HASH_SHIFT


def key_complaint(key: str, key_bytes_max: int) -> str | None:
    """Say why this text cannot be a key or a partition, or None if it can be one."""
    if not key:
        return "must not be empty"
    if key.isascii() and key.isprintable() and len(key) <= key_bytes_max:
        return None  # what nearly all keys are: the rest finds nothing wrong with them either
    try:
        size_bytes = len(key.encode())
    except UnicodeEncodeError:
        return "is not valid UTF-8"
    if size_bytes > key_bytes_max:
        return f"has {size_bytes} bytes, at most {key_bytes_max} are allowed"
    found = _CONTROL.search(key)
    if found is not None:
        return f"holds the control character U+{ord(found[0]):04X} at character {found.start()}"
    return None
