"""The life of a fleet on one machine: start it in order, keep it running, stop it in order.

Stores come first, are initialised on the very first start and never again, then nodes, then one
waits until every shard has a leader as every node sees it. Whatever dies in between is started
again. Stopping goes the other way: nodes hand over and end, then the proxy, then the stores.
Everything the supervisor knows it reports as a `FleetState`, after every change.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from controlplane.backup.saving import Progress as Restoring
from controlplane.child_process import NOWHERE_ELSE, Surroundings
from controlplane.embedded import StoreNews, StoreProcess, keep_running
from controlplane.errors import FleetFailed, first_cause
from controlplane.fleet.directory import FleetDirectory, FleetOptions
from controlplane.fleet.first_start import initialise, initialise_from
from controlplane.fleet.layout import DRAIN_MS_MAX, write_settings
from controlplane.fleet.node_process import NodeProcess
from controlplane.fleet.readiness import FleetSight, look
from controlplane.fleet.state import (
    FleetState,
    GroupRecord,
    NodeRecord,
    Phase,
    Progress,
    StoreRecord,
)
from controlplane.process_identity import identity_of
from controlplane.proxy import LatencyProxy
from controlplane.proxy_links import Link, links_of
from controlplane.store_config import StoreSpec, fair_memory_mib
from regions.topology import Topology

READY_MS_MAX = 120_000
READY_MS_MAX_PER_SHARD = 30
"""How long a fleet may take until every shard has a leader: in any case, and for each shard."""
LOOK_EVERY_S = 0.2
LOOK_AGAIN_S_MAX = 3.0
LOOK_PAUSES = 5
"""Between two looks, so many times as long as a look takes is waited."""
_NODE_GRACE_MS = DRAIN_MS_MAX + 5_000


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """What to start, and how."""

    directory: FleetDirectory
    topology: Topology
    options: FleetOptions
    store_binary: Path
    latency: float = 0.0
    """1 is the real world, 0 none of it."""
    ephemeral: bool = False
    links: tuple[Link, ...] = ()
    """Ways through the proxy, in place of those that the latency asks for."""
    within: Mapping[str, Surroundings] = field(default_factory=dict)
    """In what stores and nodes run, by id, where that is anything but this machine as it is."""
    backup: Path | None = None
    """What the stores are filled with on the first start; None: they begin empty."""

    @property
    def ready_ms_max(self) -> int:
        """How long it may take until every shard has a leader."""
        return READY_MS_MAX + READY_MS_MAX_PER_SHARD * self.options.shards


class Supervisor:
    """Runs one fleet, once."""

    def __init__(self, plan: FleetPlan, report: Callable[[FleetState], None]) -> None:
        self._plan = plan
        self._report = report
        memory_mib = fair_memory_mib(len(plan.topology.stores))
        self._stores = [
            StoreProcess(
                StoreSpec(
                    site.id,
                    plan.directory.store_path(site.id),
                    site.port,
                    plan.store_binary,
                    memory_mib,
                    site.host,
                    plan.within.get(site.id, NOWHERE_ELSE),
                )
            )
            for site in plan.topology.stores
        ]
        self._nodes = [
            NodeProcess(
                site, plan.directory.settings_path(site.id), plan.within.get(site.id, NOWHERE_ELSE)
            )
            for site in plan.topology.nodes
        ]
        self.proxy: LatencyProxy | None = None
        self._sight = FleetSight()
        topology = plan.topology
        self._state = FleetState(
            dir=str(plan.directory.path),
            supervisor=identity_of(os.getpid()),
            progress=Progress(
                stores=len(topology.stores),
                nodes=len(topology.nodes),
                shards=plan.options.shards + 1,  # and the system shard
            ),
            groups=tuple(GroupRecord(g.name, g.stores, g.ttl_ms) for g in topology.groups),
            ephemeral=plan.ephemeral,
            latency=plan.latency,
        )

    @property
    def processes(self) -> dict[str, StoreProcess | NodeProcess]:
        """Every process that is kept running, by the id of its site; nodes first."""
        nodes = {node.site.id: node for node in self._nodes}
        return {**nodes, **{store.spec.id: store for store in self._stores}}

    async def run(self, stop: asyncio.Event) -> None:
        """Bring the fleet up and keep it so until `stop` is set; then take it down.

        Raises what kept it from coming up, with nothing left running.
        """
        try:
            async with asyncio.TaskGroup() as ways:
                try:
                    await self._live_until(stop, ways)
                except BaseException as error:
                    cause = first_cause(error)
                    await self._fall(Phase.FAILED, str(cause) or type(cause).__name__)
                    raise
                await self._fall(Phase.STOPPED, "")
        except BaseExceptionGroup as group:
            raise first_cause(group) from None

    def hurry(self) -> None:
        """Somebody is impatient: nodes that still hand over are killed."""
        for node in self._nodes:
            node.signal(signal.SIGKILL)

    async def _live_until(self, stop: asyncio.Event, ways: asyncio.TaskGroup) -> None:
        """Start everything, then keep it running until `stop` is set."""
        async with asyncio.TaskGroup() as tasks:
            living = tasks.create_task(self._live(ways))
            await stop.wait()
            living.cancel()

    async def _live(self, ways: asyncio.TaskGroup) -> None:
        async with asyncio.TaskGroup() as keepers:
            await self._rise(keepers, ways)

    async def _rise(self, keepers: asyncio.TaskGroup, ways: asyncio.TaskGroup) -> None:
        await self._start_stores()
        for store in self._stores:
            keepers.create_task(keep_running(store, self._store_news))
        if not self._plan.directory.is_bootstrapped:
            self._note(phase=Phase.BOOTSTRAPPING)
            await self._initialise()
            self._plan.directory.bootstrapped_path.touch()
            self._note(first_start=True)
        self._note(phase=Phase.STARTING_NODES)
        ports = await self._start_proxy(ways)
        self._state = replace(self._state, proxy_ports=ports)
        write_settings(self._plan.directory, self._plan.topology, self._plan.options, ports)
        for node in self._nodes:
            await node.start()
        try:
            async with asyncio.timeout(self._plan.ready_ms_max / 1_000):
                await self._until_led()
        except TimeoutError as error:
            why = self._sight.waiting_for or "no reason known"
            message = f"not every shard has a leader after {self._plan.ready_ms_max} ms: {why}"
            raise FleetFailed(message) from error
        for node in self._nodes:
            keepers.create_task(node.keep_running(self._node_news))
        self._note(phase=Phase.READY, detail="")

    async def _initialise(self) -> None:
        if self._plan.backup is None:
            await initialise(self._plan.topology, self._plan.options.nonce)
            return
        tell = partial(_tell_restored, self._note)
        await initialise_from(self._plan.backup, self._plan.topology, tell)

    async def _start_stores(self) -> None:
        self._note(phase=Phase.STARTING_STORES)
        async with asyncio.TaskGroup() as starting:
            for store in self._stores:
                starting.create_task(self._start_store(store))

    async def _start_store(self, store: StoreProcess) -> None:
        await store.start()
        self._note()

    async def _start_proxy(self, ways: asyncio.TaskGroup) -> dict[str, int]:
        links = list(self._plan.links)
        if self._plan.latency and not links:
            links = links_of(self._plan.topology, self._plan.latency)
        if not links:
            return {}
        self.proxy = LatencyProxy(links, ways)
        return await self.proxy.start()

    async def _until_led(self) -> None:
        """Wait until every node sees a leader for every shard. Raises FleetFailed if one dies."""
        loop = asyncio.get_running_loop()
        while True:
            for node in self._nodes:
                if not node.running:
                    hint = "the end of its log is below"
                    message = f"node {node.site.id} ended with status {node.exit_status}"
                    raise FleetFailed(f"{message}, {hint}\n{_indented(node.log_tail())}", hint="")
            urls = [node.site.url for node in self._nodes]
            since_s = loop.time()
            self._sight = await look(urls, at_least=self._plan.options.shards)
            looked_s = loop.time() - since_s
            phase = Phase.ELECTING if self._sight.nodes_up else Phase.STARTING_NODES
            self._note(phase=phase, detail=self._sight.waiting_for)
            if self._sight.complete:
                return
            # A look at many shards is work for nodes that have better things to do just now.
            await asyncio.sleep(min(max(LOOK_EVERY_S, LOOK_PAUSES * looked_s), LOOK_AGAIN_S_MAX))

    async def _fall(self, last: Phase, detail: str) -> None:
        """Stop everything that runs, in order. May be called twice."""
        self._note(phase=Phase.STOPPING, detail=detail)
        async with asyncio.TaskGroup() as stopping:
            for node in self._nodes:
                stopping.create_task(node.stop(_NODE_GRACE_MS))
        if self.proxy is not None:
            await self.proxy.stop()
        async with asyncio.TaskGroup() as stopping:
            for store in self._stores:
                stopping.create_task(store.stop())
        self._sight = FleetSight()
        self._note(phase=last, detail=detail)

    def _store_news(self, news: StoreNews) -> None:
        self._note(detail=f"store {news.store_id} {news.fate.value}: {news.detail}")

    def _node_news(self, node: str, what: str) -> None:
        self._note(detail=f"node {node} {what}")

    def _note(
        self,
        phase: Phase | None = None,
        detail: str | None = None,
        first_start: bool | None = None,
    ) -> None:
        """Bring the state up to date, and tell whoever wants to know if it changed."""
        old, topology, sight = self._state.progress, self._plan.topology, self._sight
        progress = replace(
            old,
            phase=old.phase if phase is None else phase,
            detail=old.detail if detail is None else detail,
            first_start=old.first_start if first_start is None else first_start,
            stores_up=sum(store.running for store in self._stores),
            nodes_up=sight.nodes_up,
            shards_led=sight.shards_led,
            shards=max(sight.shards, old.shards),
        )
        stores = tuple(
            StoreRecord(
                s.id, s.region, s.zone, s.host, s.port, process.pid, str(process.spec.directory)
            )
            for s, process in zip(topology.stores, self._stores, strict=True)
        )
        nodes = tuple(
            NodeRecord(node.site.id, node.site.region, node.site.url, node.pid)
            for node in self._nodes
        )
        state = replace(self._state, progress=progress, stores=stores, nodes=nodes)
        if state != self._state or phase is not None:
            self._state = state
            self._report(state)


def _tell_restored(note: Callable[..., None], progress: Restoring) -> None:
    note(detail=f"{progress.shards} of {progress.of} shards restored")


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
