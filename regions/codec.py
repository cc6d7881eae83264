"""The words of a store call: how they are packed, and what a reply says.

Everything travels as MessagePack, see docs/STORE_FORMAT.md. A script cannot tell text from
binary, so a store answers both as text. Bytes that are not UTF-8 come as surrogate escapes: nothing
is lost, and `as_bytes` gets the exact bytes back. Whoever reads a value or a log entry calls it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import msgpack

FORMAT = 1
"""Number of the format of calls. A store that does not know it refuses the call."""

EPOCH_BOUND = 2**53
"""Epochs, counters and sequences are below this, so that a script's doubles hold them exactly."""


class Code(StrEnum):
    """How a call, or one command of it, ended. Any other code is a refusal as well."""

    OK = "OK"
    EMPTY = "EMPTY"  # the store has forgotten everything, or was never given an identity
    WRONG_INCARNATION = "WRONG_INCARNATION"  # it is not the store that was meant
    OLD_GENERATION = "OLD_GENERATION"  # this process has opened a newer connection since
    BAD_FORMAT = "BAD_FORMAT"
    BAD_COMMAND = "BAD_COMMAND"
    NOT_MEMBER = "NOT_MEMBER"  # the store does not belong to the group
    SEALED = "SEALED"
    OLD_VERSION = "OLD_VERSION"  # the command's version of the group is lower than the store's
    NEW_VERSION = "NEW_VERSION"  # ... higher
    UNDECIDED = "UNDECIDED"  # the store is not sealed, so nothing can be made of it yet
    EXISTS = "EXISTS"
    UNKNOWN = "UNKNOWN"
    DEAD = "DEAD"
    REVOKED = "REVOKED"
    STALE = "STALE"
    FENCED = "FENCED"
    HELD = "HELD"
    GAP = "GAP"
    CONFLICT = "CONFLICT"
    LAGGING = "LAGGING"
    BUSY = "BUSY"
    CLOSED = "CLOSED"  # the shard was closed by a resharding: who asks has an old map
    UNRIPE = "UNRIPE"  # the shard is a draft, which has no authority yet
    OOM = "OOM"  # the server's own: its memory is full, and it did nothing of the call


ANOTHER_STORE: Final = frozenset((Code.EMPTY, Code.WRONG_INCARNATION))
"""Answers of a store that is not who it was: what it once held and promised is gone."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a store answered to one call.

    `code` is OK, or why the whole call was refused; then `results` is empty and nothing was done.
    It is a plain string: a store of another version may answer a code that `Code` does not know.
    Each result is [code, group_version, group_state, description or False, payload ...].
    `opseq` grows with every call that wrote; a smaller one than before means a store rolled back.
    """

    code: str
    store_id: str
    incarnation: str
    run_id: str
    opseq: int
    results: list[list[Any]]


_PACKER = msgpack.Packer(use_bin_type=False, unicode_errors="surrogateescape")
"""Made once: making one costs more than most values do. One process packs in one thread."""


def pack(value: Any) -> bytes:
    """One value as MessagePack, binary written as text: scripts can read nothing else.

    Text with surrogate escapes becomes the bytes it stands for.
    """
    packed: bytes = _PACKER.pack(value)
    return packed


def pack_as_script(value: Any) -> bytes:
    """One value, of text and numbers only, in exactly the bytes a script would write."""
    packed: bytes = msgpack.packb(value, use_bin_type=True, unicode_errors="surrogateescape")
    return packed


def unpack(data: bytes | str) -> Any:
    """The one value in `data`. Raises ValueError when it is not one whole MessagePack value."""
    try:
        return msgpack.unpackb(
            as_bytes(data), raw=False, unicode_errors="surrogateescape", strict_map_key=False
        )
    except (ValueError, TypeError, msgpack.UnpackException) as error:  # a list as a key: TypeError
        raise ValueError(f"not MessagePack: {error}") from error


def as_bytes(value: bytes | str) -> bytes:
    """The exact bytes of a binary value, however it came."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    return value


def as_text(value: bytes | str) -> str:
    """A value as scripts answer it: text, with surrogate escapes where it is not UTF-8."""
    if isinstance(value, str):
        return value
    return value.decode("utf-8", "surrogateescape")


def pack_call(header: list[Any], commands: Iterable[list[Any]]) -> list[bytes]:
    """The arguments of `leadplane_call`: the header, then each command, each packed by itself."""
    return [pack(header), *map(pack, commands)]


def unpack_reply(data: bytes) -> Reply:
    """The reply in `data`. Raises ValueError when it does not have the shape of one."""
    match unpack(data):
        case [
            str() as code,
            str() as store_id,
            str() as incarnation,
            str() as run_id,
            int() as opseq,
            list() as results,
        ] if _are_results(results):
            return Reply(code, store_id, incarnation, run_id, opseq, results)
    raise ValueError("a store's reply has another shape than expected")


def _are_results(results: list[Any]) -> bool:
    for result in results:
        if type(result) is not list or len(result) < 4 or type(result[0]) is not str:
            return False
    return True


def pack_reply(reply: Reply) -> bytes:
    """The bytes a store would answer; `unpack_reply` reads them."""
    return pack(
        [
            reply.code,
            reply.store_id,
            reply.incarnation,
            reply.run_id,
            reply.opseq,
            reply.results,
        ]
    )
