"""Moving leaders on purpose: back to the preferred node, and away from a node that drains.

Theory of operation. Candidates agree on an order (controlplane/node/standing). A leader that is
not the first of its shard's order hands over to the one that is, once that one can be trusted
(controlplane/node/trust) and leave is given (controlplane/node/homecoming), a few at a time:
stickiness comes from the order itself, which changes only when nodes or placements do. A leader in
a place that is drained (controlplane/node/drains) hands over what is released, to the first that
may lead it, and keeps what nobody else can take. A process that is being stopped hands everything
over, and gives up what nobody else can take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane.machine import Drained, Tell
from controlplane.node.group import Group
from controlplane.node.leaving import STEP_MS, Leaving
from controlplane.node.trust import Trust
from controlplane.requests import Transfer
from regions.watch import Peer
from shards.grant import process_of
from shards.leadership import Leadership, State

if TYPE_CHECKING:
    from controlplane.node.node import Node

SETTLE_EVERY_MS = 1_000
LOOK_MAX = 256  # led shards looked at in one turn
RESIDENCE_MS = 600_000
MOVES_MAX = 16  # transfers under way
DRAIN_MAX = 128


class Rebalance:
    """Planned transfers of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._next_ms = 0
        self._after: dict[str, str] = {}  # by group, the shard that was looked at last
        self.trust = Trust()
        self._drained = False
        self._leaving = Leaving(node)
        self._next_step_ms = 0
        self._kept: dict[str, int] = {}  # moved here by a person: not moved on before

    def advance(self, now_ms: int) -> None:
        """Settle or drain, when it is time."""
        if self._leaving.is_any and now_ms >= self._next_step_ms and not self._node.draining:
            self._next_step_ms = now_ms + STEP_MS
            self._leaving.step(now_ms)
        if now_ms < self._next_ms:
            return
        if self._node.draining:
            self._next_ms = now_ms + 20
            self._drain(now_ms)
            return
        self._next_ms = now_ms + SETTLE_EVERY_MS
        self._look(now_ms)
        plan = self._node.plan
        if self._node.drains.avoids(plan.node, plan.region):
            self._leaving.look(now_ms)
            self._next_step_ms = now_ms
        else:
            for group in self._node.groups.values():
                self._settle(group, now_ms)
        self._node.homecoming.send(now_ms)

    @property
    def deadline_ms(self) -> int:
        """When `advance` has something to do."""
        leaves = self._leaving.is_any and not self._node.draining
        return min(self._next_ms, self._next_step_ms) if leaves else self._next_ms

    def keep(self, shard: str, now_ms: int) -> None:
        """A person moved the shard here: leave it for a while."""
        self._kept[shard] = now_ms + RESIDENCE_MS

    def wake(self, now_ms: int) -> None:
        """Something may have to be handed over: look now."""
        self._next_ms = min(self._next_ms, now_ms)

    def begin_drain(self, now_ms: int) -> None:
        """Tell the others not to give us anything, and start."""
        self._next_ms = now_ms
        for peer in self._node.census.peers(now_ms):
            message = {"kind": "draining", "process": self._node.plan.process}
            self._node.out.append(Tell(peer.node, message))

    def _look(self, now_ms: int) -> None:
        """Note who is there; a node is that is alive in any of its groups.

        To a process that was paused everybody looks silent at first: it begins to watch anew.
        """
        if now_ms - self._node.away_until_ms < SETTLE_EVERY_MS:
            self.trust.was_away(now_ms)
            return
        seen: dict[str, tuple[str, bool]] = {}
        for group in self._node.groups.values():
            for peer in sorted(group.watch.peers(now_ms).values(), key=_newest_last):
                is_alive = peer.silent_ms < group.times.silent_ms
                if is_alive or not seen.get(peer.node, ("", False))[1]:
                    seen[peer.node] = (process_of(peer.sid), is_alive)
        self.trust.looked(seen, now_ms)

    def _settle(self, group: Group, now_ms: int) -> None:
        names, after = sorted(group.led), self._after.get(group.group, "")
        ahead = [name for name in names if name > after][:LOOK_MAX]
        self._after[group.group] = ahead[-1] if len(ahead) == LOOK_MAX else ""
        may_go = [name for name in self._node.homecoming.with_leave(now_ms) if name in group.led]
        for name in dict.fromkeys((*may_go, *(ahead or names[:LOOK_MAX]))):
            if self._node.transfers.under_way >= MOVES_MAX:
                return
            leadership = group.led.get(name)
            if now_ms < self._kept.get(name, 0):
                continue
            if leadership is not None and leadership.state is State.LEADING:
                best = self._better(group, leadership)
                if best is None or not self.trust.may_be_handed(best, now_ms):
                    continue
                if self._node.homecoming.may_go(name, best, now_ms):
                    self.move(group, leadership, best, "preferred", now_ms)

    def _better(self, group: Group, leadership: Leadership) -> str | None:
        order = self._node.standing[group.group].order(leadership.sighted)
        here = self._node.plan.node
        return order[0] if order and order[0] != here else None

    def move(
        self, group: Group, leadership: Leadership, node: str, reason: str, now_ms: int
    ) -> None:
        """Hand a shard over."""
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
        if left or paying or self._drained or self._node.duties.waits_to_be_kept(now_ms):
            return
        self._drained = True
        self._node.out.append(Drained())

    def _give(self, group: Group, leadership: Leadership, now_ms: int) -> None:
        here = self._node.plan.node
        order = self._node.standing[group.group].order(leadership.sighted)
        others = [n for n in order if n != here and not self.trust.is_shunned(n, now_ms)]
        if others and leadership.serves(now_ms):
            self.move(group, leadership, others[0], "drain", now_ms)
        else:
            leadership.end("resigned", now_ms)


def _newest_last(peer: Peer) -> int:
    return peer.appeared_ms
