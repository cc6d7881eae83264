"""Virtual time: one heap of things to happen, one seed, one trace.

Nothing here waits. `World.run_until` takes the earliest thing, moves the time to it and does it;
things due at the same millisecond happen in the order in which they were planned. Chance comes from
named streams, each seeded by the world's seed and its own name, so that a change in, say, the
workload leaves the delays of the network as they were.

Everything that happens is folded into a digest. Two runs of one seed have equal digests, or the
code under test asked something other than its events and its clock: an unordered set, a real clock.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from heapq import heappop, heappush
from random import Random
from typing import Any

from regions.codec import pack

PARTS_PER_MILLION = 1_000_000


class World:
    """The time of a simulation, what is going to happen in it, and a digest of what has."""

    __slots__ = ("_digest", "_due", "_planned", "events", "now_ms", "seed")

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now_ms = 0
        self.events = 0
        self._planned = 0
        self._due: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._digest = blake2b(digest_size=16)

    def chance(self, stream: str) -> Random:
        """A source of randomness of its own, fixed by the seed and the name."""
        return Random(f"{self.seed}/{stream}")

    def after(self, delay_ms: int, action: Callable[..., None], *arguments: Any) -> None:
        """Do something later; with a delay of 0, later in this millisecond."""
        self._planned += 1
        heappush(self._due, (self.now_ms + max(0, delay_ms), self._planned, action, arguments))

    def run_until(self, end_ms: int) -> None:
        """Let everything happen that is due up to and including `end_ms`."""
        due = self._due
        while due and due[0][0] <= end_ms:
            at_ms, _, action, arguments = heappop(due)
            self.now_ms = at_ms
            self.events += 1
            action(*arguments)
        self.now_ms = max(self.now_ms, end_ms)

    def note(self, *words: Any) -> None:
        """Fold plain data into the digest, with the present time."""
        self._digest.update(pack([self.now_ms, *words]))

    @property
    def trace_hash(self) -> str:
        """The digest of everything noted so far."""
        return self._digest.hexdigest()


class SimulatedClock:
    """A process's clock: it never goes back, its reading means nothing, only its rate is bounded.

    `drift_ppm` is how much faster than the world it runs, in millionths; it runs on while the
    process is paused. `bend` and `step` change what a clock should keep to.
    """

    __slots__ = ("_born_ms", "_offset_ms", "_rate", "_world")

    def __init__(self, world: World, offset_ms: int, drift_ppm: int) -> None:
        self._world = world
        self._born_ms = world.now_ms
        self._offset_ms = offset_ms
        self._rate = PARTS_PER_MILLION + drift_ppm

    def now_ms(self) -> int:
        """The reading at this moment."""
        lived_ms = self._world.now_ms - self._born_ms
        return self._offset_ms + lived_ms * self._rate // PARTS_PER_MILLION

    def bend(self, drift_ppm: int) -> None:
        """Run at another rate from now on; the reading goes on from where it is."""
        self.step(0)
        self._rate = PARTS_PER_MILLION + drift_ppm

    def step(self, ahead_ms: int) -> None:
        """Jump ahead, which no monotonic clock does; it never jumps back."""
        assert ahead_ms >= 0, ahead_ms
        self._offset_ms = self.now_ms() + ahead_ms
        self._born_ms = self._world.now_ms

    def world_delay_ms(self, until_ms: int) -> int:
        """How long the world must go on until this clock shows `until_ms`; 0 if it does."""
        lived_ms = -(-(until_ms - self._offset_ms) * PARTS_PER_MILLION // self._rate)
        return max(0, self._born_ms + lived_ms - self._world.now_ms)
