"""An order that is sent again under its idempotency key is answered as the first time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from controlplane.api.edge import Edge
from controlplane.api.kv_request import digest_of, idempotency_key_of


async def once(
    edge: Edge,
    request: web.Request,
    body: bytes,
    carry_out: Callable[[], Awaitable[web.Response]],
) -> web.StreamResponse:
    """Carry an order out, unless this node did so before under this key. Raises RequestRefused."""
    key = idempotency_key_of(request)
    if not key:
        return await carry_out()
    digest = digest_of(request.method, request.rel_url.raw_path_qs, body)
    return await edge.replays.once(key, digest, carry_out)
