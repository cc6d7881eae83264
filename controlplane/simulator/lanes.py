"""What one process keeps to one store: an ordered lane, one connection at a time, and a bulk lane.

The hard case, which the generation guard of the stores exists for, is made here on purpose: when a
connection breaks, what was still on its way may be lost, or may be *executed later*, even after the
next connection of the same process has begun to work. A prefix of it, since each connection keeps
its order. Answers to it never arrive. Nor does a process always learn of a break: half of a dead
connection looks like silence until somebody's patience ends.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from controlplane.machine import Answered, Call, Connected, Disconnected, Event, Fetch, Fetched
from controlplane.simulator.network import Network, Pipe
from controlplane.simulator.stores import SimulatedStore
from controlplane.simulator.world import World
from regions.codec import Reply, pack, unpack_reply

RETRY_MS = (20, 200)  # between attempts to connect: at least, at most
WRITTEN_ARRIVES_SHARE = 0.85  # of connections closed by the process, also over a healed cut
LATE_SHARE = 0.5  # of broken connections have something in flight that is executed after all
LATE_MS = (5, 6_000)  # how much later
BULK_PATIENCE_MS = 30_000  # a stalled bulk call is given up after so long, whoever asked


class StoreLine:
    """The connections of one process to one store, over the life of the process."""

    def __init__(
        self,
        world: World,
        network: Network,
        place: str,
        store: SimulatedStore,
        chance: Random,
        deliver: Callable[[Event], None],
    ) -> None:
        self._world = world
        self._network = network
        self._place = place
        self._store = store
        self._chance = chance
        self._deliver = deliver
        self._generation = 0
        self._connection: Connection | None = None
        self._closed = False

    def dial(self) -> None:
        """Try to connect now; goes on trying until it works."""
        if self._closed or self._connection is not None:
            return
        there_ms = self._network.delay_ms(self._place, self._store.name)
        back_ms = self._network.delay_ms(self._store.name, self._place)
        if self._reachable():
            self._world.after(there_ms + back_ms, self._open)
        else:
            self._world.after(self._chance.randint(*RETRY_MS), self.dial)

    def send(self, call: Call) -> None:
        """Put a call on the ordered lane, unless its generation is gone."""
        if self._connection is not None and call.generation == self._generation:
            self._connection.requests.put(pack([call.header, call.commands]))

    def drop(self, generation: int, why: str) -> None:
        """The process gives the connection up; what is in flight is still executed, mostly."""
        if self._connection is not None and generation == self._generation:
            self._connection.abandon(self._chance)
            self._end(why)

    def redial(self) -> None:
        """The process wants a new connection: the store is another one now."""
        if self._connection is not None:
            self._connection.abandon(self._chance)
            self._connection = None
        self.dial()

    def snap(self, why: str, silent: bool = False) -> None:
        """The network or the store breaks the connection; if silent, the process is not told."""
        if self._connection is None:
            return
        if silent:
            self._connection.sever(self._chance)
            return
        for (reply,) in self._some_prefix(self._connection.replies.close()):
            self._connection.answered(reply)
        self._end(why)

    def close(self) -> None:
        """The process died."""
        self._closed = True
        if self._connection is not None:
            self._connection.abandon(self._chance)
            self._connection = None

    def fetch(self, fetch: Fetch) -> None:
        """A bulk call: unordered, given up after its own time-out."""
        BulkCall(self._world, self._network, self._place, self._store, fetch, self._told).start()

    def _told(self, token: int, reply: Reply | None) -> None:
        if not self._closed:
            self._deliver(Fetched(token, reply))

    def _reachable(self) -> bool:
        here, there = self._place, self._store.name
        blocked = self._network.is_blocked(here, there) or self._network.is_blocked(there, here)
        return self._store.up and not blocked

    def _open(self) -> None:
        if self._closed or self._connection is not None:
            return
        if not self._reachable():
            self.dial()
            return
        self._generation += 1
        self._connection = Connection(
            self._world, self._network, self._place, self._store, self._generation, self._deliver
        )
        self._deliver(Connected(self._store.name, self._generation))

    def _end(self, why: str) -> None:
        assert self._connection is not None
        self._connection.sever(self._chance)
        self._connection = None
        self._deliver(Disconnected(self._store.name, self._generation, why))
        self._world.after(self._chance.randint(*RETRY_MS), self.dial)

    def _some_prefix(self, items: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        return items[: self._chance.randint(0, len(items))]


class Connection:
    """One connection to a store, from Connected to its end."""

    __slots__ = ("_deliver", "_generation", "_severed", "_store", "_world", "replies", "requests")

    def __init__(
        self,
        world: World,
        network: Network,
        place: str,
        store: SimulatedStore,
        generation: int,
        deliver: Callable[[Event], None],
    ) -> None:
        self._world = world
        self._store = store
        self._generation = generation
        self._deliver = deliver
        self._severed = False
        self.requests = Pipe(world, network, place, store.name, self._arrived)
        self.replies = Pipe(world, network, store.name, place, self.answered)

    def answered(self, reply: bytes) -> None:
        """A reply reached the process."""
        self._deliver(Answered(self._store.name, self._generation, unpack_reply(reply)))

    def abandon(self, chance: Random) -> None:
        """The process closed its end or died: what it had written goes on its way, as a rule."""
        if chance.random() < WRITTEN_ARRIVES_SHARE:
            self._severed = True
            self.replies.close()
        else:
            self.sever(chance)

    def sever(self, chance: Random) -> None:
        """Both directions are gone; a prefix of the calls in flight may be executed later."""
        if self._severed:
            return
        self._severed = True
        self.replies.close()
        in_flight = self.requests.close()
        if not in_flight or chance.random() >= LATE_SHARE:
            return
        late_ms = round(LATE_MS[0] * (LATE_MS[1] / LATE_MS[0]) ** chance.random())
        for (request,) in in_flight[: chance.randint(1, len(in_flight))]:
            self._world.after(late_ms, self._store.submit, request, _nobody)

    def _arrived(self, request: bytes) -> None:
        self._store.submit(request, self._executed)

    def _executed(self, reply: bytes) -> None:
        if not self._severed:
            self.replies.put(reply)


class BulkCall:
    """One Fetch on its way; exactly one answer is given, None when time is up."""

    __slots__ = ("_fetch", "_network", "_place", "_store", "_tell", "_told", "_world")

    def __init__(
        self,
        world: World,
        network: Network,
        place: str,
        store: SimulatedStore,
        fetch: Fetch,
        tell: Callable[[int, Reply | None], None],
    ) -> None:
        self._world = world
        self._network = network
        self._place = place
        self._store = store
        self._fetch = fetch
        self._tell = tell
        self._told = False

    def start(self) -> None:
        """Send it, and start the clock that gives it up."""
        here, there = self._place, self._store.name
        self._world.after(min(self._fetch.timeout_ms, BULK_PATIENCE_MS), self._answer, None)
        request = pack([self._fetch.header, self._fetch.commands])
        self._network.datagram(here, there, self._store.submit, request, self._executed)

    def _executed(self, reply: bytes) -> None:
        self._network.datagram(self._store.name, self._place, self._answer, reply)

    def _answer(self, reply: bytes | None) -> None:
        if not self._told:
            self._told = True
            self._tell(self._fetch.token, None if reply is None else unpack_reply(reply))


def _nobody(reply: bytes) -> None:
    """Where answers to a connection that is gone end."""
