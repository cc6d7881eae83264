"""A stub of the Docker Engine's API over TCP, of the few endpoints that the adapter speaks.

Its containers are the processes of a real fleet: what is asked of a container is done to the
process of the same name. It says of itself that it is a stub.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from controlplane.chaos.fleet_on_trial import FleetOnTrial

API = "1.43"
NETWORK = "stub_default"
PLATFORM = "a stub of the Engine API"
PROJECT = "stub"


class EngineStub:
    """Answers for the containers of one project."""

    def __init__(self, fleet: FleetOnTrial) -> None:
        self._fleet = fleet
        self._ids = {site.id: f"{number:064x}" for number, site in enumerate(fleet.sites, 1)}
        self._names = {number: name for name, number in self._ids.items()}
        self._attached = dict.fromkeys(self._ids, True)
        self.asked: list[str] = []
        """What was asked for, other than to look, in order."""

    def application(self) -> web.Application:
        """The endpoints, under their version."""
        application = web.Application()
        application.add_routes(
            [
                web.get("/version", self._version),
                web.get(f"/v{API}/version", self._version),
                web.get(f"/v{API}/containers/json", self._list),
                web.get(f"/v{API}/containers/{{id}}/json", self._inspect),
                web.post(f"/v{API}/containers/{{id}}/{{order}}", self._order),
                web.get(f"/v{API}/networks/{{id}}", self._network),
                web.post(f"/v{API}/networks/{{id}}/{{order}}", self._attach),
            ]
        )
        return application

    async def _version(self, _: web.Request) -> web.Response:
        said = {"ApiVersion": API, "Version": "0", "Platform": {"Name": PLATFORM}}
        return web.json_response(said)

    async def _list(self, request: web.Request) -> web.Response:
        wanted = json.loads(request.query["filters"])["label"]
        assert wanted == [f"com.docker.compose.project={PROJECT}"]
        return web.json_response([{"Id": number} for number in self._names])

    async def _inspect(self, request: web.Request) -> web.Response:
        return web.json_response(self._container(request.match_info["id"]))

    def _container(self, number: str) -> Mapping[str, Any]:
        name = self._names[number]
        ports = {}
        if name in self._fleet.urls:
            where = urlsplit(self._fleet.urls[name])
            binding = {"HostIp": str(where.hostname), "HostPort": str(where.port)}
            ports = {"7400/tcp": [binding]}
        return {
            "Id": number,
            "Name": f"/{PROJECT}-{name}-1",
            "Config": {"Labels": {"com.docker.compose.service": name}},
            "NetworkSettings": {
                "Networks": {NETWORK: {}} if self._attached[name] else {},
                "Ports": ports,
            },
        }

    async def _order(self, request: web.Request) -> web.Response:
        name, order = self._names[request.match_info["id"]], request.match_info["order"]
        self.asked.append(f"{order} {name}")
        done = {
            "pause": self._fleet.stop,
            "unpause": self._fleet.go_on,
            "kill": self._kill,
            "start": self._fleet.let_go,
            "restart": self._fleet.end,
        }
        await done[order](name)
        return web.Response(status=204)

    async def _kill(self, name: str) -> None:
        """A container that was killed stays down until it is started."""
        await self._fleet.hold(name)
        await self._fleet.kill(name)

    async def _network(self, request: web.Request) -> web.Response:
        return web.json_response({"Id": request.match_info["id"], "Name": NETWORK})

    async def _attach(self, request: web.Request) -> web.Response:
        name, order = self._names[(await request.json())["Container"]], request.match_info["order"]
        self.asked.append(f"{order} {name}")
        self._attached[name] = order == "connect"
        others = [site.id for site in self._fleet.sites if site.id != name]
        if order == "disconnect":
            pairs = {(name, o) for o in others} | {(o, name) for o in others}
            await self._fleet.ways.cut(f"stub{name}", pairs)
        else:
            await self._fleet.ways.mend(f"stub{name}", loses=True)
        return web.Response(status=200)


@asynccontextmanager
async def served(fleet: FleetOnTrial) -> AsyncIterator[tuple[EngineStub, str]]:
    """Serve a stub on loopback; give it and its address, as DOCKER_HOST has it."""
    stub = EngineStub(fleet)
    runner = web.AppRunner(stub.application())
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        yield stub, f"tcp://127.0.0.1:{port}"
    finally:
        await runner.cleanup()
