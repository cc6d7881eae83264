"""What outlives a global leader of the moves that it makes: which are on their way, and what was
moved of late. Kept in the system shard, in partition `placement`.

Both are written in the entry that makes a move, together with the row of the shard map.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from controlplane.planning.orders import PARTITION
from controlplane.requests import Delete, Put
from regions.codec import as_bytes, pack, unpack

ON_WAY_KEY: Final = "{placement}/on-way"
MOVED_PREFIX: Final = "{placement}/moved/"
FORGOTTEN_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class Leg:
    """A move of an order that has begun; `before` and `node_before` are what the shard preferred
    until then. One to other stores names their group, and the last resharding there was before."""

    order: int
    shard: str
    from_region: str
    to_region: str
    to_node: str
    before: tuple[str, ...]
    node_before: str
    to_group: str = ""
    since: int = 0


def packed_legs(legs: Iterable[Leg]) -> bytes:
    """As kept in the system shard."""
    return pack(
        [
            [
                leg.order, leg.shard, leg.from_region, leg.to_region, leg.to_node,
                list(leg.before), leg.node_before,
                *([leg.to_group, leg.since] if leg.to_group else []),
            ]
            for leg in legs
        ]
    )  # fmt: skip


def read_legs(value: bytes | str) -> tuple[Leg, ...]:
    """From the system shard; raises ValueError when it is something else."""
    rows: Any = unpack(as_bytes(value))
    if not isinstance(rows, list):
        raise ValueError("these are no moves on their way")
    return tuple(
        Leg(int(order), str(shard), str(begin), str(end), str(node), tuple(before), str(pin), *bulk)
        for order, shard, begin, end, node, before, pin, *bulk in rows
    )


@dataclass(frozen=True, slots=True)
class MovedOf:
    """When a shard was last moved by an order, by the wall clock, and to which region."""

    shard: str
    wall_ms: int
    region: str

    def put(self) -> Put:
        """How it is kept."""
        return Put(PARTITION, MOVED_PREFIX + self.shard, pack([self.wall_ms, self.region]))


def read_moved(key: str, value: bytes | str) -> MovedOf:
    """From the system shard; raises ValueError when it is something else."""
    match unpack(as_bytes(value)):
        case [int() as wall_ms, str() as region]:
            return MovedOf(key.removeprefix(MOVED_PREFIX), wall_ms, region)
    raise ValueError("this is no move that was made")


def forget(shards: Iterable[str]) -> list[Delete]:
    """That it is no longer of interest when these were moved."""
    return [Delete(PARTITION, MOVED_PREFIX + shard) for shard in shards]
