"""What a shard says of itself: keys that lie in its data, so that whatever carries the data carries
them as well.

They can be no client's: partitions of clients are not empty, and their keys have no control
characters. A store's kv knows keys alone, so it is the key that must be out of reach.
"""

from __future__ import annotations

from typing import Any, Final

RESERVED_PARTITION: Final = ""
FLOOR_KEY: Final = "\x00leadplane/forgotten-ids"
CLOSED_KEY: Final = "\x00leadplane/closed"
"""The number of the resharding that ended the log; its version is the entry's sequence."""
WIPED_KEY: Final = "\x00leadplane/wiped"
"""The number of the resharding whose parent this was, once its data is gone."""
BORN_KEY: Final = "\x00leadplane/born"
"""The number of the resharding in which the log began; its version is the sequence of the base."""
NUMBERED: Final = frozenset((CLOSED_KEY, WIPED_KEY, BORN_KEY))


def closing(number: int, sequence: int) -> list[list[Any]]:
    """Effects of the entry, at that sequence, by which a resharding closes a shard."""
    return [["p", RESERVED_PARTITION, CLOSED_KEY, str(number).encode(), sequence]]


def wiping(number: int) -> list[list[Any]]:
    """Effects that delete the data of a shard which that resharding has closed."""
    return [["w", number]]
