"""What a resharding is: shards that are closed for ever, and those that begin where they ended.

A *move* has one parent and one child in another group, a *split* one parent and two children, a
*merge* two parents, which are neighbours, and one child. A resharding is a record of the system
shard and goes through its phases once. Names of children are numbers counted up, and never given
twice [!]: so a name stands for one log, and tells whether somebody who does not know it has an old
map, or whether it is of the past.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from regions.codec import as_bytes, pack, unpack
from shards.routing import kept_preference, preference_of

PARTITION: Final = "reshards"
PREFIX: Final = "{reshards}/"
COUNTER_KEY: Final = "{reshards}/counter"
_NUMBERED: Final = re.compile(r"s([0-9]{1,15})")


class Kind(StrEnum):
    """What becomes of the parents."""

    MOVE = "move"
    SPLIT = "split"
    MERGE = "merge"


class Phase(StrEnum):
    """How far a resharding is. Out of `closing` there is no way but to `done`."""

    DRAFTING = "drafting"
    CLOSING = "closing"
    DONE = "done"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Part:
    """A parent or a child: slots [first_slot, end_slot), its group, regions by preference, and the
    node that is preferred in the first of them, "" for none."""

    shard: str
    group: str
    first_slot: int
    end_slot: int
    regions: tuple[str, ...]
    node: str = ""


@dataclass(frozen=True, slots=True)
class Resharding:
    """One of them, as the system shard has it; `revision` is the position that wrote it.

    `swept`: the parents' stores hold nothing of it any more, or the drafts nothing.
    """

    number: int
    kind: Kind
    parents: tuple[Part, ...]
    children: tuple[Part, ...]
    phase: Phase
    principal: str
    reason: str
    wall_ms: int
    swept: bool = False
    revision: int = 0

    @property
    def key(self) -> str:
        """Where it is kept."""
        return f"{PREFIX}{self.number:08d}"

    @property
    def is_open(self) -> bool:
        """Whether the map is still to be switched."""
        return self.phase in (Phase.DRAFTING, Phase.CLOSING)

    @property
    def is_over(self) -> bool:
        """Whether nobody has anything to do for it any more."""
        return not self.is_open and self.swept

    def at(self, phase: Phase) -> Resharding:
        """The same, further on."""
        return replace(self, phase=phase)

    def parent_number(self, shard: str, group: str) -> int | None:
        """Which of its parents a shard of a group is; None if it is none."""
        for number, parent in enumerate(self.parents):
            if (parent.shard, parent.group) == (shard, group):
                return number
        return None

    def shares(self, child: Part) -> list[list[int]]:
        """The slots [first, end) that a child takes from each parent, in the parents' order."""
        return [
            [max(child.first_slot, p.first_slot), min(child.end_slot, p.end_slot)]
            for p in self.parents
        ]

    def packed(self) -> bytes:
        """As kept in the system shard."""
        return pack(
            [
                self.kind.value, _packed(self.parents), _packed(self.children), self.phase.value,
                self.principal, self.reason, self.wall_ms, int(self.swept),
            ]
        )  # fmt: skip


def _packed(parts: tuple[Part, ...]) -> list[list[Any]]:
    return [
        [p.shard, p.group, p.first_slot, p.end_slot, kept_preference(p.regions, p.node)]
        for p in parts
    ]


def read_resharding(key: str, value: bytes | str, revision: int) -> Resharding:
    """From the system shard; raises ValueError when it is none."""
    match unpack(as_bytes(value)):
        case [
            str() as kind, list() as parents, list() as children, str() as phase,
            str() as principal, str() as reason, int() as wall_ms, int() as swept,
        ]:  # fmt: skip
            return Resharding(
                int(key.removeprefix(PREFIX)), Kind(kind), _read(parents), _read(children),
                Phase(phase), principal, reason, wall_ms, bool(swept), revision,
            )  # fmt: skip
    raise ValueError(f"{key} is no resharding")


def _read(parts: list[list[Any]]) -> tuple[Part, ...]:
    return tuple(Part(s, g, first, end, *preference_of(kept)) for s, g, first, end, kept in parts)


@dataclass(frozen=True, slots=True)
class Counter:
    """The numbers to be given next: of a resharding, and of a shard."""

    resharding: int
    shard: int

    def packed(self) -> bytes:
        """As kept in the system shard."""
        return pack([self.resharding, self.shard])


def read_counter(value: bytes | str) -> Counter:
    """From the system shard; raises ValueError when it is none."""
    match unpack(as_bytes(value)):
        case [int() as resharding, int() as shard]:
            return Counter(resharding, shard)
    raise ValueError("this is no counter of reshardings")


def number_of(shard: str) -> int | None:
    """The number of a shard that is named by one, None for any other name."""
    found = _NUMBERED.fullmatch(shard)
    return int(found[1]) if found is not None else None


def name_of(number: int) -> str:
    """The name of the shard with a number."""
    return f"s{number:02d}"
