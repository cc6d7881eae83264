"""Looking at a fleet from outside: what its nodes say, and what they count."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from controlplane.chaos.roles import ShardNow
from controlplane.http_client import HttpClient, PeerLost, PeerUnreachable

ASK_MS_MAX = 2_000
PAGE = 1_000
_SERIES = re.compile(r"^(\w+(?:\{[^}]*\})?) (\S+)$", re.MULTILINE)

Counters = Mapping[str, float]
"""What one node counts, by the series' name with its labels."""


class Eyes:
    """Asks the nodes of a fleet; one that does not answer says nothing."""

    def __init__(self, http: HttpClient, urls: Mapping[str, str]) -> None:
        self._http = http
        self.urls = urls

    async def document(self, node: str, path: str) -> Any:
        """What a node answers as JSON, None when it does not, or refuses."""
        body = await self._get(node, path)
        return None if body is None else orjson.loads(body)

    async def first(self, path: str) -> Any:
        """What the first node says that says something."""
        for node in self.urls:
            if (document := await self.document(node, path)) is not None:
                return document
        return None

    async def counters(self, node: str) -> Counters:
        """Everything that a node counts, empty when it does not answer."""
        body = await self._get(node, "/metrics")
        if body is None:
            return {}
        return {name: float(value) for name, value in _SERIES.findall(body.decode())}

    async def all_counters(self) -> dict[str, Counters]:
        """What every node counts, by node."""
        return {node: await self.counters(node) for node in self.urls}

    async def shard(self, shard: str) -> ShardNow:
        """Who leads a shard, as far as anybody knows, and which stores vote about it."""
        row = await self.first(f"/v1/shards/{shard}")
        status = await self.first("/v1/status")
        if row is None or status is None:
            return ShardNow(None, ())
        group = next(g for g in status["groups"] if g["group"] == row["group"])
        return ShardNow((row["leader"] or {}).get("node"), tuple(group["voters"]))

    async def rows(self, node: str) -> list[dict[str, Any]]:
        """Every shard as a node shows it."""
        page = await self.document(node, f"/v1/shards?limit={PAGE}")
        return [] if page is None else list(page["items"])

    async def leaders(self, shard: str) -> dict[int, str]:
        """Who led a shard in which epoch, as its own history and its present leader say."""
        page = await self.first(f"/v1/shards/{shard}/history?limit={PAGE}")
        led = {int(r["epoch"]): str(r["node"]) for r in (page or {"items": []})["items"]}
        row = await self.first(f"/v1/shards/{shard}")
        if row is not None and row["leader"] is not None:
            led[int(row["epoch"])] = str(row["leader"]["node"])
        return led

    async def store(self, store: str) -> dict[str, Any] | None:
        """A store as the nodes see it that answer: the worst that any says."""
        worst: dict[str, Any] | None = None
        for node in self.urls:
            status = await self.document(node, "/v1/status")
            for row in (status or {"stores": []})["stores"]:
                if row["store"] == store and (worst is None or row["state"] != "up"):
                    worst = row
        return worst

    async def _get(self, node: str, path: str) -> bytes | None:
        try:
            reply = await self._http.send("GET", self.urls[node] + path, timeout_ms=ASK_MS_MAX)
        except (PeerUnreachable, PeerLost):
            return None
        return reply.body if reply.status == 200 else None


def total(of_nodes: Mapping[str, Counters], series: str) -> float:
    """The sum of one series over the nodes."""
    return sum(counters.get(series, 0.0) for counters in of_nodes.values())


def grown(before: Mapping[str, Counters], after: Mapping[str, Counters], series: str) -> float:
    """By how much a counter has grown, all nodes together; one that restarted counts from 0."""
    growth = 0.0
    for node, now in after.items():
        old, new = before.get(node, {}).get(series, 0.0), now.get(series, 0.0)
        growth += new - old if new >= old else new
    return growth
