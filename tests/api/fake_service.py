"""A node in memory, for tests of the HTTP edge: it keeps the contract of Service, and no more.

All shards share one map of keys among the nodes of a `FakeFleet`, so a write at the leader can be
read at a follower. What a follower lacks is said by `lag` (in writes) and `staleness_ms`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from typing import Any

from config.audit import HEAD_KEY, Stamp, chained, read_head
from config.audit import PARTITION as AUDIT
from config.feed import Feed
from config.rollout_step import Ack
from controlplane.api.service import Check, NodeIdentity, RegionDocument, Subscription
from controlplane.machine import Happened, HomeWish
from controlplane.node.directory import MAP_PREFIX, MapRow
from controlplane.node.drains import Site, drained_nodes
from controlplane.node.fenced_writes import FencedWrite
from controlplane.node.load_reports import Gathered
from controlplane.node_plan import Limits, Place
from controlplane.requests import (
    CancelResharding,
    ChangeLease,
    Consistency,
    Delete,
    DropGroup,
    Evict,
    Evicted,
    Fate,
    ForceRecover,
    Found,
    GroupChange,
    History,
    LeaderHint,
    MakeGroup,
    Outcome,
    Problem,
    Provenance,
    Put,
    Read,
    Refused,
    Request,
    Reshard,
    Role,
    Scan,
    Scanned,
    StoresForced,
    StoresWanted,
    Tenures,
    Trace,
    Traced,
    Transfer,
    Transferred,
    Value,
    Write,
    Written,
)
from controlplane.views import (
    FleetView,
    GroupView,
    NodeView,
    ReplicaView,
    ReshardingView,
    ShardView,
    StoreView,
)
from regions.latency_matrix import LatencyMatrix
from regions.store import StoreAddress
from shards.heat import Heat
from shards.keyspace import SLOTS
from shards.load import RouterLoad, ShardLoad
from shards.load_table import LoadTable
from shards.routing import SlotRange
from tests.api.fake_records import FakeRecords
from tests.api.fake_regions import region_revision
from tests.api.fake_reshardings import RESHARDING, resharded
from tests.api.fake_shard import FakeShard

REGIONS = ("eu", "us")
SHARDS = ("s0", "s1", "s2", "s3")
GROUP = "global"


class FakeFleet:
    """What the nodes of a test have in common."""

    def __init__(self) -> None:
        width = SLOTS // len(SHARDS)
        self.shards = {
            name: FakeShard(name, at * width, (at + 1) * width) for at, name in enumerate(SHARDS)
        }
        self.shards["system"] = FakeShard("system", 0, 0)
        self.nodes: dict[str, FakeService] = {}

    def add(self, node: str, region: str) -> FakeService:
        """Another node, not listening yet: its address is set once it does."""
        service = FakeService(self, node, region)
        self.nodes[node] = service
        return service

    def lead(self, node: str, *shards: str) -> None:
        """Let a node lead these shards, or all, at a higher epoch; every node knows."""
        for name in shards or tuple(self.shards):
            self.shards[name].leader = node
            self.shards[name].epoch += 1
        for service in self.nodes.values():
            service.catch_up()


class FakeService(FakeRecords):
    """One node. `answer`, when set, decides what a request is answered, before anything else."""

    def __init__(self, fleet: FakeFleet, node: str, region: str) -> None:
        self.fleet_of = fleet
        self.node = node
        self.region = region
        self.url = ""
        self.zone = ""
        self.alive = True
        self.limits = Limits(value_bytes_max=1_024, key_bytes_max=64)
        self.map_version = 1
        self.leadership_revision = 1
        self.state = "electing"
        self.lag = 0
        self.also: tuple[str, ...] = ()  # further regions with a store, and no node
        self.voters: tuple[str, ...] = ()  # of the group; every store if empty
        self.followers: tuple[str, ...] = ()
        self.staleness_ms: int | None = 40
        self.checks: tuple[Check, ...] = (Check("quorum", True), Check("shard-map", True))
        self.answer: Callable[[Request], Outcome | None] | None = None
        self.gate: asyncio.Event | None = None
        self.asked: list[Request] = []
        self.changes: list[GroupChange] = []
        self.refuses_change: Refused | None = None
        self.forced: list[ForceRecover] = []
        self.cancelled = 0
        self.continued: dict[str, tuple[str, ...]] = {}
        self.more_groups: tuple[GroupView, ...] = ()
        self.reshards: tuple[ReshardingView, ...] = (RESHARDING,)
        self.fenced: tuple[FencedWrite, ...] = ()
        self.reports: list[Happened] = []
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.subscriptions: list[Subscription] = []
        self.load = RouterLoad(0)
        self.reported: Gathered | None = None
        self.heats: dict[str, Heat] = {}
        self.wishes: tuple[HomeWish, ...] = ()
        self.let_home: list[tuple[tuple[HomeWish, ...], tuple[HomeWish, ...]]] = []
        self.unsteady: dict[str, str] = {}
        self.suspect = False
        self.known: dict[str, tuple[int, str | None]] = {}
        self.feed = Feed(region_revision(name) for name in REGIONS)
        self.said: dict[tuple[str, int, str], Ack] = {}
        self.where = {
            f"{name}-1": Place(name, "a", StoreAddress("127.0.0.1", 6_001 + at))
            for at, name in enumerate(REGIONS)
        }
        self.catch_up()

    @property
    def identity(self) -> NodeIdentity:
        """Who this is."""
        return NodeIdentity(self.node, self.region, self.url, f"{self.node}-process")

    def catch_up(self) -> None:
        """Learn who leads what, and tell the subscribers."""
        shards = self.fleet_of.shards.values()
        before, self.known = self.known, {s.shard: (s.epoch, s.leader) for s in shards}
        self.changed({shard for shard, at in self.known.items() if before.get(shard) != at})

    def changed(self, shards: Set[str]) -> None:
        """Say that these rows of the table may be other ones."""
        self.leadership_revision += 1
        for subscription in self.subscriptions:
            subscription.on_table(shards)

    def happen(self, kind: str, shard: str = "s0", epoch: int = 1) -> None:
        """Let something happen."""
        for subscription in self.subscriptions:
            subscription.on_happened(Happened(kind, shard, epoch, {"why": "a test"}))

    # ---------------------------------------------------------------- Service

    def load_of(self, shard: str) -> ShardLoad:
        return self.load.of(shard)

    def gathered(self) -> Gathered | None:
        if self.reported is None and self.known["system"][1] == self.node:
            return Gathered(1, 0, 0, LoadTable(), LatencyMatrix({}))
        return self.reported

    def heat_of(self, shard: str) -> Heat | None:
        return self.heats.get(shard)

    def unsteady_canaries(self) -> dict[str, str]:
        return self.unsteady

    def home_wishes(self) -> tuple[HomeWish, ...]:
        wishes, self.wishes = self.wishes, ()
        return wishes

    def judge_home(self, wishes: Sequence[HomeWish], admitted: Sequence[HomeWish]) -> None:
        self.let_home.append((tuple(wishes), tuple(admitted)))

    def fenced_writes(self) -> tuple[FencedWrite, ...]:
        return self.fenced

    def told(self, sender: str, message: dict[str, Any]) -> None:
        self.messages.append((sender, message))

    def report(self, event: Happened) -> None:
        self.reports.append(event)

    def subscribe(self, subscription: Subscription) -> Callable[[], None]:
        self.subscriptions.append(subscription)
        return lambda: self.subscriptions.remove(subscription)

    def metrics(self, *, exemplars: bool = False) -> bytes:
        return b"# TYPE leadplane_up gauge\nleadplane_up 1\n" + b"# EOF\n" * exemplars

    def readiness(self) -> tuple[Check, ...]:
        return self.checks

    def regions(self) -> tuple[RegionDocument, ...]:
        return tuple(
            RegionDocument(name, name.upper(), 1.5, 2.5, ("a", "b"), {"eu": 1.0}, {"eu": 0.02})
            for name in REGIONS
        )

    def places(self) -> dict[str, Place]:
        return self.where

    def documents(self) -> Feed:
        return self.feed

    def hint(self, shard: str) -> LeaderHint | None:
        epoch, leader = self.known[shard]
        if leader is None:
            return None
        service = self.fleet_of.nodes[leader]
        return LeaderHint(service.node, service.region, service.url, epoch)

    def shard_view(self, shard: str) -> ShardView | None:
        if shard not in self.known:
            return None
        epoch, leader = self.known[shard]
        found = self.fleet_of.shards[shard]
        here = leader == self.node
        return ShardView(
            shard=shard,
            group=GROUP,
            goal="region",
            first_slot=found.first_slot,
            end_slot=found.end_slot,
            regions=REGIONS,
            epoch=epoch,
            leader=self.hint(shard),
            state="led" if leader else self.state,
            why="" if leader else "waiting for store eu-1",
            lease_remaining_ms=900 if here else None,
            position=found.sequence if here else None,
            size_bytes=found.size_bytes if here else None,
        )

    def map_row(self, shard: str) -> MapRow | None:
        if shard not in self.known:
            return None
        key, found = MAP_PREFIX + shard, self.fleet_of.shards[shard]
        kept = self.fleet_of.shards["system"].values.get(key)
        if kept is not None:
            return MapRow.read(key, kept[1].data, kept[1].version)
        return MapRow(shard, GROUP, found.first_slot, found.end_slot, REGIONS, 0)

    def shard_now(self, request: Request) -> str:
        return next((s for s, was in self.continued.items() if request.shard in was), request.shard)

    def ancestors(self, shard: str) -> tuple[str, ...]:
        return self.continued.get(shard, ())

    def reshardings(self) -> tuple[ReshardingView, ...]:
        return self.reshards

    def led_by(self, nodes: Set[str]) -> set[str]:
        return {shard for shard, (_, leader) in self.known.items() if leader in nodes}

    def slot_ranges(self) -> list[SlotRange]:
        found = [self.fleet_of.shards[shard] for shard in self.known]
        return [SlotRange(each.first_slot, each.end_slot, each.shard) for each in found]

    def shard_names(self) -> list[str]:
        return list(self.known)

    def shard_groups(self) -> list[tuple[str, str]]:
        return [(shard, GROUP) for shard in self.known if shard != "system"]

    def shard_views(self) -> tuple[ShardView, ...]:
        views = [self.shard_view(shard) for shard in self.known]
        return tuple(view for view in views if view is not None)

    def replicas(self, shard: str) -> tuple[ReplicaView, ...]:
        _, leader = self.known[shard]
        found = self.fleet_of.shards[shard]
        return tuple(
            ReplicaView(
                each.node,
                each.region,
                each.url,
                "leader" if each.node == leader else "follower",
                found.sequence - each.lag,
                0 if each.node == leader else each.staleness_ms,
            )
            for each in self.fleet_of.nodes.values()
        )

    def fleet(self) -> FleetView:
        everybody = self.fleet_of.nodes.values()
        sites = [Site(each.node, each.region, each.zone) for each in everybody]
        drained = drained_nodes((drain for drain, _ in self.drains()), sites)
        nodes = tuple(
            NodeView(
                each.node,
                each.region,
                each.url,
                each.alive,
                3,
                self._leads(each.node),
                each.zone,
                drained=each.node in drained,
                suspect=each.suspect,
            )
            for each in everybody
        )
        stores = tuple(
            StoreView(f"{name}-1", name, "a", (GROUP,), "up", "", 17, 2, 5)
            for name in (*REGIONS, *self.also)
        )
        total = len(self.known)
        voters = self.voters or tuple(store.store for store in stores)
        led = sum(leader is not None for _, leader in self.known.values())
        group = GroupView(GROUP, voters, self.followers, 2, 2, 0, 2_000, total, led)
        return FleetView(
            node=self.node,
            region=self.region,
            global_leader=self.hint("system"),
            map_version=self.map_version,
            leadership_revision=self.leadership_revision,
            groups=(group, *self.more_groups),
            stores=stores,
            nodes=nodes,
            shards_total=total,
            shards_led=led,
            shards_here=self._leads(self.node),
        )

    async def submit(self, request: Request) -> Outcome:
        self.asked.append(request)
        if self.gate is not None:
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        if self.answer is not None:
            outcome = self.answer(request)
            if outcome is not None:
                return outcome
        match request:
            case Write():
                return self._write(request)
            case Read():
                return self._read(request)
            case Scan():
                return self._scan(request)
            case Transfer(shard, to_node):
                before = self.fleet_of.shards[shard].epoch
                self.fleet_of.lead(to_node, shard)
                return Transferred(shard, before, to_node, 12)
            case Evict(shard):
                found = self.fleet_of.shards[shard]
                return Evicted(shard, found.epoch, str(found.leader))
            case Reshard() | CancelResharding() | MakeGroup() | DropGroup():
                return resharded(request)
            case Trace(shard, sequence):
                return Traced(shard, Fate.REPLACED, None if sequence else 0)
            case History(shard):
                return Tenures(shard, ({"epoch": 1, "leader": "n1", "why": "expired"},))

    def change_stores(self, order: GroupChange, *, begin: bool) -> StoresWanted | Refused:
        self.changes.append(order)
        if self.refuses_change is not None:
            return self.refuses_change
        if isinstance(order, ChangeLease):
            return StoresWanted(order.group, 1, self.voters, (), begin, order.ttl_ms)
        return StoresWanted(order.group, 1, (*self.voters, order.store), (), begin, 2_000)

    def force_recover(self, order: ForceRecover, *, begin: bool) -> StoresForced | Refused:
        self.forced.append(order)
        if self.refuses_change is not None:
            return self.refuses_change
        lost = "1 of the 2 dumps that would tell all"
        return StoresForced(
            order.group, 1, self.voters, (), begin, self.voters[:1], self.voters[1:], (), 1, 2, lost
        )

    # ---------------------------------------------------------------- data

    def _leads(self, node: str) -> int:
        return sum(each.leader == node for each in self.fleet_of.shards.values())

    def _not_leading(self, shard: str) -> Refused | None:
        found = self.fleet_of.shards[shard]
        if found.leader == self.node:
            return None
        hint = None
        if found.leader is not None:
            leader = self.fleet_of.nodes[found.leader]
            hint = LeaderHint(leader.node, leader.region, leader.url, found.epoch)
        return Refused(Problem.NOT_LEADER, f"{self.node} does not lead {shard}", hint, 100)

    def _write(self, write: Write) -> Outcome:
        if (refused := self._not_leading(write.shard)) is not None:
            return refused
        found = self.fleet_of.shards[write.shard]
        if write.op_id in found.ids:
            digest, written = found.ids[write.op_id]
            if digest != write.digest:
                return Refused(Problem.IDEMPOTENCY_MISMATCH, "another body")
            return replace(written, replayed=True)
        for compare in write.compares:
            has = found.values[compare.key][1].version if compare.key in found.values else 0
            if has != compare.version and not (compare.version == -1 and has):
                return Refused(Problem.PRECONDITION_FAILED, f"has version {has}", version=has)
        found.sequence += 1
        for mutation in write.mutations:
            match mutation:
                case Put(partition, key, data):
                    found.values[key] = (partition, Value(found.sequence, data))
                case Delete(key=key):
                    found.values.pop(key, None)
        if write.notes:
            self._record(found, write)
        written = Written(write.shard, found.epoch, found.sequence)
        if write.op_id:
            found.ids[write.op_id] = (write.digest, written)
        return written

    def _record(self, found: FakeShard, write: Write) -> None:
        """What the leader of the system shard puts into the entry of a write with notes."""
        head = found.values.get(HEAD_KEY)
        stamp = Stamp(self.node, found.epoch, 1_000 * found.sequence)
        before = read_head(head[1].data if head is not None else None)
        records, after = chained(before, write.notes, stamp)
        for key, data in (*((r.key, r.data) for r in records), (HEAD_KEY, after.packed())):
            found.values[key] = (AUDIT, Value(found.sequence, data))

    def _refusal(self, request: Read | Scan) -> Refused | None:
        found = self.fleet_of.shards[request.shard]
        if request.consistency is Consistency.STRONG:
            return self._not_leading(request.shard)
        if found.leader == self.node:
            return None
        bound, age = request.max_staleness_ms, self.staleness_ms
        too_old = bound is not None and (age is None or age > bound)
        if too_old or found.sequence - self.lag < request.position:
            return Refused(Problem.STALE, f"{self.node} is behind", self.hint(request.shard))
        return None

    def _provenance(self, request: Read | Scan) -> Provenance:
        found = self.fleet_of.shards[request.shard]
        leads = found.leader == self.node
        at = found.sequence if leads else found.sequence - self.lag
        role = Role.LEADER if leads else Role.FOLLOWER
        age = 0 if leads else self.staleness_ms
        return Provenance(request.shard, found.epoch, at, age, role, f"{self.region}-1")

    def _read(self, read: Read) -> Outcome:
        if (refused := self._refusal(read)) is not None:
            return refused
        values = self.fleet_of.shards[read.shard].values
        found = tuple(values[key][1] if key in values else None for key in read.keys)
        return Found(found, self._provenance(read))

    def _scan(self, scan: Scan) -> Outcome:
        if (refused := self._refusal(scan)) is not None:
            return refused
        items = [
            (key, value)
            for key, (partition, value) in sorted(self.fleet_of.shards[scan.shard].values.items())
            if partition == scan.partition and key.startswith(scan.prefix) and key > scan.after
        ]
        shown = tuple(items[: scan.limit])
        return Scanned(shown, len(items) > scan.limit, self._provenance(scan))
