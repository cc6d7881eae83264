"""A node: everything it decides, as one pure machine (events and time in, effects out).

Theory of operation. `step` takes what happened, `advance` lets time pass, `take` composes what has
to be sent and returns all effects since the last `take`. Machines inside answer each other at
once, never across a turn, so a turn is a function of the node's state, its events and the clock.
The driver turns the node once for everything that arrived together: that is what makes batches.

`advance` is right when called early, late or twice; `deadline_ms` says when it has something to do
at the latest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import Any

from controlplane.machine import (
    Answered,
    Connected,
    Disconnected,
    Draining,
    Drop,
    Effect,
    Event,
    Fetched,
    Happened,
    Headroom,
    Judged,
    Probed,
    Requested,
    Told,
)  # fmt: skip
from controlplane.node.attendance import Attendance
from controlplane.node.bulk_calls import BulkCalls
from controlplane.node.canary import Canary
from controlplane.node.census import Census
from controlplane.node.copies import Copies
from controlplane.node.demand import Demand
from controlplane.node.digests import Digests
from controlplane.node.directory import Directory
from controlplane.node.documents import Documents
from controlplane.node.drains import Drains
from controlplane.node.duties import Duties
from controlplane.node.elections import Elections
from controlplane.node.fenced_writes import FencedWrites
from controlplane.node.figures import Figures
from controlplane.node.following import SystemFollower
from controlplane.node.group import Group
from controlplane.node.group_orders import GroupOrders
from controlplane.node.headroom import StoreRooms
from controlplane.node.health import Health
from controlplane.node.hearsay import Hearsay
from controlplane.node.heats import Heats
from controlplane.node.homecoming import Homecoming
from controlplane.node.lane import AWAY_MS, Lane
from controlplane.node.lease_needs import LeaseNeeds
from controlplane.node.load_reports import Gathered, LoadReports
from controlplane.node.losses import Losses
from controlplane.node.made_groups import MadeGroups
from controlplane.node.messages import take_message
from controlplane.node.nearby import Nearby
from controlplane.node.parking import Parking
from controlplane.node.pictures import Pictures
from controlplane.node.pins import Pins
from controlplane.node.probing import Probing
from controlplane.node.quorum_loss import QuorumLoss
from controlplane.node.rebalance import Rebalance
from controlplane.node.requests_open import OpenRequests
from controlplane.node.rerouting import rerouted
from controlplane.node.reshardings import Reshardings
from controlplane.node.resting import RestingCopies
from controlplane.node.rollouts import Rollouts
from controlplane.node.round_trips import RoundTrips
from controlplane.node.serving import Serving
from controlplane.node.sites import Sites
from controlplane.node.standing import StandingDesk
from controlplane.node.store_changes import StoreChanges
from controlplane.node.strong_reads import is_strong
from controlplane.node.succession import Succession
from controlplane.node.transfers import Transfers
from controlplane.node.upkeep import Upkeep
from controlplane.node_plan import NodePlan, Place
from controlplane.requests import (
    Evict,
    ForceRecover,
    GroupChange,
    History,
    Problem,
    Read,
    Refused,
    Request,
    Scan,
    StoresForced,
    StoresWanted,
    Trace,
    Transfer,
)  # fmt: skip
from controlplane.views import FleetView, ReplicaView, ShardView
from regions.codec import ANOTHER_STORE, Code
from shards.leadership import Reply, State
from shards.load import ShardLoad


class Node:
    """One process of the control plane, without its sockets and clocks."""

    def __init__(self, plan: NodePlan, draw: Callable[[], float], now_ms: int) -> None:
        """`draw` gives uniform numbers in [0, 1); it is the only source of chance."""
        self.plan = plan
        self.draw = draw
        self.now_ms = now_ms
        self.deadline_ms = now_ms  # when `advance` has something to do, as of the latest `take`
        self.wall_offset_ms = 0  # set by the driver: for records that people read, no decisions
        self.out: list[Effect] = []
        self.unsaid: list[Reply] = []  # of what was to be asked in a version that is over
        self.draining = False
        self.away_until_ms = -1_000  # this process was paused, or late, until then
        self.leadership_revision = 0
        self._changed_rows: set[str] = set()
        self._sids = 0
        self.bulk = BulkCalls(self)
        self.lanes: dict[str, Lane] = {}
        limits = plan.limits
        self.demand = Demand()
        self.attendance = Attendance(self, now_ms)
        self.elections = Elections(self)
        self.figures = Figures(self)
        self.health = Health(self, now_ms)
        self.requests = OpenRequests(
            self.out, limits.write_timeout_ms, limits.read_timeout_ms, self.health.answered
        )
        self.headroom = StoreRooms(self)
        self.upkeep = Upkeep(self)
        self.copies = Copies(self)
        self.digests = Digests(self)
        self.fenced_writes = FencedWrites(self)
        self.serving = Serving(self)
        self.quorum_loss = QuorumLoss(self)
        self.nearby = Nearby(self)
        self.transfers = Transfers(self)
        self.rebalance = Rebalance(self)
        self.homecoming = Homecoming(self)
        self.duties = Duties(self)
        self.pins = Pins(self)
        self.probing = Probing(self, now_ms)
        self.pictures = Pictures(self)
        self.census = Census(self)
        self.hearsay = Hearsay(self, now_ms)
        self.parking = Parking(self)
        self.round_trips = RoundTrips(self, now_ms)
        self.reports = LoadReports(self, now_ms)
        self.heats = Heats(self, now_ms)
        self.lease_needs = LeaseNeeds(self, now_ms)
        self.canary = Canary(self)
        self.drains = Drains(self)
        self.resting = RestingCopies(self)
        self.sites = Sites(self, now_ms)
        self.groups: dict[str, Group] = {}
        self.standing: dict[str, StandingDesk] = {}
        self.succession = Succession(self)
        self.changes = StoreChanges(self, now_ms)
        self.losses = Losses(self)
        for group_plan in plan.groups:
            self.succession.begin(group_plan, now_ms)
        self.made_groups = MadeGroups(self, now_ms)
        self.group_orders = GroupOrders(self)
        self.reshardings = Reshardings(self)
        self.directory = Directory(self)
        self.documents = Documents(self)
        self.feed = self.documents.feed
        self.rollouts = Rollouts(self)
        readers = (
            self.made_groups, self.reshardings, self.directory, self.documents, self.rollouts,
            self.drains, self.resting,
        )  # fmt: skip
        self.following = SystemFollower(self, readers)

    @property
    def store_ids(self) -> list[str]:
        """Stores this node needs lanes to."""
        return list(self.lanes)

    @property
    def places(self) -> Mapping[str, Place]:
        """Where stores are, as far as is known here."""
        return self.sites.places

    # -- the machine

    def step(self, event: Event, now_ms: int) -> None:
        """Take one thing that happened."""
        self._pass_to(now_ms)
        match event:
            case Answered(store, generation, reply):
                self._answered(store, generation, reply)
            case Requested(number, request):
                self._requested(number, request)
            case Connected(store, generation):
                self._connected(store, generation)
            case Disconnected(store, generation, _):
                self._disconnected(store, generation)
            case Fetched(token, fetched):
                self.bulk.fetched(token, fetched, self.now_ms)
            case Told(sender, message):
                take_message(self, sender, message, self.now_ms)
            case Probed(node, shard, served):
                self.probing.probed(node, shard, served, self.now_ms)
                self.pins.probed(node, shard, served)
            case Headroom():
                self.headroom.seen(event)
            case Judged(wishes, admitted):
                self.homecoming.judged(wishes, admitted, self.now_ms)
            case Draining():
                self.draining = True
                self.rebalance.begin_drain(self.now_ms)

    def advance(self, now_ms: int) -> None:
        """Let time pass."""
        self._pass_to(now_ms)
        now_ms = self.now_ms
        for lane in self.lanes.values():
            due_ms = lane.overdue_ms
            if due_ms is not None and due_ms <= now_ms:
                self.out.append(Drop(lane.store, lane.generation, "no answer in time"))
                lane.overdue()
                self._disconnected(lane.store, lane.generation)
        for name, group in self.groups.items():
            group.advance(now_ms)
            if group.session is not None:
                self.standing[name].advance(now_ms)
        self.headroom.advance(now_ms)
        self.attendance.advance(now_ms)
        self.upkeep.advance(now_ms)
        self.nearby.advance(now_ms)
        if self.following.advance(now_ms):
            self.directory.advance(now_ms)
        self.duties.advance(now_ms)
        self.made_groups.advance(now_ms)
        self.reshardings.advance(now_ms)
        self.canary.advance(now_ms)
        self.rebalance.advance(now_ms)
        self.probing.advance(now_ms)
        self.changes.advance(now_ms)
        self.sites.advance(now_ms)
        self.hearsay.advance(now_ms)
        self.round_trips.advance(now_ms)
        self.reports.advance(now_ms)
        self.health.advance(now_ms)
        self.heats.advance(now_ms)
        self.documents.advance(now_ms)
        self.lease_needs.advance(now_ms)
        self.serving.sweep(now_ms)
        self.demand.advance(now_ms)
        self.requests.expire(now_ms)
        self.parking.expire()

    def take(self, now_ms: int) -> list[Effect]:
        """Everything to be done since the last call, calls composed and dated `now_ms`."""
        self.now_ms = now_ms = max(self.now_ms, now_ms)
        while self.unsaid:
            self.unsaid.pop(0)(None, now_ms)
        self.transfers.advance(now_ms)
        self.parking.take_up(now_ms)
        self.serving.confirming.ask(now_ms)
        for group in self.groups.values():
            for outgoing in group.outgoing:
                outgoing.compose(now_ms)
        self.digests.ask(now_ms)
        for lane in self.lanes.values():
            lane.looked_ms = now_ms
            if not lane.waiting:
                continue
            if not lane.is_up:
                lane.lost(now_ms)
            while (call := lane.call(now_ms)) is not None:
                self.out.append(call)
        effects = list(self.out)
        self.out.clear()
        self.deadline_ms = self._next_deadline_ms()
        return effects

    def _pass_to(self, now_ms: int) -> None:
        """Take the time; a turn that comes late shows that this process was paused."""
        self.now_ms = max(self.now_ms, now_ms)
        if now_ms - self.deadline_ms > AWAY_MS:
            self.away_until_ms = now_ms
            self.canary.late(now_ms - self.deadline_ms, now_ms)
            for lane in self.lanes.values():
                lane.away_until_ms = now_ms

    def _next_deadline_ms(self) -> int:
        times = [
            self.following.deadline_ms, self.rebalance.deadline_ms, self.probing.deadline_ms,
            self.hearsay.deadline_ms, self.changes.deadline_ms, self.sites.deadline_ms,
            self.reshardings.deadline_ms, self.nearby.deadline_ms, self.requests.deadline_ms,
            self.round_trips.deadline_ms, self.reports.deadline_ms, self.lease_needs.deadline_ms,
            self.heats.deadline_ms, self.made_groups.deadline_ms, self.documents.deadline_ms,
            self.health.deadline_ms,
        ]  # fmt: skip
        for name, group in self.groups.items():
            times += (group.deadline_ms, group.lazy_ms, self.standing[name].deadline_ms)
        times += [lane.overdue_ms for lane in self.lanes.values() if lane.under_way]
        return min([t for t in times if t is not None])

    def is_pressed(self, ttl_ms: int) -> bool:
        """Whether renewals come late here, of leases as long as this or shorter: then nothing is
        begun that can wait, for it might be what makes them late."""
        return any(g.is_short for g in self.groups.values() if g.times.ttl_ms <= ttl_ms)

    # -- lanes

    def _connected(self, store: str, generation: int) -> None:
        lane = self.lanes.get(store)
        if lane is None:
            return
        if lane.is_up:
            self._disconnected(store, lane.generation)
        lane.connected(generation)
        if not lane.is_up:
            return
        for group in self.groups.values():
            number = group.store_of(lane)
            if number is not None:
                group.connected(number)

    def _disconnected(self, store: str, generation: int) -> None:
        lane = self.lanes.get(store)
        if lane is None or lane.generation != generation or not lane.is_up:
            return
        lane.lost(self.now_ms)
        for group in self.groups.values():
            number = group.store_of(lane)
            if number is not None:
                group.disconnected(number)

    def _answered(self, store: str, generation: int, reply: Any) -> None:
        lane = self.lanes.get(store)
        if lane is None or lane.generation != generation or not lane.under_way:
            return
        if reply.code == Code.OOM:
            self._declined(lane)
        elif not lane.answered(reply, self.now_ms):
            self.out.append(Drop(store, generation, f"the store refused the call: {reply.code}"))
            if reply.code in ANOTHER_STORE:
                self.changes.forgot(store, self.now_ms)
            refusal = lane.refusal
            self._disconnected(store, generation)
            lane.refusal = refusal

    def _declined(self, lane: Lane) -> None:
        """A store had no memory for a call and did nothing of it: not accepted, try later."""
        lane.declined(self.now_ms)
        self.headroom.declined(lane, self.now_ms)
        for group in self.groups.values():
            number = group.store_of(lane)
            if number is not None:
                group.declined(number)

    def store_refused(self, store: str, why: str, *, forgot: bool) -> None:
        """The driver could not accept a store; `forgot`: it is not who it was any more."""
        if store in self.lanes:
            self.lanes[store].refusal = why
            if forgot:
                self.changes.forgot(store, self.now_ms)

    def change_stores(
        self, order: GroupChange, now_ms: int, *, begin: bool
    ) -> StoresWanted | Refused:
        """What an operator wants of a group's stores or lease; see StoreChanges.order."""
        self._pass_to(now_ms)
        return self.changes.order(order, self.now_ms, begin=begin)

    def force_recover(
        self, order: ForceRecover, now_ms: int, *, begin: bool
    ) -> StoresForced | Refused:
        """What an operator does about a group that is lost; see StoreChanges.force."""
        self._pass_to(now_ms)
        return self.changes.force(order, self.now_ms, begin=begin)

    # -- requests

    def _requested(self, number: int, request: Request) -> None:
        self.requests.begin(number, request, self.now_ms)
        self.demand.asked(request.shard)
        self.resubmit(number, request, self.now_ms)

    def resubmit(self, number: int, request: Request, now_ms: int) -> None:
        """Give a request to whoever answers it now."""
        request = rerouted(self, request)
        group = self.census.group_of(request.shard)
        if group is None:
            refused = Refused(Problem.UNKNOWN_SHARD, f"no shard {request.shard!r} is known here")
            self.requests.answer(number, refused)
        elif isinstance(request, History):
            self.nearby.history(group, number, request, 0)
        elif isinstance(request, Trace):
            self.fenced_writes.trace(group, number, request, 0)
        elif isinstance(request, Evict) and group.plan.stands:
            self.transfers.evict(group, request, number, now_ms)
        else:
            self._to_replica(group, number, request, now_ms)

    def _to_replica(self, group: Group, number: int, request: Request, now_ms: int) -> None:
        leadership = group.led.get(request.shard)
        serves = leadership is not None and leadership.serves(now_ms)
        if not serves and isinstance(request, (Read, Scan)) and not is_strong(request):
            self.nearby.read(group, number, request, 0, last_chance=False)
        elif leadership is None or leadership.state is State.HANDED:
            self.parking.to_leader(group, number, request)
        elif isinstance(request, Transfer):
            self.transfers.begin(group, leadership, request, number, now_ms)
        else:
            self.serving.submit(group, leadership, number, request, now_ms)

    # -- what the parts ask of each other

    def next_sid(self) -> str:
        """A new session id of this process."""
        self._sids += 1
        return f"{self.plan.process}/{self._sids}"

    def wall_ms(self) -> int:
        """Wall clock, for records that people read."""
        return self.now_ms + self.wall_offset_ms

    def happened(self, kind: str, shard: str, epoch: int, detail: dict[str, Any]) -> None:
        """Report a life-cycle event."""
        self.out.append(Happened(kind, shard, epoch, detail))
        self.duties.outbox.add(kind, shard, epoch, detail)

    def row_changed(self, shard: str, now_ms: int = 0) -> None:
        """A shard's row of the routing table may be another one."""
        self.leadership_revision += 1
        self._changed_rows.add(shard)
        self.parking.changed(shard)

    def take_changed_rows(self) -> Set[str]:
        """Shards whose rows may have changed since this was called last."""
        changed, self._changed_rows = self._changed_rows, set()
        return changed

    @property
    def map_version(self) -> int:
        """Position of the newest map row known here."""
        return self.directory.version

    # -- read-only looks

    def lease_claims(self, now_ms: int) -> list[tuple[str, int, str]]:
        """Shards whose strong reads this node would answer now: (shard, epoch, session)."""
        return [
            (led.shard, epoch, led.session.sid)
            for group in self.groups.values()
            for led in group.led.values()
            if (epoch := led.reading_epoch(now_ms)) is not None
        ]

    def fleet(self, now_ms: int) -> FleetView:
        """Everything this node knows, on one page."""
        return self.pictures.fleet(now_ms)

    def load_of(self, shard: str) -> ShardLoad:
        """Where to count what a client of this node asks of a shard."""
        return self.reports.load.of(shard)

    def gathered(self, now_ms: int) -> Gathered | None:
        """What nodes reported to this one, as the global leader; None if it is not."""
        return self.reports.as_of(now_ms)

    def shard_now(self, request: Request) -> str:
        """The shard that has a request's key by the map known here."""
        return rerouted(self, request).shard

    def shard_names(self) -> Set[str]:
        """Every shard of the map, and the system shard."""
        return self.pictures.shard_names()

    def led_by(self, nodes: Set[str], now_ms: int) -> Set[str]:
        """Shards that any of these nodes leads, the system shard too."""
        return self.pictures.led_by(nodes, now_ms)

    def shard_views(self, now_ms: int) -> tuple[ShardView, ...]:
        """The routing table, by first slot, the system shard last."""
        return self.pictures.shard_views(now_ms)

    def shard_view(self, shard: str, now_ms: int) -> ShardView | None:
        """One row of the routing table."""
        return self.pictures.shard_view(shard, now_ms)

    def replicas(self, shard: str, now_ms: int) -> tuple[ReplicaView, ...]:
        """Which nodes answer for a shard, one for each region."""
        return self.pictures.replicas(shard, now_ms)
