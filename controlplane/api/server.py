"""Serving the application on a socket, with limits on what comes in before any handler sees it."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, Final, Self, cast

from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import LineTooLong

from controlplane.api.application import SHORTCUTS, SPOKEN
from controlplane.api.reply import Reply
from controlplane.api.responses import first_answer
from controlplane.api.settings import ApiSettings
from controlplane.api.shortcuts import Answered
from controlplane.problems import RequestRefused

KEEP_ALIVE_S: Final = 75.0
"""How long an idle connection is kept: longer than the nodes' own client keeps its side of it."""
LINGER_S: Final = 1.0
"""How long the rest of a refused body is read away, so that its sender gets to see the refusal."""
BACKLOG_MAX: Final = 1_024


class ProblemProtocol(web.RequestHandler):
    """A connection that refuses even what is not HTTP with a problem document.

    There is no other way to reach answers that are given before the application is asked. A
    connection on which no request arrives at all is closed after `first_request_s`; later ones are
    bound by the time that an idle connection is kept.
    """

    __slots__ = ("first_request_s",)
    first_request_s: float

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._loop.call_later(self.first_request_s, self._close_if_silent)

    def _close_if_silent(self) -> None:
        if self._request_count == 0:
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The last refusal of this connection."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun and cannot be taken back")
        response = first_answer(_refusal(status, exc, message))
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: Answered, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; the library's own, to what names no path at all, becomes one of ours.

        Whatever version the request claims, the answer is in one that is spoken here.
        """
        if request.version not in SPOKEN:
            request._cache["version"] = HttpVersion11
        if not isinstance(resp, Reply) and isinstance(resp, web.HTTPException):
            resp = _names_no_path()
        return await super().finish_response(request, cast(web.StreamResponse, resp), start_time)


def _names_no_path() -> web.Response:
    detail = "the request line names no path; see /openapi.json for what there is"
    return first_answer(RequestRefused("no-such-route", detail))


def _refusal(status: int, failure: BaseException | None, message: str | None) -> RequestRefused:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return RequestRefused("internal", "the request could not be served")
    if isinstance(failure, LineTooLong):
        return RequestRefused("header-too-large", "a line of the request is longer than allowed")
    # The first line says what is wrong; the rest quotes the sender.
    reason = (message or "it cannot be parsed").strip().splitlines()[0].rstrip(":")
    return RequestRefused("malformed", reason.encode("ascii", "backslashreplace").decode()[:200])


class ApiServer:
    """One listening socket for one application."""

    def __init__(self, app: web.Application, settings: ApiSettings | None = None) -> None:
        limits = settings or ApiSettings()
        self._shortcuts = app[SHORTCUTS]
        self._first_request_s = limits.first_request_ms / 1000
        self._protocol_settings: dict[str, Any] = {
            "access_log": None,
            "auto_decompress": False,
            "keepalive_timeout": KEEP_ALIVE_S,
            "lingering_time": LINGER_S,
            "max_line_size": limits.header_bytes_max,
            "max_field_size": limits.header_bytes_max,
            "max_headers": limits.headers_max,
        }
        self._runner = web.AppRunner(
            app,
            handler_cancellation=True,
            shutdown_timeout=limits.shutdown_ms / 1000,
            **self._protocol_settings,
        )
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> Self:
        """Listen; with port 0, on a free one, which `port` then tells. Raises OSError."""
        await self._runner.setup()
        manager = self._runner.server
        assert manager is not None
        manager.request_handler = self._shortcuts.before(manager.request_handler)
        loop = asyncio.get_running_loop()

        def accept() -> ProblemProtocol:
            protocol = ProblemProtocol(manager, loop=loop, **self._protocol_settings)
            protocol.first_request_s = self._first_request_s
            return protocol

        self._server = await loop.create_server(accept, host, port, backlog=BACKLOG_MAX)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Take no new connections, end the streams, let requests under way finish, then close."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()
