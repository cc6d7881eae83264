"""The node as its HTTP edge sees it: requests in, answers out, and news of what changed.

Implements `controlplane.api.service.Service` over the driver. It also counts: what every client
asked and how long it took is known here and nowhere else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from config.feed import Feed
from config.rollout import Rollout
from config.rollout_step import Ack
from controlplane.api.service import Check, NodeIdentity, RegionDocument, Subscription
from controlplane.figures import NodeFigures
from controlplane.machine import Happened, HomeWish, Judged, Told
from controlplane.node.directory import MapRow
from controlplane.node.drains import Drain
from controlplane.node.fenced_writes import FencedWrite
from controlplane.node.load_reports import Gathered
from controlplane.node.resting import CopiesOf
from controlplane.node_plan import Limits, NodePlan, Place
from controlplane.requests import (
    ForceRecover,
    GroupChange,
    Outcome,
    Refused,
    Request,
    StoresForced,
    StoresWanted,
)
from controlplane.runtime.driver import Driver
from controlplane.telemetry.metrics import NodeMetrics
from controlplane.telemetry.request_spans import CURRENT, ShardSpans
from controlplane.views import FleetView, ReplicaView, ReshardingView, ShardView
from regions.reference import known_round_trip_ms
from regions.topology import Topology
from shards.heat import Heat
from shards.load import ShardLoad
from shards.position import lineage_of
from shards.routing import SlotRange


class Subscribers:
    """Everybody who wants to know when the routing table changed or something happened."""

    def __init__(self) -> None:
        self._subscriptions: dict[int, Subscription] = {}
        self._next = 0

    def add(self, subscription: Subscription) -> Callable[[], None]:
        """Call back on every change until the returned function is called (twice does no harm)."""
        self._next += 1
        key = self._next
        self._subscriptions[key] = subscription
        return lambda: self._forget(key)

    def table_changed(self, shards: Set[str]) -> None:
        """Tell everybody that these rows of the routing table may be other ones."""
        for subscription in tuple(self._subscriptions.values()):
            subscription.on_table(shards)

    def happened(self, event: Happened) -> None:
        """Tell everybody of a life-cycle event."""
        for subscription in tuple(self._subscriptions.values()):
            subscription.on_happened(event)

    def _forget(self, key: int) -> None:
        self._subscriptions.pop(key, None)


@dataclass(slots=True)
class Condition:
    """What the process knows of its own state besides what the node shows."""

    draining: bool = False


class NodeService:
    """One running node."""

    def __init__(
        self,
        driver: Driver,
        plan: NodePlan,
        topology: Topology,
        subscribers: Subscribers,
        metrics: NodeMetrics,
        report: Callable[[Happened], None],
        spans: ShardSpans | None = None,
    ) -> None:
        self._report = report
        self._spans = spans
        self.condition = Condition()
        cluster = next((group.cluster for group in plan.groups if group.cluster), "")
        lineage = lineage_of(cluster)
        self.identity = NodeIdentity(plan.node, plan.region, plan.url, plan.process, lineage)
        self.limits: Limits = plan.limits
        self._driver = driver
        self._node = driver.node
        self._topology = topology
        self._subscribers = subscribers
        self._metrics = metrics

    @property
    def map_version(self) -> int:
        """Version of the shard map this node knows."""
        return self._node.map_version

    @property
    def leadership_revision(self) -> int:
        """Grows with every change of who leads, as this node knows it."""
        return self._node.leadership_revision

    async def submit(self, request: Request) -> Outcome:
        """Put a request to this node and wait for its one answer; time limits are the node's."""
        span = CURRENT.get()
        if span is None or self._spans is None:
            return await self._submit(request)
        since = time.perf_counter()
        try:
            return await self._spans.around(span, request, self._submit)
        finally:
            took_s = time.perf_counter() - since
            self._metrics.requests.traced(request, took_s, span.trace_id)

    async def _submit(self, request: Request) -> Outcome:
        since = time.perf_counter()
        outcome: Outcome | None = None
        try:
            outcome = await self._driver.ask(request)
            return outcome
        finally:
            self._metrics.requests.answered(request, outcome, time.perf_counter() - since)

    def change_stores(self, order: GroupChange, *, begin: bool) -> StoresWanted | Refused:
        """Have a group's stores or lease changed, or only say what would be wanted."""
        return self._driver.change_stores(order, begin=begin)

    def force_recover(self, order: ForceRecover, *, begin: bool) -> StoresForced | Refused:
        """Make a lost group go on with what is left of it, or only say what would be lost."""
        return self._driver.force_recover(order, begin=begin)

    def load_of(self, shard: str) -> ShardLoad:
        """Where to count what a client of this node asks of a shard."""
        return self._node.load_of(shard)

    def gathered(self) -> Gathered | None:
        """What the nodes of the fleet reported to this one; None unless it leads them."""
        return self._node.gathered(self._driver.clock())

    def heat_of(self, shard: str) -> Heat | None:
        """How hot a shard is, as its present leader told this node lately."""
        return self._node.heats.of(shard, self._driver.clock())

    def unsteady_canaries(self) -> Mapping[str, str]:
        """Nodes that handed their canaries back, and why, told to this one since the last call."""
        return self._node.canary.take()

    def home_wishes(self) -> tuple[HomeWish, ...]:
        """Shards that their leaders would hand home, asked of this node since the last call."""
        return self._node.homecoming.take()

    def judge_home(self, wishes: Sequence[HomeWish], admitted: Sequence[HomeWish]) -> None:
        """Answer them."""
        self._driver.post(Judged(tuple(wishes), tuple(admitted)))

    def fenced_writes(self) -> tuple[FencedWrite, ...]:
        """Writes that this process led and could not confirm."""
        return self._node.fenced_writes.all()

    def told(self, sender: str, message: dict[str, Any]) -> None:
        """Hand over a message of another node."""
        self._driver.post(Told(sender, message))

    def report(self, event: Happened) -> None:
        """Tell everybody who listens of something that was decided here."""
        self._node.duties.outbox.add(event.kind, event.shard, event.epoch, event.detail)
        self._report(event)

    def subscribe(self, subscription: Subscription) -> Callable[[], None]:
        """Call back on every change until the returned function is called."""
        return self._subscribers.add(subscription)

    def fleet(self) -> FleetView:
        """Everything this node knows."""
        return self._node.fleet(self._driver.clock())

    def figures(self) -> NodeFigures:
        """What this node has counted, and how it stands."""
        return self._node.figures.now(self._driver.clock())

    def slot_ranges(self) -> Iterable[SlotRange]:
        """The shard map alone."""
        return self._node.directory.slot_ranges()

    def shard_names(self) -> Iterable[str]:
        """Every shard there is a view of."""
        return self._node.shard_names()

    def shard_groups(self) -> Iterable[tuple[str, str]]:
        """Every shard of the map with its group."""
        return [(row.shard, row.group) for row in self._node.directory.rows.values()]

    def shard_views(self) -> tuple[ShardView, ...]:
        """Every row of the routing table."""
        return self._node.shard_views(self._driver.clock())

    def shard_view(self, shard: str) -> ShardView | None:
        """One row of the routing table."""
        return self._node.shard_view(shard, self._driver.clock())

    def map_row(self, shard: str) -> MapRow | None:
        """The row of the shard map that this node knows."""
        return self._node.directory.rows.get(shard)

    def shard_now(self, request: Request) -> str:
        """The shard that has a request's key by the map here."""
        return self._node.shard_now(request)

    def ancestors(self, shard: str) -> tuple[str, ...]:
        """Shards that this one continues."""
        return self._node.reshardings.ancestors(shard)

    def reshardings(self) -> tuple[ReshardingView, ...]:
        """Every resharding that is remembered."""
        return self._node.reshardings.switching.views()

    def led_by(self, nodes: Set[str]) -> Set[str]:
        """Shards that any of these nodes leads."""
        return self._node.led_by(nodes, self._driver.clock())

    def rollouts(self) -> tuple[tuple[Rollout, int], ...]:
        """Every rollout, as this region's copy of the system shard has it."""
        return self._node.rollouts.known()

    def acks(self, document: str, rollout: int) -> Mapping[str, Ack]:
        """By node, what it said to this one that it runs in a rollout."""
        return self._node.documents.acks(document, rollout)

    def drains(self) -> tuple[tuple[Drain, int], ...]:
        """Every drain, as this region's copy of the system shard has it."""
        return self._node.drains.known()

    def copies(self) -> Mapping[str, CopiesOf]:
        """What is said of copies that may rest, as far as this node knows."""
        return self._node.resting.known

    def replicas(self, shard: str) -> tuple[ReplicaView, ...]:
        """Where a shard can be read."""
        return self._node.replicas(shard, self._driver.clock())

    def regions(self) -> tuple[RegionDocument, ...]:
        """The regions that have a document, with the round trips of the topology; of one that came
        later, with those that are published."""
        rtt_ms, regions = self._topology.rtt_ms, self.documents().regions()
        return tuple(
            RegionDocument(
                region=name,
                location=region.get("location", ""),
                latitude=region["latitude"],
                longitude=region["longitude"],
                zones=tuple(region["zones"]),
                rtt_ms=dict(rtt_ms.get(name) or _published_ms(name, regions)),
                egress_usd_per_gb=region["egress_usd_per_gb"],
            )
            for name, region in regions.items()
        )

    def places(self) -> Mapping[str, Place]:
        """Where this node knows stores to be."""
        return self._node.places

    def documents(self) -> Feed:
        """The documents in force here."""
        return self._node.feed

    def readiness(self) -> tuple[Check, ...]:
        """Ready: not stopping, a store of the own region answers, the shard map is known.

        A quorum out of reach is no condition: this node still reads nearby and says how old it is,
        which is the very thing clients of a region that is cut off need.
        """
        fleet = self.fleet()
        local = [store for store in fleet.stores if store.region == fleet.region]
        up = any(store.state == "up" for store in local)
        checks = (
            Check("not-draining", not self.condition.draining, "this node hands over and stops"),
            Check("local-store", up or not local, "no store of this region answers"),
            Check("shard-map", fleet.shards_total > 0, "the shard map is not known yet"),
        )
        return tuple(Check(c.name, c.ok, "" if c.ok else c.why) for c in checks)

    def metrics(self, *, exemplars: bool = False) -> bytes:
        """The metrics of this process in the Prometheus text format."""
        return self._metrics.open_metrics() if exemplars else self._metrics.text()


def _published_ms(origin: str, regions: Iterable[str]) -> dict[str, float]:
    found = ((to, known_round_trip_ms(origin, to)) for to in regions if to != origin)
    return {to: ms for to, ms in found if ms is not None}
