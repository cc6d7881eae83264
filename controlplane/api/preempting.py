"""A better placed node takes a shard over on purpose, by a planned transfer.

Better placed is who comes earlier among the shard's candidates, as its nodes reckon: the one it is
pinned to, by region in its order of preference, there the preferred node. Candidates that only
chance sets apart are equal, and none of them takes anything from another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from config.document import Kind
from config.shard_rules import pin_of
from controlplane.api.admitted import admit, make, refuse
from controlplane.api.body import Name
from controlplane.api.edge import Edge
from controlplane.api.fleet_pages import shard_in_path
from controlplane.api.global_orders import at_global_leader
from controlplane.api.order_read import read_order
from controlplane.api.responses import json_response
from controlplane.api.shard_orders import TransferOrder, choose_heir, regions_that_vote, trial
from controlplane.node.load_reports import Gathered
from controlplane.planning.reasons import Hindrance
from controlplane.problems import RequestRefused
from controlplane.views import NodeView, ShardView


class PreemptOrder(BaseModel):
    """Who is to take the shard over; without a name, whoever is placed best."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    by: Name | None = None


async def preempt_shard(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /v1/shards/{shard}/preempt: have a better placed node take it over."""
    view = shard_in_path(edge, request)
    order, read = await read_order(edge, request, PreemptOrder)

    async def carry_out(_: Gathered) -> web.Response:
        heir = _better(edge, view, order.by)
        wanted = admit(edge, view, heir)
        if read.dry_run:
            return json_response(trial(view, heir))
        return await make(edge, request, wanted, read.reason)

    return await at_global_leader(edge, request, read, carry_out)


def _better(edge: Edge, view: ShardView, by: str | None) -> NodeView:
    """The node that takes it over. Raises RequestRefused unless it is placed better."""
    fleet = edge.service.fleet()
    leader = next((n for n in fleet.nodes if view.leader and n.node == view.leader.node), None)
    if leader is None:
        raise RequestRefused("no-leader", f"nobody leads shard {view.shard}: {view.why}")
    pinned = _pinned(edge, view.shard)
    if by is not None and pinned not in ("", by):
        refuse(Hindrance.PINNED, f"shard {view.shard} is pinned to {pinned}")
    row = edge.service.map_row(view.shard)
    preferred = row.node if row is not None else ""

    def place(node: NodeView) -> tuple[bool, int, bool]:
        regions = view.regions
        at = regions.index(node.region) if node.region in regions else len(regions)
        return pinned not in ("", node.node), at, bool(preferred) and node.node != preferred

    ranked = sorted(fleet.nodes, key=place)
    may_lead = regions_that_vote(fleet, view.group)
    if by is None:
        fit = [n for n in ranked if n.alive and not n.drained and n.region in may_lead]
        others = [n for n in fit if n.node != leader.node and not n.suspect]
        if not others:
            raise RequestRefused("no-candidate", "no other node is alive and may lead it")
        heir = others[0]
    else:
        heir = choose_heir(view, TransferOrder(to_node=by), fleet.nodes, may_lead)
    if not leader.drained and place(heir) >= place(leader):
        detail = f"{heir.node} is not placed better than {leader.node}, which leads {view.shard}"
        refuse(Hindrance.NOT_BETTER, detail)
    return heir


def _pinned(edge: Edge, shard: str) -> str:
    """The node that a shard is pinned to, "" for none."""
    content: Mapping[str, Any] = edge.service.documents().content(Kind.CONSTRAINTS)
    pin = pin_of(content, (shard, *edge.service.ancestors(shard)))
    return "" if pin is None else str(pin["node"])
