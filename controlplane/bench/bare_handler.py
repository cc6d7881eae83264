"""The peer of `resolve`: an aiohttp handler that does nothing but HTTP.

`python -m controlplane.bench.bare_handler PORT SIZE` serves `/v1/route`: it parses the same query
as the real one and answers SIZE bytes of JSON. What is faster than this is not an aiohttp server.
"""

from __future__ import annotations

import sys

from aiohttp import web

FILLER = b'{"shard":"'


def application(size: int) -> web.Application:
    """An application whose answer has `size` bytes."""
    body = FILLER + b"x" * (size - len(FILLER) - 2) + b'"}'

    async def resolve(request: web.Request) -> web.Response:
        query = request.query
        key = query["key"]
        intent = query.get("intent", "read")
        region = query.get("region")
        staleness = query.get("max_staleness_ms")
        max_staleness_ms = int(staleness) if staleness else None
        if not key or intent not in ("read", "write") or (max_staleness_ms or 0) < 0:
            raise web.HTTPBadRequest
        return web.Response(
            body=body, content_type="application/json", headers={"X-Region": region or ""}
        )

    served = web.Application()
    served.router.add_get("/v1/route", resolve)
    return served


def main() -> None:
    """Serve on loopback until the process is ended."""
    import uvloop

    port, size = int(sys.argv[1]), int(sys.argv[2])
    loop = uvloop.new_event_loop()
    web.run_app(
        application(size),
        host="127.0.0.1",
        port=port,
        loop=loop,
        print=None,
        access_log=None,
    )


if __name__ == "__main__":
    main()
