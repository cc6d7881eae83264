"""The ordered lane to one store, as the core sees it: what waits, what is under way, what it means.

Theory of operation. Whatever is asked of a store waits here until the driver takes it; everything
that waits leaves as one call, so that one disk flush at the store pays for all of it. Answers come
in the order of the calls. When the lane breaks or is silent for too long, everything unanswered is
unknown, once.

    any --an opseq below one it answered before--> quarantined, for the life of this process
    DOWN --Connected--> UP --Disconnected, overdue--> DOWN        UP --header refused--> REFUSED
    --Connected--> UP
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from controlplane.machine import Call
from controlplane.node.pace import Pace
from regions.codec import ANOTHER_STORE, FORMAT, Code, Reply
from regions.latency import TTL_FLOOR_MS, TTL_ROUND_TRIPS, RoundTrip, timeouts_for

Take = Callable[[list[Any] | None, int], None]

AWAY_MS = TTL_FLOOR_MS // TTL_ROUND_TRIPS  # a process late by less makes no lease look unsafe
LONGEST_TTL_MS = 60_000  # until a lane knows the leases it carries
REFRESH_EVERY = 8  # round trips
ANSWERS_KEPT = 64  # some ten seconds: what a lease follows has to be what the way is now
COMMANDS_MAX = 200  # in one call: some ten milliseconds of a store's time, if all are elections
USUAL_MARGIN_MS = 10  # beyond what nine in ten answers take: from then on an answer is late


class Lane:
    """One store's ordered lane; `sent_ms` is when the call now being answered was sent."""

    __slots__ = (
        "_process", "_samples", "_told_ms", "_told_opseq", "answers", "away_until_ms",
        "generation", "heard_ms",
        "incarnation", "looked_ms", "opseq", "pace", "quarantined", "refusal", "round_trip",
        "round_trip_ms", "sent_ms",
        "shortest_ttl_ms", "store", "timeout_ms", "under_way", "usual_ms", "waiting", "window",
    )  # fmt: skip

    def __init__(
        self, store: str, incarnation: str, process: str, expected_round_trip_ms: float
    ) -> None:
        self.store = store
        self.incarnation = incarnation
        self._process = process
        self.generation = 0
        self.waiting: list[tuple[list[Any], Take]] = []
        self.under_way: deque[tuple[int, list[Take]]] = deque()
        self.pace = Pace()
        self.sent_ms = 0
        self.heard_ms: int | None = None
        self.away_until_ms = -1  # this process was paused, or late, until then
        self.looked_ms = 0  # when this process last had heard all that had come
        self.round_trip = RoundTrip(expected_round_trip_ms)
        self.answers = RoundTrip(expected_round_trip_ms, ANSWERS_KEPT)  # none that never came
        self.shortest_ttl_ms = LONGEST_TTL_MS
        self._samples = 0
        self._refresh()
        self.opseq = 0
        self._told_opseq = 0  # another node has seen it so far, as this one knows since
        self._told_ms = 0
        self.quarantined = False
        self.refusal = ""

    def serve(self, ttl_ms: int) -> None:
        """Of the leases of all groups that this lane carries, this is the shortest: it decides on
        the time-outs."""
        self.shortest_ttl_ms = ttl_ms
        self._refresh()

    def measured(self, sent_ms: int, round_trip_ms: int, *, is_answered: bool = True) -> None:
        """Take a round trip; what follows from all of them is refreshed now and then.

        One that was under way while this process was away says nothing of the network. Nor does one
        that is late, unless this process looked for it in vain since it was due: perhaps it was
        stopped for a moment.
        """
        is_late = round_trip_ms > self.usual_ms + AWAY_MS
        was_looked_for = self.looked_ms >= sent_ms + self.usual_ms
        if sent_ms <= self.away_until_ms or (is_late and not was_looked_for):
            return
        self.round_trip.add(round_trip_ms)
        if is_answered:
            self.answers.add(round_trip_ms)
        self._samples += 1
        if self._samples % REFRESH_EVERY == 0:
            self._refresh()

    def _refresh(self) -> None:
        self.round_trip_ms = int(self.round_trip.p50_ms)
        self.usual_ms = int(self.answers.p90_ms) + USUAL_MARGIN_MS
        self.timeout_ms = timeouts_for(self.shortest_ttl_ms, self.round_trip.p99_ms).call_ms
        self.window = max(2, min(32, 2 + self.round_trip_ms // 4))

    @property
    def is_up(self) -> bool:
        """Whether commands can be sent now."""
        return self.generation > 0

    @property
    def has_room(self) -> bool:
        """Whether another call with appends may leave."""
        return self.generation > 0 and len(self.under_way) < self.window

    def connected(self, generation: int) -> None:
        """A new connection: nothing is under way on it. A store in quarantine stays down."""
        if self.quarantined:
            return
        self.generation = generation
        self.refusal = ""

    def ask(self, command: list[Any], take: Take) -> None:
        """Queue a command; without a connection it is lost when the queue is next failed."""
        self.waiting.append((command, take))
        self.pace.asked += 1

    def call(self, now_ms: int) -> Call | None:
        """Everything that waits, as one call sent at `now_ms`."""
        if not self.waiting or not self.generation:
            return None
        batch = self.waiting[:COMMANDS_MAX]
        del self.waiting[:COMMANDS_MAX]
        self.under_way.append((now_ms, [take for _, take in batch]))
        header = [FORMAT, self.incarnation, self._process, self.generation]
        return Call(self.store, self.generation, header, [command for command, _ in batch])

    def answered(self, reply: Reply, now_ms: int) -> bool:
        """Give the oldest call's answers out; False when the store refused the call as a whole."""
        sent_ms, takes = self.under_way.popleft()
        self.sent_ms = sent_ms
        self.heard_ms = now_ms
        self.measured(sent_ms, now_ms - sent_ms)
        self.pace.answered(len(takes), sent_ms, now_ms, self.timeout_ms // 2)
        refusal = self._refusal(reply, len(takes), sent_ms)
        if refusal:
            self.refusal = refusal
            for take in takes:
                take(None, now_ms)
            return False
        self.opseq = reply.opseq
        for take, result in zip(takes, reply.results, strict=True):
            take(result, now_ms)
        return True

    def told(self, opseq: int, now_ms: int) -> None:
        """Another node has seen the store at this opseq: calls from now on find it no earlier."""
        if opseq > self._told_opseq:
            self._told_opseq, self._told_ms = opseq, now_ms

    def _refusal(self, reply: Reply, asked: int, sent_ms: int) -> str:
        """Why nothing of this reply counts; a store that went back in time never counts again.

        One that forgot is not that store any more, and counts its changes from the start.
        """
        if reply.code in ANOTHER_STORE:
            return str(reply.code)
        known = max(self.opseq, self._told_opseq if sent_ms > self._told_ms else 0)
        if reply.opseq < known:
            self.quarantined = True
            return f"rolled back: its opseq went from {known} to {reply.opseq}"
        if reply.code != Code.OK or len(reply.results) != asked:
            return str(reply.code)
        return ""

    def declined(self, now_ms: int) -> None:
        """The store did nothing of the oldest call; those behind it are answered in their turn."""
        sent_ms, takes = self.under_way.popleft()
        self.heard_ms = now_ms
        self.measured(sent_ms, now_ms - sent_ms)
        self.pace.answered(len(takes), sent_ms, now_ms, self.timeout_ms // 2)
        for take in takes:
            take(None, now_ms)

    def overdue(self) -> None:
        """The oldest call was not answered in time: it took so long at least."""
        self.measured(self.under_way[0][0], self.timeout_ms, is_answered=False)

    def lost(self, now_ms: int) -> None:
        """The connection is gone: everything asked and not answered is unknown."""
        self.generation = 0
        takes = [take for _, batch in self.under_way for take in batch]
        takes += [take for _, take in self.waiting]
        self.under_way.clear()
        self.waiting.clear()
        self.pace.lost()
        for take in takes:
            take(None, now_ms)

    @property
    def overdue_ms(self) -> int | None:
        """When the lane will have been silent too long, with a call under way all that time.

        While answers come, one by one, another connection would be no faster.
        What came while this process was away is heard first.
        """
        if not self.under_way:
            return None
        return max(
            max(self.under_way[0][0], self.heard_ms or 0) + self.timeout_ms,
            self.away_until_ms + AWAY_MS,
        )
