"""How far a fleet is, as its nodes themselves say: asked over HTTP like any client would.

A node that has just started finds grants of the past in the stores, and cannot know yet that their
holders are gone. So what a node believes of others does not count here: a shard is led when the
node that leads it says so itself, with a lease in its hand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import orjson

from controlplane.http_client import HttpClient, PeerLost, PeerUnreachable

ASK_MS_MAX = 2_000
PAGE = 1_000
NAMED_MAX = 100  # to name one of more is work for nodes that have better things to do just now

Said = TypeVar("Said")


@dataclass(frozen=True, slots=True)
class FleetSight:
    """One look at all nodes."""

    nodes_up: int = 0
    shards_led: int = 0
    shards: int = 0
    complete: bool = False
    """Every node answers and knows a leader of every shard, and every shard is led."""
    waiting_for: str = ""


async def look(urls: Sequence[str], at_least: int) -> FleetSight:
    """Ask every node for its view of the fleet. `at_least` so many shards must there be."""
    async with HttpClient() as client:
        views = await _of_all(client, urls, _status)
        if not views:
            return FleetSight(waiting_for="no node answers yet")
        total = min(int(view["shards_total"]) for view in views)
        known = min(int(view["shards_led"]) for view in views)
        here = min(total, sum(int(view["shards_here"]) for view in views))
        sight = FleetSight(len(views), min(known, here), total)
        if len(views) < len(urls):
            return _waiting(sight, f"{len(urls) - len(views)} nodes do not answer yet")
        if total < at_least:
            return _waiting(sight, "the shard map is not known everywhere")
        if known < total or here < total:
            unled = total - min(known, here)
            if unled > NAMED_MAX:
                return _waiting(sight, f"{unled} shards have no leader yet")
            return _waiting(sight, await _unled(client, urls))
        led = {shard for shards in await _of_all(client, urls, _led_here) for shard in shards}
        if len(led) < total:
            return _waiting(sight, f"{total - len(led)} leaders do not serve yet")
    return FleetSight(len(views), len(led), total, complete=True)


def _waiting(sight: FleetSight, why: str) -> FleetSight:
    return FleetSight(sight.nodes_up, sight.shards_led, sight.shards, waiting_for=why)


async def _of_all(
    client: HttpClient,
    urls: Sequence[str],
    ask: Callable[[HttpClient, str], Awaitable[Said | None]],
) -> list[Said]:
    """What those say that answer, all asked at once."""
    answers = await asyncio.gather(*(ask(client, url) for url in urls))
    return [said for said in answers if said is not None]


async def _status(client: HttpClient, url: str) -> Mapping[str, Any] | None:
    document = await _document(client, f"{url}/v1/status")
    return document if isinstance(document, dict) and "shards_led" in document else None


async def _led_here(client: HttpClient, url: str) -> list[str]:
    """The shards for which this node holds a lease."""
    return [
        str(row["shard"])
        for row in await _rows(client, url)
        if row.get("lease_remaining_ms") is not None
    ]


async def _unled(client: HttpClient, urls: Sequence[str]) -> str:
    """Name a shard without a leader, and why, from any node that knows one."""
    for url in urls:
        for row in await _rows(client, url):
            if row.get("leader") is None:
                return f"{row.get('shard')} has no leader as {url} sees it: {row.get('why')}"
    return "leaders of before are gone, and their leases have not run out yet"


async def _rows(client: HttpClient, url: str) -> list[dict[str, Any]]:
    """Every shard as this node shows it; as far as it answers."""
    rows: list[dict[str, Any]] = []
    after = ""
    while True:
        document = await _document(client, f"{url}/v1/shards?limit={PAGE}{after}")
        if not isinstance(document, dict):
            return rows
        rows += document.get("items", ())
        if not document.get("continue"):
            return rows
        after = f"&continue={quote(str(document['continue']))}"


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
