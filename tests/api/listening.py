"""Nodes in memory behind real sockets, and how a test talks to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import orjson

from controlplane.api.application import EDGE, create_app
from controlplane.api.edge import Edge
from controlplane.api.server import ApiServer
from controlplane.api.settings import ApiSettings
from controlplane.http_client import HttpClient, PeerReply
from tests.api.fake_service import FakeFleet, FakeService

TIMEOUT_MS = 5_000


@dataclass
class Node:
    """One node that listens: its service, its server, and a client to ask it."""

    service: FakeService
    server: ApiServer
    edge: Edge
    client: HttpClient

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.service.url

    async def send(
        self, method: str, path: str, body: bytes | dict[str, Any] = b"", **headers: str
    ) -> PeerReply:
        """Ask it; underscores of header names become hyphens, a dict is sent as JSON."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        if isinstance(body, dict):
            named.setdefault("Content-Type", "application/json")
            body = orjson.dumps(body)
        return await self.client.send(
            method, self.url + path, headers=named, body=body, timeout_ms=TIMEOUT_MS
        )

    async def get(self, path: str, **headers: str) -> PeerReply:
        """GET."""
        return await self.send("GET", path, **headers)


class Fleet:
    """Fake nodes, each behind a server of its own."""

    def __init__(self, client: HttpClient, stack: AsyncExitStack) -> None:
        self.fake = FakeFleet()
        self._client = client
        self._stack = stack

    async def node(self, name: str, region: str, settings: ApiSettings | None = None) -> Node:
        """Start another node, on a free port of loopback."""
        service = self.fake.add(name, region)
        app = create_app(service, settings)
        server = await ApiServer(app, settings).start("127.0.0.1", 0)
        self._stack.push_async_callback(server.stop)
        service.url = f"http://127.0.0.1:{server.port}"
        return Node(service, server, app[EDGE], self._client)


def document(reply: PeerReply) -> Any:
    """The body of an answer as JSON."""
    return orjson.loads(reply.body)


def kind(reply: PeerReply) -> str:
    """The kind of problem that was answered; fails when it was none."""
    assert reply.headers["Content-Type"] == "application/problem+json", reply
    problem = document(reply)
    assert problem["status"] == reply.status
    return str(problem["type"].removeprefix("/problems/"))


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds; fail when it does not within some seconds."""
    for _ in range(5_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("what was waited for did not come")
