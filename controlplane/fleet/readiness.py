"""How far a fleet is, as its nodes themselves see it: asked over HTTP like any client would."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from controlplane.http_client import HttpClient, PeerLost, PeerUnreachable

ASK_MS_MAX = 2_000


@dataclass(frozen=True, slots=True)
class FleetSight:
    """One look at all nodes. Of shards it counts what the worst informed node knows."""

    nodes_up: int = 0
    shards_led: int = 0
    shards: int = 0
    complete: bool = False
    """Every node answers, and sees a leader for every shard."""
    waiting_for: str = ""


async def look(urls: Sequence[str], at_least: int) -> FleetSight:
    """Ask every node for its view of the fleet. `at_least` so many shards must there be."""
    async with HttpClient() as client, asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(_view(client, url)) for url in urls]
    views = [view for task in asked if (view := task.result()) is not None]
    if not views:
        return FleetSight(waiting_for="no node answers yet")
    led = min(int(view["shards_led"]) for view in views)
    total = min(int(view["shards_total"]) for view in views)
    complete = len(views) == len(urls) and at_least <= total <= led
    waiting_for = ""
    if len(views) < len(urls):
        waiting_for = f"{len(urls) - len(views)} nodes do not answer yet"
    elif not complete:
        waiting_for = await _unled(urls)
    return FleetSight(len(views), led, total, complete, waiting_for)


async def _view(client: HttpClient, url: str) -> Mapping[str, Any] | None:
    document = await _document(client, f"{url}/v1/status")
    return document if isinstance(document, dict) and "shards_led" in document else None


async def _unled(urls: Sequence[str]) -> str:
    """Name a shard without a leader, and why, from any node that knows one."""
    async with HttpClient() as client:
        for url in urls:
            document = await _document(client, f"{url}/v1/shards?limit=1000")
            for row in document.get("items", ()) if isinstance(document, dict) else ():
                if row.get("leader") is None:
                    return f"{row.get('shard')} has no leader as {url} sees it: {row.get('why')}"
    return "the shard map is not known everywhere"


async def _document(client: HttpClient, url: str) -> Any:
    """Give what a node answers, None when it does not answer well."""
    try:
        reply = await client.send("GET", url, timeout_ms=ASK_MS_MAX)
    except (PeerUnreachable, PeerLost):
        return None
    if reply.status != 200:
        return None
    try:
        return orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return None
