"""Round trips to nodes of other regions, measured all the time by asking and being answered.

Theory of operation. A few times a second this node sends one node of another region a number, and
gets it back: how long that took, on this node's own monotonic clock, is a sample of the way between
the two regions, and of nothing else. Regions take turns, so the cost does not grow with the fleet;
of a region's nodes one is drawn. A node that was paused, or late, says so with its answer, and an
answer that comes to a node that was paused meanwhile says nothing: a process that slept does not
make the world larger. What was not answered in time counts for nothing either, since a node that is
gone says nothing of the way to its region.

Of lanes to stores the round trips are measured as well (controlplane/node/lane). They contain what
a store's disk takes; they are what time-outs must follow, not what a region is away.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from controlplane.machine import Tell
from controlplane.node_plan import PeerPlan
from regions.latency import SAMPLES_TRUSTED, RoundTrip
from regions.latency_matrix import Measured

if TYPE_CHECKING:
    from controlplane.node.node import Node

ASK_EVERY_MS = 1_000
REGIONS_AT_ONCE = 4
SAMPLES_KEPT = 32
"""Half a minute, where there are few regions: the middle follows a change within a quarter of it.
A tail of so few is the worst of them, which is what it is taken for."""
ANSWER_MS_MAX = 5_000
CAUGHT_UP_MS = 200
"""So long after a pause, what arrives may have waited for its end."""


class RoundTrips:
    """What one node measured, by region."""

    def __init__(self, node: Node, now_ms: int) -> None:
        self._node = node
        self._next_ms = now_ms + ASK_EVERY_MS
        self._nodes: dict[str, list[str]] = {}
        self._turns: list[str] = []
        self._trips: dict[str, RoundTrip] = {}
        self._meet(node.plan.peers)
        self._asked: dict[int, tuple[str, str, int]] = {}  # by number: node, region, when
        self._numbers = 0

    def _meet(self, peers: Iterable[PeerPlan]) -> None:
        """Take up regions that are new; one without nodes has no turn."""
        here = self._node.plan
        self._nodes = {}
        for peer in peers:
            if peer.region != here.region:
                self._nodes.setdefault(peer.region, []).append(peer.node)
        self._turns = [region for region in self._turns if region in self._nodes]
        for region in sorted(self._nodes.keys() - set(self._turns)):
            self._turns.append(region)
            prior_ms = here.region_rtt_ms.get((here.region, region), 0.0)
            self._trips.setdefault(region, RoundTrip(prior_ms, SAMPLES_KEPT))

    @property
    def deadline_ms(self) -> int:
        """When `advance` has something to do."""
        return self._next_ms

    def advance(self, now_ms: int) -> None:
        """Ask the next regions, when it is time."""
        if now_ms < self._next_ms:
            return
        self._next_ms = now_ms + ASK_EVERY_MS
        self._meet(self._node.census.peers(now_ms))
        oldest_ms = now_ms - ANSWER_MS_MAX
        self._asked = {n: asked for n, asked in self._asked.items() if asked[2] >= oldest_ms}
        for region in self._turns[:REGIONS_AT_ONCE]:
            nodes = self._nodes[region]
            self._ask(nodes[int(self._node.draw() * len(nodes)) % len(nodes)], region, now_ms)
        self._turns = self._turns[REGIONS_AT_ONCE:] + self._turns[:REGIONS_AT_ONCE]

    def _ask(self, node: str, region: str, now_ms: int) -> None:
        self._numbers += 1
        self._asked[self._numbers] = (node, region, now_ms)
        self._node.out.append(Tell(node, {"kind": "ping", "number": self._numbers}))

    def asked(self, sender: str, number: Any, now_ms: int) -> None:
        """Another node measures: it gets its number back, and whether this node was late."""
        was_late = now_ms - self._node.away_until_ms < CAUGHT_UP_MS
        self._node.out.append(Tell(sender, {"kind": "pong", "number": number, "late": was_late}))

    def answered(self, sender: str, message: dict[str, Any], now_ms: int) -> None:
        """A number is back."""
        number = message.get("number")
        asked = self._asked.pop(number, None) if isinstance(number, int) else None
        if asked is None or message.get("late") is not False:
            return
        node, region, sent_ms = asked
        in_time = now_ms - sent_ms <= ANSWER_MS_MAX
        if node == sender and in_time and self._node.away_until_ms < sent_ms:
            self._trips[region].add(now_ms - sent_ms)

    def measured(self) -> dict[str, Measured]:
        """By region, where there are enough samples to say anything."""
        return {
            region: Measured(trip.p50_ms, trip.p99_ms, trip.samples)
            for region, trip in self._trips.items()
            if trip.samples >= SAMPLES_TRUSTED
        }
