"""What a drained place hands over, spread over the time until more of it is released.

Theory of operation. Shards are released a few at a time, every quarter of a second
(controlplane/planning/draining). To hand all of them over in one turn would have each of them wait
for the others: at the stores, at this process, and at those that take them. So they are taken one
after the other, evenly, so that the last of them is begun when the next may be released. What could
not be handed over is looked for again, now and then.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from controlplane.node.group import Group
from shards.leadership import Leadership, State

if TYPE_CHECKING:
    from controlplane.node.node import Node

SPREAD_MS = 250
STEP_MS = 10
UNDER_WAY_MAX = 128


class Leaving:
    """The shards that one node is to hand over, as far as they are released."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._queue: deque[tuple[str, str]] = deque()  # (group, shard)
        self._until_ms = 0

    @property
    def is_any(self) -> bool:
        """Whether something waits for its turn."""
        return bool(self._queue)

    def look(self, now_ms: int) -> None:
        """See what is released by now."""
        plan, drains = self._node.plan, self._node.drains
        self._queue = deque(
            (name, shard)
            for name, group in self._node.groups.items()
            for shard, leadership in sorted(group.led.items())
            if leadership.state is State.LEADING and drains.releases(shard, plan.node, plan.region)
        )
        self._until_ms = now_ms + SPREAD_MS

    def step(self, now_ms: int) -> None:
        """Hand over those whose turn it is."""
        steps = max(1, (self._until_ms - now_ms) // STEP_MS)
        for _ in range(-(-len(self._queue) // steps)):
            if self._node.transfers.under_way >= UNDER_WAY_MAX:
                return
            name, shard = self._queue.popleft()
            group = self._node.groups.get(name)
            leadership = None if group is None else group.led.get(shard)
            if group is not None and leadership is not None:
                self._hand_over(group, leadership, now_ms)

    def _hand_over(self, group: Group, leadership: Leadership, now_ms: int) -> None:
        plan, rebalance = self._node.plan, self._node.rebalance
        if not self._node.drains.releases(leadership.shard, plan.node, plan.region):
            return  # the place may lead again
        if leadership.state is not State.LEADING or not leadership.serves(now_ms):
            return
        heirs = self._node.standing[group.group].heirs(leadership.sighted)
        trusted = [node for node in heirs if rebalance.trust.may_be_handed(node, now_ms)]
        if trusted:
            rebalance.move(group, leadership, trusted[0], "drain", now_ms)
