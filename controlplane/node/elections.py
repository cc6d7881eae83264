"""What becomes of a node's elections: counted, and told when an epoch opens.

Theory of operation. How long a shard was without a leader is told by who leads it next: the leader
before may be gone with all it knew. It counts from the last moment at which a majority of stores
showed a sign of that leader (controlplane/node/standing) to the commit of the entry that opens the
new epoch, so detection, election and recovery are all in it. When that entry is committed,
everything before it in the log is decided: the time since a majority granted the shard is what it
took to reconcile what was under way.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from controlplane.node.group import Group
from shards.leadership import Leadership

if TYPE_CHECKING:
    from controlplane.node.node import Node

UNPLANNED: Final = ("dead", "waited")
SAME_LEADER: Final = ("mine", "carry")
BY_A_NODE: Final = "node:"
"""Who evicts a leader that does not serve; people have other names."""


class Elections:
    """Those of one node: by result, what came of them."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.ended: Counter[str] = Counter()

    def gave_up(self, leadership: Leadership, why: str) -> None:
        """A leadership is over; if its epoch was never opened, the election came to nothing."""
        if leadership.announced != leadership.epoch:
            self.ended[why] += 1

    def opened(self, group: Group, leadership: Leadership, now_ms: int) -> None:
        """An epoch was opened by this node: tell everybody, and the history of leadership."""
        node, shard, epoch = self._node, leadership.shard, leadership.epoch
        attempt = node.standing[group.group].won(shard)
        node.row_changed(shard)
        node.health.elected(leadership.why, leadership.before[0])
        self.ended["won"] += 1
        before = node.census.node_name(leadership.before[0])
        ordered = node.upkeep.who_ended(shard, epoch)
        detail: dict[str, Any] = {"why": leadership.why, "group": group.group}
        if before:
            detail["before"] = before
        had_leader = attempt is not None and attempt.left_ms is not None
        detail["cause"] = cause_of(leadership.why, had_leader, ordered.get("principal", ""))
        if attempt is not None and attempt.stood_ms:
            detail["took_ms"] = now_ms - attempt.stood_ms
            if attempt.won_ms >= attempt.stood_ms:
                detail["reconciled_ms"] = now_ms - attempt.won_ms
            if attempt.left_ms is not None and leadership.why not in SAME_LEADER:
                detail["unled_ms"] = now_ms - attempt.left_ms
        node.happened("elected", shard, epoch, detail)
        record = {
            "shard": shard, "epoch": epoch, "node": node.plan.node,
            "region": node.plan.region, "ended": leadership.why, "wall_ms": node.wall_ms(),
            "before": before, "before_epoch": leadership.before[1], "group": group.group,
        } | ordered  # fmt: skip
        told = {name: detail[name] for name in ("cause", "took_ms", "unled_ms") if name in detail}
        node.duties.opened(record | told)


def cause_of(why: str, had_leader: bool, by: str) -> str:
    """Why there is a new epoch: `first`, `renewed` (the same leader), `planned`, `unplanned`.

    Who took a shard away is known where the one who did it takes it over, or said so; a leader that
    was evicted for not serving is no plan of anybody's.
    """
    if why in SAME_LEADER:
        return "renewed"
    if why == "free" and not had_leader:
        return "first"
    return "unplanned" if why in UNPLANNED or by.startswith(BY_A_NODE) else "planned"
