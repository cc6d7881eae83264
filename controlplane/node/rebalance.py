"""Moving leaders on purpose: back to the preferred node, and away from a node that drains.

Theory of operation. Candidates agree on an order (controlplane/node/standing). A leader that is
not the first of its shard's order hands over to the one that is, once that one has been alive long
enough to be trusted, and only a few at a time: stickiness comes from the order itself, which
changes only when nodes or placements do. A draining node hands everything over, and gives up what
nobody else can take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane.machine import Drained, Tell
from controlplane.node.group import Group
from controlplane.requests import Transfer
from shards.leadership import Leadership, State

if TYPE_CHECKING:
    from controlplane.node.node import Node

SETTLE_EVERY_MS = 1_000
STABLE_MS = 10_000
LOOK_MAX = 256  # led shards looked at in one turn
RESIDENCE_MS = 600_000
MOVES_MAX = 16  # transfers under way
DRAIN_MAX = 128


class Rebalance:
    """Planned transfers of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._next_ms = 0
        self._after = ""
        self._alive_since: dict[str, int] = {}
        self._drained = False
        self._kept: dict[str, int] = {}  # moved here by a person: not moved on before
        self._misses: dict[str, int] = {}  # how often a node did not come for what it was handed
        self._shunned: dict[str, int] = {}  # ... and until when nothing is handed to it

    def advance(self, now_ms: int) -> None:
        """Settle or drain, when it is time."""
        if now_ms < self._next_ms:
            return
        if self._node.draining:
            self._next_ms = now_ms + 20
            self._drain(now_ms)
            return
        self._next_ms = now_ms + SETTLE_EVERY_MS
        for group in self._node.groups.values():
            self._settle(group, now_ms)

    @property
    def deadline_ms(self) -> int:
        """When `advance` has something to do."""
        return self._next_ms

    def keep(self, shard: str, now_ms: int) -> None:
        """A person moved the shard here: leave it for a while."""
        self._kept[shard] = now_ms + RESIDENCE_MS

    def missed(self, node: str, now_ms: int) -> None:
        """A node did not take over: it is left alone, twice as long each time.

        It may renew its session and hear nothing of it, say. Each attempt costs its shard half a
        lease, so there must not be many.
        """
        self._misses[node] = misses = self._misses.get(node, 0) + 1
        self._shunned[node] = now_ms + min(STABLE_MS << min(misses, 10), RESIDENCE_MS)

    def came(self, node: str) -> None:
        """A node took over what it was handed."""
        self._misses.pop(node, None)
        self._shunned.pop(node, None)

    def _may_be_handed(self, node: str, now_ms: int) -> bool:
        return now_ms >= self._shunned.get(node, 0)

    def begin_drain(self, now_ms: int) -> None:
        """Tell the others not to give us anything, and start."""
        self._next_ms = now_ms
        for peer in self._node.plan.peers:
            message = {"kind": "draining", "process": self._node.plan.process}
            self._node.out.append(Tell(peer.node, message))

    def _settle(self, group: Group, now_ms: int) -> None:
        self._note_alive(group, now_ms)
        names = sorted(group.led)
        ahead = [name for name in names if name > self._after][:LOOK_MAX]
        self._after = ahead[-1] if len(ahead) == LOOK_MAX else ""
        for name in ahead or names[:LOOK_MAX]:
            if self._node.transfers.under_way >= MOVES_MAX:
                return
            leadership = group.led.get(name)
            if now_ms < self._kept.get(name, 0):
                continue
            if leadership is not None and leadership.state is State.LEADING:
                best = self._better(group, leadership)
                if best is None or not self._may_be_handed(best, now_ms):
                    continue
                if now_ms - self._alive_since.get(best, now_ms) >= STABLE_MS:
                    self._move(group, leadership, best, "preferred", now_ms)

    def _note_alive(self, group: Group, now_ms: int) -> None:
        alive = {
            p.node
            for p in group.watch.peers(now_ms).values()
            if p.silent_ms < group.times.silent_ms
        }
        for node in alive:
            self._alive_since.setdefault(node, now_ms)
        expected = self._node.census.nodes_of(group)
        for node in [n for n in self._alive_since if n in expected and n not in alive]:
            del self._alive_since[node]

    def _better(self, group: Group, leadership: Leadership) -> str | None:
        order = self._node.standing[group.group].order(leadership.sighted)
        here = self._node.plan.node
        return order[0] if order and order[0] != here else None

    def _move(
        self, group: Group, leadership: Leadership, node: str, reason: str, now_ms: int
    ) -> None:
        request = Transfer(leadership.shard, node, "system", reason)
        self._node.transfers.begin(group, leadership, request, None, now_ms)

    def _drain(self, now_ms: int) -> None:
        left = 0
        for group in self._node.groups.values():
            for leadership in list(group.led.values()):
                left += 1
                if leadership.state is State.LEADING and self._node.transfers.under_way < DRAIN_MAX:
                    self._give(group, leadership, now_ms)
        paying = any(group.letting_go.is_paying for group in self._node.groups.values())
        if left == 0 and not paying and not self._drained:
            self._drained = True
            self._node.out.append(Drained())

    def _give(self, group: Group, leadership: Leadership, now_ms: int) -> None:
        here = self._node.plan.node
        order = self._node.standing[group.group].order(leadership.sighted)
        others = [n for n in order if n != here and self._may_be_handed(n, now_ms)]
        if others and leadership.serves(now_ms):
            self._move(group, leadership, others[0], "drain", now_ms)
        else:
            leadership.end("resigned", now_ms)
