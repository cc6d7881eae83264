"""What a drain of a place would come to, as the global leader sees the fleet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from controlplane.api.service import Service
from controlplane.node.drains import Drain, Scope, Site
from controlplane.node.following import SYSTEM
from controlplane.node.load_reports import Gathered
from controlplane.planning.gathering import distances_of
from controlplane.planning.limits import Limits
from controlplane.planning.pace import allowed_per_minute, pause_ms, quorum_ms
from controlplane.views import FleetView, NodeView
from regions.latency_matrix import Pair
from regions.topology import ZONE_RTT_MS

GLOBAL_GROUP = "global"


@dataclass(frozen=True, slots=True)
class DrainFacts:
    """A place that is, or may be, drained.

    `led`: shards that its nodes lead. `stays`: those of them that no other node may lead. `heirs`:
    nodes elsewhere that are alive and may lead. `pause_ms`: how long a hand-over keeps writes
    waiting there.
    """

    nodes: tuple[NodeView, ...]
    led: Set[str]
    stays: Set[str]
    heirs: tuple[NodeView, ...]
    leaders: int
    pause_ms: float

    def allowed_per_minute(self, limits: Limits, drain: Drain) -> float:
        """How fast it may be drained."""
        scope = "node" if drain.scope is Scope.NODE else "region"
        return allowed_per_minute(
            limits, scope, self.leaders, self.pause_ms, drain.added_p99_ms, len(self.nodes)
        )


def site_of(node: NodeView) -> Site:
    """Where a node stands."""
    return Site(node.node, node.region, node.zone)


def drain_facts(service: Service, gathered: Gathered, drain: Drain, fleet: FleetView) -> DrainFacts:
    """Look at the place of a drain."""
    nodes = tuple(node for node in fleet.nodes if drain.covers(site_of(node)))
    led = service.led_by({node.node for node in nodes})
    heirs = tuple(
        node
        for node in fleet.nodes
        if node.alive and not node.drained and not node.draining and node not in nodes
    )
    homes = voting_regions(fleet)
    open_regions = {node.region for node in heirs}
    closed = {group for group, regions in homes.items() if not regions & open_regions}
    groups = {shard: group_of(service, shard) for shard in led} if closed else {}
    stays = {shard for shard, group in groups.items() if group in closed}
    pause = _pause_ms(fleet, distances_of(gathered, service.documents()), nodes)
    return DrainFacts(nodes, led, stays, heirs, fleet.shards_total, pause)


def group_of(service: Service, shard: str) -> str:
    """The group in which a shard decides; "" for one that is not in the map."""
    if shard == SYSTEM:
        return GLOBAL_GROUP
    row = service.map_row(shard)
    return row.group if row is not None else ""


def voting_regions(fleet: FleetView) -> Mapping[str, Set[str]]:
    """Of each group, the regions whose nodes may lead its shards."""
    region_of = {store.store: store.region for store in fleet.stores}
    return {
        group.group: {region_of[voter] for voter in group.voters if voter in region_of}
        for group in fleet.groups
    }


def _pause_ms(
    fleet: FleetView, distances: Mapping[Pair, float], nodes: Iterable[NodeView]
) -> float:
    """The longest that a hand-over takes of any group in which these nodes may lead."""
    region_of = {store.store: store.region for store in fleet.stores}
    found = [0.0]
    for region in {node.region for node in nodes}:
        for group in fleet.groups:
            voters = [region_of[voter] for voter in group.voters if voter in region_of]
            if region not in voters or len(voters) < group.quorum:
                continue
            ways = [_way_ms(distances, region, voter) for voter in voters]
            found.append(quorum_ms(ways, group.quorum))
    return pause_ms(max(found))


def _way_ms(distances: Mapping[Pair, float], here: str, there: str) -> float:
    return ZONE_RTT_MS if here == there else distances.get((here, there), ZONE_RTT_MS)
