"""Leave to hand a shard home, asked of the global leader, where every planned move is admitted.

Theory of operation. A leader that finds a better placed node which it trusts asks the global leader
before it hands over (controlplane/node/rebalance). There the mover judges, with everything that is
on its way, and says yes or nothing; who hears nothing asks again after `ASK_EVERY_MS`. Leave holds
for that node and for `LEAVE_MS`. Coming home is optional, but it must not hang on one place: when
no global leader is known, or none has answered for `PATIENCE_MS`, a node goes by its own trust, as
it does for everything else. Any answer, also one that admits nothing, ends that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from controlplane.machine import HomeWish, Tell

if TYPE_CHECKING:
    from controlplane.node.node import Node

ASK_EVERY_MS: Final = 2_000
PATIENCE_MS: Final = 5_000
LEAVE_MS: Final = 10_000
ROWS_MAX: Final = 256
WISHES_MAX: Final = 10_000


@dataclass(slots=True)
class _Asked:
    to_node: str
    asked_ms: int
    leave_until_ms: int = 0


class Homecoming:
    """What one node asked, and what it was asked as the global leader."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._asked: dict[str, _Asked] = {}
        self._new: list[tuple[str, str]] = []
        self._unheard_since_ms: int | None = None
        self._wishes: dict[str, HomeWish] = {}

    # -- at the leader of a shard

    def may_go(self, shard: str, to_node: str, now_ms: int) -> bool:
        """Whether a shard may be handed to this node now; if not, leave is asked for."""
        if self._node.census.global_leader() is None:
            return True
        known = self._asked.get(shard)
        if known is not None and known.to_node == to_node and now_ms < known.leave_until_ms:
            del self._asked[shard]
            return True
        is_due = known is None or known.to_node != to_node
        is_due = is_due or (known is not None and now_ms - known.asked_ms >= ASK_EVERY_MS)
        if is_due and len(self._new) < ROWS_MAX:
            self._asked[shard] = _Asked(to_node, now_ms)
            self._new.append((shard, to_node))
        since_ms = self._unheard_since_ms
        return since_ms is not None and now_ms - since_ms >= PATIENCE_MS

    def with_leave(self, now_ms: int) -> list[str]:
        """Shards that may be handed home now, by name: they are looked at before all others."""
        return sorted(s for s, asked in self._asked.items() if now_ms < asked.leave_until_ms)

    def send(self, now_ms: int) -> None:
        """Say what was asked for since the last time."""
        oldest_ms = now_ms - LEAVE_MS - ASK_EVERY_MS
        self._asked = {s: a for s, a in self._asked.items() if a.asked_ms >= oldest_ms}
        rows, self._new = self._new, []
        if not self._asked:
            self._unheard_since_ms = None  # nobody waits for an answer
        leader = self._node.census.global_leader()
        if not rows or leader is None:
            return
        if self._unheard_since_ms is None:
            self._unheard_since_ms = now_ms
        message = {"kind": "home-wish", "rows": [list(row) for row in rows]}
        if leader.node == self._node.plan.node:
            self.heard(leader.node, message)
        else:
            self._node.out.append(Tell(leader.node, message))

    def answered(self, message: dict[str, Any], now_ms: int) -> None:
        """The global leader says which shards may go."""
        self._unheard_since_ms = None
        rows = message.get("rows")
        for row in rows[:ROWS_MAX] if isinstance(rows, list) else ():
            match row:
                case [str(shard), str(to_node)]:
                    known = self._asked.get(shard)
                    if known is not None and known.to_node == to_node:
                        known.leave_until_ms = now_ms + LEAVE_MS
                        self._node.rebalance.wake(now_ms)

    # -- at the global leader

    def heard(self, sender: str, message: dict[str, Any]) -> None:
        """A leader asks; what has not its shape is ignored."""
        rows = message.get("rows")
        for row in rows[:ROWS_MAX] if isinstance(rows, list) else ():
            match row:
                case [str(shard), str(to_node)] if len(self._wishes) < WISHES_MAX:
                    self._wishes[shard] = HomeWish(sender, shard, to_node)

    def take(self) -> tuple[HomeWish, ...]:
        """What was asked since the last call."""
        wishes = tuple(self._wishes.values())
        self._wishes.clear()
        return wishes

    def judged(self, wishes: Iterable[HomeWish], admitted: Iterable[HomeWish], now_ms: int) -> None:
        """Answer everybody who asked, with what may go."""
        rows: dict[str, list[list[str]]] = {wish.asker: [] for wish in wishes}
        for wish in admitted:
            rows[wish.asker].append([wish.shard, wish.to_node])
        for asker, granted in rows.items():
            for at in range(0, max(1, len(granted)), ROWS_MAX):
                message = {"kind": "home-leave", "rows": granted[at : at + ROWS_MAX]}
                if asker == self._node.plan.node:
                    self.answered(message, now_ms)
                else:
                    self._node.out.append(Tell(asker, message))
