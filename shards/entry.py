"""One entry of a shard's log: packed once by its leader, stored and applied verbatim by every
store.

    [epoch, op_id, digest, chain, outcome, effects]        see docs/STORE_FORMAT.md
The chain is a CRC-32 over everything before it in the log, so that equal (epoch, chain) at one
sequence means equal logs up to there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from zlib import crc32

from regions.codec import as_bytes, pack, unpack
from shards.reserved import CLOSED_KEY, RESERVED_PARTITION

_ARRAY_OF_6 = b"\x96"
_UINT32 = b"\xce"
_UNNAMED = pack("") + pack("")
_NO_OUTCOME = pack(False)


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry in its place: `epoch` is the one it was first written in."""

    sequence: int
    epoch: int
    chain: int
    blob: bytes


def without_content(entry: Entry) -> Entry:
    """The entry as a place in the log, its content dropped."""
    return Entry(entry.sequence, entry.epoch, entry.chain, b"")


def write_entry(
    before_sequence: int,
    before_chain: int,
    epoch: int,
    effects: list[list[Any]],
    op_id: str = "",
    digest: str = "",
    outcome: Any = False,
) -> Entry:
    """A new entry right after the given one."""
    named = pack(op_id) + pack(digest) if op_id else _UNNAMED
    head = pack(str(epoch)) + named
    tail = (pack(outcome) if op_id else _NO_OUTCOME) + pack(effects)
    chain = crc32(tail, crc32(head, before_chain))
    blob = b"".join((_ARRAY_OF_6, head, _UINT32, chain.to_bytes(4, "big"), tail))
    return Entry(before_sequence + 1, epoch, chain, blob)


def forgets_ids(entry: Entry) -> bool:
    """Whether applying the entry makes a store forget operation ids."""
    return any(effect[0] in ("x", "w") for effect in unpack(entry.blob)[5])


def closed_by(entry: Entry) -> int:
    """The resharding that closes the log with this entry, 0 if none does."""
    if CLOSED_KEY.encode() not in entry.blob:
        return 0
    for effect in unpack(entry.blob)[5]:
        if effect[:3] == ["p", RESERVED_PARTITION, CLOSED_KEY]:
            return int(as_bytes(effect[3]))
    return 0


def read_entry(sequence: int, blob: bytes | str) -> Entry:
    """An entry as a store returned it; raises ValueError when it is not one."""
    blob = as_bytes(blob)
    fields = unpack(blob)
    if not isinstance(fields, list) or len(fields) != 6:
        raise ValueError(f"log entry {sequence} is not an array of six fields")
    return Entry(sequence, int(fields[0]), fields[3], blob)
