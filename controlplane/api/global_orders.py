"""Orders that the global leader carries out; any other node passes them on to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from controlplane.api.edge import Edge
from controlplane.api.once import once
from controlplane.api.order_read import OrderRead
from controlplane.api.placement_inputs import gathered_at
from controlplane.node.load_reports import Gathered


async def at_global_leader(
    edge: Edge,
    request: web.Request,
    read: OrderRead,
    carry_out: Callable[[Gathered], Awaitable[web.Response]],
) -> web.StreamResponse:
    """Here, if this node is it; else what it answers. Raises RequestRefused."""
    gathered = await gathered_at(edge, request, read.body)
    if isinstance(gathered, web.StreamResponse):
        return gathered
    return await once(edge, request, read.body, lambda: carry_out(gathered))
