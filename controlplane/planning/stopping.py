"""Whether a node can be stopped, beside all that were promised before: for rolling maintenance.

What was promised counts as gone until its promise runs out, so that of several who ask at the same
time none is told what is true of one alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from controlplane.views import NodeView
from regions.codec import as_bytes, pack, unpack


class Obstacle(StrEnum):
    """Why a node should not be stopped now."""

    LEADS_SHARDS = "leads-shards"
    """It leads shards: drain it first."""
    LAST_CANDIDATE = "last-candidate"
    """No other node could lead the shards of a group."""
    LAST_OF_REGION = "last-of-region"
    """No other node would serve its region."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One obstacle; `place` is the group or region, `promised` who counts as gone beside it."""

    why: Obstacle
    place: str
    detail: str
    promised: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Promise:
    """Somebody was told that a node can be stopped, until then by the wall clock."""

    node: str
    until_wall_ms: int


def obstacles(
    node: NodeView,
    nodes: Iterable[NodeView],
    homes: Mapping[str, Set[str]],
    promised: Set[str],
    led: int,
) -> tuple[Reason, ...]:
    """What speaks against stopping a node.

    `homes`: of each group, the regions whose nodes may lead; `led`: how many shards the node leads.
    """
    found: list[Reason] = []
    if led:
        detail = f"it leads {led} of the shards; drain it first"
        found.append(Reason(Obstacle.LEADS_SHARDS, "", detail, ()))
    gone = promised - {node.node}
    others = [other for other in nodes if other.node != node.node and _serves(other)]
    left = [other for other in others if other.node not in gone]

    def lacking(places: Set[str]) -> tuple[str, ...] | None:
        if any(other.region in places for other in left):
            return None
        return tuple(sorted(o.node for o in others if o.region in places))

    for group, regions in homes.items():
        by = lacking(regions) if node.region in regions else None
        if by is not None:
            detail = f"no other node could lead shards of {group}"
            found.append(Reason(Obstacle.LAST_CANDIDATE, group, detail, by))
    by = lacking({node.region})
    if by is not None:
        detail = f"no other node would serve {node.region}"
        found.append(Reason(Obstacle.LAST_OF_REGION, node.region, detail, by))
    return tuple(found)


def _serves(node: NodeView) -> bool:
    return node.alive and not node.drained and not node.draining


def with_promise(known: Iterable[Promise], new: Promise, wall_ms: int) -> tuple[Promise, ...]:
    """Promises that hold, with one more; one to the same node takes the place of the one before."""
    return (*in_force(known, wall_ms, but=new.node), new)


def in_force(known: Iterable[Promise], wall_ms: int, but: str = "") -> tuple[Promise, ...]:
    """Those that have not run out."""
    return tuple(p for p in known if p.until_wall_ms > wall_ms and p.node != but)


def packed_promises(promises: Iterable[Promise]) -> bytes:
    """As kept in the system shard."""
    return pack([[each.node, each.until_wall_ms] for each in promises])


def read_promises(value: bytes | str) -> tuple[Promise, ...]:
    """From the system shard; raises ValueError when it is something else."""
    rows: Any = unpack(as_bytes(value))
    if not isinstance(rows, list):
        raise ValueError("these are no promises")
    return tuple(Promise(str(node), int(until)) for node, until in rows)
