"""Orders to split, merge and move shards, and how far each is.

A resharding takes as long as it takes to copy what the children hold. So an order is answered when
it has been written down (202) by the leader of the shard `system`; any other node passes it on. How
far it is, its own page says.
"""

from __future__ import annotations

from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from controlplane.api.body import Name
from controlplane.api.edge import Edge
from controlplane.api.fleet_pages import shard_in_path
from controlplane.api.once import once
from controlplane.api.order_read import PRINCIPAL, OrderRead, read_order
from controlplane.api.paging import page
from controlplane.api.parameters import LIST_PARAMETERS, NO_PARAMETERS
from controlplane.api.responses import json_response
from controlplane.node.following import SYSTEM
from controlplane.problems import RequestRefused
from controlplane.requests import CancelResharding, Reshard, Resharded
from controlplane.views import ReshardingView
from shards.keyspace import SLOTS
from shards.resharding import Kind

_MODEL = ConfigDict(frozen=True, extra="forbid", strict=True)
NUMBER_DIGITS_MAX = 15


class SplitOrder(BaseModel):
    """The first slot of the second half; without it, both are equally wide."""

    model_config = _MODEL

    at: Annotated[int, Field(ge=1, lt=SLOTS)] | None = None


class MergeOrder(BaseModel):
    """The neighbour that a shard becomes one with: of the same group, its slots right beside."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)

    beside: Annotated[Name, Field(alias="with")]


class MoveOrder(BaseModel):
    """The group whose stores shall hold the shard."""

    model_config = _MODEL

    to_group: Name


class CancelOrder(BaseModel):
    """Nothing can be chosen about a cancellation."""

    model_config = _MODEL


async def split_shard(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /v1/shards/{shard}/split: make two shards of one."""
    order, read = await read_order(edge, request, SplitOrder)
    return await _begin(edge, request, read, Kind.SPLIT, at=order.at)


async def merge_shards(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /v1/shards/{shard}/merge: make one shard of two neighbours."""
    order, read = await read_order(edge, request, MergeOrder)
    return await _begin(edge, request, read, Kind.MERGE, beside=order.beside)


async def move_shard(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /v1/shards/{shard}/move: have the stores of another group hold it."""
    order, read = await read_order(edge, request, MoveOrder)
    return await _begin(edge, request, read, Kind.MOVE, to_group=order.to_group)


async def cancel_resharding(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /v1/reshardings/{resharding}/cancel: drop one whose parents are not closed yet."""
    _, read = await read_order(edge, request, CancelOrder)
    number = _number_in_path(request)
    order = CancelResharding(number, not read.dry_run, PRINCIPAL, read.reason)
    return await once(edge, request, read.body, lambda: _give(edge, request, read, order))


async def list_reshardings(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/reshardings: all that are on, and those that are remembered, by number."""
    found = LIST_PARAMETERS.parse(request.rel_url.raw_query_string)
    views = edge.service.reshardings()
    return json_response(page(views, _name_of, "reshardings", found, lambda view: view))


async def get_resharding(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/reshardings/{resharding}: one, and how far it is."""
    NO_PARAMETERS.parse(request.rel_url.raw_query_string)
    number = _number_in_path(request)
    for view in edge.service.reshardings():
        if view.number == number:
            return json_response(view)
    raise RequestRefused("unknown-resharding", f"no resharding {number} is known here")


def _name_of(view: ReshardingView) -> str:
    return f"{view.number:0{NUMBER_DIGITS_MAX}d}"


def _number_in_path(request: web.Request) -> int:
    text = request.match_info["resharding"]
    if not (text.isascii() and text.isdigit() and len(text) <= NUMBER_DIGITS_MAX):
        raise RequestRefused("unknown-resharding", "reshardings are known by their numbers")
    return int(text)


async def _begin(
    edge: Edge, request: web.Request, read: OrderRead, kind: Kind, **chosen: Any
) -> web.StreamResponse:
    shard = shard_in_path(edge, request).shard
    order = Reshard(
        kind, shard, begin=not read.dry_run, principal=PRINCIPAL, reason=read.reason, **chosen
    )
    return await once(edge, request, read.body, lambda: _give(edge, request, read, order))


async def _give(
    edge: Edge, request: web.Request, read: OrderRead, order: Reshard | CancelResharding
) -> web.Response:
    outcome = await edge.ask(request, SYSTEM, order, body=read.body)
    if isinstance(outcome, web.Response):
        return outcome
    assert isinstance(outcome, Resharded), outcome
    return json_response(outcome, status=202 if outcome.begun else 200)
