"""One connection through the proxy: a client, a target, and a pipe each way.

The client is accepted at once. The target is called when the way is open in both directions, since
no handshake gets through a cut; a client that gives up before that was never there.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import cast

from controlplane.latency_pipe import Finish, LatencyPipe, Way
from controlplane.proxy_links import Link

_LINGER_ZERO = struct.pack("ii", 1, 0)
"""Makes closing a socket break it off, which the other side sees as such."""


class ProxyConnection:
    """Lives from the client's arrival until both streams have ended or one was broken off."""

    def __init__(
        self,
        link: Link,
        ways: tuple[Way, Way],
        tasks: asyncio.TaskGroup,
        forget: Callable[[ProxyConnection], None],
    ) -> None:
        self.client = _End(self._client_arrived, self._client_finished)
        self._target = _End(self._target_arrived, self._target_finished)
        self._link = link
        self._there, self._back = ways
        self._tasks = tasks
        self._forget = forget
        self._open = asyncio.Event()
        self._call: asyncio.Task[None] | None = None
        self._ended = 0
        self._over = False

    def change(self, ways: tuple[Way, Way]) -> None:
        """Subject it to other ways, there and back."""
        self._there, self._back = ways
        if self._cut:
            self._open.clear()
        else:
            self._open.set()
        for end, way in ((self.client, self._there), (self._target, self._back)):
            if end.says is not None:
                end.says.change(way)

    def abort(self) -> None:
        """Break it off at both ends, now."""
        for end in (self.client, self._target):
            if end.transport is not None:
                _break_off(end.transport)
        self._be_over()

    @property
    def _cut(self) -> bool:
        return self._there.cut or self._back.cut

    def _client_arrived(self, transport: asyncio.Transport) -> None:
        if self._over:  # broken off between the accept and this: nobody knows of it any more
            _break_off(transport)
            return
        self.client.says = LatencyPipe(transport, self._there, self._handed_on)
        self._target.hears = self.client.says
        self.change((self._there, self._back))
        self._call = self._tasks.create_task(self._call_target())

    def _target_arrived(self, transport: asyncio.Transport) -> None:
        if self._over:
            transport.abort()
            return
        assert self.client.says is not None
        assert self.client.transport is not None
        self._target.says = LatencyPipe(transport, self._back, self._handed_on)
        self.client.hears = self._target.says
        self._target.says.connect(self.client.transport)
        self.client.says.connect(transport)

    async def _call_target(self) -> None:
        loop = asyncio.get_running_loop()
        host, port = self._link.target_host, self._link.target_port
        await self._open.wait()
        try:
            await loop.create_connection(lambda: self._target, host, port)
        except OSError:  # the refusal takes a round trip to get here
            await asyncio.sleep((self._there.delay_ms + self._back.delay_ms) / 1_000)
            self.abort()

    def _client_finished(self, how: Finish) -> None:
        if self._target.transport is None and (self._cut or how is Finish.RESET):
            self.abort()
        elif self.client.says is not None and not self._over:
            self.client.says.finish(how)

    def _target_finished(self, how: Finish) -> None:
        if self._target.says is not None and not self._over:
            self._target.says.finish(how)

    def _handed_on(self, how: Finish) -> None:
        if how is Finish.RESET:
            self.abort()
            return
        self._ended += 1
        if self._ended == 2:
            for end in (self.client, self._target):
                if end.transport is not None:
                    end.transport.close()
            self._be_over()

    def _be_over(self) -> None:
        if self._over:
            return
        self._over = True
        for end in (self.client, self._target):
            if end.says is not None:
                end.says.close()
        if self._call is not None and self._call is not asyncio.current_task():
            self._call.cancel()
        self._forget(self)


class _End(asyncio.Protocol):
    """What the event loop tells about one side, passed on to the pipes."""

    def __init__(
        self,
        arrived: Callable[[asyncio.Transport], None],
        finished: Callable[[Finish], None],
    ) -> None:
        self.transport: asyncio.Transport | None = None
        self.says: LatencyPipe | None = None
        """Carries what this side says to the other one."""
        self.hears: LatencyPipe | None = None
        """Carries what the other side says to this one."""
        self._arrived = arrived
        self._finished = finished

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A server of streams hands over nothing else, though uvloop's class does not say so.
        self.transport = cast(asyncio.Transport, transport)
        self._arrived(self.transport)

    def data_received(self, data: bytes) -> None:
        if self.says is not None:
            self.says.carry(data)

    def eof_received(self) -> bool:
        self._finished(Finish.END)
        return True  # the other direction goes on

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._finished(Finish.RESET)

    def pause_writing(self) -> None:
        if self.hears is not None:
            self.hears.target_full(True)

    def resume_writing(self) -> None:
        if self.hears is not None:
            self.hears.target_full(False)


def _break_off(transport: asyncio.Transport) -> None:
    end: socket.socket | None = transport.get_extra_info("socket")
    if end is not None and not transport.is_closing():
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    transport.abort()
