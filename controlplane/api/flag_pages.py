"""GET /v1/flags: all flags in force at a node, for those who keep a copy and evaluate themselves.

With `wait_ms` the answer to a tag that is still right is put off until something else is in force.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from aiohttp import hdrs, web

from controlplane.api.edge import Edge
from controlplane.api.parameters import Kind, Parameter, Parameters
from controlplane.api.responses import empty_response, json_response
from controlplane.problems import RequestRefused

WAIT_MS_MAX: Final = 60_000
LOOK_S: Final = 1.0
"""How often it is looked for changes that nobody told of."""
FLAG_PARAMETERS: Final = Parameters(
    Parameter(
        "wait_ms",
        "With If-None-Match: wait for so long until other flags are in force.",
        Kind.INTEGER,
        most=WAIT_MS_MAX,
    )
)


async def get_flags(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/flags: the documents of flags in force, with a tag."""
    found = FLAG_PARAMETERS.parse(request.rel_url.raw_query_string)
    known = edge.flags
    known.look()
    none_match = request.headers.get(hdrs.IF_NONE_MATCH, "")
    if found.get("wait_ms") and is_named(known.tag, none_match):
        await _until_other(edge, none_match, found["wait_ms"] / 1000)
    headers = {"ETag": f'"{known.tag}"', "Cache-Control": "no-cache"}
    if is_named(known.tag, none_match):
        return empty_response(304, headers)
    return json_response(known.documents(), headers=headers)


def is_named(tag: str, none_match: str) -> bool:
    """Whether If-None-Match names this tag, or any."""
    return f'"{tag}"' in none_match or none_match.strip() == "*"


async def _until_other(edge: Edge, none_match: str, wait_s: float) -> None:
    if edge.streams >= edge.settings.streams_max:
        raise RequestRefused(
            "too-many-streams",
            f"this node lets {edge.settings.streams_max} clients wait at once",
            more={"limit": edge.settings.streams_max},
        )
    loop, journal = asyncio.get_running_loop(), edge.event_feed.journal
    until = loop.time() + wait_s
    edge.streams += 1
    try:
        while is_named(edge.flags.tag, none_match) and not journal.closed:
            left_s = until - loop.time()
            if left_s <= 0:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left_s, LOOK_S)):
                    await journal.changed()
            edge.flags.look()
    finally:
        edge.streams -= 1
