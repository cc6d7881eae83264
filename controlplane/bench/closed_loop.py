"""A fixed number of clients, each with exactly one request under way.

The load generator shares the machine with what it measures, so it must be cheap: no tasks, no
futures, one callback an answer. A wire (HTTP/1.1, gRPC) tells the loop when a request was answered,
and the loop says whether that client goes on.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from time import perf_counter


@dataclass(frozen=True, slots=True)
class LoopTimes:
    """How long to run before counting, and for how long to count."""

    warmup_s: float
    measured_s: float


@dataclass(slots=True)
class ClosedLoop:
    """Counts and times the answers between the end of the warm-up and the end of the run.

    `done` is set when every client has had its last answer, or when one of them cannot go on.
    """

    clients: int
    times: LoopTimes
    durations_ms: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    broken: str = ""
    _counts_from: float = 0.0
    _ends_at: float = 0.0
    _running: int = 0

    def start(self) -> None:
        """Begin the warm-up now; every client is running from here on."""
        self._counts_from = perf_counter() + self.times.warmup_s
        self._ends_at = self._counts_from + self.times.measured_s
        self._running = self.clients

    def answered(self, sent_at: float, failure: str = "") -> bool:
        """Note one answer; true when the client is to send its next request."""
        now = perf_counter()
        if self._counts_from <= now < self._ends_at:
            if failure:
                self.failures[failure] += 1
            else:
                self.durations_ms.append((now - sent_at) * 1000.0)
        if now < self._ends_at:
            return True
        self._running -= 1
        if self._running <= 0:
            self.done.set()
        return False

    def broke(self, why: str) -> None:
        """A client lost its connection: the run is void, and says why."""
        if not self.done.is_set():
            self.broken = self.broken or why
            self.done.set()
