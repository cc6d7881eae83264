"""What outlives a global leader of the moves that it makes: which are on their way, what was moved
of late, and which nodes went down of what they were given. Kept in the system shard, in partition
`placement`.

The first two are written in the entry that makes a move, together with the row of the shard map.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from controlplane.planning.orders import PARTITION
from controlplane.planning.proceedings import Crashed, Given
from controlplane.requests import Delete, Put
from regions.codec import as_bytes, pack, unpack

ON_WAY_KEY: Final = "{placement}/on-way"
BRAKE_KEY: Final = "{placement}/brake"
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


@dataclass(frozen=True, slots=True)
class BrakeMemory:
    """What the brake of the next global leader has to know; times are of the wall clock."""

    crashes: tuple[Crashed, ...] = ()
    given: tuple[Given, ...] = ()

    def at(self, ahead_ms: int) -> BrakeMemory:
        """The same, by a clock that is so far ahead."""
        crashes = [Crashed(each.node, each.at_ms + ahead_ms, each.shards) for each in self.crashes]
        given = [Given(each.node, each.at_ms + ahead_ms) for each in self.given]
        return BrakeMemory(tuple(crashes), tuple(given))

    def put(self) -> Put:
        """How it is kept."""
        crashes = [[each.node, each.at_ms, list(each.shards)] for each in self.crashes]
        given = [[each.node, each.at_ms] for each in self.given]
        return Put(PARTITION, BRAKE_KEY, pack([crashes, given]))


def read_brake(value: bytes | str) -> BrakeMemory:
    """From the system shard; raises ValueError when it is something else."""
    match unpack(as_bytes(value)):
        case [list() as crashes, list() as given]:
            return BrakeMemory(
                tuple(Crashed(str(n), int(ms), tuple(map(str, s))) for n, ms, s in crashes),
                tuple(Given(str(n), int(ms)) for n, ms in given),
            )
    raise ValueError("this is nothing that a brake remembers")
