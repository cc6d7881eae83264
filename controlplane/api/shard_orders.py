"""Orders about a shard: hand it over, or take it away.

An order can be tried out (`dry_run`), given a reason, and repeated under its idempotency key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from controlplane.api.admitted import admit, make
from controlplane.api.body import Name, parse_model, read_body
from controlplane.api.documents import DryRun
from controlplane.api.edge import Edge
from controlplane.api.fleet_pages import shard_in_path
from controlplane.api.once import once
from controlplane.api.order_read import PRINCIPAL
from controlplane.api.parameters import ORDER_PARAMETERS, reason_in
from controlplane.api.placement_inputs import gathered_at
from controlplane.api.responses import json_response
from controlplane.problems import InputError, RequestRefused, invalid
from controlplane.requests import Evict, Evicted, Request, Transfer, Transferred
from controlplane.views import FleetView, NodeView, ShardView


class TransferOrder(BaseModel):
    """Where a shard shall be led from. Without a target, the best live candidate is chosen.

    `force`: the shard's leader alone is asked, and no admission at the global leader.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    to_region: Name | None = None
    to_node: Name | None = None
    force: bool = False


class EvictOrder(BaseModel):
    """Nothing can be chosen about an eviction."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


async def transfer_shard(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /v1/shards/{shard}/transfer: hand it over without waiting for a lease to run out.

    The global leader admits it, and any other node passes it on there; not so with `force`.
    """
    found, body, view = await _read_order(edge, request)
    order = parse_model(TransferOrder, request, body)
    if order.to_node is not None and order.to_region is not None:
        raise invalid(InputError("excludes to_region", pointer="#/to_node"))

    if not order.force:
        elsewhere = await gathered_at(edge, request, body)
        if isinstance(elsewhere, web.StreamResponse):
            return elsewhere

    async def carry_out() -> web.Response:
        fleet, reason = edge.service.fleet(), found.get("reason", "")
        heir = choose_heir(view, order, fleet.nodes, regions_that_vote(fleet, view.group))
        wanted = None if order.force else admit(edge, view, heir)
        if found.get("dry_run"):
            return json_response(trial(view, heir))
        if wanted is not None:
            return await make(edge, request, wanted, reason)
        question = Transfer(view.shard, heir.node, PRINCIPAL, reason)
        return await _give(edge, request, view, question, body, needs_leader=True)

    return await once(edge, request, body, carry_out)


async def evict_shard(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /v1/shards/{shard}/evict: take it from its holder, with or without its help."""
    found, body, view = await _read_order(edge, request)
    parse_model(EvictOrder, request, body)

    async def carry_out() -> web.Response:
        question = Evict(view.shard, PRINCIPAL, found.get("reason", ""))
        if found.get("dry_run"):
            return json_response(trial(view))
        return await _give(edge, request, view, question, body, needs_leader=False)

    return await once(edge, request, body, carry_out)


def regions_that_vote(fleet: FleetView, group: str) -> Set[str]:
    """Where nodes stand that may lead a shard of this group: in the regions of its voters."""
    voters = {voter for each in fleet.groups if each.group == group for voter in each.voters}
    return {store.region for store in fleet.stores if store.store in voters}


def choose_heir(
    view: ShardView, order: TransferOrder, nodes: Iterable[NodeView], may_lead: Set[str]
) -> NodeView:
    """The node that takes over: the one named, else the best of those alive.

    Best is: not silent a moment ago, in the region that the shard prefers most, leading least.
    `may_lead` names the regions
    whose nodes can. Raises RequestRefused when there is no such node or region, or nobody who could
    take over.
    """
    known = list(nodes)
    leader = view.leader.node if view.leader is not None else None
    if order.to_node is not None:
        for node in known:
            if node.node == order.to_node:
                check_region(node.region, view, may_lead)
                if not node.alive:
                    raise RequestRefused("no-candidate", f"node {node.node} is not alive")
                if node.drained:
                    raise RequestRefused("no-candidate", f"node {node.node} is drained")
                if node.node == leader:
                    raise RequestRefused("no-candidate", f"node {node.node} leads it already")
                return node
        raise RequestRefused("unknown-node", "no node is called as `to_node` says")
    if order.to_region is not None and all(node.region != order.to_region for node in known):
        raise RequestRefused("unknown-region", "no node stands in a region of this name")
    if order.to_region is not None:
        check_region(order.to_region, view, may_lead)
    candidates = [
        node
        for node in known
        if node.alive
        and not node.drained
        and node.node != leader
        and node.region in may_lead
        and order.to_region in (None, node.region)
    ]
    if not candidates:
        where = f"region {order.to_region}" if order.to_region else "the fleet"
        raise RequestRefused("no-candidate", f"no other node of {where} is alive and may lead")
    rank = {region: place for place, region in enumerate(view.regions)}

    def least(node: NodeView) -> tuple[bool, int, int, str]:
        return node.suspect, rank.get(node.region, len(rank)), node.leads, node.node

    return min(candidates, key=least)


def check_region(region: str, view: ShardView, may_lead: Set[str]) -> None:
    """Raises RequestRefused where no node of the region can lead the shard."""
    if region not in may_lead:
        homes = ", ".join(sorted(may_lead))
        raise RequestRefused(
            "no-candidate",
            f"shard {view.shard} decides in group {view.group}: only a node of {homes} can lead it",
        )


async def _read_order(
    edge: Edge, request: web.Request
) -> tuple[Mapping[str, Any], bytes, ShardView]:
    found = ORDER_PARAMETERS.parse(request.rel_url.raw_query_string)
    reason_in(found)
    settings = edge.settings
    body = await read_body(request, settings.json_bytes_max, settings.body_timeout_ms)
    return found, body, shard_in_path(edge, request)


async def _give(
    edge: Edge,
    request: web.Request,
    view: ShardView,
    question: Request,
    body: bytes,
    *,
    needs_leader: bool,
) -> web.Response:
    outcome = await edge.ask(request, view.shard, question, body=body, needs_leader=needs_leader)
    if isinstance(outcome, web.Response):
        return outcome
    assert isinstance(outcome, Transferred | Evicted), outcome
    return json_response(outcome)


def trial(view: ShardView, heir: NodeView | None = None) -> DryRun:
    """What would be done. A shard that nobody holds is refused."""
    if view.leader is None:
        raise RequestRefused("no-leader", f"nobody leads shard {view.shard}: {view.why}")
    return DryRun(
        dry_run=True,
        shard=view.shard,
        from_node=view.leader.node,
        from_epoch=view.epoch,
        to_node=heir.node if heir is not None else None,
        to_region=heir.region if heir is not None else None,
    )
