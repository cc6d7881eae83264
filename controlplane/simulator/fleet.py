"""A whole simulated fleet: stores, network and processes, and what can befall them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from config.builtin import builtin_content
from config.document import Kind, canonical
from config.revision import Revision
from controlplane.machine import Happened, Headroom, Probe, Probed, Tell, Told
from controlplane.node_plan import (
    GroupPlan,
    Limits,
    NodePlan,
    PeerPlan,
    Place,
    ShardSeed,
    group_plan,
)
from controlplane.requests import Found, Outcome, Read, Request
from controlplane.simulator.bootstrap import known_description, make_group, new_twin
from controlplane.simulator.lanes import StoreLine
from controlplane.simulator.network import Network
from controlplane.simulator.process import NodeMaker, Process
from controlplane.simulator.scenario import GroupShape, Scenario, round_trips
from controlplane.simulator.store_sets import StoreSets
from controlplane.simulator.stores import FULL_PERCENT, SimulatedStore
from controlplane.simulator.world import SimulatedClock, World
from regions.scripts.model import StoreModel
from shards.keyspace import SLOTS as ALL_SLOTS

SLOTS = 16_384
"""Where keys say nothing of their shards: requests name them."""
NOTHING_SEEN: Mapping[str, int] = MappingProxyType({})
CLOCK_OFFSET_MS_MAX = 10_000_000
START_WITHIN_MS = 300
READMIT_AFTER_MS = 1_500
LOOK_MS = 400
"""So often nodes look at stores that were ever full."""


class Fleet:
    """Everything there is in one simulation. Names of nodes and stores are the places of faults."""

    def __init__(self, world: World, scenario: Scenario, make_node: NodeMaker) -> None:
        self.world = world
        self.scenario = scenario
        self.happenings: Counter[str] = Counter()
        self.processes: dict[str, Process] = {}
        self.deaf: set[str] = set()
        self.drift_ppm_max = scenario.drift_ppm_max
        self.wiped: Counter[str] = Counter()  # how often each store forgot everything
        self.on_ran: Callable[[Process], None] | None = None
        self.on_started: Callable[[Process], None] | None = None
        self.on_happened: Callable[[Process, Happened], None] | None = None
        self._make_node = make_node
        self._chance = world.chance("fleet")
        self._lives: Counter[str] = Counter()
        self._looked_at: set[str] = set()
        regions = scenario.region_of()
        self.round_trip_ms = round_trips(set(regions.values()))
        self.network = Network(world, regions, self.round_trip_ms, scenario.jitter, scenario.loss)
        for region in sorted(set(regions.values())):
            self.network.settle(f"clients/{region}", region)
        self.stores = {
            name: SimulatedStore(
                world,
                name,
                region,
                new_twin(name, world),
                world.chance(f"store/{name}"),
            )
            for name, region in scenario.stores
        }
        for shape in scenario.groups:
            make_group(shape, self._twins)
        self.sets = StoreSets(self.stores)
        self.seeds = _seeds(scenario)

    @property
    def _twins(self) -> dict[str, StoreModel]:
        return {name: store.twin for name, store in self.stores.items()}

    # -- nodes

    def start_all(self) -> None:
        """Start every node, a little apart."""
        for name, _ in self.scenario.nodes:
            self.world.after(self._chance.randrange(START_WITHIN_MS), self.start_node, name)

    def start_node(self, name: str) -> None:
        """A new life of a node, with a new process id and another clock; nothing if it lives."""
        if name in self.processes:
            return
        self._lives[name] += 1
        clock = SimulatedClock(
            self.world,
            self._chance.randrange(CLOCK_OFFSET_MS_MAX),
            self._chance.randint(-self.drift_ppm_max, self.drift_ppm_max),
        )
        process_id = f"{name}-{self._lives[name]}"
        chance = self.world.chance(f"process/{process_id}")
        process = Process(
            self.world, self._plan(name, process_id), self._make_node, clock, chance, self
        )
        self.processes[name] = process
        process.lines = {
            store: StoreLine(
                self.world, self.network, name, self.stores[store], chance, process.deliver
            )
            for store in self.stores
        }
        self.world.note("start", process_id)
        process.start()
        if self.on_started is not None:
            self.on_started(process)

    def crash_node(self, name: str) -> None:
        """End a node's life; nothing if it has none."""
        process = self.processes.pop(name, None)
        if process is not None:
            self.world.note("crash", name)
            process.crash()

    # -- stores

    def crash_store(self, name: str, flushed: int = 0) -> None:
        """Stop a store; its data stays, and the first `flushed` of its calls in hand are done."""
        self.stores[name].crash(flushed)
        for process in list(self.processes.values()):
            process.lines[name].snap("the store went down")

    def wipe_store(self, name: str) -> None:
        """A store goes down and comes back empty at once: it has forgotten everything."""
        self.world.note("wipe", name)
        self.crash_store(name)
        self.stores[name].forget()
        self.wiped[name] += 1
        self.restart_store(name)

    def can_spare(self, name: str) -> bool:
        """Whether every group can do without what a store remembers."""
        return all(self.sets.can_spare(name, group.name) for group in self.scenario.groups)

    def restart_store(self, name: str) -> None:
        """Bring a stopped store back."""
        if not self.stores[name].up:
            self.stores[name].restart()

    def fill_store(self, name: str, percent: int) -> None:
        """From now on so much of a store's memory is in use; nodes see it when they next look."""
        self.stores[name].memory_percent = percent
        if name not in self._looked_at:
            self._looked_at.add(name)
            self.world.after(self._chance.randrange(LOOK_MS), self._look, name)

    def _look(self, name: str) -> None:
        store = self.stores[name]
        seen = Headroom(name, store.memory_percent, FULL_PERCENT, None, None)
        for node, process in self.processes.items():
            if store.up:
                self.network.datagram(name, node, process.deliver, seen)
        self.world.after(LOOK_MS, self._look, name)

    # -- clients

    @property
    def node_names(self) -> list[str]:
        """Every node, whether it runs or not."""
        return [name for name, _ in self.scenario.nodes]

    def shard_names(self) -> list[str]:
        """The shards of the map as the node knows it that knows the latest."""
        nodes = [process.node for process in self.processes.values()]
        latest = max(nodes, key=lambda node: node.map_version, default=None)
        if latest is None or not latest.map_version:
            return []
        return [view.shard for view in latest.shard_views(0) if view.end_slot]

    def ask(
        self,
        region: str,
        node: str,
        request: Request,
        caller: Callable[[Outcome, int], None],
        nobody: Callable[[], None],
        position: Mapping[str, int] = NOTHING_SEEN,
    ) -> None:
        """A client's request to a node's front door; it may never be answered.

        A request without a shard goes to the one that has its key by the node's own map, for a
        client that has seen `position`. `nobody` is called instead when no process listens there.
        """
        front = f"clients/{region}"
        if node not in self.processes:
            self.network.datagram(front, front, nobody)
            return

        def decided(outcome: Outcome, decided_ms: int) -> None:
            if node not in self.deaf:
                self.network.datagram(node, front, caller, outcome, decided_ms)

        self.network.datagram(front, node, self._enter, node, request, decided, position)

    def _enter(
        self,
        node: str,
        request: Request,
        caller: Callable[[Outcome, int], None],
        position: Mapping[str, int] = NOTHING_SEEN,
    ) -> None:
        process = self.processes.get(node)
        if process is not None and node not in self.deaf:
            if not request.shard:
                request = process.node.reshardings.addressed(request, position)
            process.request(request, caller)

    # -- what processes ask of the world around them

    def tell(self, sender: str, effect: Tell) -> None:
        """Carry a message to whatever life the node has when it arrives."""
        if effect.node in self._lives:
            self.network.datagram(
                sender, effect.node, self._told, effect.node, Told(sender, effect.message)
            )

    def _told(self, node: str, event: Told) -> None:
        if node in self.processes:
            self.processes[node].deliver(event)

    def probe(self, asker: Process, effect: Probe) -> None:
        """A strong read of a shard through the other node's front door."""
        answered: list[bool] = []

        def report(served: bool) -> None:
            if not answered:
                answered.append(served)
                asker.deliver(Probed(effect.node, effect.shard, served))

        def decided(outcome: Outcome, _decided_ms: int) -> None:
            if effect.node not in self.deaf:
                self.network.datagram(effect.node, asker.name, report, isinstance(outcome, Found))

        self.world.after(effect.timeout_ms, report, False)
        if effect.node in self._lives:
            question = Read(effect.shard, ())
            self.network.datagram(
                asker.name, effect.node, self._enter, effect.node, question, decided
            )

    def happened(self, process: Process, effect: Happened) -> None:
        """Count a life-cycle event."""
        self.happenings[effect.kind] += 1
        self.world.note(process.name, effect.kind, effect.shard, effect.epoch)
        if self.on_happened is not None:
            self.on_happened(process, effect)

    def ran(self, process: Process) -> None:
        """A batch was handled."""
        if self.on_ran is not None:
            self.on_ran(process)

    def drained(self, process: Process) -> None:
        """The process has handed everything over and ends."""
        if self.processes.get(process.name) is process:
            self.crash_node(process.name)

    # -- plans

    def _plan(self, name: str, process_id: str) -> NodePlan:
        regions = self.scenario.region_of()
        peers = tuple(
            PeerPlan(node, region, f"sim://{node}")
            for node, region in self.scenario.nodes
            if node != name
        )
        return NodePlan(
            node=name,
            region=regions[name],
            url=f"sim://{name}",
            process=process_id,
            groups=tuple(self._group(shape, regions[name]) for shape in self.scenario.groups),
            peers=peers,
            seeds=self.seeds,
            places=self._places,
            region_rtt_ms=dict(self.round_trip_ms),
            limits=Limits(
                readmit_after_ms=READMIT_AFTER_MS, id_memory_ms=self.scenario.id_memory_ms
            ),
            documents=_documents(self.scenario),
        )

    @property
    def _places(self) -> dict[str, Place]:
        return {
            name: Place(store.region, f"{store.region}-{name}")
            for name, store in self.stores.items()
        }

    def _group(self, shape: GroupShape, region: str) -> GroupPlan:
        description = known_description(shape.name, self._twins)
        plan = group_plan(description, self._places, region)
        return replace(plan, stands=region in shape.stands_in)


def _documents(scenario: Scenario) -> tuple[Revision, ...]:
    """What is edited before the fleet begins."""
    if scenario.split_by_load is None:
        return ()
    content = builtin_content(Kind.PLACEMENT) | {"split_by_load": scenario.split_by_load}
    return (Revision(Kind.PLACEMENT.value, 0, canonical(content)),)


def _seeds(scenario: Scenario) -> tuple[ShardSeed, ...]:
    homes = [(shape, n) for shape in scenario.groups for n in range(shape.shards)]
    slots = ALL_SLOTS if scenario.partitions else SLOTS
    width = slots // len(homes)
    seeds = []
    for index, (shape, n) in enumerate(homes):
        regions = shape.stands_in[n % len(shape.stands_in) :] + shape.stands_in
        seeds.append(
            ShardSeed(
                shard=f"{shape.name.removeprefix('region/')}-{n}",
                group=shape.name,
                first_slot=index * width,
                end_slot=(index + 1) * width,
                regions=tuple(dict.fromkeys(regions)),
            )
        )
    return (*seeds[:-1], replace(seeds[-1], end_slot=slots))
