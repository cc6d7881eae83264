"""Writes whose leader lost its shard before a majority had them, as the node that led shows them.

They are told of, with what became of them, and not done again: who looked at one puts the key again
as any client does, under the operation's own id if it has one.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from controlplane.api.edge import Edge
from controlplane.api.paging import page
from controlplane.api.parameters import LIST_PARAMETERS, NO_PARAMETERS
from controlplane.api.responses import json_response
from controlplane.node.fenced_writes import FencedChange, FencedWrite
from controlplane.problems import RequestRefused
from controlplane.requests import Fate, Trace, Traced


@dataclass(frozen=True, slots=True)
class ChangeDocument:
    """One change that was to be made. The value is shown where a single write is asked for."""

    key: str
    partition: str
    deletes: bool
    size_bytes: int
    value_base64: str | None = None


@dataclass(frozen=True, slots=True)
class FencedWriteDocument:
    """A write with an unknown outcome, and what became of it: kept, replaced, retried, unknown.

    `position` is where it stands, if it has happened.
    """

    number: int
    node: str
    shard: str
    epoch: int
    sequence: int
    operation: str
    why: str
    wall_ms: int
    changes: tuple[ChangeDocument, ...]
    fate: Fate
    position: int | None


async def list_fenced_writes(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/nodes/{node}/fenced-writes: those that this process remembers, the oldest first."""
    found = LIST_PARAMETERS.parse(request.rel_url.raw_query_string)
    if (elsewhere := await _elsewhere(edge, request)) is not None:
        return elsewhere
    scope = f"fenced-writes of {edge.here.process}"
    listed = page(edge.service.fenced_writes(), _name, scope, found, lambda write: write)
    told = [_told(edge, write, with_values=False) for write in listed["items"]]
    return json_response(listed | {"items": await asyncio.gather(*told)})


async def get_fenced_write(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/nodes/{node}/fenced-writes/{number}: one of them, with its values."""
    NO_PARAMETERS.parse(request.rel_url.raw_query_string)
    if (elsewhere := await _elsewhere(edge, request)) is not None:
        return elsewhere
    for write in edge.service.fenced_writes():
        if str(write.number) == request.match_info["number"]:
            return json_response(await _told(edge, write, with_values=True))
    raise RequestRefused("unknown-write", "this process remembers no such write")


async def _elsewhere(edge: Edge, request: web.Request) -> web.Response | None:
    """The answer of the node that the path names, unless it is this one."""
    name = request.match_info["node"]
    if name == edge.here.node:
        return None
    named = [node for node in edge.service.fleet().nodes if node.node == name]
    if not named:
        raise RequestRefused("unknown-node", "no node has this name")
    return await edge.pass_on(request, named, b"")


def _name(write: FencedWrite) -> str:
    """The number, as a name that sorts as the number does."""
    return f"{write.number:020}"


async def _told(edge: Edge, write: FencedWrite, *, with_values: bool) -> FencedWriteDocument:
    question = Trace(write.shard, write.sequence, write.epoch, write.chain, write.operation)
    traced = await edge.service.submit(question)
    fate, position = Fate.UNKNOWN, None
    if isinstance(traced, Traced):
        fate, position = traced.fate, traced.position
    changes = map(partial(_change, with_values), write.changes)
    return FencedWriteDocument(
        write.number, edge.here.node, write.shard, write.epoch, write.sequence, write.operation,
        write.why, write.wall_ms, tuple(changes), fate, position,
    )  # fmt: skip


def _change(with_values: bool, change: FencedChange) -> ChangeDocument:
    value = change.value
    shown = b64encode(value).decode() if with_values and value is not None else None
    return ChangeDocument(change.key, change.partition, value is None, len(value or b""), shown)
