"""Which benchmarks there are, what each needs, and how they are run together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property

from controlplane.bench.backup import Saving, measure_backup
from controlplane.bench.bench_fleet import (
    START_S_MAX,
    BenchFleet,
    bench_fleet,
    one_region_topology,
)
from controlplane.bench.comparison import Tell
from controlplane.bench.drain import measure_drain
from controlplane.bench.etcd_cluster import EtcdCluster, etcd_cluster
from controlplane.bench.http_edge import measure_http_edge
from controlplane.bench.idle import measure_idle
from controlplane.bench.leadership import (
    measure_evictions,
    measure_failovers,
    measure_transfers,
)
from controlplane.bench.lookups import measure_lookups
from controlplane.bench.mass_failover import measure_mass_failover
from controlplane.bench.move import Moving, measure_move
from controlplane.bench.node_memory import measure_memory
from controlplane.bench.node_probe import NodeProbe, node_under_load
from controlplane.bench.overhead import Watching, measure_overhead
from controlplane.bench.overwrites import Overwriting, measure_overwrites
from controlplane.bench.placement import Placing, measure_placement
from controlplane.bench.region_loss import measure_region_loss
from controlplane.bench.report import Findings, NotMeasured
from controlplane.bench.resharding import Splitting, measure_splits
from controlplane.bench.resolve import measure_resolve
from controlplane.bench.rollouts import Rolling, measure_rollouts
from controlplane.bench.scale import measure_scale
from controlplane.bench.scrape import measure_scrape
from controlplane.bench.simulator import measure_simulator
from controlplane.bench.store_catch_up import CatchingUp, measure_catch_up
from controlplane.bench.writes import CLIENTS, measure_http_writes, measure_node_writes
from controlplane.ephemeral import ephemeral_directory
from controlplane.survival import Survival

ONE_SHARD = 1
START_S_MAX_PER_SHARD = 0.03
REGIONS = 3
LOST_SHARDS = 1_000
MASS_SHARDS = 1_800
"""Three hundred for each of the six nodes."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How long and how often to measure."""

    rounds: int = 3
    seconds: float = 5.0
    runs: int = 100
    mass_runs: int = 5
    shards: int = 12
    many_shards: int = 100_000
    leaders: int = 10_000
    group: str = "region/eu-central-1"
    etcd: str = "etcd"
    overwriting: Overwriting = field(default_factory=Overwriting)
    catching_up: CatchingUp = field(default_factory=CatchingUp)
    moving: Moving = field(default_factory=Moving)
    placing: Placing = field(default_factory=Placing)
    splitting: Splitting = field(default_factory=Splitting)
    rolling: Rolling = field(default_factory=Rolling)
    saving: Saving = field(default_factory=Saving)
    watching: Watching = field(default_factory=Watching)


