"""Which function of a store's library a call needs; see docs/STORE_FORMAT.md, section 1.

A store that is full refuses `leadplane_call`, and goes on with its two shadows: what only reads,
and what an order of calls rests on, since a call that is refused alone would be a hole in it.
"""

from __future__ import annotations

from typing import Any, Final

CALL: Final = b"leadplane_call"
READ: Final = b"leadplane_read"
KEEP: Final = b"leadplane_keep"

_READS: Final = frozenset(
    {"range", "page", "digest", "history", "dump", "learned", "draft_state", "draft_read"}
)
_READS_OF_FOLLOWERS: Final = frozenset({"read", "scan"})
_EPOCH_AT = 4  # [op, group, version, shard, epoch, ...]
_KEEPS_ORDER: Final = frozenset(
    {
        "register", "renew", "bury", "observe", "place", "prepare", "release", "handover",
        "revoke", "append", "read", "scan", "digest", "trim", "unstage", "adopt",
        "ballot", "accept", "seal", "finish_install", "draft_log",
    }
)  # fmt: skip


def function_of(commands: list[list[Any]], announced: bool) -> bytes:
    """The function for these commands; `announced`: the store remembers this generation.

    The function that cannot write remembers no generation: until this connection's has been
    remembered, only those reads use it to which the order of connections means nothing.
    """
    reads = True
    for command in commands:
        op = command[0]
        if op in _READS or (op in _READS_OF_FOLLOWERS and command[_EPOCH_AT] == ""):
            continue
        if op == "observe" and announced:
            continue
        if op not in _KEEPS_ORDER:
            return CALL
        reads = False
    return READ if reads else KEEP
