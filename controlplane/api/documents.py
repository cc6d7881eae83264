"""What answers look like: plain records, written as JSON as they stand, and described by OpenAPI.

Where a record of the node is already fit for the outside (`NodeView`, `GroupView`, `StoreView`,
`LeaderHint`) it is answered as it is. These are the others. Positions leave the house as tokens
only; `sequence` is the same thing for people.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from controlplane.alone import Alone, alone
from controlplane.api.document_views import DocumentView
from controlplane.api.service import Check, RegionDocument
from controlplane.requests import LeaderHint
from controlplane.views import (
    ComingGroupView,
    FleetView,
    GroupView,
    NodeView,
    ReplicaView,
    ShardView,
    StoreView,
)
from shards.position import encode_one
from shards.routing import Target


@dataclass(frozen=True, slots=True)
class RouteRow:
    """One shard in the routing table."""

    shard: str
    group: str
    goal: str
    first_slot: int
    end_slot: int
    regions: tuple[str, ...]
    epoch: int
    state: str
    leader: LeaderHint | None


@dataclass(frozen=True, slots=True)
class RouteTable:
    """The routing table as of `revision` of the answering node."""

    revision: int
    map_version: int
    leadership_revision: int
    node: str
    shards: tuple[RouteRow, ...]


@dataclass(frozen=True, slots=True)
class TargetDocument:
    """The node to send a request to, and the role in which it will answer."""

    node: str
    region: str
    url: str
    role: str


@dataclass(frozen=True, slots=True)
class ReplicaDocument:
    """A region's copy of a shard. `null`: not known to the answering node."""

    node: str
    region: str
    url: str
    role: str
    position: str | None
    staleness_ms: int | None


@dataclass(frozen=True, slots=True)
class Route:
    """Where a key lives and where to go with a request for it.

    `valid_for_ms` is how long the answer is likely to stay right. It is no lease: whoever goes by
    an old answer is told so by the node it asks.
    """

    shard: str
    epoch: int
    map_version: int
    leader: LeaderHint | None
    target: TargetDocument | None
    replicas: tuple[ReplicaDocument, ...]
    lease_remaining_ms: int | None
    valid_for_ms: int


@dataclass(frozen=True, slots=True)
class ShardDocument:
    """One shard, as the answering node sees it. `replicas`, and the regions where its copies rest
    (`rests_in`), are left out (null) in lists."""

    shard: str
    group: str
    goal: str
    first_slot: int
    end_slot: int
    regions: tuple[str, ...]
    epoch: int
    state: str
    why: str
    leader: LeaderHint | None
    lease_remaining_ms: int | None
    position: str | None
    sequence: int | None
    size_bytes: int | None
    replicas: tuple[ReplicaDocument, ...] | None
    rests_in: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class RoleDocument:
    """The role of the answering node in a shard."""

    shard: str
    node: str
    role: str
    epoch: int


@dataclass(frozen=True, slots=True)
class DryRun:
    """What an order would do: take the shard from one node and, where named, give it to another."""

    dry_run: bool
    shard: str
    from_node: str
    from_epoch: int
    to_node: str | None
    to_region: str | None


@dataclass(frozen=True, slots=True)
class Liveness:
    """The process turns. `version` is that of its release."""

    status: str
    node: str
    version: str


@dataclass(frozen=True, slots=True)
class Readiness:
    """Clients may be sent here. `checks` are listed when asked for."""

    status: str
    node: str
    checks: tuple[Check, ...] | None


@dataclass(frozen=True, slots=True)
class RegionSummary:
    """A region, and what the answering node sees of it. `document` is left out (null) in lists."""

    region: str
    location: str
    latitude: float
    longitude: float
    zones: tuple[str, ...]
    nodes: int
    nodes_alive: int
    stores: int
    stores_up: int
    leads: int
    rtt_ms: dict[str, float]
    egress_usd_per_gb: dict[str, float]
    alone: Alone
    document: DocumentView | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """The fleet on one page. `spare_stores` is how many more stores any one group can lose."""

    node: str
    region: str
    global_leader: LeaderHint | None
    map_version: int
    leadership_revision: int
    shards_total: int
    shards_led: int
    shards_here: int
    spare_stores: int
    groups: tuple[GroupView, ...]
    regions: tuple[RegionSummary, ...]
    nodes: tuple[NodeView, ...]
    stores: tuple[StoreView, ...]
    groups_coming: tuple[ComingGroupView, ...] = ()
    restless: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WrittenDocument:
    """A change is on a majority of stores. `version` is what If-Match takes next time."""

    key: str
    shard: str
    epoch: int
    version: int
    position: str


