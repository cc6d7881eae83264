"""What a node is told at its start: who it is, which stores and groups there are, its limits.

Made from the topology document and the node's own settings by the process (never by the core).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from config.audit import BYTES_MAX, RECORDS_MAX
from config.revision import VERSIONS_KEPT_MAX, Revision
from regions.membership import Forced, GroupDescription
from regions.store import StoreAddress
from shards.admission import ID_MEMORY_MS


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
    before: Mapping[str, str] = field(default_factory=dict)  # voters of the version before
    floor: int = 0  # no epoch up to it is asked for
    forced: Forced | None = None  # an operator's act made this version
    set_ttl_ms: int = 0  # the lease that people set, if round trips need a longer one
    earlier_ttl_ms: int = 0  # of versions before, if leases of theirs may be left, and longer
    cluster: str = ""  # of a fleet that was restored from a backup


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store is; `address` is None where nobody needs it (in simulations).

    `learned`: not the topology says so, but documents, or other nodes.
    """

    region: str
    zone: str
    address: StoreAddress | None = None
    learned: bool = False


def group_plan(
    description: GroupDescription, places: Mapping[str, Place], region: str
) -> GroupPlan:
    """A version of a group for a node of `region`; its stores in the order of `places`.

    Raises ValueError when it has a store of which nobody here knows the place.
    """
    unknown = sorted(description.incarnations.keys() - places.keys())
    if unknown:
        raise ValueError(f"nobody says where {', '.join(unknown)} is")

    def plans(members: Mapping[str, str]) -> tuple[StorePlan, ...]:
        return tuple(
            StorePlan(store, place.region, place.zone, members[store])
            for store, place in places.items()
            if store in members
        )

    voters = plans(description.voters)
    return GroupPlan(
        name=description.group,
        version=description.version,
        voters=voters,
        followers=plans(description.followers),
        ttl_ms=description.ttl_ms,
        stands=any(store.region == region for store in voters),
        before=description.before,
        floor=description.floor,
        forced=description.forced,
        set_ttl_ms=description.set_ttl_ms,
        earlier_ttl_ms=description.earlier_ttl_ms,
        cluster=description.cluster,
    )


def description_of(plan: GroupPlan) -> GroupDescription:
    """The description that a plan was made from."""
    return GroupDescription(
        plan.name,
        plan.version,
        plan.ttl_ms,
        {store.store: store.incarnation for store in plan.voters},
        {store.store: store.incarnation for store in plan.followers},
        plan.before,
        plan.floor,
        plan.forced,
        plan.set_ttl_ms,
        plan.earlier_ttl_ms,
        plan.cluster,
    )


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
    zone: str = ""  # "": the topology does not say


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes beyond which a request is refused (bytes), and queues that may not grow further."""

    value_bytes_max: int = 64 * 1024
    key_bytes_max: int = 1024
    shard_bytes_max: int = 256 * 1024 * 1024
    pending_writes_max: int = 20_000
    write_timeout_ms: int = 5_000
    read_timeout_ms: int = 1_000
    id_memory_ms: int = ID_MEMORY_MS  # retries of a write are recognised for at least so long
    readmit_after_ms: int | None = 5_000  # a store that lost its data; None: people are to ask
    disk_free_bytes_min: int = 64 * 1024 * 1024  # below it a store's disk counts as full
    document_versions_max: int = VERSIONS_KEPT_MAX  # of each document are kept
    audit_records_max: int = RECORDS_MAX  # are kept, the newest
    audit_bytes_max: int = BYTES_MAX
    events_kept_max: int = 20_000  # life-cycle events in the system shard, the newest
    lease_follows: bool = True  # a group's lease follows its round trips; False: people are to ask


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
    places: Mapping[str, Place] = field(default_factory=dict)  # of every store known at the start
    region_rtt_ms: dict[tuple[str, str], float] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    documents: tuple[Revision, ...] = ()  # in force until the first edit of each
    zone: str = ""  # "": the topology does not say
