"""A fleet of this machine to be broken: `leadplane up`'s own supervisor, with hands on all it runs.

What dies is started again by the supervisor, as it always is; a process that is *held* stays down
until it is let go. The fleet lives in a folder of its own and is gone at the end, with every
process, name space and mount that was made for it.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from controlplane.chaos import aof, clocks, namespaces, small_disks
from controlplane.chaos.clocks import Clocks
from controlplane.chaos.namespaces import Namespaces
from controlplane.chaos.roles import Site, sites_of
from controlplane.chaos.scenario import Clock, Cut, Fill, FleetShape, Hamper, Scenario, Snap
from controlplane.chaos.small_disks import SmallDisks
from controlplane.chaos.store_words import ask_store
from controlplane.chaos.ways import PlainWays, ProxiedWays, Ways, links_between
from controlplane.child_process import Surroundings
from controlplane.embedded import StoreProcess, free_ports
from controlplane.errors import ChaosImpossible
from controlplane.fleet.directory import FleetDirectory, FleetOptions
from controlplane.fleet.node_process import NodeProcess
from controlplane.fleet.state import FleetState, Phase
from controlplane.fleet.supervisor import FleetPlan, Supervisor
from controlplane.store_config import find_store_binary
from controlplane.survival import Survival
from regions.reference import DEFAULT_REGIONS, default_topology
from regions.topology import Topology

GONE_S_MAX = 20.0
_MIB = 1 << 20


class LocalFleet:
    """What can be done to a running fleet, by the ids of its sites."""

    def __init__(
        self,
        supervisor: Supervisor,
        topology: Topology,
        ways: Ways,
        broken_clocks: Clocks | None,
        disks: SmallDisks,
    ) -> None:
        self.topology = topology
        self.sites: tuple[Site, ...] = sites_of(topology)
        self.ways = ways
        self.clocks = broken_clocks
        self._disks = disks
        self._processes: Mapping[str, StoreProcess | NodeProcess] = supervisor.processes

    @property
    def urls(self) -> dict[str, str]:
        """Where each node answers."""
        return {node.id: node.url for node in self.topology.nodes}

    def says_of_itself(self) -> str:
        """In a sentence, how this fleet runs and what stands between its processes."""
        between = {
            Namespaces: "a network namespace for each, cuts by nftables",
            ProxiedWays: "the built-in proxy on every way",
        }.get(type(self.ways), "nothing")
        return f"processes of this machine, between them {between}"

    async def stop(self, site: str) -> None:
        """Freeze a process."""
        self._processes[site].signal(signal.SIGSTOP)

    async def go_on(self, site: str) -> None:
        """Let a frozen one go on."""
        self._processes[site].signal(signal.SIGCONT)

    async def kill(self, site: str) -> None:
        """Crash it."""
        self._processes[site].signal(signal.SIGKILL)

    async def end(self, site: str) -> None:
        """Ask it to end well; it is started again."""
        self._processes[site].signal(signal.SIGTERM)

    async def hold(self, site: str) -> None:
        """Once down, let it stay down."""
        self._processes[site].may_rise.clear()

    async def let_go(self, site: str) -> None:
        """Let it be started again."""
        self._processes[site].may_rise.set()

    async def forget(self, store: str, how: str) -> str:
        """Crash a store, take away some or all of what it had, let it come back; say what was done.

        Raises TimeoutError if it does not die.
        """
        process = self._processes[store]
        assert isinstance(process, StoreProcess), store
        await self.hold(store)
        try:
            await self.kill(store)
            async with asyncio.timeout(GONE_S_MAX):
                await process.wait()
            damage = {"wiped": aof.wipe, "cut-short": aof.cut_short, "rolled-back": aof.roll_back}
            return damage[how](process.spec.directory)
        finally:
            await self.let_go(store)

    async def fill(self, store: str, what: str, leave_mib: int) -> str:
        """Leave a store little room, on its disk or in its memory; say what was done."""
        if what == "disk" and store in self._disks:
            await asyncio.to_thread(self._disks.fill, store, leave_mib)
            return f"its disk of {small_disks.DISK_MIB} MiB was filled"
        site = self.topology.store(store)
        info = await ask_store(site.host, site.port, "INFO", "memory")
        used = int(info.partition(b"used_memory:")[2].split(b"\r", 1)[0])
        limit = used + leave_mib * _MIB
        await ask_store(site.host, site.port, "CONFIG", "SET", "maxmemory", str(limit))
        why = f" ({small_disks.why_not()})" if what == "disk" else ""
        return f"its maxmemory was set to {limit:,} bytes{why}"

    async def empty(self, store: str, what: str) -> None:
        """Give the room back."""
        if what == "disk" and store in self._disks:
            await asyncio.to_thread(self._disks.empty, store)
            return
        site, process = self.topology.store(store), self._processes[store]
        assert isinstance(process, StoreProcess), store
        limit = process.spec.memory_mib_max * _MIB
        await ask_store(site.host, site.port, "CONFIG", "SET", "maxmemory", str(limit))


def topology_of(shape: FleetShape) -> Topology:
    """The topology of this shape, on free ports of loopback."""
    count = shape.regions * (shape.stores + shape.nodes)
    topology = default_topology(
        DEFAULT_REGIONS[: shape.regions],
        zones=shape.stores,
        nodes_per_region=shape.nodes,
        ports=free_ports(count),
    )
    groups = tuple(g.model_copy(update={"ttl_ms": shape.ttl_ms}) for g in topology.groups)
    return topology.model_copy(update={"groups": groups})


def why_not(scenario: Scenario) -> str:
    """Why this scenario cannot be run on this machine, "" where it can."""
    if any(isinstance(fault, Clock) for fault in scenario.faults):
        return clocks.why_not()
    if scenario.fleet.network == "namespaces":
        return namespaces.why_not()
    return ""


def network_for(scenario: Scenario) -> str | None:
    """What is to stand between the processes: `proxy`, `namespaces`, or nothing."""
    if scenario.fleet.network is not None:
        return scenario.fleet.network
    faults, shape = scenario.faults, scenario.fleet
    if any(isinstance(fault, Hamper | Snap) for fault in faults) or shape.latency:
        return "proxy"
    cuts = [fault for fault in faults if isinstance(fault, Cut)]
    if not cuts:
        return None
    loses = any(cut.ends == "lost" for cut in cuts)
    return "proxy" if loses or namespaces.why_not() else "namespaces"


@asynccontextmanager
async def local_fleet(scenario: Scenario) -> AsyncIterator[LocalFleet]:
    """Run a fleet of the scenario's shape for as long as the block lasts.

    Raises ChaosImpossible, or what kept the fleet from coming up.
    """
    if reason := why_not(scenario):
        raise ChaosImpossible(f"{scenario.name} cannot be run here: {reason}")
    with ExitStack() as undo:
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="leadplane-chaos-")))
        topology, shape = topology_of(scenario.fleet), scenario.fleet
        within: dict[str, Surroundings] = {}
        network, between = network_for(scenario), None
        if network == "namespaces":
            topology, between = undo.enter_context(namespaces.separated(topology))
            within |= between.within()
        broken_clocks = _clocks(scenario, topology, folder)
        if broken_clocks is not None:
            undo.callback(broken_clocks.close)
            for node, clocked in broken_clocks.within().items():
                command = within.get(node, clocked).command
                within[node] = Surroundings(command, clocked.environment)
        directory = FleetDirectory(folder / "fleet")
        options = FleetOptions(shape.shards, Survival(shape.survival), secrets.token_hex(16))
        directory.make(topology, options)
        disks = SmallDisks()
        undo.callback(disks.remove)
        _make_disks(scenario, topology, directory, disks)
        plan = FleetPlan(
            directory=directory,
            topology=topology,
            options=options,
            store_binary=find_store_binary(),
            ephemeral=True,
            links=links_between(topology, shape.latency) if network == "proxy" else (),
            within=within,
        )
        async with _supervised(plan) as supervisor:
            ways: Ways = between or PlainWays()
            if supervisor.proxy is not None:
                ways = ProxiedWays(supervisor.proxy, sites_of(topology))
            yield LocalFleet(supervisor, topology, ways, broken_clocks, disks)


def _clocks(scenario: Scenario, topology: Topology, folder: Path) -> Clocks | None:
    if not any(isinstance(fault, Clock) for fault in scenario.faults):
        return None
    return Clocks(tuple(node.id for node in topology.nodes), folder)


def _make_disks(
    scenario: Scenario, topology: Topology, directory: FleetDirectory, disks: SmallDisks
) -> None:
    """A small disk for every store, if one is to run full: which one is known only then."""
    wanted = any(isinstance(f, Fill) and f.what == "disk" for f in scenario.faults)
    if wanted and not small_disks.why_not():
        for store in topology.stores:
            disks.make(store.id, directory.store_path(store.id))


@asynccontextmanager
async def _supervised(plan: FleetPlan) -> AsyncIterator[Supervisor]:
    ready, stop = asyncio.Event(), asyncio.Event()

    def report(state: FleetState) -> None:
        if state.progress.phase is Phase.READY:
            ready.set()

    supervisor = Supervisor(plan, report)
    running = asyncio.create_task(supervisor.run(stop))
    waiting = asyncio.create_task(ready.wait())
    try:
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await running  # raises what kept it from coming up
        yield supervisor
    finally:
        waiting.cancel()
        stop.set()
        await asyncio.gather(running, return_exceptions=True)
