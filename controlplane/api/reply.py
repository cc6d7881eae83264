"""The good answer of a busy path: its bytes are put together once, and written once.

A `web.Response` costs more than all that a busy handler does: it copies its headers into a
dictionary, fills in what is missing, checks it, and turns it into bytes, for every answer anew.
Here a handler gives whole lines, most of them made earlier, and what belongs to the connection is
added when it is written. Everything that is not a plain 200 with a body is a `web.Response`.
"""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache
from typing import Final

from aiohttp import HttpVersion11, web

SERVER: Final = "leadplane"

_CONNECTION: Final = {
    (1, True): b"",
    (1, False): b"Connection: close\r\n",
    (0, True): b"Connection: keep-alive\r\n",
    (0, False): b"",
}


class Reply:
    """200 with these header lines and this body, to anything but HEAD.

    `lines` end with CRLF each and come from `header_lines`, or hold nothing but tokens and numbers.
    Length, date, server and connection are added here, the request's id by whoever serves it.
    """

    # The server takes whatever has `prepare`, `write_eof` and `keep_alive` for an answer.
    __slots__ = ("_body", "_lines", "_request", "keep_alive", "request_id")

    def __init__(self, lines: bytes, body: bytes) -> None:
        self._lines = lines
        self._body = body
        self._request: web.BaseRequest | None = None
        self.keep_alive: bool | None = None
        self.request_id = ""

    async def prepare(self, request: web.BaseRequest) -> None:
        """Learn whom to answer."""
        self._request = request
        self.keep_alive = request.keep_alive

    async def write_eof(self) -> None:
        """Write all of it. Raises ConnectionError when the client has gone."""
        request = self._request
        assert request is not None
        minor = 1 if request.version == HttpVersion11 else 0
        body = self._body
        await request.writer.write_eof(
            b"HTTP/1.%d 200 OK\r\n%bContent-Length: %d\r\n%bX-Request-Id: %b\r\n%b\r\n%b"
            % (
                minor,
                self._lines,
                len(body),
                _dated(int(time.time())),
                self.request_id.encode(),
                _CONNECTION[minor, bool(self.keep_alive)],
                body,
            )
        )


def header_lines(*fields: tuple[str, str]) -> bytes:
    """Header lines with these names and values. Raises ValueError for what would be none."""
    for name, text in fields:
        if not (name + text).isprintable():
            raise ValueError(f"the header {name} cannot hold {text!r}")
    return "".join([f"{name}: {text}\r\n" for name, text in fields]).encode()


@lru_cache(maxsize=1)
def _dated(second: int) -> bytes:
    """What every answer of one second has in common."""
    return f"Date: {formatdate(second, usegmt=True)}\r\nServer: {SERVER}\r\n".encode()
