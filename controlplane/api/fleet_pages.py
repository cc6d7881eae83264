"""Reading the fleet: shards, nodes, regions, the status page, and who leads it all.

What is shown is what the answering node knows. It says so itself: every page of the whole fleet
names the node.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from aiohttp import web

from config.document import region_name
from controlplane.api.document_views import document_view
from controlplane.api.documents import (
    RoleDocument,
    ShardDocument,
    region_summaries,
    replica_document,
    shard_document,
    status_document,
)
from controlplane.api.edge import Edge
from controlplane.api.paging import page, read_continue
from controlplane.api.parameters import LIST_PARAMETERS, NO_PARAMETERS
from controlplane.api.responses import json_response
from controlplane.problems import RequestRefused
from controlplane.requests import History, Tenures
from controlplane.views import ShardView
from shards.tenures import overlaps


async def list_shards(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/shards: every shard, by name."""
    found = LIST_PARAMETERS.parse(request.rel_url.raw_query_string)
    names = edge.service.shard_names()
    return json_response(page(names, str, "shards", found, partial(_shard_listed, edge)))


def _shard_listed(edge: Edge, shard: str) -> ShardDocument:
    view = edge.service.shard_view(shard)
    assert view is not None, "the map does not change while it is listed"
    return shard_document(view, lineage=edge.here.lineage)


async def get_shard(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/shards/{shard}: one shard and its copies."""
    NO_PARAMETERS.parse(request.rel_url.raw_query_string)
    view = shard_in_path(edge, request)
    lineage, seen = edge.here.lineage, edge.service.replicas(view.shard)
    replicas = tuple(replica_document(view.shard, replica, lineage) for replica in seen)
    copies = edge.service.copies().get(view.shard)
    states = {} if copies is None else copies.states
    rests_in = tuple(sorted(region for region, state in states.items() if state.rests))
    return json_response(shard_document(view, replicas, rests_in, lineage))


async def get_history(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/shards/{shard}/history: who led it, why it ended, and whether none overlap."""
    found = LIST_PARAMETERS.parse(request.rel_url.raw_query_string)
    scope = f"history of {request.match_info['shard']}"
    read_continue(found.get("continue"), scope)
    view = shard_in_path(edge, request)
    outcome = await edge.ask(request, view.shard, History(view.shard), needs_leader=False)
    if isinstance(outcome, web.Response):
        return outcome
    assert isinstance(outcome, Tenures), outcome
    listed = page(outcome.records, _epoch_name, scope, found, lambda record: record)
    problems = overlaps(outcome.records)
    checked = {"overlap_free": not problems, "problems": problems}
    return json_response({"shard": outcome.shard} | checked | listed)


def _epoch_name(record: Mapping[str, Any]) -> str:
    """The epoch of a tenure, as a name that sorts as the number does."""
    return f"{record['epoch']:020}"


async def get_role(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET and HEAD /v1/shards/{shard}/role/{role}: 200 when this node has the role, else 503."""
    NO_PARAMETERS.parse(request.rel_url.raw_query_string)
    wanted = request.match_info["role"]
    if wanted not in ("leader", "follower"):
        raise RequestRefused("no-such-route", "the role is leader or follower")
    view = shard_in_path(edge, request)
    role = _role_here(edge, view)
    if role != wanted:
        here = edge.here.node
        detail = f"{here} is the {role} of shard {view.shard}" if role else f"{here} has no copy"
        raise RequestRefused("wrong-role", detail, more={"role": role, "epoch": view.epoch})
    return json_response(RoleDocument(view.shard, edge.here.node, role, view.epoch))


def _role_here(edge: Edge, view: ShardView) -> str | None:
    """Leader, follower, or nothing: a node is a follower when it answers reads of its region."""
    if view.leader is not None and view.leader.node == edge.here.node:
        return "leader"
    regions = {replica.region for replica in edge.service.replicas(view.shard)}
    return "follower" if edge.here.region in regions else None


def shard_in_path(edge: Edge, request: web.Request) -> ShardView:
    """The shard that the path names. Raises RequestRefused (`unknown-shard`)."""
    shard = request.match_info["shard"]
    view = edge.service.shard_view(shard)
    if view is None:
        raise RequestRefused("unknown-shard", "no shard has this name")
    return view


async def list_nodes(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/nodes: every node, by name."""
    found = LIST_PARAMETERS.parse(request.rel_url.raw_query_string)
    nodes = edge.service.fleet().nodes
    return json_response(page(nodes, lambda node: node.node, "nodes", found, lambda node: node))


async def get_node(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/nodes/{node}: one node."""
    NO_PARAMETERS.parse(request.rel_url.raw_query_string)
    for node in edge.service.fleet().nodes:
        if node.node == request.match_info["node"]:
            return json_response(node)
    raise RequestRefused("unknown-node", "no node has this name")


async def list_regions(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/regions: every region, by name."""
    found = LIST_PARAMETERS.parse(request.rel_url.raw_query_string)
    regions = region_summaries(edge.service.regions(), edge.service.fleet())
    return json_response(page(regions, lambda r: r.region, "regions", found, lambda r: r))


async def get_region(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/regions/{region}: one region, with its document as it is in force here."""
    NO_PARAMETERS.parse(request.rel_url.raw_query_string)
    name = request.match_info["region"]
    revision = edge.service.documents().get(region_name(name))
    for region in region_summaries(edge.service.regions(), edge.service.fleet()):
        if region.region == name and revision is not None:
            whole = replace(region, document=document_view(revision))
            return json_response(whole, headers={"ETag": revision.etag})
    raise RequestRefused("unknown-region", "no region has this name")


async def get_status(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/status: the fleet on one page."""
    NO_PARAMETERS.parse(request.rel_url.raw_query_string)
    return json_response(status_document(edge.service.fleet(), edge.service.regions()))


async def get_leader(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/leader: the global leader."""
    NO_PARAMETERS.parse(request.rel_url.raw_query_string)
    leader = edge.service.fleet().global_leader
    if leader is None:
        raise RequestRefused("no-leader", "the system shard has no leader at the moment")
    return json_response(leader)
