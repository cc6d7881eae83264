"""The peer of `resolve` and `http-edge`: aiohttp handlers that do nothing but HTTP.

`python -m controlplane.bench.bare_handler PORT ANSWERS` serves `/v1/route` and `/v1/kv/{key}`. They
take the same requests as the real ones, and answer as many bytes, under the same headers, as
ANSWERS (JSON, see `BareAnswer`) says.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

FILLER = b'{"shard":"'
ROUTE, GET, PUT = "route", "get", "put"


@dataclass(frozen=True, slots=True)
class BareAnswer:
    """How many bytes to answer, and under which headers besides those that every answer has."""

    size: int
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        """So many bytes."""
        return (FILLER + b"x" * (self.size - len(FILLER) - 2) + b'"}')[: self.size]


def application(answers: Mapping[str, BareAnswer]) -> web.Application:
    """An application that gives these answers."""
    bodies = {name: answer.body() for name, answer in answers.items()}

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
            body=bodies[ROUTE], content_type="application/json", headers={"X-Region": region or ""}
        )

    async def get(request: web.Request) -> web.Response:
        if not request.match_info["key"]:
            raise web.HTTPBadRequest
        return web.Response(
            body=bodies[GET],
            content_type="application/octet-stream",
            headers=answers[GET].headers,
        )

    async def put(request: web.Request) -> web.Response:
        if not request.match_info["key"] or not await request.read():
            raise web.HTTPBadRequest
        return web.Response(
            body=bodies[PUT], content_type="application/json", headers=answers[PUT].headers
        )

    served = web.Application()
    served.router.add_get("/v1/route", resolve)
    served.router.add_get("/v1/kv/{key}", get)
    served.router.add_put("/v1/kv/{key}", put)
    return served


def main() -> None:
    """Serve on loopback until the process is ended."""
    import uvloop

    port = int(sys.argv[1])
    answers = {name: BareAnswer(**each) for name, each in json.loads(sys.argv[2]).items()}
    loop = uvloop.new_event_loop()
    web.run_app(
        application(answers),
        host="127.0.0.1",
        port=port,
        loop=loop,
        print=None,
        access_log=None,
    )


if __name__ == "__main__":
    main()
