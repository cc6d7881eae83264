"""Orders to make a group of several regions; the leader of the shard `system` carries them out."""

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
from controlplane.requests import GroupWanted, MakeGroup


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
    (
        "invalid", "no-leader", "no-quorum", "leader-unreachable", "not-leader", "group-not-made",
        "idempotency-mismatch", "too-large", "request-timeout", "unsupported-media-type",
        "overloaded", "store-full", "unknown-outcome",
    ),
    ORDER_PARAMETERS,
    (IDEMPOTENCY_KEY, *PASSED_ON),
    NewGroupOrder,
)  # fmt: skip
