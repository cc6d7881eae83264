"""A lane to a Redis or Valkey server: one connection, calls in order, nothing retried.

redis-py connects and authenticates, and the server is checked through it. Then its transport is
taken over: replies are parsed as they arrive and handed on in the same turn of the loop, so that a
reply costs neither a task nor a wait. A call is written the moment it is sent.

A lane ends when its connection ends, when a reply cannot be read, or when the server reports that a
call broke off midway: in each of these cases nobody knows what was done, so all pending calls are
unknown. A call that the server refused before it began (out of memory, still loading) is answered
as refused, under the server's own word for it, and the lane goes on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import hiredis
import redis.exceptions
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from regions.codec import Code, Reply, pack_call
from regions.errors import RegionsError, StoreOutcomeUnknown, StoreReplyMalformed, StoreUnavailable
from regions.redis_checks import Requirements, check_store, read_reply
from regions.scripts.library import Library
from regions.store import (
    ByteCount,
    OnLost,
    OnReply,
    StoreAddress,
    StoreIdentity,
    StoreRoom,
    StoreStatus,
)
from regions.store_errors import AccessDenied
from regions.store_functions import function_of
from regions.store_room import local_folder, room_of

OPEN_MS_MAX = 5_000
PENDING_MAX = 100_000
"""Calls on their way; a lane with more of them is lost."""
JOIN_BYTES_MAX = 64 * 1024
"""Pieces of a call are copied into one up to this size, beyond they are handed on as they are."""

# Errors that a server reports before it begins to execute a call.
_REFUSED_BEFORE: Final = frozenset({"OOM", "LOADING", "BUSY", "MISCONF", "NOREPLICAS", "READONLY"})
_WITHIN_SCRIPT: Final = " script: "
_NOT_YET: Final = object()
_INFO_MEMORY: Final = b"*2\r\n$4\r\nINFO\r\n$6\r\nmemory\r\n"
_DENIED: Final = (redis.exceptions.AuthenticationError, redis.exceptions.NoPermissionError)


@dataclass(frozen=True, slots=True)
class _Look:
    """Waits for the server's own words, among those who wait for replies of the function."""

    on_room: Callable[[StoreRoom], None]


