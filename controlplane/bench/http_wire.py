"""The cheapest honest HTTP/1.1 client: one connection, one request under way, no pipelining."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import cast

from controlplane.bench.closed_loop import ClosedLoop

HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length:"


def request_bytes(
    method: str, path: str, host: str, body: bytes = b"", headers: tuple[str, ...] = ()
) -> bytes:
    """A whole request, ready to be sent as it is."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *headers]
    if body or method in ("PUT", "POST"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + HEAD_END + body


class HttpWire(asyncio.Protocol):
    """One client of the closed loop: sends, waits for the whole answer, reports it, goes on.

    An answer needs a Content-Length. A status other than 2xx counts as a failure by its number.
    """

    def __init__(self, loop: ClosedLoop, next_request: Callable[[], bytes]) -> None:
        self._loop = loop
        self._next_request = next_request
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._needed = 0
        self._sent_at = 0.0
        self._failure = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; the loop decides when the first request goes."""
        self._transport = cast(asyncio.Transport, transport)

    def send(self) -> None:
        """Send the next request."""
        assert self._transport is not None
        self._sent_at = perf_counter()
        self._transport.write(self._next_request())

    def data_received(self, data: bytes) -> None:
        """Collect one answer; only the status and the length are looked at."""
        self._buffer = self._buffer + data if self._buffer else data
        if not self._needed and not self._read_head():
            return
        if len(self._buffer) < self._needed:
            return
        self._buffer = self._buffer[self._needed :]
        self._needed = 0
        if self._loop.answered(self._sent_at, self._failure):
            self.send()

    def _read_head(self) -> bool:
        end = self._buffer.find(HEAD_END)
        if end < 0:
            return False
        head = self._buffer[:end].lower()
        status = head[9:12]
        self._failure = "" if status[:1] == b"2" else f"HTTP {status.decode('ascii', 'replace')}"
        at = head.find(LENGTH)
        length = int(head[at + len(LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        self._needed = end + len(HEAD_END) + length
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """An orderly end comes after `done`; anything else voids the run."""
        self._loop.broke(f"connection lost: {exc or 'closed by the server'}")


async def run_http(
    loop: ClosedLoop, host: str, port: int, next_request: Callable[[], bytes]
) -> None:
    """Run the closed loop over one connection for each client."""
    running = asyncio.get_running_loop()
    wires = [
        (await running.create_connection(lambda: HttpWire(loop, next_request), host, port))
        for _ in range(loop.clients)
    ]
    loop.start()
    for _, wire in wires:
        wire.send()
    await loop.done.wait()
    for transport, _ in wires:
        transport.close()
