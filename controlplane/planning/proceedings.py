"""What the admission of moves is told, and what it says: see controlplane/planning/admission."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from controlplane.planning.reasons import Hindrance, Wanted


@dataclass(frozen=True, slots=True)
class NodeSeen:
    """One node as the global leader sees it.

    `is_drained`: it is to lead nothing but its `canaries`. `is_stopping`: somebody stops it, or has
    stopped it.
    """

    node: str
    region: str
    is_alive: bool
    is_drained: bool = False
    is_stopping: bool = False
    is_suspect: bool = False
    leads: int = 0
    canaries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reported:
    """Every living node has said what it knows."""


@dataclass(frozen=True, slots=True)
class NodesSeen:
    """The whole fleet was looked at."""

    nodes: tuple[NodeSeen, ...]


@dataclass(frozen=True, slots=True)
class Remembered:
    """A shard was moved at `at_ms`, to `node`, or to an unknown one of `region`."""

    shard: str
    region: str
    node: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Crashed:
    """A node went down after it had been given these shards: the brake counts it."""

    node: str
    at_ms: int
    shards: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Given:
    """A node was last given a shard at `at_ms`."""

    node: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Released:
    """Somebody knows why the nodes went down: what went down before is not counted any more."""


@dataclass(frozen=True, slots=True)
class Held:
    """Nothing is to be moved until then, on the caller's clock; None: go on."""

    until_ms: int | None


@dataclass(frozen=True, slots=True)
class RolledOut:
    """Rollouts are at work in these regions, and in no others."""

    regions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Began:
    """A move that was admitted is on its way."""

    wanted: Wanted


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A move that was said to have begun has not."""

    shard: str


@dataclass(frozen=True, slots=True)
class Arrived:
    """A shard that was on its way is led by this node."""

    shard: str
    node: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A shard that was on its way will not get there."""

    shard: str


Event: TypeAlias = (
    Reported
    | NodesSeen
    | Remembered
    | Crashed
    | Given
    | Released
    | Held
    | RolledOut
    | Began
    | Withdrawn
    | Arrived
    | Failed
)


@dataclass(frozen=True, slots=True)
class Ended:
    """A move is over before it arrived, and why."""

    wanted: Wanted
    why: Hindrance


@dataclass(frozen=True, slots=True)
class OnItsWay:
    """A move that has begun."""

    wanted: Wanted
    began_ms: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What holds moves up at present, for people."""

    is_cold: bool
    is_braked: bool
    crashes: int
    in_flight: int
    suspects: tuple[str, ...] = ()
