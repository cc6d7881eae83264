"""What a node is told at its start: who it is, which stores and groups there are, its limits.

Made from the topology document and the node's own settings by the process (never by the core).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StorePlan:
    """One store as the group's configuration names it."""

    store: str
    region: str
    zone: str
    incarnation: str


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """A set of stores that decides together. `voters` come first wherever stores are numbered."""

    name: str
    version: int
    voters: tuple[StorePlan, ...]
    followers: tuple[StorePlan, ...]
    ttl_ms: int
    stands: bool  # this node keeps a session there and stands for shards; else it only reads


@dataclass(frozen=True, slots=True)
class ShardSeed:
    """A shard of the first shard map: slots [first_slot, end_slot), regions by preference."""

    shard: str
    group: str
    first_slot: int
    end_slot: int
    regions: tuple[str, ...]


class Seeds(Protocol):
    """The first shard map, which may be so long that nobody wants to keep it."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[ShardSeed]: ...


@dataclass(frozen=True, slots=True)
class PeerPlan:
    """Another node, as configured; nodes not listed are learnt from their sessions."""

    node: str
    region: str
    url: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes beyond which a request is refused (bytes), and queues that may not grow further."""

    value_bytes_max: int = 64 * 1024
    key_bytes_max: int = 1024
    shard_bytes_max: int = 256 * 1024 * 1024
    pending_writes_max: int = 20_000
    write_timeout_ms: int = 5_000
    read_timeout_ms: int = 1_000
    disk_free_bytes_min: int = 64 * 1024 * 1024  # below it a store's disk counts as full


@dataclass(frozen=True, slots=True)
class NodePlan:
    """All of it. `process` is new at every start; session ids are `process/number`."""

    node: str
    region: str
    url: str
    process: str
    groups: tuple[GroupPlan, ...]
    peers: tuple[PeerPlan, ...]
    seeds: Seeds
    region_rtt_ms: dict[tuple[str, str], float] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
