"""Distances, cuts and delays between named places: nodes, stores, and the clients of a region.

A direction between two places is open or blocked. Cuts are counted, so that faults may overlap: a
direction is open again when every cut of it has been healed. What a blocked direction does to a
message depends on what carries it: a datagram is lost, a connection holds its bytes back and goes
on when the direction opens, unless somebody gives the connection up first.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from controlplane.simulator.world import World

SLOWEST_SHARE = 0.05  # of all messages meet a queue somewhere and take several times as long


class Network:
    """How long messages take between places, and which of them arrive at all."""

    def __init__(
        self,
        world: World,
        region_of: dict[str, str],
        round_trip_ms: dict[tuple[str, str], float],
        jitter: float,
        loss: float,
    ) -> None:
        """`jitter` is a share of the delay; `loss` the share of datagrams that vanish."""
        self._world = world
        self._chance = world.chance("network")
        self._region_of = region_of
        self._one_way_ms = {pair: rtt / 2 for pair, rtt in round_trip_ms.items()}
        self._jitter = jitter
        self._loss = loss
        self._cuts: Counter[tuple[str, str]] = Counter()
        self._slowed_ms: Counter[tuple[str, str]] = Counter()
        self._held_back: dict[tuple[str, str], list[Callable[[], None]]] = {}

    def settle(self, place: str, region: str) -> None:
        """A place that was not there before."""
        self._region_of[place] = region

    def delay_ms(self, source: str, target: str) -> int:
        """How long one message takes from here to there, this time."""
        regions = (self._region_of[source], self._region_of[target])
        base_ms = self._one_way_ms[regions]
        if self._jitter:
            roll = self._chance.random()
            base_ms *= 1 + self._jitter * roll
            if roll < SLOWEST_SHARE:
                base_ms *= 1 + 60 * roll
        if self._slowed_ms:
            base_ms += self._slowed_ms.get((source, target), 0)
        return round(base_ms)

    def is_blocked(self, source: str, target: str) -> bool:
        """Whether nothing gets from here to there at present."""
        return bool(self._cuts) and (source, target) in self._cuts

    def cut(self, source: str, target: str) -> None:
        """Block one direction; count it, so that it takes as many `heal` to open it."""
        self._cuts[source, target] += 1

    def heal(self, source: str, target: str) -> None:
        """Take back one cut of this direction, if there is one."""
        direction = (source, target)
        if direction not in self._cuts:
            return
        self._cuts[direction] -= 1
        if not self._cuts[direction]:
            del self._cuts[direction]
            for resume in self._held_back.pop(direction, ()):
                self._world.after(self._chance.randrange(20), resume)

    def heal_all(self) -> None:
        """Open everything and take off every slowness."""
        self._slowed_ms.clear()
        for source, target in list(self._cuts):
            self._cuts[source, target] = 1
            self.heal(source, target)

    def slow(self, source: str, target: str, extra_ms: int) -> None:
        """Add to the delay of one direction; a negative number takes it off again."""
        self._slowed_ms[source, target] += extra_ms

    def when_open(self, source: str, target: str, resume: Callable[[], None]) -> None:
        """Call `resume` once, soon after this direction opens."""
        self._held_back.setdefault((source, target), []).append(resume)

    def datagram(
        self, source: str, target: str, deliver: Callable[..., None], *arguments: Any
    ) -> None:
        """A message by itself: it may be lost, and overtaken by a later one."""
        if self.is_blocked(source, target) or self._chance.random() < self._loss:
            return
        self._world.after(self.delay_ms(source, target), deliver, *arguments)


class Pipe:
    """One direction of a connection: what is put in comes out in the same order, later or never."""

    __slots__ = ("_closed", "_inside", "_last_ms", "_network", "_out", "_stalled", "_way", "_world")

    def __init__(
        self, world: World, network: Network, source: str, target: str, out: Callable[..., None]
    ) -> None:
        self._world = world
        self._network = network
        self._way = (source, target)
        self._out = out
        self._inside: deque[tuple[int, tuple[Any, ...]]] = deque()
        self._last_ms = 0
        self._closed = False
        self._stalled = False

    def put(self, *item: Any) -> None:
        """Send something to the other end."""
        now_ms = self._world.now_ms
        at_ms = max(self._last_ms, now_ms + self._network.delay_ms(*self._way))
        self._last_ms = at_ms
        self._inside.append((at_ms, item))
        self._world.after(at_ms - now_ms, self._arrive)

    def close(self) -> list[tuple[Any, ...]]:
        """Nothing comes out any more; returns what was still inside, oldest first."""
        self._closed = True
        left = [item for _, item in self._inside]
        self._inside.clear()
        return left

    def _arrive(self) -> None:
        if self._closed or self._stalled or not self._inside:
            return
        if self._network.is_blocked(*self._way):
            self._stalled = True
            self._network.when_open(*self._way, self._resume)
            return
        now_ms = self._world.now_ms
        while self._inside and self._inside[0][0] <= now_ms and not self._closed:
            self._out(*self._inside.popleft()[1])

    def _resume(self) -> None:
        self._stalled = False
        self._arrive()
