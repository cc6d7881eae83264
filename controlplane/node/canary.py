"""A node that is trusted with little at first, and hands that back by itself when it does not hold.

Theory of operation. The drain of a node may name shards that it leads all the same: its *canaries*
(controlplane/node/drains). As long as it has any, the node watches its own leadership for signs
that it is not steady: shards it lost without being asked to give them up, leases of which half went
without a majority of renewals, turns that came late. More of one kind within `WINDOW_MS` than it
may have, and the canaries count as released here, at once: they go to others as from any drained
place. That is told to the global leader until its record says so, too (controlplane/planning/
draining), and then nobody hands them back. What it saw counts for that record alone: drained and
let lead anew, it begins anew.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from controlplane.machine import Tell
from controlplane.node.following import SYSTEM

if TYPE_CHECKING:
    from controlplane.node.node import Node

WINDOW_MS: Final = 60_000
LOOK_EVERY_MS: Final = 500
TELL_EVERY_MS: Final = 1_000
LOST: Final = frozenset({"fenced", "expired"})
LATE_MS: Final = 250
WORD_MAX: Final = 100


class Sign(StrEnum):
    """What says that leadership is not steady."""

    LOSSES = "losses"
    """Shards were lost that nobody asked to give up."""
    RENEWALS = "renewals"
    """Half of a lease went without a majority of renewals."""
    LOOP_LAG = "loop-lag"
    """Turns of this process came `LATE_MS` late."""


SIGNS_MAX: Final = {Sign.LOSSES: 1, Sign.RENEWALS: 3, Sign.LOOP_LAG: 4}
"""How many of each are borne within `WINDOW_MS`."""


class Canary:
    """The watch of one node over itself; and, at the global leader, who handed back."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._seen: dict[Sign, deque[int]] = {sign: deque() for sign in Sign}
        self._version = 0  # of the record that is watched under
        self._next_look_ms = 0
        self._next_tell_ms = 0
        self._failures: dict[str, str] = {}
        self.unsteady: Sign | None = None
        """Why this node hands its canaries back."""

    def advance(self, now_ms: int) -> None:
        """Look at the leases; tell what was found."""
        if now_ms < self._next_look_ms:
            return
        self._next_look_ms = now_ms + LOOK_EVERY_MS
        version = self._node.drains.canaries_since(self._node.plan.node)
        if version != self._version:
            self._version, self.unsteady = version, None
            for seen in self._seen.values():
                seen.clear()
        if version and any(group.is_short for group in self._node.groups.values()):
            self._saw(Sign.RENEWALS, now_ms)
        if self.unsteady is not None and now_ms >= self._next_tell_ms:
            self._tell(self.unsteady, now_ms)

    def lost(self, why: str, now_ms: int) -> None:
        """A shard that was led here is not any more."""
        if why in LOST:
            self._saw(Sign.LOSSES, now_ms)

    def late(self, by_ms: int, now_ms: int) -> None:
        """A turn of this process came late."""
        if by_ms >= LATE_MS:
            self._saw(Sign.LOOP_LAG, now_ms)

    def _saw(self, sign: Sign, now_ms: int) -> None:
        if not self._version or self.unsteady is not None:
            return
        seen = self._seen[sign]
        seen.append(now_ms)
        while seen[0] <= now_ms - WINDOW_MS:
            seen.popleft()
        if len(seen) > SIGNS_MAX[sign]:
            self.unsteady, self._next_tell_ms = sign, now_ms
            self._node.happened("canary-unsteady", SYSTEM, 0, {"why": sign.value})
            self._node.drains.heed_anew(now_ms)

    def _tell(self, sign: Sign, now_ms: int) -> None:
        self._next_tell_ms = now_ms + TELL_EVERY_MS
        leader = self._node.census.global_leader()
        if leader is None:
            return
        message = {"kind": "canary-unsteady", "why": sign.value}
        if leader.node == self._node.plan.node:
            self.heard(leader.node, message)
        else:
            self._node.out.append(Tell(leader.node, message))

    # -- at the global leader

    def heard(self, sender: str, message: dict[str, Any]) -> None:
        """A node hands back what it was trusted with."""
        why = message.get("why")
        if isinstance(why, str) and len(why) <= WORD_MAX:
            self._failures[sender] = why

    def take(self) -> dict[str, str]:
        """Who said so since the last call, and why."""
        failures, self._failures = self._failures, {}
        return failures
