"""How a node speaks HTTP to another node: one request, one answer, and no illusions about failures.

There are two ways to fail, and the difference decides what a caller may say to its own client.
`PeerUnreachable`: nothing was sent, so nothing happened there. `PeerLost`: something was sent and
no answer came, so it may have happened. This client never sends a request twice by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    TCPConnector,
)
from yarl import URL

from regions.store import ByteCount

KEPT_S = 30.0
"""How long an idle connection is kept: less than servers keep theirs, so that a request is hardly
ever sent into a connection that the other side is just closing."""
LINE_END = len("\r\n")


class PeerUnreachable(Exception):
    """The other node could not be reached; nothing was sent."""


class PeerLost(Exception):
    """The connection broke, or the time was up, after the request may have been sent."""


@dataclass(frozen=True, slots=True)
class PeerReply:
    """What the other node answered, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpClient:
    """Connections to other nodes, kept and used again. Made inside a running loop."""

    def __init__(
        self,
        connections_max: int = 256,
        connect_timeout_ms: int = 1_000,
        dial: Mapping[str, str] | None = None,
    ) -> None:
        """`dial` says which host:port to go to instead of another: a way around, or a proxy."""
        connector = TCPConnector(limit=0, limit_per_host=connections_max, keepalive_timeout=KEPT_S)
        self._session = ClientSession(
            connector=connector,
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
        )
        # The library sends PUT and DELETE again when a kept connection breaks under them, and has
        # no public switch for it. A write that was sent twice is two writes.
        self._session._retry_connection = False
        self._connect_s = connect_timeout_ms / 1000
        self._dial = dict(dial or {})

    async def __aenter__(self) -> Self:
        """Give the client itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection."""
        await self.close()

    async def close(self) -> None:
        """Close every connection; requests under way are lost."""
        await self._session.close()

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_ms: int,
        bytes_max: int | None = None,
        byte_count: ByteCount | None = None,
    ) -> PeerReply:
        """Send one request and read the whole answer; redirects are answers too.

        `url` is taken as it is: path and query must be encoded already. Raises PeerUnreachable, or
        PeerLost when `timeout_ms` is over, the connection breaks, or the answer is larger than
        `bytes_max`. `byte_count` takes a request that was answered, and its answer.
        """
        timeout = ClientTimeout(total=timeout_ms / 1000, sock_connect=self._connect_s)
        try:
            async with self._session.request(
                method,
                URL(self._way_to(url), encoded=True),
                headers=headers,
                data=body or None,
                timeout=timeout,
                allow_redirects=False,
            ) as answer:
                content = await _content(answer, bytes_max)
                if byte_count is not None:
                    byte_count.sent += _asked_bytes(answer) + len(body)
                    byte_count.received += _answered_bytes(answer) + len(content)
                return PeerReply(answer.status, answer.headers, content)
        except (ClientConnectorError, ConnectionTimeoutError, ValueError) as failure:
            # The last is raised for what is no URL, and for a host that can be no name.
            raise PeerUnreachable(f"{_origin(url)}: {failure}") from failure
        except TimeoutError as failure:
            raise PeerLost(f"{_origin(url)}: no answer within {timeout_ms} ms") from failure
        except (ClientError, OSError) as failure:
            raise PeerLost(f"{_origin(url)}: {failure or type(failure).__name__}") from failure

    def _way_to(self, url: str) -> str:
        scheme, _, rest = url.partition("://")
        address, slash, path = rest.partition("/")
        way = self._dial.get(address)
        return url if way is None else f"{scheme}://{way}{slash}{path}"


async def _content(answer: ClientResponse, bytes_max: int | None) -> bytes:
    """The whole body. Raises ClientError when it is larger than it may be."""
    if bytes_max is None:
        return await answer.read()
    content = bytearray()
    async for piece in answer.content.iter_any():
        content += piece
        if len(content) > bytes_max:
            raise ClientError(f"the answer is larger than {bytes_max} bytes")
    return bytes(content)


def _asked_bytes(answer: ClientResponse) -> int:
    """The head of the request that was answered so, as it was written."""
    first_line = len(answer.method) + len(answer.url.raw_path_qs) + len("  HTTP/1.1")
    return first_line + LINE_END + _head_bytes(answer.request_info.headers)


def _answered_bytes(answer: ClientResponse) -> int:
    """The head of an answer, as it was read."""
    first_line = len("HTTP/1.1 200 ") + len(answer.reason or "")
    return first_line + LINE_END + _head_bytes(answer.headers)


def _head_bytes(headers: Mapping[str, str]) -> int:
    lines = sum(len(name) + len(": ") + len(value) + LINE_END for name, value in headers.items())
    return lines + LINE_END


def _origin(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"
