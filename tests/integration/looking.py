"""Asking the nodes of a fleet that a test broke, and waiting for what they say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from controlplane.chaos.local_fleet import LocalFleet
from controlplane.http_client import HttpClient, PeerLost, PeerUnreachable

LOOK_S = 0.5
PUT_S_MAX = 40.0


class Looking:
    """Asks the fleet's nodes."""

    def __init__(self, fleet: LocalFleet, client: HttpClient) -> None:
        self.fleet = fleet
        self._client = client

    async def get(self, node: str, path: str) -> Any:
        """A document, None if the node has none to give just now."""
        try:
            reply = await self._client.send("GET", self.fleet.urls[node] + path, timeout_ms=5_000)
        except (PeerLost, PeerUnreachable):
            return None
        return orjson.loads(reply.body) if reply.status == 200 else None

    async def put(self, node: str, key: str) -> None:
        """Write a key by way of a node; elections are waited for."""
        await until(lambda: self._is_put(node, key), f"{key} is written", PUT_S_MAX)

    async def _is_put(self, node: str, key: str) -> bool:
        url = f"{self.fleet.urls[node]}/v1/kv/{key}"
        try:
            return (await self._client.send("PUT", url, body=b"v", timeout_ms=5_000)).status == 200
        except (PeerLost, PeerUnreachable):
            return False

    async def distances(self, node: str) -> Mapping[tuple[str, str], Any]:
        """What is known of ways, by pair."""
        found = await self.get(node, "/v1/placement/latency") or {"items": []}
        return {(d["from_region"], d["to_region"]): d for d in found["items"]}

    async def lease(self, node: str) -> tuple[int, int]:
        """Version and lease of the global group, as a node knows them."""
        group = await self.get(node, "/v1/regions/groups/global") or {"version": 0, "ttl_ms": 0}
        return group["version"], group["ttl_ms"]


async def until(look: Callable[[], Awaitable[Any]], what: str, seconds: float) -> Any:
    """Look until there is something."""
    deadline = time.monotonic() + seconds
    while not (found := await look()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        await asyncio.sleep(LOOK_S)
    return found
