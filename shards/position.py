"""Positions as clients see them: opaque tokens that say how far a session has come.

Inside, a position is a sequence of one shard's log. Outside, it is a token that holds one such
sequence for every shard a session has touched. A client echoes the token it got last; a server
merges what it adds; neither side needs to understand the other's shards. A token is URL-safe text:

    base64url( format | lineage | count | (name length | name | sequence) ... | CRC-32 )

with unsigned variable-length integers, names in byte order, and no padding. `lineage` is 0 of a
fleet from its beginning, and another number after each time that it was restored from a backup:
what was written behind the backup is gone, and new writes take its sequences. So a token of before
would say "seen" of what its client never saw, and is refused.

Shards go over into others, under names that were never used before, and the sequences of a child go
on from the greatest of its parents (shards/resharding). So whatever a token says of a shard that is
no more, every copy of a child that holds anything at all has come so far. A name that a node's map
has not reached yet tells that the map is old.

A token is no secret and no proof: the checksum finds accidents, such as a cut-off copy, and keeps
tokens of something else from being taken for ours. Whoever forges one only harms his own reads.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Container, Iterable, Mapping
from functools import lru_cache
from typing import Final, TypeAlias
from zlib import crc32

FORMAT: Final = 1
FIRST_LINEAGE: Final = 0
SEQUENCE_MAX: Final = 2**53 - 1
SHARDS_MAX: Final = 256
"""How many shards one token can hold: it must still fit into a URL and a header line."""
TOKEN_CHARACTERS_MAX: Final = 6_000

_CHECKSUM_BYTES: Final = 4
_NAME_BYTES_MAX: Final = 127
_ALPHABET: Final = re.compile(r"[A-Za-z0-9_-]*")

Position: TypeAlias = Mapping[str, int]
"""The sequence reached in the log of each shard; a shard that is absent does not matter."""


class PositionInvalid(ValueError):
    """A position was refused; the message says why, in words for the client that sent it."""


def lineage_of(cluster: str) -> int:
    """The lineage of a fleet with this cluster id, "" if it was never restored."""
    return (crc32(cluster.encode()) or 1) if cluster else FIRST_LINEAGE


def encode_one(shard: str, sequence: int, lineage: int = FIRST_LINEAGE) -> str:
    """The token of one sequence of one shard: `encode({shard: sequence})`, for every answer."""
    if not 0 <= sequence <= SEQUENCE_MAX:
        raise PositionInvalid(f"cannot hold sequence {sequence} of shard {shard!r}")
    body = bytearray(_head_of_one(shard, lineage))
    _put_integer(body, sequence)
    return _sealed(body)


@lru_cache(maxsize=16_384)
def _head_of_one(shard: str, lineage: int) -> bytes:
    head = _begun(lineage)
    head.append(1)
    _put_name(head, shard.encode())
    return bytes(head)


def encode(position: Position, lineage: int = FIRST_LINEAGE) -> str:
    """The token of a position.

    Raises PositionInvalid when it holds more shards than a token can, so that nothing a session
    relies on is ever dropped in silence.
    """
    if len(position) > SHARDS_MAX:
        raise PositionInvalid(
            f"would hold {len(position)} shards, at most {SHARDS_MAX} fit: "
            "keep one position for each shard, or group of shards"
        )
    body = _begun(lineage)
    _put_integer(body, len(position))
    for name, sequence in sorted((name.encode(), at) for name, at in position.items()):
        if not 0 <= sequence <= SEQUENCE_MAX:
            raise PositionInvalid(f"cannot hold sequence {sequence} of shard {name!r}")
        _put_name(body, name)
        _put_integer(body, sequence)
    return _sealed(body)


def decode(token: str, lineage: int = FIRST_LINEAGE) -> dict[str, int]:
    """What a token holds. The empty token is the beginning: it constrains nothing.

    Raises PositionInvalid for anything that `encode` did not make, or not in this form, or of
    another lineage.
    """
    if not token:
        return {}
    if len(token) > TOKEN_CHARACTERS_MAX:
        raise PositionInvalid(f"is longer than {TOKEN_CHARACTERS_MAX} characters")
    if not _ALPHABET.fullmatch(token) or len(token) % 4 == 1:
        raise PositionInvalid("is not a position: it holds characters that no position has")
    raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    body, checksum = raw[:-_CHECKSUM_BYTES], raw[-_CHECKSUM_BYTES:]
    if crc32(body).to_bytes(_CHECKSUM_BYTES, "big") != checksum:
        raise PositionInvalid("is not a position, or was cut off or changed on its way")
    found, its_lineage = _entries(body)
    # What cannot be written again must not be read: it would fail once an answer is to be added.
    if encode(found, its_lineage) != token:
        raise PositionInvalid("is malformed")
    if its_lineage != lineage:
        raise PositionInvalid(
            "is of another fleet, or of this one before it was restored from a backup: "
            "begin without one"
        )
    return found


def merge(one: Position, other: Position) -> dict[str, int]:
    """The least position that covers both: for each shard the greater sequence."""
    merged = dict(one)
    for shard, sequence in other.items():
        merged[shard] = max(sequence, merged.get(shard, 0))
    return merged


def covers(one: Position, other: Position) -> bool:
    """True when whoever has reached `one` has seen all of `other`."""
    return all(one.get(shard, 0) >= sequence for shard, sequence in other.items())


def sequence_of(position: Position, shard: str) -> int:
    """How far a copy of this shard has come; 0 when the position says nothing about it."""
    return position.get(shard, 0)


def reading_from(
    position: Position, shard: str, known: Container[str]
) -> tuple[int, tuple[str, ...]]:
    """How far a read of a shard must have come, and the names that this node's map does not have.

    Of a shard that is no more nothing else is asked than that there be something: its child began
    where it ended. What is still to come the caller must find out.
    """
    if not position:
        return 0, ()
    beside = tuple(name for name in position if name not in known)
    return max(position.get(shard, 0), 1 if beside else 0), beside


def writing_since(position: Position, shard: str, ancestors: Iterable[str]) -> int | None:
    """From when on a client knew a shard, or one that it continues; None if it never did."""
    found = [position[name] for name in (shard, *ancestors) if name in position]
    return max(found, default=None)


def _begun(lineage: int) -> bytearray:
    body = bytearray((FORMAT,))
    _put_integer(body, lineage)
    return body


def _entries(body: bytes) -> tuple[dict[str, int], int]:
    if len(body) < 3 or body[0] != FORMAT:
        raise PositionInvalid("is of a format that this node does not know")
    found: dict[str, int] = {}
    try:
        lineage, at = _take_integer(body, 1)
        count, at = _take_integer(body, at)
        for _ in range(count):
            end = at + 1 + body[at]
            name = body[at + 1 : end].decode()
            found[name], at = _take_integer(body, end)
    except (IndexError, UnicodeDecodeError):
        raise PositionInvalid("is malformed") from None
    if at != len(body) or len(found) != count:
        raise PositionInvalid("is malformed")
    return found, lineage


def _sealed(body: bytearray) -> str:
    body += crc32(body).to_bytes(_CHECKSUM_BYTES, "big")
    return urlsafe_b64encode(body).rstrip(b"=").decode()


def _put_name(body: bytearray, name: bytes) -> None:
    if len(name) > _NAME_BYTES_MAX:
        raise PositionInvalid(f"cannot hold a shard of so long a name: {name!r}")
    body.append(len(name))
    body += name


def _put_integer(body: bytearray, number: int) -> None:
    while number > 0x7F:
        body.append(number & 0x7F | 0x80)
        number >>= 7
    body.append(number)


def _take_integer(body: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = body[at]
        number |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            break
        shift += 7
    if number > SEQUENCE_MAX:
        raise PositionInvalid("holds a sequence beyond any log")
    return number, at
