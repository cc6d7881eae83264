"""The application: the route table made into a server, with every refusal a problem document."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from controlplane.api.edge import REQUEST_ID, Edge, Handler
from controlplane.api.openapi import openapi_document
from controlplane.api.responses import SERVER, json_bytes, problem_response
from controlplane.api.route_table import ROUTES
from controlplane.api.service import Service, Subscription
from controlplane.api.settings import ApiSettings
from controlplane.problems import RequestRefused

EDGE: Final = web.AppKey("edge", Edge)
REST_OF_PATH: Final = frozenset({"key"})
"""Path parameters that may hold slashes, or nothing (which their handler refuses by name)."""

LOGGER: Final = logging.getLogger(__name__)

AppHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def create_app(service: Service, settings: ApiSettings | None = None) -> web.Application:
    """The HTTP application of one node. Run it with `controlplane.api.server.ApiServer`."""
    edge = Edge(service, settings or ApiSettings())
    edge.openapi = json_bytes(openapi_document(ROUTES, service.identity.url))
    app = web.Application(middlewares=[_edge_of(edge)])
    app[EDGE] = edge
    for endpoint in ROUTES:
        path = _pattern(endpoint.path)
        handler = _bound(edge, endpoint.handler)
        for method in (endpoint.method, "HEAD") if endpoint.also_head else (endpoint.method,):
            app.router.add_route(method, path, handler, expect_handler=_expect)
    app.cleanup_ctx.append(_running)
    app.on_shutdown.append(_end_streams)
    return app


async def _running(app: web.Application) -> AsyncIterator[None]:
    edge = app[EDGE]
    await edge.dispatch.open()
    leave = edge.service.subscribe(Subscription(edge.table_feed.on_table, edge.event_feed.happened))
    yield
    leave()
    await edge.dispatch.close()


async def _end_streams(app: web.Application) -> None:
    edge = app[EDGE]
    edge.table_feed.journal.close()
    edge.event_feed.journal.close()


def _pattern(path: str) -> str:
    for name in REST_OF_PATH:
        path = path.replace("{" + name + "}", "{" + name + ":.*}")
    return path


def _bound(edge: Edge, handler: Handler) -> AppHandler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await handler(edge, request)

    return handle


async def _expect(request: web.Request) -> web.StreamResponse | None:
    """Answer `Expect: 100-continue`; there is no other expectation that could be met."""
    if request.headers.get("Expect", "").lower() != "100-continue":
        return problem_response(RequestRefused("expectation-failed", "only 100-continue is known"))
    # A body that is too large is refused by its handler, before it has been read.
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return None


def _edge_of(edge: Edge) -> Middleware:
    @web.middleware
    async def serve(request: web.Request, handler: AppHandler) -> web.StreamResponse:
        request_id = request[REQUEST_ID] = edge.request_id(request.headers.get("X-Request-Id"))
        try:
            response = await handler(request)
        except RequestRefused as refused:
            response = _problem(request, refused)
        except web.HTTPException as failure:
            response = _problem(request, from_http(failure))
        except ConnectionError:
            raise
        except Exception:
            LOGGER.exception("request %s: %s %s", request_id, request.method, request.rel_url)
            response = _problem(request, RequestRefused("internal", f"see the log: {request_id}"))
        if not response.prepared:
            response.headers["X-Request-Id"] = request_id
            response.headers["Server"] = SERVER
        return response

    return serve


def _problem(request: web.Request, refused: RequestRefused) -> web.Response:
    return problem_response(refused, request.rel_url.raw_path)


def from_http(failure: web.HTTPException) -> RequestRefused:
    """What aiohttp refuses by itself, as one of our problems."""
    if isinstance(failure, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(failure.allowed_methods))
        return RequestRefused(
            "method-not-allowed", f"this path knows {allowed}", headers={"Allow": allowed}
        )
    if isinstance(failure, web.HTTPNotFound):
        return RequestRefused("no-such-route", "see /openapi.json for what there is")
    if isinstance(failure, web.HTTPRequestEntityTooLarge):
        return RequestRefused("too-large", "the body is larger than allowed")
    return RequestRefused("malformed", failure.reason or "not understood")
