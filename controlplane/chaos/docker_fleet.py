"""A compose deployment to be broken: containers are paused, killed and disconnected.

A service is called as its node or store is: `eu-central-1-n1`. Which nodes and stores there are,
and where they stand, the fleet says itself. A container that was killed is started again by this
adapter, as the Engine does not do it after a kill on purpose. Stores are not asked past the nodes,
so the final log is not read; what the Engine cannot do is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import docker
from docker import DockerClient

from controlplane.chaos.roles import Kind, Site
from controlplane.chaos.scenario import Scenario
from controlplane.chaos.ways import Hindrance, Pairs
from controlplane.errors import ChaosImpossible

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
RESTART_S_MAX = 15


class DockerFleet:
    """What can be done to the containers of one compose project, by the ids of their sites."""

    topology = None
    clocks = None

    def __init__(self, client: DockerClient, project: str, status: Mapping[str, Any]) -> None:
        """`status` is `/v1/status` of any node. Raises ChaosImpossible for a site without one."""
        self._project = project
        platform = client.version().get("Platform") or {}
        self._engine = platform.get("Name") or "Docker Engine"
        self._held: set[str] = set()
        nodes = [Site(n["node"], Kind.NODE, n["region"], "") for n in status["nodes"]]
        stores = [Site(s["store"], Kind.STORE, s["region"], s["zone"]) for s in status["stores"]]
        self.sites = (*nodes, *stores)
        self._containers = _containers(client, project, [site.id for site in self.sites])
        self.urls = {node.id: _published(self._containers[node.id]) for node in nodes}
        self.ways = _Networks(client, self._containers)

    def says_of_itself(self) -> str:
        """What the fleet is, and what the Engine calls itself: a stub says that it is one."""
        return f"containers of the compose project {self._project}, by {self._engine}"

    async def stop(self, site: str) -> None:
        """Pause a container."""
        await asyncio.to_thread(self._containers[site].pause)

    async def go_on(self, site: str) -> None:
        """Let a paused one go on."""
        await asyncio.to_thread(self._containers[site].unpause)

    async def kill(self, site: str) -> None:
        """Kill it, and start it again unless it is held."""
        await asyncio.to_thread(self._containers[site].kill)
        if site not in self._held:
            await asyncio.to_thread(self._containers[site].start)

    async def end(self, site: str) -> None:
        """Stop it well and start it again."""
        container = self._containers[site]
        await asyncio.to_thread(container.restart, timeout=RESTART_S_MAX)

    async def hold(self, site: str) -> None:
        """Once down, let it stay down."""
        self._held.add(site)

    async def let_go(self, site: str) -> None:
        """Start it again."""
        self._held.discard(site)
        await asyncio.to_thread(self._containers[site].start)

    async def forget(self, store: str, how: str) -> str:
        """Not through the Engine."""
        raise _not_through_it("damage the data of a store")

    async def fill(self, store: str, what: str, leave_mib: int) -> str:
        """Not through the Engine."""
        raise _not_through_it("fill a store")

    async def empty(self, store: str, what: str) -> None:
        """Nothing was filled."""


class _Networks:
    """Ways between containers: one container at a time can be taken off its networks."""

    def __init__(self, client: DockerClient, containers: Mapping[str, Any]) -> None:
        self._client = client
        self._containers = containers
        self._away: dict[str, tuple[str, list[str]]] = {}

    async def cut(self, name: str, pairs: Pairs) -> None:
        """Take one container off all its networks."""
        site = lonely_in(pairs, self._containers.keys())
        container = self._containers[site]
        await asyncio.to_thread(container.reload)
        networks = list(container.attrs["NetworkSettings"]["Networks"])
        self._away[name] = (site, networks)
        for network in networks:
            await asyncio.to_thread(self._take_off, network, container)

    async def mend(self, name: str, *, loses: bool) -> str:
        """Put it back, under the name that others know it by."""
        site, networks = self._away.pop(name)
        for network in networks:
            await asyncio.to_thread(self._put_back, network, site)
        return f"{site} was off {len(networks)} networks"

    async def hamper(self, name: str, sites: Collection[str], how: Hindrance) -> None:
        """Not through the Engine."""
        raise _not_through_it("make ways worse")

    async def ease(self, name: str) -> None:
        """Nothing was hampered."""

    async def snap(self, sites: Collection[str]) -> None:
        """Not through the Engine."""
        raise _not_through_it("break single connections")

    def _take_off(self, network: str, container: Any) -> None:
        self._client.networks.get(network).disconnect(container)

    def _put_back(self, network: str, site: str) -> None:
        self._client.networks.get(network).connect(self._containers[site], aliases=[site])


def compose_fleet(
    project: str, status: Mapping[str, Any], base_url: str | None = None
) -> Callable[[Scenario], AbstractAsyncContextManager[DockerFleet]]:
    """What makes the fleet of every scenario: this deployment, whatever shape is asked for.

    The Engine is found as the `docker` command finds it, unless `base_url` says where it is.
    """

    @asynccontextmanager
    async def make(_: Scenario) -> AsyncIterator[DockerFleet]:
        connect = partial(DockerClient, base_url) if base_url else docker.from_env
        client = await asyncio.to_thread(connect)
        try:
            yield await asyncio.to_thread(DockerFleet, client, project, status)
        finally:
            client.close()

    return make


def lonely_in(pairs: Pairs, everybody: Collection[str]) -> str:
    """The one site that this cut separates from all others, both ways. Raises ChaosImpossible."""
    for site in sorted(everybody):
        rest = [other for other in everybody if other != site]
        alone = {(site, other) for other in rest} | {(other, site) for other in rest}
        if set(pairs) == alone:
            return site
    raise _not_through_it("cut more than one site from all others, or one way")


def _containers(client: DockerClient, project: str, sites: list[str]) -> dict[str, Any]:
    label = f"{PROJECT_LABEL}={project}"
    found = client.containers.list(all=True, filters={"label": label})
    by_service = {container.labels.get(SERVICE_LABEL): container for container in found}
    if missing := [site for site in sites if site not in by_service]:
        message = f"the compose project {project!r} has no service {', '.join(missing)}"
        hint = "a service is called as its node or store is; see `leadplane nodes`"
        raise ChaosImpossible(message, hint=hint)
    return {site: by_service[site] for site in sites}


def _published(container: Any) -> str:
    """Where the host can reach the only port of a node that is published."""
    ports = container.attrs["NetworkSettings"]["Ports"]
    for bindings in ports.values():
        for binding in bindings or ():
            host = binding["HostIp"] if binding["HostIp"] not in ("", "0.0.0.0") else "127.0.0.1"
            return f"http://{host}:{binding['HostPort']}"
    raise ChaosImpossible(f"container {container.name} publishes no port: nobody can ask the node")


def _not_through_it(what: str) -> ChaosImpossible:
    return ChaosImpossible(f"the Docker Engine cannot {what}")
