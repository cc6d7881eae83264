"""One node as a process: from its settings to a clean end.

    is the port free?  ->  ask the stores which fleet they are  ->  make the node  ->  lanes, HTTP
    SIGTERM, SIGINT  ->  hand over everything led  ->  stop serving  ->  exit 0

Everything that runs belongs to one task group. If any part of it breaks, above all the driver with
an invariant, everything ends and the process says why: it is better gone than limping, since other
nodes take over from one that is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import random
import secrets
import signal
import socket
import time
from collections.abc import Awaitable
from functools import partial

from controlplane.api.application import create_app
from controlplane.api.server import ApiServer
from controlplane.api.settings import ApiSettings
from controlplane.errors import AddressRefused, PortInUse
from controlplane.http_client import HttpClient
from controlplane.machine import Happened, Headroom
from controlplane.node import Node
from controlplane.node_plan import NodePlan
from controlplane.planning.mover import Mover
from controlplane.planning.planner import Planner
from controlplane.rollouts.asking import OutsideAsker
from controlplane.rollouts.gates import GateKeeper
from controlplane.rollouts.leading import RolloutLeader
from controlplane.runtime.clock import boottime_ms
from controlplane.runtime.driver import Driver
from controlplane.runtime.membership import learn_fleet
from controlplane.runtime.peers import Peers
from controlplane.runtime.planning import make_plan
from controlplane.runtime.service import NodeService, Subscribers
from controlplane.runtime.wiring import Wiring
from controlplane.settings import NodeSettings
from controlplane.store_lanes import lane_maker
from controlplane.telemetry.lifecycle_log import LOGGER, LifecycleLog, log_line
from controlplane.telemetry.loop_lag import watch_loop_lag
from controlplane.telemetry.metrics import NodeMetrics
from controlplane.telemetry.otlp import metrics_push
from controlplane.telemetry.spans import EventTracer, event_tracer, trace_id_of
from controlplane.telemetry.traffic import MESSAGES
from regions.errors import StoreUnsuitable
from regions.store import ByteCount
from regions.store_errors import OtherIncarnation, StoreForgot

CLOSING_MS_MAX = 2_000
"""How long requests under way may still take when a node stops."""


async def run_node(settings: NodeSettings, *, any_address: bool = False) -> None:
    """Run one node until SIGTERM or SIGINT, then hand over and return.

    Raises AddressRefused, PortInUse, StoresNotReady before it serves; anything later is a defect.
    """
    host, port = settings.address
    require_loopback(host, any_address=any_address)
    require_free(host, port)
    log_line("starting", url=settings.site.url, region=settings.site.region)
    fleet = await learn_fleet(
        settings.topology, lambda at: lane_maker(at, settings.dial), settings.stores_wait_ms_max
    )
    plan = make_plan(settings, f"{settings.node}.{secrets.token_hex(4)}", fleet)
    share = settings.trace_requests_percent / 100
    tracer = event_tracer(settings.trace_exporter, settings.node, settings.site.region, share)
    try:
        await _NodeProcess(settings, plan, tracer).run(_stop_signal())
    finally:
        if tracer is not None:
            tracer.close()
    log_line("stopped")


class _NodeProcess:
    """The parts of a running node, wired together."""

    def __init__(self, settings: NodeSettings, plan: NodePlan, tracer: EventTracer | None) -> None:
        self._settings = settings
        self._plan = plan
        self._tracer = tracer
        self._metrics = NodeMetrics()
        self._log = LifecycleLog() if tracer is None else LifecycleLog(trace_of=trace_id_of)
        spans = None if tracer is None else tracer.shards
        self._push = metrics_push(
            settings.metrics_exporter, self._metrics.registry, plan.node, plan.region
        )
        self._subscribers = Subscribers()
        node = Node(plan, random.random, boottime_ms())
        node.wall_offset_ms = time.time_ns() // 1_000_000 - boottime_ms()
        self._node = node
        self._wiring = Wiring(
            settings.dial, self._metrics, self._refused, self._looked, spans, self._bytes_of
        )
        self._driver = Driver(
            node,
            self._wiring,
            on_happened=self._happened,
            on_table=self._subscribers.table_changed,
        )
        self._service = NodeService(
            self._driver, plan, settings.topology, self._subscribers, self._metrics, self._happened,
            spans,
        )  # fmt: skip
        self._planner = Planner(self._service)
        self._metrics.watch(self._service, self._planner)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then drain. Raises what broke, if something breaks."""
        async with HttpClient(dial=self._settings.dial) as client, asyncio.TaskGroup() as tasks:
            self._wiring.peers = Peers(
                client,
                tasks,
                node=self._plan.node,
                peers=self._plan.peers,
                post=self._driver.post,
                fleet=self._service.fleet,
                shard_view=self._service.shard_view,
                bytes_of=partial(self._metrics.traffic.between, self._plan.region, MESSAGES),
            )
            incarnations = {lane.store: lane.incarnation for lane in self._node.lanes.values()}
            self._wiring.open(self._plan.places, incarnations, self._driver.post, tasks)
            gates = GateKeeper(self._service, OutsideAsker(client))
            running = [
                tasks.create_task(self._driver.run()),
                tasks.create_task(Mover(self._service, self._planner).run()),
                tasks.create_task(RolloutLeader(self._service, gates).run()),
                tasks.create_task(self._planner.forecaster.run()),
                tasks.create_task(watch_loop_lag(self._metrics.loop_was_late)),
            ]
            if self._push is not None:
                every_s = self._settings.metrics_every_ms / 1_000
                running.append(tasks.create_task(self._push.run(every_s)))
            server = await self._serve()
            try:
                await stop.wait()
                await self._drain()
            finally:
                await _within(CLOSING_MS_MAX, server.stop())
            self._wiring.close()
            self._log.tell_left_out()
            if self._push is not None:
                self._push.close()
            for task in running:
                task.cancel()

    async def _serve(self) -> ApiServer:
        host, port = self._settings.address
        limits = ApiSettings(dial=self._settings.dial)
        try:
            traces = None if self._tracer is None else self._tracer.requests
            app = create_app(self._service, limits, self._planner, self._metrics, traces)
            server = await ApiServer(app, limits).start(host, port)
        except OSError as error:
            raise _port_in_use(host, port, error) from error
        log_line("serving", url=self._plan.url, process=self._plan.process)
        return server

    async def _drain(self) -> None:
        log_line("draining", ms_max=self._settings.drain_ms_max)
        self._service.condition.draining = True
        self._driver.drain()
        try:
            async with asyncio.timeout(self._settings.drain_ms_max / 1_000):
                await self._driver.drained.wait()
        except TimeoutError:
            LOGGER.warning("draining took too long: what is still led here ends with its lease")

    def _bytes_of(self, store: str, kind: str) -> ByteCount | None:
        place = self._node.places.get(store)
        there = "" if place is None else place.region
        return self._metrics.traffic.between(self._plan.region, kind, there)

    def _looked(self, seen: Headroom) -> None:
        self._metrics.stores.looked(seen)
        self._driver.post(seen)

    def _refused(self, store: str, error: StoreUnsuitable) -> None:
        forgot = isinstance(error, StoreForgot | OtherIncarnation)
        self._node.store_refused(store, str(error), forgot=forgot)
        self._happened(Happened("store-refused", "", 0, {"store": store, "why": str(error)}))

    def _happened(self, event: Happened) -> None:
        self._metrics.happened(event)
        self._log.happened(event)
        if self._tracer is not None:
            self._tracer.happened(event)
        self._subscribers.happened(event)


async def _within(ms_max: int, closing: Awaitable[None]) -> None:
    """Close something properly, or after a while anyhow."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ms_max / 1_000):
            await closing


def require_loopback(host: str, *, any_address: bool) -> None:
    """Raise AddressRefused for an address that others can reach, unless that is accepted."""
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if is_loopback:
        return
    message = f"{host} can be reached from other machines, and nobody is asked who they are"
    if not any_address:
        raise AddressRefused(message)
    LOGGER.warning("INSECURE: %s; you asked for it", message)


def require_free(host: str, port: int) -> None:
    """Raise PortInUse now, before anything else is started, if the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise _port_in_use(host, port, error) from error


def _port_in_use(host: str, port: int, error: OSError) -> PortInUse:
    return PortInUse(f"cannot listen on {host}:{port}: {error.strerror or error}")


def _stop_signal() -> asyncio.Event:
    """Set on the first SIGTERM or SIGINT; the second one ends the process as it is."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop_once(number: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_once, number)
    return stop
