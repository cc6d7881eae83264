"""Orders to make a group of several regions, or to let one go.

The leader of the shard `system` carries them out.
"""

from __future__ import annotations

from typing import Annotated, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from controlplane.api.body import Name
from controlplane.api.edge import Edge
from controlplane.api.headers import IDEMPOTENCY_KEY, PASSED_ON
from controlplane.api.once import once
from controlplane.api.order_read import PRINCIPAL, read_order
from controlplane.api.parameters import ORDER_PARAMETERS
from controlplane.api.responses import json_response
from controlplane.api.route import Answer, Endpoint, Needs
from controlplane.node.following import SYSTEM
from controlplane.requests import DropGroup, GroupDropped, GroupWanted, MakeGroup


class NewGroupOrder(BaseModel):
    """The regions that vote, once each: three of them, or five."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    regions: Annotated[list[Name], Field(min_length=3, max_length=5)]


async def make_group(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /v1/regions/groups: have a group that votes in these regions."""
    order, read = await read_order(edge, request, NewGroupOrder)
    make = MakeGroup(tuple(order.regions), not read.dry_run, PRINCIPAL, read.reason)

    async def give() -> web.Response:
        outcome = await edge.ask(request, SYSTEM, make, body=read.body)
        if isinstance(outcome, web.Response):
            return outcome
        assert isinstance(outcome, GroupWanted), outcome
        return json_response(outcome, status=202 if outcome.begun else 200)

    return await once(edge, request, read.body, give)


class DropOrder(BaseModel):
    """Nothing but the order itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


async def drop_group(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /v1/regions/groups/{group}/drop: let a group go that was made and has no shard."""
    _, read = await read_order(edge, request, DropOrder)
    group = request.match_info["group"]
    drop = DropGroup(group, not read.dry_run, PRINCIPAL, read.reason)

    async def give() -> web.Response:
        outcome = await edge.ask(request, SYSTEM, drop, body=read.body)
        if isinstance(outcome, web.Response):
            return outcome
        assert isinstance(outcome, GroupDropped), outcome
        return json_response(outcome, status=202 if outcome.begun else 200)

    return await once(edge, request, read.body, give)


PROBLEMS: Final = (
    "invalid", "no-leader", "no-quorum", "leader-unreachable", "not-leader",
    "idempotency-mismatch", "too-large", "request-timeout", "unsupported-media-type",
    "overloaded", "store-full", "unknown-outcome",
)  # fmt: skip

MAKING: Final = Endpoint(
    "POST",
    "/v1/regions/groups",
    make_group,
    "Have a group that votes in these regions",
    "fleet",
    Needs.OPERATOR,
    (
        Answer(202, "Being made; it is listed once all its stores have it.", GroupWanted),
        Answer(200, "It is there already; or, with dry_run, what would be made.", GroupWanted),
    ),
    (*PROBLEMS, "group-not-made"),
    ORDER_PARAMETERS,
    (IDEMPOTENCY_KEY, *PASSED_ON),
    NewGroupOrder,
)  # fmt: skip

DROPPING: Final = Endpoint(
    "POST",
    "/v1/regions/groups/{group}/drop",
    drop_group,
    "Let a group go that was made, and in which there is no shard",
    "fleet",
    Needs.OPERATOR,
    (
        Answer(202, "Dropped; every node leaves it, and its name is not used again.", GroupDropped),
        Answer(200, "It was dropped before; or, with dry_run, would be.", GroupDropped),
    ),
    (*PROBLEMS, "group-not-dropped", "unknown-group"),
    ORDER_PARAMETERS,
    (IDEMPOTENCY_KEY, *PASSED_ON),
    DropOrder,
)
