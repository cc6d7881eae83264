"""etcd's own API (gRPC, KV.Put), spoken as cheaply as our HTTP: prepared bytes over one socket.

A full gRPC library in Python would take more of the two cores than etcd itself, and etcd would look
slow for it. What is sent here is what any gRPC client sends: one HTTP/2 stream for each Put, with
its header block written as literals so that it never changes, and a PutRequest of key and value.
A put counts as done when a PutResponse has come and the stream has ended.

Sources: RFC 9113 (frames), RFC 7541 (header compression, literals only), the gRPC over HTTP/2
protocol (five bytes before each message), etcd's rpc.proto (PutRequest: key = 1, value = 2).
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from time import perf_counter
from typing import cast

from controlplane.bench.closed_loop import ClosedLoop

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
FRAME_HEAD = 9
WINDOW_MAX = 2**31 - 1
WINDOW_FIRST = 65_535
INITIAL_WINDOW_SIZE = 4
STREAMS_PER_CONNECTION_MAX = 32


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One HTTP/2 frame."""
    return struct.pack(">IBI", len(payload) << 8 | kind, flags, stream) + payload


def _text(value: bytes) -> bytes:
    assert len(value) < 127, "a longer literal needs a continued length"
    return bytes([len(value)]) + value


def put_headers(authority: str) -> bytes:
    """The header block of a Put: indexed where the static table has it, literal elsewhere."""
    return b"".join(
        (
            b"\x83",  # :method POST
            b"\x86",  # :scheme http
            b"\x04" + _text(b"/etcdserverpb.KV/Put"),  # :path
            b"\x01" + _text(authority.encode()),  # :authority
            b"\x0f\x10" + _text(b"application/grpc"),  # content-type
            b"\x00" + _text(b"te") + _text(b"trailers"),
        )
    )


def put_message(key: bytes, value: bytes) -> bytes:
    """A PutRequest behind its gRPC prefix; key and value are shorter than 128 bytes."""
    body = b"\x0a" + _text(key) + b"\x12" + _text(value)
    return struct.pack(">BI", 0, len(body)) + body


class EtcdWire(asyncio.Protocol):
    """Several clients of the closed loop on one connection, a stream for each request."""

    def __init__(
        self, loop: ClosedLoop, authority: str, next_put: Callable[[], tuple[bytes, bytes]]
    ) -> None:
        self._loop = loop
        self._headers = put_headers(authority)
        self._next_put = next_put
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._stream = -1
        self._sent_at: dict[int, float] = {}
        self._stored: set[int] = set()
        self._window = WINDOW_FIRST

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open HTTP/2, and let the server send as much as it likes."""
        self._transport = cast(asyncio.Transport, transport)
        settings = struct.pack(">HI", INITIAL_WINDOW_SIZE, WINDOW_MAX)
        more = struct.pack(">I", WINDOW_MAX - WINDOW_FIRST)
        self._transport.write(
            PREFACE + frame(SETTINGS, 0, 0, settings) + frame(WINDOW_UPDATE, 0, 0, more)
        )

    def send(self) -> None:
        """Send the next put on a new stream."""
        assert self._transport is not None
        self._stream += 2
        message = put_message(*self._next_put())
        self._window -= len(message)
        if self._window < 0:
            self._loop.broke("the server's window is closed: too many clients on one connection")
            return
        self._sent_at[self._stream] = perf_counter()
        self._transport.write(
            frame(HEADERS, END_HEADERS, self._stream, self._headers)
            + frame(DATA, END_STREAM, self._stream, message)
        )

    def data_received(self, data: bytes) -> None:
        """Take whole frames off the buffer."""
        buffer = self._buffer + data if self._buffer else data
        at, end = 0, len(buffer)
        while end - at >= FRAME_HEAD:
            length_and_kind, flags, stream = struct.unpack_from(">IBI", buffer, at)
            length = length_and_kind >> 8
            if end - at < FRAME_HEAD + length:
                break
            payload = buffer[at + FRAME_HEAD : at + FRAME_HEAD + length]
            at += FRAME_HEAD + length
            self._take(length_and_kind & 0xFF, flags, stream & WINDOW_MAX, payload)
        self._buffer = buffer[at:]

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        assert self._transport is not None
        match kind:
            case _ if kind == DATA:
                # A message of at least a header field: etcd answers every put with its revision.
                if len(payload) > 5 and payload[5] == 0x0A:
                    self._stored.add(stream)
            case _ if kind == HEADERS:
                if flags & END_STREAM:
                    self._ended(stream, "" if stream in self._stored else "gRPC error")
            case _ if kind == RST_STREAM:
                self._ended(stream, "stream reset")
            case _ if kind == SETTINGS and not flags & ACK:
                self._transport.write(frame(SETTINGS, ACK, 0, b""))
            case _ if kind == PING and not flags & ACK:
                self._transport.write(frame(PING, ACK, 0, payload))
            case _ if kind == WINDOW_UPDATE and stream == 0:
                self._window += struct.unpack(">I", payload)[0]
            case _ if kind == GOAWAY:
                self._loop.broke("the server goes away")

    def _ended(self, stream: int, failure: str) -> None:
        self._stored.discard(stream)
        if self._loop.answered(self._sent_at.pop(stream), failure):
            self.send()

    def close(self) -> None:
        """Close the connection."""
        assert self._transport is not None
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """An orderly end comes after `done`; anything else voids the run."""
        self._loop.broke(f"connection lost: {exc or 'closed by the server'}")


async def run_etcd(
    loop: ClosedLoop, host: str, port: int, next_put: Callable[[], tuple[bytes, bytes]]
) -> None:
    """Run the closed loop over as few connections as its clients need."""
    running = asyncio.get_running_loop()
    wires = []
    for _ in range(-(-loop.clients // STREAMS_PER_CONNECTION_MAX)):
        _, wire = await running.create_connection(
            lambda: EtcdWire(loop, f"{host}:{port}", next_put), host, port
        )
        wires.append(wire)
    loop.start()
    for client in range(loop.clients):
        wires[client % len(wires)].send()
    await loop.done.wait()
    for wire in wires:
        wire.close()
