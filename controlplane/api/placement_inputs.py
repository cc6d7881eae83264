"""What placement rests on: the load of shards by region of origin, and how far regions are apart.

Both are gathered by the global leader, in memory; any other node passes the question on to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from heapq import nlargest
from typing import Any, Final

from aiohttp import web

from controlplane.api.edge import Edge
from controlplane.api.paging import PAGE_ITEMS, page
from controlplane.api.parameters import CONTINUE, LIMIT, LIST_PARAMETERS, Parameter, Parameters
from controlplane.api.responses import json_response
from controlplane.node.load_reports import Gathered
from controlplane.planning.gathering import is_whole, overrides_of
from controlplane.problems import InputError, RequestRefused, invalid
from regions.latency_matrix import Distance
from shards.load import NOTHING, Rates
from shards.load_table import LoadTable

WEIGHTS: Final[Mapping[str, Callable[[Rates], float]]] = {
    "requests": lambda rates: rates.requests,
    "reads": lambda rates: rates.reads,
    "writes": lambda rates: rates.writes,
    "bytes": lambda rates: rates.bytes,
}
BUSIEST_BY: Final = Parameter(
    "busiest_by",
    "The shards with the most of this, the most first, instead of all by name.",
    choices=tuple(WEIGHTS),
)
LOAD_PARAMETERS: Final = Parameters(LIMIT, CONTINUE, BUSIEST_BY)
WEIGHED_AT_ONCE: Final = 1_000
"""Shards between which other requests get their turn: a few milliseconds."""


@dataclass(frozen=True, slots=True)
class OriginLoad:
    """What clients that came in at one region ask of a shard, in a second."""

    region: str
    reads_per_s: float
    writes_per_s: float
    read_bytes_per_s: float
    write_bytes_per_s: float


@dataclass(frozen=True, slots=True)
class ShardLoadRow:
    """The load of one shard, the region it mostly comes from first."""

    shard: str
    requests_per_s: float
    bytes_per_s: float
    origins: tuple[OriginLoad, ...]


@dataclass(frozen=True, slots=True)
class Reporter:
    """A node that reports, how long ago it last did, and how much of it is still to come."""

    node: str
    region: str
    age_ms: int
    shards: int
    behind: int


async def list_load(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/placement/load: what clients ask of each shard, and from where."""
    found = LOAD_PARAMETERS.parse(request.rel_url.raw_query_string)
    by = found.get("busiest_by")
    if by and "continue" in found:
        complaint = "has no meaning with busiest_by: the busiest are one page"
        raise invalid(InputError(complaint, parameter="continue"))
    gathered = await gathered_at(edge, request)
    if isinstance(gathered, web.StreamResponse):
        return gathered
    table = gathered.load
    shards: Iterable[str] = table.shards()
    if by:
        shards = await _busiest(table, shards, WEIGHTS[by], found.get("limit", PAGE_ITEMS))
        listed: dict[str, Any] = {"items": [_row(table, shard) for shard in shards]}
    else:
        listed = page(shards, str, "load", found, partial(_row, table))
    return json_response(listed | _told_by(edge, gathered))


async def list_latency(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/placement/latency: how far regions are apart, from each to each other one."""
    found = LIST_PARAMETERS.parse(request.rel_url.raw_query_string)
    gathered = await gathered_at(edge, request)
    if isinstance(gathered, web.StreamResponse):
        return gathered
    distances = gathered.latency.distances(overrides_of(edge.service.documents()))
    return json_response(
        page(distances, _pair_name, "latency", found, lambda distance: distance)
        | {"node": edge.here.node}
    )


def _pair_name(distance: Distance) -> str:
    return f"{distance.from_region}>{distance.to_region}"


async def gathered_at(
    edge: Edge, request: web.Request, body: bytes = b"", patience_ms: int = 0
) -> Gathered | web.StreamResponse:
    """What this node gathers; where another one does, its answer. Raises RequestRefused."""
    gathered = edge.service.gathered()
    if gathered is not None:
        return gathered
    fleet = edge.service.fleet()
    leader = fleet.global_leader
    if leader is None or leader.node == edge.here.node:
        raise RequestRefused("no-leader", "the system shard has no leader at the moment")
    nodes = [node for node in fleet.nodes if node.node == leader.node]
    return await edge.pass_on(request, nodes, body, patience_ms)


async def _busiest(
    table: LoadTable, shards: Iterable[str], weight: Callable[[Rates], float], limit: int
) -> list[str]:
    weighed: list[tuple[float, str]] = []
    for number, shard in enumerate(shards):
        if number % WEIGHED_AT_ONCE == 0:
            await asyncio.sleep(0)
        weighed.append((weight(_total(table.of(shard))), shard))
    return [shard for _, shard in nlargest(limit, weighed)]


def _total(origins: Mapping[str, Rates]) -> Rates:
    total = NOTHING
    for rates in origins.values():
        total = total.plus(rates)
    return total


def _row(table: LoadTable, shard: str) -> ShardLoadRow:
    found = table.of(shard)
    total = _total(found)
    origins = sorted(found.items(), key=lambda origin: (-origin[1].requests, origin[0]))
    return ShardLoadRow(
        shard,
        round(total.requests, 3),
        round(total.bytes, 1),
        tuple(OriginLoad(region, *(round(rate, 3) for rate in rates)) for region, rates in origins),
    )


def _told_by(edge: Edge, gathered: Gathered) -> dict[str, Any]:
    """Who gathered, since when, from whom, and whether nobody alive is missing."""
    reporters = [
        Reporter(node, region, gathered.now_ms - heard_ms, shards, behind)
        for node, region, heard_ms, shards, behind in gathered.load.reporters()
    ]
    return {
        "node": edge.here.node,
        "epoch": gathered.epoch,
        "gathered_for_ms": gathered.now_ms - gathered.since_ms,
        "whole": is_whole(gathered, edge.service.fleet()),
        "reporters": reporters,
    }
