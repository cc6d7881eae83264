"""Event streams: the routing table and the life-cycle events, as server-sent events.

A stream goes on behind the revision its client names, or begins at the beginning. While nothing
happens it sends a comment from time to time, which also finds out that a client has gone. A client
that reads too slowly is told so and let go: it holds up nobody, and can come back.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from aiohttp import web

from controlplane.api.edge import REQUEST_ID, Edge
from controlplane.api.parameters import FROM, NO_PARAMETERS, Parameters
from controlplane.api.reply import SERVER
from controlplane.api.responses import (
    JSON,
    bytes_response,
    empty_response,
    json_bytes,
)
from controlplane.problems import InputError, RequestRefused, invalid

EVENT_STREAM: Final = "text/event-stream"
HEARTBEAT: Final = b": alive\n\n"
RETRY: Final = b"retry: 1000\n\n"
"""When a client that was cut off is to come back, in milliseconds."""
STREAM_PARAMETERS: Final = Parameters(FROM)

_REVISION: Final = re.compile(r"[0-9]{1,16}")


async def routes(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/routes: the whole routing table, or a stream of it for those who accept one."""
    if EVENT_STREAM in request.headers.get("Accept", ""):
        return await _watch_routes(edge, request)
    NO_PARAMETERS.parse(request.rel_url.raw_query_string)
    body, etag = edge.table_feed.table()
    headers = {"ETag": etag, "Vary": "Accept"}
    none_match = request.headers.get("If-None-Match", "")
    if etag in none_match or none_match.strip() == "*":
        return empty_response(304, headers)
    return bytes_response(body, JSON, headers=headers)


async def _watch_routes(edge: Edge, request: web.Request) -> web.StreamResponse:
    feed = edge.table_feed
    since = since_in(request)
    feed.table()
    first = RETRY
    if since is None:
        since = feed.journal.newest
        first += feed.snapshot()
    return await stream(edge, request, feed.journal, since, first, feed.settle)


async def events(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/events: life-cycle events as they happen."""
    journal = edge.event_feed.journal
    since = since_in(request)
    if since is None:
        since = journal.newest
    return await stream(edge, request, journal, since, RETRY, settled)


async def settled() -> None:
    """What a stream must do before it looks into a journal that is always up to date."""


def since_in(request: web.Request) -> int | None:
    """Behind which revision to go on; None at the beginning. Raises RequestRefused."""
    asked: int | None = STREAM_PARAMETERS.parse(request.rel_url.raw_query_string).get("from")
    if asked is not None:
        return asked
    last = request.headers.get("Last-Event-ID")
    if last is None:
        return None
    if not _REVISION.fullmatch(last):
        raise invalid(InputError("must be the id of an event", header="Last-Event-ID"))
    return int(last)


class Told(Protocol):
    """Where a stream gets its events from; see Journal."""

    @property
    def oldest(self) -> int: ...

    @property
    def closed(self) -> bool: ...

    def after(self, revision: int) -> list[bytes]: ...

    async def changed(self) -> None: ...


async def stream(
    edge: Edge,
    request: web.Request,
    journal: Told,
    since: int,
    first: bytes,
    settle: Callable[[], Awaitable[None]],
) -> web.StreamResponse:
    """Send `first`, all that is behind `since`, and what comes. Raises RequestRefused."""
    cursor = since or journal.oldest - 1
    journal.after(cursor)
    if edge.streams >= edge.settings.streams_max:
        raise RequestRefused(
            "too-many-streams",
            f"this node serves {edge.settings.streams_max} streams at once",
            more={"limit": edge.settings.streams_max},
        )
    response = web.StreamResponse(
        headers={
            "Content-Type": EVENT_STREAM,
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
            "X-Request-Id": request[REQUEST_ID],
            "Server": SERVER,
        }
    )

    async def write(frames: bytes) -> None:
        async with asyncio.timeout(edge.settings.stall_ms / 1000):
            await response.write(frames)

    edge.streams += 1
    try:
        await response.prepare(request)
        await write(first)
        await _follow(write, journal, cursor, settle, edge.settings.heartbeat_ms / 1000)
    except (ConnectionResetError, TimeoutError):
        # The client has gone, or reads nothing: there is nobody left to tell.
        if request.transport is not None:
            request.transport.abort()
    finally:
        edge.streams -= 1
    return response


async def _follow(
    write: Callable[[bytes], Awaitable[None]],
    journal: Told,
    cursor: int,
    settle: Callable[[], Awaitable[None]],
    heartbeat_s: float,
) -> None:
    """Write everything behind `cursor`, and what comes, until the server stops."""
    while not journal.closed:
        await settle()
        try:
            frames = journal.after(cursor)
        except RequestRefused as compacted:
            await write(b"event: compacted\ndata: %s\n\n" % json_bytes(compacted.document()))
            return
        if frames:
            cursor += len(frames)
            await write(b"".join(frames))
            continue
        if journal.closed:
            return  # while we settled: nobody wakes us again
        try:
            async with asyncio.timeout(heartbeat_s):
                await journal.changed()
        except TimeoutError:
            await write(HEARTBEAT)