class RedisStore:
    """A lane; see regions.store.Lane. Opened once, closed once."""

    def __init__(
        self,
        address: StoreAddress,
        on_lost: OnLost,
        library: Library,
        *,
        expected: StoreIdentity | None = None,
        ephemeral: bool = False,
        may_be_empty: bool = False,
        open_ms_max: int = OPEN_MS_MAX,
        byte_count: ByteCount | None = None,
    ) -> None:
        """`expected`, `ephemeral` and `may_be_empty` are those of redis_checks.Requirements; the
        bytes of calls and replies are counted in `byte_count`."""
        self.address = address
        self._on_lost = on_lost
        self._required = Requirements(library, expected, ephemeral, may_be_empty)
        self._open_ms_max = open_ms_max
        self._byte_count = ByteCount() if byte_count is None else byte_count
        self._pending: deque[OnReply | _Look] = deque()
        self._writer: asyncio.StreamWriter | None = None
        self._reader = hiredis.Reader(notEnoughData=_NOT_YET)
        self._announced = False
        self._folder: Path | None = None

    async def open(self) -> StoreStatus:
        """Connect, verify the server, take over. See Lane.open."""
        connection = _connection(self.address)
        try:
            async with asyncio.timeout(self._open_ms_max / 1_000):
                await connection.connect()  # type: ignore[no-untyped-call]
                ask = _asking(connection)
                status = await check_store(ask, str(self.address), self._required)
                self._folder = await local_folder(ask, self.address.host)
        except TimeoutError as error:
            message = f"{self.address}: no answer within {self._open_ms_max} ms"
            raise StoreUnavailable(message) from error
        except _DENIED as error:
            raise AccessDenied(f"{self.address}: {error}") from error
        except (redis.exceptions.RedisError, OSError, UnicodeError) as error:
            # The last is raised for a host that can be no name.
            raise StoreUnavailable(f"{self.address}: {error}") from error
        else:
            self._take_over(connection)
            return status
        finally:
            await connection.disconnect(nowait=True)

    def _take_over(self, connection: Connection) -> None:
        # The writer is kept because it closes its transport when it is forgotten.
        self._writer = connection._writer
        connection._writer = connection._reader = None
        assert self._writer is not None, "a connection that answered has a writer"
        self._writer.transport.set_protocol(_Replies(self))

    def send(self, header: list[Any], commands: list[list[Any]], on_reply: OnReply) -> None:
        """Write one call now. See Lane.send."""
        writer = self._writer
        if writer is None:
            return
        if len(self._pending) >= PENDING_MAX:
            self.lose(StoreOutcomeUnknown(f"{self.address}: {PENDING_MAX} calls are unanswered"))
            return
        pieces = _framed(function_of(commands, self._announced), pack_call(header, commands))
        self._pending.append(on_reply)
        size = sum(map(len, pieces))
        self._byte_count.sent += size
        if size <= JOIN_BYTES_MAX:
            writer.transport.write(b"".join(pieces))
        else:
            writer.transport.writelines(pieces)

    def look(self, on_room: Callable[[StoreRoom], None]) -> None:
        """Ask for the server's memory, and look at its disk. See Lane.look."""
        if self._writer is not None:
            self._pending.append(_Look(on_room))
            self._writer.transport.write(_INFO_MEMORY)

    def close(self) -> None:
        """Close at once. See Lane.close."""
        writer, self._writer = self._writer, None
        self._pending.clear()
        if writer is not None:
            writer.transport.abort()

    def lose(self, why: Exception) -> None:
        """End the lane and say so; does nothing when it has ended."""
        if self._writer is not None:
            self.close()
            self._on_lost(why)

    def received(self, data: bytes) -> None:
        """Take what arrived; every whole reply in it is handed on."""
        self._byte_count.received += len(data)
        self._reader.feed(data)
        try:
            while self._writer is not None:
                answer = self._reader.gets()
                if answer is _NOT_YET:
                    return
                self._answer(answer)
        except (hiredis.ProtocolError, RegionsError) as error:
            self.lose(StoreReplyMalformed(f"{self.address}: {error}"))

    def _answer(self, answer: Any) -> None:
        if not self._pending:
            raise StoreReplyMalformed("a reply to nothing that was asked")
        taker = self._pending.popleft()
        if isinstance(taker, _Look):
            self._looked(taker, answer)
        elif isinstance(answer, hiredis.ReplyError):
            taker(_refusal(answer))
        else:
            reply = read_reply(str(self.address), answer)
            self._announced = self._announced or reply.code == Code.OK
            taker(reply)

    def _looked(self, look: _Look, answer: Any) -> None:
        if isinstance(answer, hiredis.ReplyError):
            return  # whoever may not ask never learns
        try:
            look.on_room(room_of(answer, self._folder))
        except ValueError as error:
            raise StoreReplyMalformed(f"{self.address}: {error}") from error


class _Replies(asyncio.Protocol):
    """What asyncio tells of a connection. A server that closes its side closes ours."""

    def __init__(self, lane: RedisStore) -> None:
        self._lane = lane

    def data_received(self, data: bytes) -> None:
        self._lane.received(data)

    def connection_lost(self, error: Exception | None) -> None:
        why = f"{self._lane.address}: {error or 'the server closed the connection'}"
        self._lane.lose(StoreOutcomeUnknown(why))


def _connection(address: StoreAddress) -> Connection:
    """A connection that redis-py neither retries, checks by pings, nor names."""
    kind = SSLConnection if address.tls else Connection
    return kind(
        host=address.host,
        port=address.port,
        username=address.username,
        password=address.password,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        socket_timeout=None,
        driver_info=None,
    )


def _asking(connection: Connection) -> Any:
    async def ask(*words: Any) -> Any:
        await connection.send_command(*words)
        return await connection.read_response(disable_decoding=True)

    return ask


def _framed(function: bytes, arguments: list[bytes]) -> list[bytes]:
    """FCALL as it is written to the connection; arguments are not copied."""
    pieces = [b"*%d\r\n$5\r\nFCALL\r\n$14\r\n%b\r\n$1\r\n0\r\n" % (len(arguments) + 3, function)]
    for argument in arguments:
        pieces += (b"$%d\r\n" % len(argument), argument, b"\r\n")
    return pieces


def _refusal(error: hiredis.ReplyError) -> Reply:
    """The server's refusal as a reply. Raises StoreReplyMalformed when the call had begun."""
    code = str(error).partition(" ")[0]
    if code not in _REFUSED_BEFORE or _WITHIN_SCRIPT in str(error):
        raise StoreReplyMalformed(f"the server reports: {error}")
    return Reply(code, "", "", "", 0, [])
