"""An order as it came in: its body, the reason that was given, and whether it is only a trial."""

from __future__ import annotations

from typing import Final, NamedTuple

from aiohttp import web

from controlplane.api.body import Model, parse_model, read_body
from controlplane.api.edge import Edge
from controlplane.api.parameters import ORDER_PARAMETERS, reason_in

PRINCIPAL: Final = "operator"
"""Who orders, as long as nobody is asked who they are."""


class OrderRead(NamedTuple):
    """What came with an order: its body as it was sent, and how it is to be taken."""

    body: bytes
    reason: str
    dry_run: bool


async def read_order(
    edge: Edge, request: web.Request, model: type[Model]
) -> tuple[Model, OrderRead]:
    """What a request orders, and how. Raises RequestRefused for what makes no sense."""
    found = ORDER_PARAMETERS.parse(request.rel_url.raw_query_string)
    reason = reason_in(found)
    settings = edge.settings
    body = await read_body(request, settings.json_bytes_max, settings.body_timeout_ms)
    order = parse_model(model, request, body)
    return order, OrderRead(body, reason, found.get("dry_run", False))
