"""A store of the simulation: the scripts' twin behind a queue that takes time and may be down.

The twin decides every answer; this file decides when. Requests and replies travel as bytes, so
that no list is shared between a node and a store, and all comes out as it would over a socket.

A store does one call after the other. A call is executed at the end of its service time, and
answered at once, as a store that flushes before it answers looks from outside. Of the calls that a
crash meets, a prefix may have been flushed, and is executed though nobody is ever told; the rest is
lost. A crash keeps the data; `forget` and `go_back` do not. A store whose memory is full does what
the real one does: it refuses calls, but for those that its library has shadows for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from random import Random
from typing import Any

from controlplane.simulator.world import World
from regions.codec import Reply, pack_reply, unpack
from regions.scripts.model import StoreModel
from regions.scripts.state import StoreState
from regions.store_functions import CALL, READ, function_of

FULL_PERCENT = 100

Watcher = Callable[["SimulatedStore", list[list[Any]], Reply], None]


class SimulatedStore:
    """One store process: a queue, a service time, and the data behind it."""

    def __init__(
        self, world: World, name: str, region: str, twin: StoreModel, chance: Random
    ) -> None:
        self.name = name
        self.region = region
        self.twin = twin
        self.up = True
        self.calls = 0
        self.slowness_ms = 0
        self.memory_percent = 0  # in use
        self.refused = 0  # calls, because memory was full
        self.bytes_per_ms: int | None = None  # None: the size of a call makes no difference
        self.watcher: Watcher | None = None
        self._world = world
        self._chance = chance
        self._runs = 1
        self._busy_until_ms = 0
        self._queue: deque[tuple[bytes, Callable[[bytes], None]]] = deque()
        self._held_back: list[tuple[bytes, Callable[[bytes], None]]] | None = None

    def submit(self, request: bytes, answer: Callable[[bytes], None]) -> None:
        """Execute a call after those before it, then hand its reply to `answer`; or die first."""
        if not self.up:
            return
        if self._held_back is not None:
            self._held_back.append((request, answer))
            return
        now_ms = self._world.now_ms
        done_ms = max(self._busy_until_ms, now_ms) + self._service_ms(len(request))
        self._busy_until_ms = done_ms
        if done_ms == now_ms and not self._queue:
            self._execute(request, answer)
            return
        self._queue.append((request, answer))
        self._world.after(done_ms - now_ms, self._take, self._runs)

    def crash(self, flushed: int = 0) -> int:
        """Stop at once; the data stays, and the caller breaks the lanes.

        Of the calls in hand the first `flushed` are done, and none is answered. Returns how many
        were done.
        """
        done = min(flushed, len(self._queue))
        for request, _ in islice(self._queue, done):
            self._execute(request, _nobody)
        self.up = False
        self._runs += 1
        self._queue.clear()
        self._held_back = None
        self._busy_until_ms = 0
        return done

    def forget(self) -> None:
        """Lose everything, also who it is: a lost disk, or a flush of all data."""
        self.twin.restore(StoreState())

    def go_back(self, state: StoreState) -> None:
        """Hold an older copy again, as a restored disk does, under the same identity."""
        self.twin.restore(state)

    def pause(self) -> None:
        """Execute nothing for a while; what arrives waits, even if its sender gives it up."""
        if self.up and self._held_back is None:
            self._held_back = []

    def resume(self) -> None:
        """Go on with all that has waited, in the order in which it came."""
        waiting, self._held_back = self._held_back or [], None
        for request, answer in waiting:
            self.submit(request, answer)

    def restart(self) -> None:
        """Come back with the same data and another run id."""
        self.up = True
        self.twin.restart(f"{self.name}-run-{self._runs}")

    def _service_ms(self, size_bytes: int) -> int:
        work_ms = 0 if self.bytes_per_ms is None else size_bytes // self.bytes_per_ms
        return self.slowness_ms + work_ms + (self._chance.random() < 0.2)

    def _take(self, run: int) -> None:
        if run == self._runs:
            self._execute(*self._queue.popleft())

    def _execute(self, request: bytes, answer: Callable[[bytes], None]) -> None:
        self.calls += 1
        header, commands = unpack(request)
        reply = self._reply(header, commands)
        self._world.note(self.name, request, reply.opseq)
        if self.watcher is not None:
            self.watcher(self, commands, reply)
        answer(pack_reply(reply))

    def _reply(self, header: list[Any], commands: list[list[Any]]) -> Reply:
        _, _, process, generation = header
        announced = self.twin.state.generations.get(process) == generation
        function = function_of(commands, announced)
        if self.memory_percent >= FULL_PERCENT and function == CALL:
            self.refused += 1
            return Reply("OOM", "", "", "", 0, [])
        return self.twin.call(header, commands, only_reads=function == READ)


def _nobody(reply: bytes) -> None:
    """Where answers of a store that dies end."""
