"""A collector that takes all it is sent and keeps nothing: `python -m ... PORT`, until ended."""

from __future__ import annotations

import sys

from aiohttp import web


async def take(request: web.Request) -> web.Response:
    """Answer with an empty message, as a collector does that took everything."""
    await request.read()
    return web.Response(content_type="application/x-protobuf")


def main() -> None:
    """Serve on loopback until the process is ended."""
    collector = web.Application(client_max_size=64 * 1024 * 1024)
    collector.router.add_post("/v1/{signal}", take)
    web.run_app(collector, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)


if __name__ == "__main__":
    main()
