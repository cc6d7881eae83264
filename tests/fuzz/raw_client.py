"""A client that sends bytes as they are, and reads back only what a server must be able to say."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

ANSWER_S = 30
"""By then a server has answered or hung up; far beyond its own limits, so that load is no bug."""


@dataclass(frozen=True)
class Answers:
    """What came back: every answer read to its end, and whether the server hung up."""

    statuses: tuple[int, ...]
    heads: tuple[bytes, ...]
    bodies: tuple[bytes, ...]


async def exchange(port: int, pieces: tuple[bytes, ...]) -> Answers:
    """Send the pieces; read until an answer is complete or the server hangs up, then go away.

    Raises TimeoutError when neither happens, AssertionError when what comes back is no HTTP.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    statuses: list[int] = []
    heads: list[bytes] = []
    bodies: list[bytes] = []
    try:
        async with asyncio.timeout(ANSWER_S):
            with suppress(ConnectionError):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
            asks_for_body = not b"".join(pieces[:5]).lstrip().startswith(b"HEAD ")
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while not statuses or statuses[-1] == 100:
                    head = await reader.readuntil(b"\r\n\r\n")
                    heads.append(head)
                    statuses.append(_status(head))
                    bodies.append(await _body(reader, head) if asks_for_body else b"")
        return Answers(tuple(statuses), tuple(heads), tuple(bodies))
    finally:
        writer.transport.abort()


def _status(head: bytes) -> int:
    version, status, *_ = head.split(b" ", 2)
    assert version in (b"HTTP/1.1", b"HTTP/1.0"), head
    return int(status)


def header(head: bytes, name: bytes) -> bytes:
    """The text of a header, empty without one."""
    for line in head.split(b"\r\n")[1:]:
        found, _, text = line.partition(b":")
        if found.lower() == name.lower():
            return text.strip()
    return b""


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    if header(head, b"Transfer-Encoding") == b"chunked":
        return b""  # a stream: it does not end
    length = header(head, b"Content-Length")
    return await reader.readexactly(int(length)) if length else b""
