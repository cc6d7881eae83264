"""Views of what a node knows: made on demand, changing nothing."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from heapq import nsmallest
from typing import TYPE_CHECKING

from controlplane.node.directory import MapRow
from controlplane.node.figures import RANKED_MAX
from controlplane.node.following import SYSTEM
from controlplane.node.group import Group
from controlplane.node_plan import GroupPlan, StorePlan, description_of
from controlplane.requests import LeaderHint
from controlplane.views import (
    FleetView,
    ForcedView,
    GroupView,
    NodeView,
    ReplicaView,
    ShardView,
    StoreView,
)  # fmt: skip
from regions.watch import Peer
from shards.grant import process_of
from shards.leadership import State

if TYPE_CHECKING:
    from controlplane.node.node import Node


@dataclass(frozen=True, slots=True)
class Glance:
    """A group at one moment: its live sessions, and how many voters are up."""

    at_ms: int
    peers: dict[str, Peer]
    reachable: int


class Pictures:
    """Makes the views of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._glances: dict[str, Glance] = {}

    def _glance(self, group: Group, now_ms: int) -> Glance:
        """A group at one moment, looked at once for all its shards."""
        found = self._glances.get(group.group)
        if found is None or found.at_ms != now_ms:
            peers, up = group.watch.peers(now_ms), self._reachable(group, now_ms)
            found = self._glances[group.group] = Glance(now_ms, peers, up)
        return found

    # -- shards

    def shard_views(self, now_ms: int) -> tuple[ShardView, ...]:
        """All rows of the map, by first slot, then the system shard."""
        rows = sorted(self._node.directory.rows.values(), key=lambda r: (r.first_slot, r.shard))
        found = [self._row(row, now_ms) for row in rows]
        system = self.shard_view(SYSTEM, now_ms)
        return (*found, *([system] if system is not None else []))

    def shard_view(self, shard: str, now_ms: int) -> ShardView | None:
        """One row."""
        row = self._node.directory.rows.get(shard)
        if row is None:
            if shard != SYSTEM or self._node.census.group_of(SYSTEM) is None:
                return None
            group = self._node.census.group_of(SYSTEM)
            regions = () if group is None else group.sighted(SYSTEM).regions
            row = MapRow(SYSTEM, "global", 0, 0, regions, 0)
        return self._row(row, now_ms)

    def _row(self, row: MapRow, now_ms: int) -> ShardView:
        group = self._node.groups.get(row.group)
        goal = "zone" if row.group.startswith("region/") else "region"
        if group is None:
            return ShardView(
                row.shard, row.group, goal, row.first_slot, row.end_slot, row.regions, 0, None,
                "unavailable", "no store of its group is known here", None, None, None,
            )  # fmt: skip
        hint = self._node.census.leader_hint(group, row.shard)
        sighted = group.shards.get(row.shard)
        leading = None if sighted is None else sighted.leading_grant()
        led = group.led.get(row.shard)
        serves = led is not None and led.serves(now_ms)
        until = led.until_ms() if led is not None else None
        log = led.log if led is not None else None
        alive = hint is not None and self._is_live(group, row.shard, now_ms)
        state, why = self._state(group, row.shard, serves, alive, now_ms)
        return ShardView(
            row.shard, row.group, goal, row.first_slot, row.end_slot, row.regions,
            0 if leading is None else leading.epoch, hint, state, why,
            max(0, until - now_ms) if until is not None and serves else None,
            log.commit if log is not None and serves else None,
            log.size_bytes if log is not None else None,
        )  # fmt: skip

    def _is_live(self, group: Group, shard: str, now_ms: int) -> bool:
        leading = group.sighted(shard).leading_grant()
        if leading is None:
            return False
        if group.is_mine(leading.holder):
            led = group.led.get(shard)
            return led is not None and led.serves(now_ms)
        glance = self._glance(group, now_ms)
        peer = glance.peers.get(leading.holder)
        alive = peer is not None and peer.silent_ms < group.times.wait_ms
        return alive and glance.reachable >= group.quorum

    def _reachable(self, group: Group, now_ms: int) -> int:
        """Voters that are up, as far as is known here: one that nobody told of counts as up.

        A leader of whom only a minority of stores shows signs of life has no lease to serve under.
        """
        lanes, hearsay = self._node.lanes, self._node.hearsay
        up = 0
        for plan in group.plan.voters:
            lane = lanes.get(plan.store)
            report = None if lane is not None else hearsay.of(plan.store, now_ms)
            up += lane.is_up if lane is not None else report is None or report.up
        return up

    def _state(
        self, group: Group, shard: str, serves: bool, alive: bool, now_ms: int
    ) -> tuple[str, str]:
        if serves or alive:
            return "led", ""
        up = self._glance(group, now_ms).reachable
        if up < group.quorum:
            return "unavailable", f"{up} of {group.voters} stores reachable, {group.quorum} needed"
        return "electing", self._node.standing[group.group].why.get(shard, "no live leader seen")

    def replicas(self, shard: str, now_ms: int) -> tuple[ReplicaView, ...]:
        """The leader, and for every other region with a copy one node that reads it locally."""
        group = self._node.census.group_of(shard)
        if group is None:
            return ()
        hint = self._node.census.leader_hint(group, shard)
        regions = [s.region for s in group.plan.voters]
        others = (s.region for s in group.plan.followers)
        regions += [r for r in others if not self._node.resting.rests_in(shard, r)]
        found: list[ReplicaView] = []
        if hint is not None:
            led = group.led.get(shard)
            position = led.log.commit if led is not None and led.log is not None else None
            stale = 0 if led is not None and led.serves(now_ms) else None
            found.append(ReplicaView(hint.node, hint.region, hint.url, "leader", position, stale))
        for region in dict.fromkeys(regions):
            if hint is not None and region == hint.region:
                continue
            nodes = [n for n in self._nodes(now_ms) if n.region == region and n.alive]
            if nodes:
                node = nodes[0]
                found.append(ReplicaView(node.node, region, node.url, "follower", None, None))
        return tuple(found)

    def led_by(self, nodes: Set[str], now_ms: int) -> set[str]:
        """Shards that these nodes lead, the system shard too: by holders, of whom there are few."""
        found: set[str] = set()
        for group in self._node.groups.values():
            if self._node.plan.node in nodes:
                found.update(group.led)
            for sid, peer in self._glance(group, now_ms).peers.items():
                if peer.node in nodes and not group.is_mine(sid):
                    found.update(group.by_holder.get(sid, ()))
        return found & self.shard_names()

    # -- the fleet

    def fleet(self, now_ms: int) -> FleetView:
        """The page behind /v1/status."""
        node, known = self._node, self.shard_names()
        here = {name: _count_serving(group, now_ms) for name, group in node.groups.items()}
        groups = tuple(
            self._group(group, known, here[name], now_ms) for name, group in node.groups.items()
        )
        return FleetView(
            node=node.plan.node,
            region=node.plan.region,
            global_leader=self._global_leader(now_ms),
            map_version=node.map_version,
            leadership_revision=node.leadership_revision,
            groups=groups,
            stores=tuple(self._store(plan, now_ms) for plan in self._all_stores()),
            nodes=tuple(self._nodes(now_ms)),
            shards_total=len(known),
            shards_led=sum(group.led for group in groups),
            shards_here=sum(here.values()),
            shards_in_use=len(node.reports.load),
            round_trips_ms=tuple((r, m.p50_ms) for r, m in node.round_trips.measured().items()),
            groups_coming=node.made_groups.coming(),
            restless=tuple(nsmallest(RANKED_MAX, node.attendance.flapping.shards(now_ms))),
        )

    def _global_leader(self, now_ms: int) -> LeaderHint | None:
        """Who leads the system shard, if anybody does: whoever led it last is not asked here."""
        system = self.shard_view(SYSTEM, now_ms)
        return system.leader if system is not None and system.state == "led" else None

    def shard_names(self) -> Set[str]:
        """Every shard of the map, and the system shard."""
        system = {SYSTEM} if self._node.census.group_of(SYSTEM) is not None else set()
        return self._node.directory.rows.keys() | system

    def _count_led(self, group: Group, known: Set[str], here: int, now_ms: int) -> int:
        """Shards of a group with a live leader: by holders, of whom there are few. This node serves
        `here` of them."""
        count = here
        glance = self._glance(group, now_ms)
        if glance.reachable < group.quorum:
            return count
        for sid, peer in glance.peers.items():
            if not group.is_mine(sid) and peer.silent_ms < group.times.wait_ms:
                count += len(group.by_holder.get(sid, set()) & known)
        return count

    def _group(self, group: Group, known: Set[str], here: int, now_ms: int) -> GroupView:
        up = sum(self._store(store, now_ms).state == "up" for store in group.plan.voters)
        return GroupView(
            group=group.group,
            voters=tuple(s.store for s in group.plan.voters),
            followers=tuple(s.store for s in group.plan.followers),
            quorum=group.quorum,
            reachable=up,
            spare=max(0, up - group.quorum),
            ttl_ms=group.times.ttl_ms,
            shards=len(group.shards),
            led=self._count_led(group, known, here, now_ms),
            version=group.version,
            change=self._node.changes.view(group.group),
            lost=self._node.losses.of(group),
            forced=_forced(group.plan),
            set_ttl_ms=description_of(group.plan).least_ttl_ms,
            needed_ttl_ms=self._node.lease_needs.need_ms(group),
            stops=self._node.quorum_loss.count().get(group.group, 0),
            resting=self._node.resting.count(group.group),
            full=self._lack_of_room(group),
        )

    def _lack_of_room(self, group: Group) -> str:
        """Of a group all of whose voters this node uses itself: others know no marks."""
        if any(store.store not in self._node.lanes for store in group.plan.voters):
            return ""
        return self._node.headroom.lack(group, grows=True)

    @property
    def _plans(self) -> list[GroupPlan]:
        """Of every group, its present version."""
        return [group.plan for group in self._node.groups.values()]

    def _all_stores(self) -> list[StorePlan]:
        plans = [s for g in self._plans for s in (*g.voters, *g.followers)]
        return list({plan.store: plan for plan in plans}.values())

    def _store(self, plan: StorePlan, now_ms: int) -> StoreView:
        """As this node's own lane shows it, else as another node last said."""
        groups = tuple(
            g.name
            for g in self._plans
            if any(s.store == plan.store for s in (*g.voters, *g.followers))
        )
        lane = self._node.lanes.get(plan.store)
        slow_trip: int | None = None
        if lane is not None:
            state = "up" if lane.is_up else ("refused" if lane.refusal else "down")
            why = lane.refusal or self._node.digests.why(plan.store, now_ms)
            why = why or self._node.headroom.why(lane)
            opseq, trip = lane.opseq, lane.round_trip_ms
            slow_trip = int(lane.round_trip.p99_ms) if lane.is_up else None
            silent_ms = None if lane.heard_ms is None else now_ms - lane.heard_ms
        elif (report := self._node.hearsay.of(plan.store, now_ms)) is not None:
            state = "up" if report.up else ("refused" if report.why else "down")
            why = self._node.digests.why(plan.store, now_ms) or report.why
            opseq, trip = report.opseq, report.round_trip_ms
            silent_ms = now_ms - report.told_ms
        else:
            state, why, opseq, trip, silent_ms = "unknown", "no node told of it", 0, 0, None
        return StoreView(
            plan.store, plan.region, plan.zone, groups, state, why, opseq,
            trip if state == "up" else None, silent_ms, slow_trip,
        )  # fmt: skip

    def _nodes(self, now_ms: int) -> list[NodeView]:
        node = self._node
        silent: dict[str, int] = {node.plan.node: 0}
        processes: dict[str, str] = {}
        place = {node.plan.node: (node.plan.region, node.plan.url)}
        leads: dict[str, int] = {}
        for configured in node.plan.peers:
            place.setdefault(configured.node, (configured.region, configured.url))
        for group in node.groups.values():
            for sid, peer in group.watch.peers(now_ms).items():
                place[peer.node] = (peer.region, peer.url)
                if peer.silent_ms <= silent.get(peer.node, peer.silent_ms):
                    silent[peer.node] = peer.silent_ms
                    processes[peer.node] = process_of(sid)
                leads[peer.node] = leads.get(peer.node, 0) + len(group.by_holder.get(sid, ()))
        longest = max((g.times.silent_ms for g in node.groups.values()), default=1_000)
        alive = {name for name, silent_ms in silent.items() if silent_ms < longest}
        for name, told in node.census.without_session(now_ms).items():
            place[name] = (told.region, told.url)
            silent[name] = now_ms - told.told_ms
            alive.add(name)
        drains, trust = node.drains, node.rebalance.trust
        going = {name for name in place if node.census.is_leaving(name, processes.get(name))}
        if node.draining:
            going.add(node.plan.node)
        return [
            NodeView(
                name, region, url, name in alive, silent.get(name), leads.get(name, 0),
                drains.site(name, region).zone, name in going,
                drains.avoids(name, region), trust.is_suspect(name, now_ms),
                node.plan.process if name == node.plan.node else processes.get(name, ""),
                node.census.left(name),
            )
            for name, (region, url) in sorted(place.items())
        ]  # fmt: skip


def _count_serving(group: Group, now_ms: int) -> int:
    """Shards of a group that this node leads, with a lease in its hand; nearly all of them have
    that of its session."""
    until_ms, session, whole = group.until_ms(), group.session, (1 << group.voters) - 1
    holds, count = until_ms is not None and now_ms < until_ms, 0
    for led in group.led.values():
        log = led.log
        if (
            led.session is session
            and led.state is State.LEADING
            and led.held & whole == whole
            and log is not None
            and not log.closed
        ):
            count += holds
        else:
            count += led.serves(now_ms)
    return count


def _forced(plan: GroupPlan) -> ForcedView | None:
    """How a version came to be that nobody voted for."""
    if plan.forced is None:
        return None
    return ForcedView(plan.forced.of, tuple(plan.forced.gone), plan.forced.by, plan.forced.why)
