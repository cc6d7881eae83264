"""A drained node is let lead a few shards first: its canaries.

They are of those that its region is to lead, by the order in which the node draws them, so that the
same order gives the same shards; at least one.
"""

from __future__ import annotations

import math
from dataclasses import replace

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from config.document import Kind
from config.shard_rules import pin_of
from controlplane.api.drain_orders import (
    drain_document,
    end_drain,
    node_in_path,
    raise_refusal,
)
from controlplane.api.edge import Edge
from controlplane.api.global_orders import at_global_leader
from controlplane.api.order_read import PRINCIPAL, OrderRead, read_order
from controlplane.api.responses import json_response
from controlplane.api.shard_orders import regions_that_vote
from controlplane.node.drains import DrainState, Scope, drain_key
from controlplane.node.following import SYSTEM
from controlplane.node.load_reports import Gathered
from controlplane.planning.drain_book import DrainBook
from controlplane.planning.drain_facts import drain_facts
from controlplane.planning.order_book import is_outdated
from controlplane.problems import RequestRefused
from controlplane.views import NodeView
from shards.election import drawn

CANARIES_MAX = 500


class UndrainOrder(BaseModel):
    """That a node is to lead again; with `canary_share`, so large a share of the shards first."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    canary_share: float | None = Field(default=None, gt=0, le=0.5)


async def undrain_node(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /v1/nodes/{node}/undrain: let it lead again, or a few shards first."""
    node = node_in_path(edge, request)
    order, read = await read_order(edge, request, UndrainOrder)
    share = order.canary_share
    if share is None:
        return await end_drain(edge, request, read, Scope.NODE, node.node, "")

    async def carry_out(gathered: Gathered) -> web.Response:
        return await _let_lead_a_few(edge, node, share, read, gathered)

    return await at_global_leader(edge, request, read, carry_out)


async def _let_lead_a_few(
    edge: Edge, node: NodeView, share: float, read: OrderRead, gathered: Gathered
) -> web.Response:
    """Name the canaries of a drained node. Raises RequestRefused."""
    book = DrainBook(edge.service)
    records = {drain.key: (drain, version) for drain, version in await book.drains()}
    before, version = records.get(drain_key(Scope.NODE, node.node), (None, 0))
    if before is None or before.state is not DrainState.DRAINED:
        raise RequestRefused(
            "drain-refused",
            f"{node.node} is not drained: only a drained node can lead a few shards first",
            more={"reason": "contradicts"},
        )
    canaries = choose_canaries(edge, node, share)
    few = replace(before, canaries=canaries, principal=PRINCIPAL, reason=read.reason)
    if not read.dry_run:
        refused = await book.put(few, version, before)
        if refused is not None and is_outdated(refused):
            raise RequestRefused("drain-refused", "another order about it came at the same moment")
        raise_refusal(refused)
    facts = drain_facts(edge.service, gathered, few, edge.service.fleet())
    return json_response(drain_document(edge, few, facts, dry_run=read.dry_run))


def choose_canaries(edge: Edge, node: NodeView, share: float) -> tuple[str, ...]:
    """So large a share of the fleet's shards, of those that the node may lead."""
    service, fleet = edge.service, edge.service.fleet()
    may_lead = {g.group: regions_that_vote(fleet, g.group) for g in fleet.groups}
    content = service.documents().content(Kind.CONSTRAINTS)
    names = [
        name for name, group in service.shard_groups() if node.region in may_lead.get(group, ())
    ]
    fit = [
        name for name in names
        if name != SYSTEM and pin_of(content, (name, *service.ancestors(name))) is None
    ]  # fmt: skip
    rows = {name: service.map_row(name) for name in fit}
    at_home = [n for n, row in rows.items() if row is not None and row.regions[0] == node.region]
    wanted = min(CANARIES_MAX, max(1, math.ceil(share * fleet.shards_total)))

    def place(shard: str) -> tuple[int, str]:
        return drawn(shard, node.node), shard

    return tuple(sorted(sorted(at_home or fit, key=place)[:wanted]))
