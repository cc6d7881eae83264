"""What a node shows of what it knows: plain records for HTTP, the command line and the tests.

Made on demand by `Node`; a view is a picture of this node's knowledge, not of the truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from controlplane.requests import LeaderHint
from shards.resharding import Kind, Part, Phase


@dataclass(frozen=True, slots=True)
class ReplicaView:
    """A region's copy of a shard, and the node to ask for it."""

    node: str
    region: str
    url: str
    role: str  # leader | follower
    position: int | None  # None: not known here
    staleness_ms: int | None


@dataclass(frozen=True, slots=True)
class ShardView:
    """One row of the routing table."""

    shard: str
    group: str
    goal: str  # region | zone: what may be lost without losing the shard
    first_slot: int
    end_slot: int
    regions: tuple[str, ...]  # in order of preference for the leader
    epoch: int
    leader: LeaderHint | None
    state: str  # led | electing | unavailable
    why: str  # when not led: which store, which holder, what is waited for
    lease_remaining_ms: int | None  # only at the leader itself
    position: int | None  # only at the leader itself, or as last read locally
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node, seen through its sessions."""

    node: str
    region: str
    url: str
    alive: bool
    silent_ms: int | None
    leads: int
    zone: str = ""  # "": the topology does not say
    draining: bool = False  # its process hands over what it leads, and goes, or has gone so
    drained: bool = False  # it is to lead nothing
    suspect: bool = False  # it was silent a short while ago: it is handed nothing
    process: str = ""  # another one has started anew since; "": not known here
    left: str = ""  # its last process that said it was going


@dataclass(frozen=True, slots=True)
class StoreView:
    """One store, seen from this node."""

    store: str
    region: str
    zone: str
    groups: tuple[str, ...]
    state: str  # up | down | refused | unknown
    why: str
    opseq: int
    round_trip_ms: int | None
    silent_ms: int | None
    round_trip_p99_ms: int | None = None  # known of a store that this node has a lane to


@dataclass(frozen=True, slots=True)
class ChangeView:
    """A change of a group's store set that the answering node is at."""

    state: str  # wanted | minted | caught up | decided | sealed | dumped | installed
    why: str  # what it waits for
    voters: tuple[str, ...]  # of the next version
    followers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ForcedView:
    """That an operator made a group go on with what was left of it."""

    of: int  # the version that was lost
    without: tuple[str, ...]  # its stores that counted as gone
    by: str
    why: str


@dataclass(frozen=True, slots=True)
class GroupView:
    """One group: how many more stores can be lost before it stops."""

    group: str
    voters: tuple[str, ...]
    followers: tuple[str, ...]
    quorum: int
    reachable: int
    spare: int
    ttl_ms: int
    shards: int
    led: int
    version: int = 1  # of its store set
    change: ChangeView | None = None
    lost: tuple[str, ...] = ()  # voters that forgot, when too few are left to go on
    forced: ForcedView | None = None  # this version was made by force
    set_ttl_ms: int | None = None  # the lease that people set; `ttl_ms` may follow round trips
    needed_ttl_ms: int | None = None  # what round trips need, as measured by the answering node
    stops: int = 0  # shards whose reads stop with the quorum, as `on_quorum_loss` wants it
    resting: Mapping[tuple[str, bool], int] = field(default_factory=dict)
    """Shards whose copies rest where they have no vote, by region and by whether they stop."""
    full: str = ""  # why a majority has no room: what may grow a shard is refused


@dataclass(frozen=True, slots=True)
class ComingGroupView:
    """A group that was asked for and is not made yet."""

    group: str
    voters: tuple[str, ...]
    why: str  # what it waits for, as far as the answering node knows


@dataclass(frozen=True, slots=True)
class ReshardingView:
    """Shards that go over into others, and how far that is."""

    number: int
    kind: Kind
    phase: Phase
    parents: tuple[Part, ...]
    children: tuple[Part, ...]
    principal: str
    reason: str
    wall_ms: int
    swept: bool  # nothing is left of its parents, or of its drafts
    behind: int | None  # entries that the drafts lack; only at the leader of the system shard
    why: str  # what it waits for; there as well


@dataclass(frozen=True, slots=True)
class FleetView:
    """Everything this node knows, for /v1/status."""

    node: str
    region: str
    global_leader: LeaderHint | None
    map_version: int
    leadership_revision: int  # grows with every change of a row; the ETag with map_version
    groups: tuple[GroupView, ...]
    stores: tuple[StoreView, ...]
    nodes: tuple[NodeView, ...]
    shards_total: int
    shards_led: int
    shards_here: int
    shards_in_use: int = 0  # by clients of this node
    round_trips_ms: tuple[tuple[str, float], ...] = ()  # to other regions, as measured here: p50
    groups_coming: tuple[ComingGroupView, ...] = ()
    restless: tuple[str, ...] = ()  # a few shards that pass from leader to leader, if there are any