@dataclass
class Bench:
    """Starts what the benchmarks need, once and only when one needs it; ends it all on exit."""

    extent: Extent
    tell: Tell
    stack: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def etcd(self) -> EtcdCluster:
        """Three members of etcd."""
        return self.stack.enter_context(etcd_cluster(self.extent.etcd))

    @cached_property
    def small_fleet(self) -> BenchFleet:
        """One region, three stores, one node: what stands beside etcd."""
        return self.stack.enter_context(bench_fleet(ONE_SHARD, one_region_topology()))

    @cached_property
    def default_fleet(self) -> BenchFleet:
        """The three regions of `leadplane up`."""
        return self.stack.enter_context(bench_fleet(self.extent.shards))

    @cached_property
    def node(self) -> NodeProbe:
        """One node with three stores, without HTTP."""
        folder = self.stack.enter_context(ephemeral_directory())
        return self.stack.enter_context(node_under_load(folder))

    def writes(self) -> Sequence[Findings]:
        """Durable writes at the node."""
        rounds, seconds = self.extent.rounds, self.extent.seconds
        at_node = {clients: self.node.of(clients, seconds) for clients in CLIENTS}
        return (measure_node_writes(at_node, self.etcd, rounds, seconds, self.tell),)

    def http_writes(self) -> Sequence[Findings]:
        """Durable writes over HTTP."""
        rounds, seconds = self.extent.rounds, self.extent.seconds
        fleet, etcd = self.small_fleet, self.etcd
        return (measure_http_writes(fleet, etcd, rounds, seconds, self.tell),)

    def resolve(self) -> Sequence[Findings]:
        """Routing over HTTP."""
        rounds, seconds = self.extent.rounds, self.extent.seconds
        return (measure_resolve(self.small_fleet, rounds, seconds, self.tell),)

    def http_edge(self) -> Sequence[Findings]:
        """What a request costs the node, beside a handler that does nothing."""
        rounds, seconds = self.extent.rounds, self.extent.seconds
        return (measure_http_edge(self.small_fleet, rounds, seconds, self.tell),)

    def lookups(self) -> Sequence[Findings]:
        """Routing in the table."""
        return (measure_lookups(self.extent.rounds),)

    def flags(self) -> Sequence[Findings]:
        """Feature flags in an application."""
        try:
            from controlplane.bench.flags import measure_flags
        except ImportError as failure:
            raise NotMeasured(f"install the extra `flags`: {failure}") from failure
        return (measure_flags(self.extent.rounds, self.tell),)

    def simulator(self) -> Sequence[Findings]:
        """Fleets in virtual time."""
        return (measure_simulator(self.extent.rounds, self.tell),)

    def transfer(self) -> Sequence[Findings]:
        """Planned changes of leader."""
        group, runs = self.extent.group, self.extent.runs
        return (measure_transfers(self.default_fleet, group, runs, self.tell),)

    def evict(self) -> Sequence[Findings]:
        """Ordered changes of leader."""
        group, runs = self.extent.group, self.extent.runs
        return (measure_evictions(self.default_fleet, group, runs, self.tell),)

    def failover(self) -> Sequence[Findings]:
        """Changes of leader by kill -9."""
        group, runs = self.extent.group, self.extent.runs
        return (measure_failovers(self.default_fleet, group, runs, self.tell),)

    def mass_failover(self) -> Sequence[Findings]:
        """A node dies that led hundreds of shards."""
        fleet = self.stack.enter_context(bench_fleet(MASS_SHARDS))
        return (measure_mass_failover(fleet, self.extent.mass_runs, self.tell),)

    def region_loss(self) -> Sequence[Findings]:
        """A region is cut off that led hundreds of shards, all of which survive it."""
        fleet = self.stack.enter_context(bench_fleet(LOST_SHARDS, survival=Survival.REGION))
        return (measure_region_loss(fleet, self.extent.mass_runs, self.tell),)

    def drain(self) -> Sequence[Findings]:
        """A region hands over all it leads, to three deadlines."""
        shards = REGIONS * self.extent.leaders
        start_s_max = START_S_MAX + shards * START_S_MAX_PER_SHARD
        survival = Survival.REGION
        fleet = self.stack.enter_context(bench_fleet(shards, None, start_s_max, survival))
        return (measure_drain(fleet, self.tell),)

    def idle(self) -> Sequence[Findings]:
        """A fleet without clients."""
        return (measure_idle(self.extent.seconds, self.tell),)

    def memory(self) -> Sequence[Findings]:
        """A node that leads many shards which nobody uses."""
        return (measure_memory(self.tell),)

    def scrape(self) -> Sequence[Findings]:
        """The metrics of a node that leads many shards."""
        return (measure_scrape(self.tell),)

    def overhead(self) -> Sequence[Findings]:
        """What metrics and traces cost writes and routing."""
        return (measure_overhead(self.extent.watching, self.tell),)

    def scale(self) -> Sequence[Findings]:
        """As many shards as one machine bears."""
        return (measure_scale(self.tell, self.extent.many_shards),)

    def overwrites(self) -> Sequence[Findings]:
        """Few keys, written over and over."""
        return (measure_overwrites(self.extent.overwriting, self.tell),)

    def catch_up(self) -> Sequence[Findings]:
        """A store that lacks a large shard."""
        return (measure_catch_up(self.extent.catching_up, self.tell),)

    def move(self) -> Sequence[Findings]:
        """A large shard gets other voters."""
        return (measure_move(self.extent.moving, self.tell),)

    def split(self) -> Sequence[Findings]:
        """A large shard is split and merged again."""
        return (measure_splits(self.extent.splitting, self.tell),)

    def backup(self) -> Sequence[Findings]:
        """All that stores hold, into a file, under load."""
        return (measure_backup(self.extent.saving, self.tell),)

    def rollouts(self) -> Sequence[Findings]:
        """Documents on their way to every node, and many of them."""
        fleet = self.stack.enter_context(bench_fleet(self.extent.shards))
        return (measure_rollouts(fleet, self.extent.rolling, self.tell),)

    def placement(self) -> Sequence[Findings]:
        """Where shards should be, for up to a million of them."""
        return (measure_placement(self.extent.placing, self.tell),)


BENCHMARKS: Mapping[str, Callable[[Bench], Sequence[Findings]]] = {
    "writes": Bench.writes,
    "http-writes": Bench.http_writes,
    "resolve": Bench.resolve,
    "http-edge": Bench.http_edge,
    "lookups": Bench.lookups,
    "flags": Bench.flags,
    "simulator": Bench.simulator,
    "transfer": Bench.transfer,
    "evict": Bench.evict,
    "failover": Bench.failover,
    "mass-failover": Bench.mass_failover,
    "region-loss": Bench.region_loss,
    "drain": Bench.drain,
    "idle": Bench.idle,
    "memory": Bench.memory,
    "scrape": Bench.scrape,
    "overhead": Bench.overhead,
    "overwrites": Bench.overwrites,
    "catch-up": Bench.catch_up,
    "move": Bench.move,
    "scale": Bench.scale,
    "split": Bench.split,
    "backup": Bench.backup,
    "rollouts": Bench.rollouts,
    "placement": Bench.placement,
}
"""By name, in the order in which `all` runs them: undisturbed ones first, killing ones last."""


def run_benchmarks(names: Sequence[str], extent: Extent, tell: Tell) -> tuple[Findings, ...]:
    """Run benchmarks by name, in the suite's own order; one that fails does not end the others."""
    found: list[Findings] = []
    with ExitStack() as stack:
        bench = Bench(extent, tell, stack)
        for name, measure in BENCHMARKS.items():
            if name in names:
                tell(f"-- {name}")
                try:
                    found += measure(bench)
                except NotMeasured as failure:
                    tell(f"{name} was not measured: {failure}")
                    found.append(Findings(name, "", "", (), unfinished=str(failure)))
    return tuple(found)
