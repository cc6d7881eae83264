"""One direction of one connection, made as slow, or as silent, as a long way would make it.

Every piece of data leaves as long after its arrival as the way takes, in the order of arrival, and
so do the end of the stream and its breaking off. A way that is cut holds everything back and lets
it go when it is mended: to the two ends that is a network that lost packets and sends them again.
No byte of a living connection is ever lost, doubled or moved past another.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

HELD_BYTES_MAX = 4 * 1_048_576
"""A pipe that holds more stops reading: the sender feels it, as by a full window."""
_RESUME_BYTES = HELD_BYTES_MAX // 2


@dataclass(frozen=True, slots=True)
class Way:
    """What data between two places is subject to at present, in one direction."""

    delay_ms: float
    cut: bool = False
    jitter_ms: float = 0.0
    """Up to so much more, drawn for each piece of data; later ones wait for those before them."""
    bytes_per_s: float | None = None
    """How much gets through, None for as much as comes."""


class Finish(Enum):
    """How a stream can finish: this, too, travels through the pipe, behind the last byte."""

    END = "end"
    """One side says no more; the other may go on."""
    RESET = "reset"
    """The connection is broken off."""


class LatencyPipe:
    """Carries what `source` says to `target`. Not started: it turns whenever something happens.

    Memory is bounded by `HELD_BYTES_MAX` and one read more.
    """

    def __init__(
        self, source: asyncio.Transport, way: Way, finished: Callable[[Finish], None]
    ) -> None:
        self._finished = finished
        self._source = source
        self._target: asyncio.Transport | None = None
        self._way = way
        self._loop = asyncio.get_running_loop()
        self._held: deque[tuple[float, bytes | Finish]] = deque()
        self._held_bytes = 0
        self._free_at_s = 0.0  # when a narrow way has taken all that came before
        self._source_paused = False
        self._target_full = False
        self._timer: asyncio.TimerHandle | None = None

    def connect(self, target: asyncio.Transport) -> None:
        """Say where it leads; what came in before goes there, each piece at its time."""
        self._target = target
        self._turn()

    def change(self, way: Way) -> None:
        """Subject it to another way. A new delay counts for what arrives from now on."""
        self._way = way
        self._turn()

    def carry(self, data: bytes) -> None:
        """Take what the source said."""
        self._held_bytes += len(data)
        self._hold(data)
        if self._held_bytes > HELD_BYTES_MAX and not self._source_paused:
            self._source_paused = True
            self._source.pause_reading()

    def finish(self, how: Finish) -> None:
        """Take that the source says no more, or broke off."""
        self._hold(how)

    def target_full(self, full: bool) -> None:
        """Take that the target cannot, or again can, accept more."""
        self._target_full = full
        self._turn()

    def close(self) -> None:
        """Drop everything that is held; nothing more may be given to it."""
        self._held.clear()
        self._held_bytes = 0
        if self._timer is not None:
            self._timer.cancel()

    def _hold(self, item: bytes | Finish) -> None:
        way, enters_s = self._way, self._loop.time()
        if way.bytes_per_s is not None:
            size = 0 if isinstance(item, Finish) else len(item)
            enters_s = max(enters_s, self._free_at_s) + size / way.bytes_per_s
            self._free_at_s = enters_s
        delay_ms = way.delay_ms + way.jitter_ms * random.random()
        self._held.append((enters_s + delay_ms / 1_000, item))
        self._turn()

    def _turn(self) -> None:
        """Hand on what is due, then ask to be woken for what is not."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._loop.time()
        while self._held and self._held[0][0] <= now and self._open():
            self._hand_on(self._held.popleft()[1])
        if self._held and self._open():
            self._timer = self._loop.call_at(self._held[0][0], self._turn)
        self._read_again()

    def _open(self) -> bool:
        return self._target is not None and not self._way.cut and not self._target_full

    def _hand_on(self, item: bytes | Finish) -> None:
        assert self._target is not None
        if isinstance(item, Finish):
            if item is Finish.END and not self._target.is_closing():
                self._end_target(self._target)
            self._finished(item)
            return
        self._held_bytes -= len(item)
        if not self._target.is_closing():
            self._target.write(item)

    def _end_target(self, target: asyncio.Transport) -> None:
        try:
            target.write_eof()
        except OSError:
            target.abort()  # the peer broke it off already, and the loop has not told us yet

    def _read_again(self) -> None:
        if self._source_paused and self._held_bytes <= _RESUME_BYTES:
            self._source_paused = False
            if not self._source.is_closing():
                self._source.resume_reading()
