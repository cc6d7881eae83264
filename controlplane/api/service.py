"""What the HTTP edge needs of the node behind it, and nothing more.

The runtime implements `Service` over its driver; the tests implement it in memory. All of it is
called on one event loop. Views are pictures of what this node knows at the moment of the call:
cheap for one shard, proportional to the number of shards where all are returned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Protocol

from config.feed import Feed
from config.rollout import Rollout
from config.rollout_step import Ack
from controlplane.machine import Happened, HomeWish
from controlplane.node.directory import MapRow
from controlplane.node.drains import Drain
from controlplane.node.fenced_writes import FencedWrite
from controlplane.node.load_reports import Gathered
from controlplane.node.resting import CopiesOf
from controlplane.node_plan import Limits, Place
from controlplane.requests import (
    ForceRecover,
    GroupChange,
    Outcome,
    Refused,
    Request,
    StoresForced,
    StoresWanted,
)
from controlplane.views import FleetView, ReplicaView, ReshardingView, ShardView
from shards.heat import Heat
from shards.load import ShardLoad
from shards.routing import SlotRange


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """Who answers: the node, its place and address, this run of it; and the lineage of its fleet:
    positions of another one mean nothing here (shards/position)."""

    node: str
    region: str
    url: str
    process: str
    lineage: int = 0


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of being ready to serve; `why` says what is missing, or what was found."""

    name: str
    ok: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class RegionDocument:
    """A region as its document and the topology have it."""

    region: str
    location: str
    latitude: float
    longitude: float
    zones: tuple[str, ...]
    rtt_ms: dict[str, float]
    egress_usd_per_gb: dict[str, float]


@dataclass(frozen=True, slots=True)
class Subscription:
    """Whom to call when something changed. Both return at once and never raise."""

    on_table: Callable[[Set[str]], None]  # shards whose rows of the table may have changed
    on_happened: Callable[[Happened], None]  # one life-cycle event


class Service(Protocol):
    """One node, as its HTTP edge sees it."""

    @property
    def identity(self) -> NodeIdentity: ...

    @property
    def limits(self) -> Limits: ...

    @property
    def map_version(self) -> int: ...

    @property
    def leadership_revision(self) -> int: ...

    async def submit(self, request: Request) -> Outcome:
        """Put a request to this node and wait for its one answer; time limits are the node's.

        Cancelling it leaves nothing behind but the work itself, which may still be done.
        """
        ...

    def change_stores(self, order: GroupChange, *, begin: bool) -> StoresWanted | Refused:
        """Have the stores or the lease of a group changed in which this node stands; at once.

        Without `begin` nothing is done. How far a change is, `fleet` shows.
        """
        ...

    def force_recover(self, order: ForceRecover, *, begin: bool) -> StoresForced | Refused:
        """Make a group that is lost go on with what is left of it; answered at once.

        Without `begin` nothing is done, and what would be lost is told.
        """
        ...

    def load_of(self, shard: str) -> ShardLoad:
        """Where to count what a client of this node asks of a shard."""
        ...

    def gathered(self) -> Gathered | None:
        """What the nodes of the fleet reported to this one, live; None unless it leads them."""
        ...

    def heat_of(self, shard: str) -> Heat | None:
        """How hot a shard is, as its present leader told this node lately; None if it has not."""
        ...

    def unsteady_canaries(self) -> Mapping[str, str]:
        """Nodes that handed their canaries back, and why, told to this one since the last call."""
        ...

    def home_wishes(self) -> tuple[HomeWish, ...]:
        """Shards that their leaders would hand home, asked of this node since the last call."""
        ...

    def judge_home(self, wishes: Sequence[HomeWish], admitted: Sequence[HomeWish]) -> None:
        """Answer them; those that are not admitted are asked for again."""
        ...

    def fenced_writes(self) -> tuple[FencedWrite, ...]:
        """Writes that this process led and could not confirm, the oldest first."""
        ...

    def told(self, sender: str, message: dict[str, Any]) -> None:
        """Take a message of another node. It may be lost, late, or nonsense."""
        ...

    def report(self, event: Happened) -> None:
        """Tell everybody who listens of something that was decided here."""
        ...

    def subscribe(self, subscription: Subscription) -> Callable[[], None]:
        """Call back on every change until the returned function is called."""
        ...

    def fleet(self) -> FleetView: ...

    def slot_ranges(self) -> Iterable[SlotRange]:
        """The shard map alone: it says nothing of leaders, and costs little."""
        ...

    def shard_names(self) -> Iterable[str]:
        """Every shard there is a view of, in no order."""
        ...

    def shard_groups(self) -> Iterable[tuple[str, str]]:
        """Every shard of the map with its group, in no order; costs little."""
        ...

    def shard_views(self) -> tuple[ShardView, ...]: ...

    def shard_view(self, shard: str) -> ShardView | None: ...

    def map_row(self, shard: str) -> MapRow | None:
        """The row of the shard map, as this region's copy of the system shard has it."""
        ...

    def shard_now(self, request: Request) -> str:
        """The shard that has a request's key by the map here; without a key the one it names."""
        ...

    def ancestors(self, shard: str) -> tuple[str, ...]:
        """Shards that this one continues, the nearest first."""
        ...

    def reshardings(self) -> tuple[ReshardingView, ...]:
        """Every resharding that is remembered, by number."""
        ...

    def led_by(self, nodes: Set[str]) -> Set[str]:
        """Shards that any of these nodes leads, as far as is known here; costs little."""
        ...

    def rollouts(self) -> tuple[tuple[Rollout, int], ...]:
        """Every rollout that is remembered, with the version of its record, by number."""
        ...

    def acks(self, document: str, rollout: int) -> Mapping[str, Ack]:
        """By node, what it said to this one, as the global leader, that it runs in a rollout."""
        ...

    def drains(self) -> tuple[tuple[Drain, int], ...]:
        """Every drain with its version, as this region's copy of the system shard has it."""
        ...

    def copies(self) -> Mapping[str, CopiesOf]:
        """By shard, what is said of its copies that may rest; those of all others follow."""
        ...

    def replicas(self, shard: str) -> tuple[ReplicaView, ...]: ...

    def regions(self) -> tuple[RegionDocument, ...]: ...

    def places(self) -> Mapping[str, Place]:
        """Where this node knows stores to be, also those that belong to no group."""
        ...

    def documents(self) -> Feed:
        """The documents in force here, as this region's copy of the system shard has them."""
        ...

    def readiness(self) -> tuple[Check, ...]:
        """What must hold before clients are sent here; ready when every check is ok."""
        ...

    def metrics(self, *, exemplars: bool = False) -> bytes:
        """The metrics of this process as Prometheus has them; with exemplars, as OpenMetrics."""
        ...
