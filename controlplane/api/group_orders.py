"""Groups of stores, and orders to change which stores belong to one.

A change takes as long as it takes to copy what a new store lacks. So an order is answered when it
has been taken up (202); how far it is, the group's own page says. It is carried out by a node that
stands in the group; any other node passes it on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from controlplane.api.body import Name
from controlplane.api.edge import Edge
from controlplane.api.order_read import OrderRead, read_order
from controlplane.api.paging import page
from controlplane.api.parameters import LIST_PARAMETERS, NO_PARAMETERS
from controlplane.api.responses import json_response
from controlplane.problems import InputError, RequestRefused, from_refusal, invalid
from controlplane.requests import (
    ChangeLease,
    ChangeStores,
    ForceRecover,
    Refused,
    StoreAction,
    StoresForced,
    StoresWanted,
)
from controlplane.views import FleetView, GroupView, NodeView
from regions.latency import TTL_FLOOR_MS
from regions.membership import TTL_MAX_MS


class StoresOrder(BaseModel):
    """What is to become of a group's store set.

    `by` takes the place of a store that is replaced; a store that lost its data can be replaced by
    itself. A store that is added votes, unless it shall only follow.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    action: Annotated[StoreAction, Field(strict=False)]
    store: Name
    by: Name | None = None
    follower: bool = False


class LeaseOrder(BaseModel):
    """How long leases of a group shall last at least, in milliseconds.

    They last longer where measured round trips need it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    ttl_ms: Annotated[int, Field(ge=TTL_FLOOR_MS, le=TTL_MAX_MS)]


class ForceOrder(BaseModel):
    """That a group shall go on with what is left of it.

    `accept_loss`: whatever was acknowledged by the stores that are gone, and by no other, is lost.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    accept_loss: bool = False


async def list_groups(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/regions/groups: every group, by name."""
    found = LIST_PARAMETERS.parse(request.rel_url.raw_query_string)
    groups = edge.service.fleet().groups
    return json_response(page(groups, lambda g: g.group, "groups", found, lambda g: g))


async def get_group(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/regions/groups/{group}: one group, and the change that is on."""
    NO_PARAMETERS.parse(request.rel_url.raw_query_string)
    return json_response(_group_in_path(edge.service.fleet(), request))


async def change_stores(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /v1/regions/groups/{group}/changes: begin to change its store set."""
    order, read = await read_order(edge, request, StoresOrder)
    _check(order)
    change = ChangeStores(
        _group_in_path(edge.service.fleet(), request).group,
        order.action,
        order.store,
        order.by or "",
        order.follower,
        reason=read.reason,
    )
    return await _carry_out(
        edge, request, read, lambda begin: edge.service.change_stores(change, begin=begin)
    )


async def change_lease(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /v1/regions/groups/{group}/lease: begin to give it another lease."""
    order, read = await read_order(edge, request, LeaseOrder)
    group = _group_in_path(edge.service.fleet(), request).group
    change = ChangeLease(group, order.ttl_ms, reason=read.reason)
    return await _carry_out(
        edge, request, read, lambda begin: edge.service.change_stores(change, begin=begin)
    )


async def force_recover(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /v1/regions/groups/{group}/force-recover: go on with what is left of a lost group."""
    order, read = await read_order(edge, request, ForceOrder)
    group = _group_in_path(edge.service.fleet(), request).group
    force = ForceRecover(group, order.accept_loss, reason=read.reason)
    return await _carry_out(
        edge, request, read, lambda begin: edge.service.force_recover(force, begin=begin)
    )


async def _carry_out(
    edge: Edge,
    request: web.Request,
    read: OrderRead,
    order: Callable[[bool], Refused | StoresWanted | StoresForced],
) -> web.StreamResponse:
    """Here, if this node stands in the group; else at a node that does."""
    fleet = edge.service.fleet()
    standing = _standing_in(fleet, _group_in_path(fleet, request))
    if edge.here.node not in [node.node for node in standing]:
        return await edge.pass_on(request, standing, read.body)
    outcome = order(not read.dry_run)
    if isinstance(outcome, Refused):
        raise from_refusal(outcome)
    return json_response(outcome, status=202 if outcome.begun else 200)


def _check(order: StoresOrder) -> None:
    replaces = order.action is StoreAction.REPLACE
    meaningless = f"has no meaning with action {order.action}"
    if replaces and order.by is None:
        raise invalid(InputError("must name the store that comes instead", pointer="#/by"))
    if not replaces and order.by is not None:
        raise invalid(InputError(meaningless, pointer="#/by"))
    if order.follower and order.action is not StoreAction.ADD:
        raise invalid(InputError(meaningless, pointer="#/follower"))


def _group_in_path(fleet: FleetView, request: web.Request) -> GroupView:
    name = request.match_info["group"]
    for group in fleet.groups:
        if group.group == name:
            return group
    known = ", ".join(group.group for group in fleet.groups)
    raise RequestRefused("unknown-group", f"no group has this name; there are {known}")


def _standing_in(fleet: FleetView, group: GroupView) -> list[NodeView]:
    """Live nodes in the regions of the group's voters."""
    regions = {store.region for store in fleet.stores if store.store in group.voters}
    return [node for node in fleet.nodes if node.alive and node.region in regions]
