"""What a region runs of a document: asked once, or waited for until it is another.

A consumer keeps the ETag of what it has, and asks with `wait_ms`: the answer comes as soon as the
node has something else in force, or 304 when the time is over. So a change is there at once, and
nothing is asked in vain.
"""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import hdrs, web

from config.revision import Revision
from controlplane.api.document_pages import name_in_path
from controlplane.api.document_store import Asking, Held, read_held
from controlplane.api.document_views import EffectiveDocument, TargetRecord, revision_record
from controlplane.api.edge import Edge
from controlplane.api.parameters import Kind, Parameter, Parameters
from controlplane.api.responses import empty_response, json_response
from controlplane.problems import InputError, RequestRefused, invalid

WAIT_MS_MAX: Final = 60_000
NOTHING: Final = '"none"'
"""The ETag of a document of which nothing is in force."""
EFFECTIVE_PARAMETERS: Final = Parameters(
    Parameter("region", "A node of this region answers; the answering node's if not given."),
    Parameter(
        "wait_ms",
        "Answer when it is another than If-None-Match names, at the latest after so long.",
        Kind.INTEGER,
        most=WAIT_MS_MAX,
    ),
)


async def get_effective(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/config/{name}/effective: what a region's nodes run now."""
    found = EFFECTIVE_PARAMETERS.parse(request.rel_url.raw_query_string)
    name = name_in_path(request)
    region, wait_ms = found.get("region", edge.here.region), found.get("wait_ms", 0)
    known = request.headers.get(hdrs.IF_NONE_MATCH, "").strip()
    if wait_ms and not known:
        raise invalid(InputError("needs If-None-Match: from what on to wait", parameter="wait_ms"))
    if region != edge.here.region:
        nodes = [node for node in edge.service.fleet().nodes if node.region == region]
        if not nodes:
            raise RequestRefused("unknown-region", "no node stands in a region of this name")
        return await edge.pass_on(request, [node for node in nodes if node.alive], b"", wait_ms)
    if wait_ms and _etag(edge, name) == known:
        await _another(edge, name, known, wait_ms)
    etag = _etag(edge, name)
    if known == etag:
        return empty_response(304, {"ETag": etag})
    applied = edge.service.documents().latest(name)
    held = await read_held(Asking(edge, request), name)
    if applied is None and not held.is_known:
        raise RequestRefused("not-ready", "the copy of this region cannot be read at the moment")
    if applied is None and held.newest is None:
        raise RequestRefused("unknown-document", f"no document is called {name}")
    return json_response(_effective(edge, name, applied, held), headers={"ETag": etag})


def _etag(edge: Edge, name: str) -> str:
    found = edge.service.documents().latest(name)
    return NOTHING if found is None else found.etag


async def _another(edge: Edge, name: str, known: str, wait_ms: int) -> None:
    """Wait until the document in force has another ETag, or the time is over, or the server is."""
    journal = edge.event_feed.journal
    try:
        async with asyncio.timeout(wait_ms / 1_000):
            while _etag(edge, name) == known and not journal.closed:
                await journal.changed()
    except TimeoutError:
        return


def _effective(edge: Edge, name: str, applied: Revision | None, held: Held) -> EffectiveDocument:
    target = held.target
    runs = (0, "") if applied is None or applied.version == 0 else (applied.version, applied.digest)
    wanted = (0, "") if target is None else (target.version, target.digest)
    drift = "none" if runs == wanted else "behind"
    is_there = applied is not None and not applied.deleted
    return EffectiveDocument(
        name=name,
        region=edge.here.region,
        node=edge.here.node,
        applied=revision_record(applied) if applied is not None else None,
        content=applied.content if applied is not None and is_there else None,
        target=None
        if target is None
        else TargetRecord(target.version, target.digest, target.rollout),
        newest=revision_record(held.newest) if held.newest is not None else None,
        drift=drift if held.is_known else "unknown",
        staleness_ms=held.staleness_ms,
    )
