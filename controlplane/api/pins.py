"""Pinning a shard to a node: an edit of the document `constraints`, made for whoever asks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from config.document import Kind
from config.revision import Revision
from config.shard_rules import pin_of
from config.strategy import DEFAULTS, OnUnreachable, StrategyName
from controlplane.api.body import Name, parse_model, read_body
from controlplane.api.document_conditions import Conditions, Wish
from controlplane.api.document_edits import edit_document
from controlplane.api.edge import Edge
from controlplane.api.fleet_pages import shard_in_path
from controlplane.api.service import Service
from controlplane.api.shard_orders import check_region, regions_that_vote
from controlplane.node.following import SYSTEM
from controlplane.node.pins import Failover
from controlplane.problems import InputError, RequestRefused, invalid
from controlplane.views import ShardView

ANY_VERSION = Conditions("*", creates=False)
AT_ONCE = replace(
    DEFAULTS[StrategyName.ALL_AT_ONCE],
    final_bake_ms=0,
    step_deadline_ms=5_000,
    on_unreachable=OnUnreachable.DEFER,
    unavailable_max=100,
)
"""A pin says where one shard is led: all nodes have to know it at the same time, and a region that
is gone must not keep the next pin waiting."""


class PinOrder(BaseModel):
    """Who is to lead the shard, null for whoever comes first; and what lets another one lead."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    node: Name | None
    failover: Failover = Failover.LEASE


async def pin_shard(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /v1/shards/{shard}/pin: have it led by one node, or by nobody in particular."""
    settings = edge.settings
    body = await read_body(request, settings.json_bytes_max, settings.body_timeout_ms)
    order = parse_model(PinOrder, request, body)
    view = shard_in_path(edge, request)
    _check(edge, view, order)
    service = edge.service

    def edited(now: Revision | None) -> tuple[dict[str, Any], str]:
        content: dict[str, Any] = dict(now.content) if now is not None else {}
        return content | {"pins": _pinned(service, content, view.shard, order)}, ""

    wish = Wish(Kind.CONSTRAINTS.value, edited)
    return await edit_document(edge, request, body, wish, ANY_VERSION, AT_ONCE)


def _check(edge: Edge, view: ShardView, order: PinOrder) -> None:
    if view.shard == SYSTEM:
        raise invalid(InputError("the system shard is led by whoever can", parameter="shard"))
    if order.node is None:
        return
    fleet = edge.service.fleet()
    for node in fleet.nodes:
        if node.node == order.node:
            check_region(node.region, view, regions_that_vote(fleet, view.group))
            return
    raise RequestRefused("unknown-node", f"no node is called {order.node}")


def _pinned(
    service: Service, content: dict[str, Any], shard: str, order: PinOrder
) -> list[dict[str, Any]]:
    """The pins with the shard's own as ordered.

    A pin that it has of a shard that it continues is kept by the others that continue it.
    """
    pins = [pin for pin in content.get("pins", []) if pin["shard"] != shard]
    if order.node is not None:
        pin = {"shard": shard, "node": order.node}
        more = {"failover": order.failover.value} if order.failover is not Failover.LEASE else {}
        return [*pins, pin | more]
    names = (shard, *service.ancestors(shard))
    while (inherited := pin_of({"pins": pins}, names)) is not None:
        others = sorted(set(service.shard_names()) - {*names})
        kept = [
            inherited | {"shard": other}
            for other in others
            if pin_of({"pins": pins}, (other, *service.ancestors(other))) is inherited
        ]
        pins = [pin for pin in pins if pin is not inherited] + kept
    return pins
