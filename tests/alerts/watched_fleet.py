"""A fleet that is watched as in production, and what a test may do to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final, TypeVar

from controlplane.chaos.local_fleet import LocalFleet, local_fleet
from controlplane.chaos.scenario_file import read_scenario
from controlplane.cli.connection import ELECTION_WAIT_S, FleetAccess
from controlplane.proxy import LatencyProxy
from controlplane.proxy_links import Link, Rule
from tests.alerts.pager import Pager, Told, listening_pager
from tests.alerts.watchmen import HURRIED, Pace, Prometheus, watching
from tests.integration.fleet_on_test import wait_for

SHARDS: Final = 7
"""Those of clients and the system shard."""
FLEET: Final = f"""\
name: alerts
shows: Alerts arrive, and end; the test itself breaks the fleet.
lasts_s: 8
fleet: {{regions: 3, stores: 3, nodes: 2, shards: {SHARDS - 1}, survival: region, ttl_ms: 2000,
         network: proxy}}
faults:
  - {{at_s: 2, do: kill, to: node us-east-1-n1}}
expect: {{leaders_change: false}}
"""
UP_S_MAX: Final = 90.0
DONE_S_MAX: Final = 30.0
ARRIVES_S_MAX: Final = 45.0
ENDS_S_MAX: Final = 60.0

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Beside:
    """A fleet that lives in a loop of its own; Prometheus goes to its nodes by ways of its own."""

    fleet: LocalFleet
    loop: asyncio.AbstractEventLoop
    scraping: LatencyProxy
    instances: Mapping[str, str]
    """Where Prometheus finds each node, which is what it calls it."""


class WatchedFleet:
    """The fleet, by the names of its sites; Prometheus; and who is told."""

    def __init__(self, beside: Beside, prometheus: Prometheus, pager: Pager) -> None:
        fleet = self.fleet = beside.fleet
        self.instances = beside.instances
        self._loop, self._scraping = beside.loop, beside.scraping
        self.prometheus = prometheus
        self.pager = pager
        self.shown: set[str] = set()
        """Alerts that arrived where they should."""
        self.nodes = tuple(node.id for node in fleet.topology.nodes)
        groups = {group.name: group.stores for group in fleet.topology.groups}
        self.voters = groups["global"]
        """A store in each region: those of all shards."""

    @property
    def access(self) -> FleetAccess:
        """HTTP by way of any node."""
        return FleetAccess(tuple(self.fleet.urls.values()), election_wait_s=ELECTION_WAIT_S)

    def at(self, node: str) -> FleetAccess:
        """HTTP by way of one."""
        return self.access.only(self.fleet.urls[node])

    def nodes_of(self, region: str) -> tuple[str, ...]:
        """The nodes of a region."""
        return tuple(node.id for node in self.fleet.topology.nodes if node.region == region)

    def region_of(self, site: str) -> str:
        """Where a node or a store is."""
        return next(s.region for s in self.fleet.sites if s.id == site)

    def do(self, what: Coroutine[Any, Any, Result]) -> Result:
        """Do something to the fleet, where it lives."""
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(DONE_S_MAX)

    def order(self, method: str, path: str, **body: Any) -> Any:
        """Send an order. Raises Problem."""
        headers = {"Content-Type": "application/json"}
        if method == "PUT":
            headers["If-Match"] = "*"
        data = json.dumps(body).encode()
        return self.access.send(method, path, None, headers, data).document()

    @contextmanager
    def down(self, *sites: str) -> Iterator[None]:
        """Kill processes that stay down for as long as the block lasts."""
        for site in sites:
            self.do(self.fleet.hold(site))
            self.do(self.fleet.kill(site))
        try:
            yield
        finally:
            for site in sites:
                self.do(self.fleet.let_go(site))

    @contextmanager
    def asleep(self, *sites: str) -> Iterator[None]:
        """Stop processes for as long as the block lasts."""
        for site in sites:
            self.do(self.fleet.stop(site))
        try:
            yield
        finally:
            for site in sites:
                self.do(self.fleet.go_on(site))

    @contextmanager
    def unseen(self, node: str) -> Iterator[None]:
        """Let Prometheus hear nothing of a node, which lives."""
        rule = Rule(link_id=node, cut=True)
        self._loop.call_soon_threadsafe(self._scraping.impose, node, rule)
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._scraping.lift, node)

    def leaders(self) -> Mapping[str, str]:
        """The node that leads each shard, as any node sees it."""
        rows = self.access.items("/v1/shards", limit=100)["items"]
        return {row["shard"]: row["leader"]["node"] for row in rows if row["leader"]}

    def shard_of(self, partition: str) -> str:
        """The shard that holds a partition."""
        return str(self.access.get("/v1/route", key=f"{{{partition}}}/k")["shard"])

    def partition_of(self, shard: str) -> str:
        """A partition that a shard holds."""
        return next(name for name in map("p{}".format, range(999)) if self.shard_of(name) == shard)

    def is_whole(self) -> bool:
        """Every node answers, sees its stores up, and every leader says that it leads."""
        led: set[str] = set()
        for node in self.nodes:
            access = self.at(node)
            if any(store["state"] != "up" for store in access.get("/v1/status")["stores"]):
                return False
            if any(not n["alive"] for n in access.items("/v1/nodes")["items"]):
                return False
            rows = access.items("/v1/shards", limit=100)["items"]
            led |= {row["shard"] for row in rows if row["lease_remaining_ms"] is not None}
        return len(led) == SHARDS

    def until_whole(self) -> None:
        """Wait until nothing is left to be mended."""
        wait_for(self.is_whole, "the fleet is whole", UP_S_MAX)

    @contextmanager
    def case(self, *, pages: Collection[str] = ()) -> Iterator[Case]:
        """What is told meanwhile: none but these pages, from whole fleet to whole fleet."""
        self.until_whole()
        found = Case(self, self.pager.mark())
        yield found
        self.until_whole()
        told = {told.name for told in self.pager.since(found.mark) if told.receiver == "pages"}
        assert told <= set(pages), f"pages that nobody expects: {sorted(told - set(pages))}"


class Case:
    """One fault, and what is told of it."""

    def __init__(self, watched: WatchedFleet, mark: int) -> None:
        self._watched = watched
        self.mark = mark

    def arrives(self, name: str, seconds: float = ARRIVES_S_MAX, **labels: str) -> Told:
        """An alert reaches the receiver that its label says, or has reached it and is still on."""

        def look() -> Told | None:
            pager = self._watched.pager
            for told in (*pager.since(self.mark), *pager.firing().values()):
                if told.name == name and labels.items() <= told.labels.items():
                    return told
            return None

        try:
            told = wait_for(look, f"{name} arrives", seconds)
        except AssertionError as failure:
            fires = sorted(self._watched.prometheus.firing())
            raise AssertionError(f"{failure}; at Prometheus fire {fires}") from failure
        assert told.receiver == f"{told.labels['severity']}s", told
        self._watched.shown.add(name)
        return told

    def ends(self, *names: str, seconds: float = ENDS_S_MAX) -> None:
        """None of these is on any more, as was told."""
        for name in names:
            wait_for(partial(self._is_over, name), f"{name} ends", seconds)

    def _is_over(self, name: str) -> bool:
        return name not in self._watched.pager.firing()


@contextmanager
def watched_fleet(
    folder: Path, programs: Mapping[str, Path], pace: Pace = HURRIED
) -> Iterator[WatchedFleet]:
    """Run all of it for as long as the block lasts."""
    with _fleet_beside() as beside, listening_pager() as pager:
        targets = list(beside.instances.values())
        with watching(folder, targets, programs, pager.url, pace) as prometheus:
            yield WatchedFleet(beside, prometheus, pager)


@contextmanager
def _fleet_beside() -> Iterator[Beside]:
    """A fleet whose processes are looked after by a thread of its own."""
    up, found, failed = Event(), list[Beside](), list[str]()
    stop = asyncio.Event()

    async def live() -> None:
        async with local_fleet(read_scenario(FLEET, "here")) as fleet, asyncio.TaskGroup() as tasks:
            scraping = LatencyProxy(_scraped(fleet), tasks)
            ports = await scraping.start()
            instances = {node: f"127.0.0.1:{port}" for node, port in ports.items()}
            found.append(Beside(fleet, asyncio.get_running_loop(), scraping, instances))
            up.set()
            await stop.wait()
            await scraping.stop()

    def run() -> None:
        try:
            asyncio.run(live())
        except Exception as failure:
            failed.append(repr(failure))
            raise
        finally:
            up.set()

    thread = Thread(target=run)
    thread.start()
    try:
        assert up.wait(UP_S_MAX), "the fleet does not come up"
        assert found, failed
        yield found[0]
    finally:
        if found:
            found[0].loop.call_soon_threadsafe(stop.set)
        thread.join(UP_S_MAX)


def _scraped(fleet: LocalFleet) -> Iterator[Link]:
    """A way from Prometheus to each node, named as the node is."""
    for node in fleet.topology.nodes:
        yield Link(node.id, 0, node.host, node.port, "", node.region, 0.0)
