"""The application: the route table made into a server, with every refusal a problem document."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from functools import cache, partial
from http import HTTPStatus
from time import perf_counter
from typing import Any, Final

from aiohttp import HttpVersion10, HttpVersion11, web

from controlplane.api.edge import REQUEST_ID, REQUEST_ID_NAME, Edge, Handler
from controlplane.api.openapi import openapi_document
from controlplane.api.reply import SERVER, Reply
from controlplane.api.responses import first_answer, json_bytes, problem_response
from controlplane.api.route_table import ROUTES
from controlplane.api.service import Service, Subscription
from controlplane.api.settings import ApiSettings
from controlplane.api.shortcuts import Answered, AppHandler, Shortcuts
from controlplane.planning.planner import Planner
from controlplane.problems import RequestRefused
from controlplane.telemetry.http import Exemplify, Observe
from controlplane.telemetry.metrics import NodeMetrics
from controlplane.telemetry.request_spans import CURRENT, RequestSpans
from controlplane.telemetry.traffic import REQUESTS

EDGE: Final = web.AppKey("edge", Edge)
SHORTCUTS: Final = web.AppKey("shortcuts", Shortcuts)
REST_OF_PATH: Final = frozenset({"key"})
"""Path parameters that may hold slashes, or nothing (which their handler refuses by name)."""

SPOKEN: Final = (HttpVersion11, HttpVersion10)

LOGGER: Final = logging.getLogger(__name__)


def create_app(
    service: Service,
    settings: ApiSettings | None = None,
    planner: Planner | None = None,
    metrics: NodeMetrics | None = None,
    traces: RequestSpans | None = None,
) -> web.Application:
    """The HTTP application of one node. Run it with `controlplane.api.server.ApiServer`."""

    @cache
    def describe() -> bytes:
        return json_bytes(openapi_document(ROUTES, service.identity.url))

    edge = Edge(service, settings or ApiSettings(), describe, planner or Planner(service))
    app = web.Application()
    app[EDGE] = edge
    if metrics is not None:
        metrics.http.watches(lambda: edge.streams)
        edge.dispatch.routed = metrics.requests.routed
        here = service.identity.region
        edge.dispatch.bytes_of = partial(metrics.traffic.between, here, REQUESTS)
    shortcuts = app[SHORTCUTS] = Shortcuts()
    for endpoint in ROUTES:
        path = _pattern(endpoint.path)
        observe = None
        if metrics is not None:
            observe = metrics.http.route(endpoint.method, endpoint.path)
        handler: Any = _served(edge, endpoint.handler, observe)
        if traces is not None:
            exemplify = None
            if metrics is not None:
                exemplify = metrics.http.traced(endpoint.method, endpoint.path)
            handler = _traced(traces, f"{endpoint.method} {endpoint.path}", handler, exemplify)
        for method in (endpoint.method, "HEAD") if endpoint.also_head else (endpoint.method,):
            app.router.add_route(method, path, handler, expect_handler=_expect)
            shortcuts.add(method, endpoint.path, handler, REST_OF_PATH)
    nothing_here: Any = _served(edge, _nothing_here)
    app.router.add_route("*", "/{path:(?s:.*)}", nothing_here)
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
    await edge.planner.close()


async def _end_streams(app: web.Application) -> None:
    edge = app[EDGE]
    edge.table_feed.close()
    edge.event_feed.journal.close()


def _pattern(path: str) -> str:
    for name in REST_OF_PATH:
        path = path.replace("{" + name + "}", "{" + name + ":(?s:.*)}")
    return path


def _served(edge: Edge, handler: Handler, observe: Observe | None = None) -> AppHandler:
    """The handler with every way out of it an answer of ours, and each of them observed.

    A middleware would do the same, and cost every request a tenth of its time.
    """

    async def serve(request: web.Request) -> Answered:
        began_s = perf_counter()
        request_id = request[REQUEST_ID] = edge.request_id(request.headers.get(REQUEST_ID_NAME))
        try:
            _check_line(request)
            answer = await handler(edge, request)
            if isinstance(answer, Reply):
                answer.request_id = request_id
                if observe is not None:
                    observe(HTTPStatus.OK, perf_counter() - began_s)
                return answer
            response = answer
        except RequestRefused as refused:
            response = problem_response(refused, request.rel_url.raw_path)
        except ConnectionError:
            raise
        except Exception:
            LOGGER.exception("request %s: %s %s", request_id, request.method, request.rel_url)
            defect = RequestRefused("internal", f"the log of the node has it as {request_id}")
            response = problem_response(defect, request.rel_url.raw_path)
        if not response.prepared:
            response.headers[REQUEST_ID_NAME] = request_id
            response.headers["Server"] = SERVER
            if observe is not None:  # a stream was prepared long ago, and is counted while it is on
                observe(response.status, perf_counter() - began_s)
        return response

    return serve


def _traced(
    traces: RequestSpans, route: str, serve: AppHandler, exemplify: Exemplify | None = None
) -> AppHandler:
    """The same, with a span of each request that is to have one."""

    async def traced(request: web.Request) -> Answered:
        span = traces.begin(route, request.headers.get("traceparent"))
        if span is None:
            return await serve(request)
        token, error, status = CURRENT.set(span), "the client went away", 0
        began_s = perf_counter()
        try:
            answer = await serve(request)
            if exemplify is not None and (isinstance(answer, Reply) or not answer.prepared):
                exemplify(perf_counter() - began_s, span.trace_id)
            status = HTTPStatus.OK if isinstance(answer, Reply) else answer.status
            error = f"status {status}" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else ""
            return answer
        finally:
            CURRENT.reset(token)
            span.end(error, status=int(status), route=route)

    return traced


def _check_line(request: web.Request) -> None:
    """Refuse a request line that the parser lets pass, and that may not be what was sent.

    A line whose end was lost is an HTTP/0.9 request for another path, and what follows a `#` never
    belongs into a request: both would be served, and written, under a shorter name than was meant.
    """
    if request.version not in SPOKEN:
        spoken = "HTTP/1.1 and HTTP/1.0 are spoken here"
        raise RequestRefused("malformed", spoken, headers={"Connection": "close"})
    if request.rel_url.raw_fragment:
        raise RequestRefused("malformed", "the path holds a #: it must be written as %23")


async def _nothing_here(edge: Edge, request: web.Request) -> web.StreamResponse:
    """Whatever no other route took: the path does not exist, or does not know the method."""
    allowed: set[str] = set()
    for resource in request.app.router.resources():
        allowed |= (await resource.resolve(request))[1]
    allowed.discard("*")
    if not allowed:
        raise RequestRefused("no-such-route", "see /openapi.json for what there is")
    known = ", ".join(sorted(allowed))
    raise RequestRefused("method-not-allowed", f"it knows {known}", headers={"Allow": known})


async def _expect(request: web.Request) -> web.StreamResponse | None:
    """Answer `Expect: 100-continue`; there is no other expectation that could be met."""
    if request.headers.get("Expect", "").lower() != "100-continue":
        return first_answer(RequestRefused("expectation-failed", "only 100-continue is known"))
    # A body that is too large is refused by its handler, before it has been read.
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return None