@dataclass(frozen=True, slots=True)
class ScanItem:
    """One key. `value` is text, or base64 where `encoding` says so."""

    key: str
    version: int
    value: str
    encoding: str


def replica_document(shard: str, view: ReplicaView, lineage: int = 0) -> ReplicaDocument:
    """A replica with its position as a token."""
    at = view.position
    position = encode_one(shard, at, lineage) if at is not None else None
    return ReplicaDocument(view.node, view.region, view.url, view.role, position, view.staleness_ms)


def shard_document(
    view: ShardView,
    replicas: tuple[ReplicaDocument, ...] | None = None,
    rests_in: tuple[str, ...] | None = None,
    lineage: int = 0,
) -> ShardDocument:
    """A shard with its position as a token, and its copies where they are asked for."""
    at = view.position
    return ShardDocument(
        shard=view.shard,
        group=view.group,
        goal=view.goal,
        first_slot=view.first_slot,
        end_slot=view.end_slot,
        regions=view.regions,
        epoch=view.epoch,
        state=view.state,
        why=view.why,
        leader=view.leader,
        lease_remaining_ms=view.lease_remaining_ms,
        position=encode_one(view.shard, at, lineage) if at is not None else None,
        sequence=at,
        size_bytes=view.size_bytes,
        replicas=replicas,
        rests_in=rests_in,
    )


def route_row(view: ShardView) -> RouteRow:
    """What of a shard belongs into the routing table: what changes only with map and leadership."""
    return RouteRow(
        shard=view.shard,
        group=view.group,
        goal=view.goal,
        first_slot=view.first_slot,
        end_slot=view.end_slot,
        regions=view.regions,
        epoch=view.epoch,
        state=view.state,
        leader=view.leader,
    )


def region_summaries(
    regions: Iterable[RegionDocument], fleet: FleetView
) -> tuple[RegionSummary, ...]:
    """Every region of the topology, by name, with what the fleet's view says of it."""
    return tuple(
        _region_summary(region, fleet) for region in sorted(regions, key=lambda r: r.region)
    )


def _region_summary(region: RegionDocument, fleet: FleetView) -> RegionSummary:
    nodes = [node for node in fleet.nodes if node.region == region.region]
    stores = [store for store in fleet.stores if store.region == region.region]
    return RegionSummary(
        region=region.region,
        location=region.location,
        latitude=region.latitude,
        longitude=region.longitude,
        zones=region.zones,
        nodes=len(nodes),
        nodes_alive=sum(node.alive for node in nodes),
        stores=len(stores),
        stores_up=sum(store.state == "up" for store in stores),
        leads=sum(node.leads for node in nodes),
        rtt_ms=region.rtt_ms,
        egress_usd_per_gb=region.egress_usd_per_gb,
        alone=alone(region.region, fleet),
    )


def status_document(fleet: FleetView, regions: Iterable[RegionDocument]) -> Status:
    """The page for /v1/status."""
    return Status(
        node=fleet.node,
        region=fleet.region,
        global_leader=fleet.global_leader,
        map_version=fleet.map_version,
        leadership_revision=fleet.leadership_revision,
        shards_total=fleet.shards_total,
        shards_led=fleet.shards_led,
        shards_here=fleet.shards_here,
        spare_stores=max(0, min((group.spare for group in fleet.groups), default=0)),
        groups=fleet.groups,
        regions=region_summaries(regions, fleet),
        nodes=fleet.nodes,
        stores=fleet.stores,
        groups_coming=fleet.groups_coming,
        restless=fleet.restless,
    )


def leader_hint(leader: Target) -> LeaderHint:
    """A leader as `shards.routing` names it, as a record for the outside."""
    return LeaderHint(leader.node, leader.region, leader.url, leader.epoch)
