"""Leases that follow measured round trips: how long a group's must be, and who has it made so.

Theory of operation. A lease shorter than ten of the round trips that its quorum takes is lost to
ordinary hiccups (regions/latency). Every node that stands in a group knows its own round trips to
the group's stores, from answers alone, since a time-out measures nothing but itself; of them it
takes what nine in ten keep to, and tells the first of the living nodes what lease that needs. That
one goes by the longest need, since any of them may be the next leader. When the need has been
beyond the lease for `LENGTHEN_AFTER_MS`, it has a longer one decided, with some room; when much
less has been enough for `SHORTEN_AFTER_MS`, a shorter one, never shorter than what people set.
Another lease is another version of the group (regions/membership): every store and node changes at
once, and nobody believes in one that others do not. It makes every leader stand again. So nothing
is made longer while very many shards are being elected, as after the start of a large fleet or the
crash of a node, nor while renewals here come late: then round trips show what that costs, not how
far stores are.

The document `timeouts`, once anybody has edited it, says how long leases last at least: that is
done at the next look, whatever was measured.

A need beyond `FOLLOW_MAX_MS` is named (`unsafe-ttl`, and in the view of the group), and is for
people to judge: such round trips may be a fault, and after a crash nobody leads for a whole lease.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from config.document import Kind
from controlplane.machine import Tell
from controlplane.node.group import Group
from controlplane.node_plan import description_of
from controlplane.requests import ChangeLease
from regions.latency import SAMPLES_TRUSTED, quorum_round_trip_ms, ttl_needed_ms
from regions.membership import TTL_MAX_MS

if TYPE_CHECKING:
    from controlplane.node.node import Node

LOOK_EVERY_MS = 2_000
FORGET_AFTER_MS = 3 * LOOK_EVERY_MS
LENGTHEN_AFTER_MS = 10_000
OPEN_MAX = 64  # with more shards that nobody holds, round trips are those of elections
UNSETTLED_AFTER_MS = 600_000  # ... unless it is the lease that keeps them from being held
SHORTEN_AFTER_MS = 120_000
ROOM_PERCENT = 125
SHORTEN_BELOW_PERCENT = 70
STEP_MS = 100
FOLLOW_MAX_MS = 20_000


@dataclass(slots=True)
class Followed:
    """What is known of one group's need: by node, and since when its lease does not suit it."""

    needs: dict[str, tuple[int, int]] = field(default_factory=dict)  # node: (need, heard)
    short_since_ms: int | None = None
    settled_since_ms: int | None = None
    long_since_ms: int | None = None


class LeaseNeeds:
    """One node's part in it."""

    def __init__(self, node: Node, now_ms: int) -> None:
        self._node = node
        self._followed: dict[str, Followed] = {}
        self._next_ms = now_ms + LOOK_EVERY_MS

    @property
    def deadline_ms(self) -> int:
        """When `advance` has something to do."""
        return self._next_ms

    def advance(self, now_ms: int) -> None:
        """Say what is needed, and have it changed where that is this node's to do."""
        if now_ms < self._next_ms:
            return
        self._next_ms = now_ms + LOOK_EVERY_MS
        for group in self._node.groups.values():
            if group.plan.stands:
                self._attend(group, now_ms)

    def floor_ms(self, group: str) -> int:
        """How long the fleet's documents want a group's lease to be at least; 0: they say nothing.

        What holds for every fleet before an edit does not undo what its topology says.
        """
        revision = self._node.feed.get(Kind.TIMEOUTS.value)
        if revision is None or revision.version == 0:
            return 0
        floors: dict[str, int] = revision.content["lease_ttl_floor_ms"]
        return min(floors.get(group.partition("/")[0], 0), TTL_MAX_MS)

    def need_ms(self, group: Group) -> int | None:
        """The lease that a group needs, as measured from here; None while too little is known."""
        trips = [
            lane.answers.p90_ms
            for lane in group.lanes[: group.voters]
            if lane.is_up and lane.answers.samples >= SAMPLES_TRUSTED
        ]
        if len(trips) < group.quorum:
            return None
        absent = [max(trips)] * (group.voters - len(trips))
        return ttl_needed_ms(quorum_round_trip_ms(trips + absent))

    def heard(self, sender: str, message: dict[str, Any], now_ms: int) -> None:
        """Another node says what lease a group needs."""
        group = self._node.groups.get(str(message.get("group")))
        need_ms = message.get("need_ms")
        if group is not None and isinstance(need_ms, int):
            followed = self._followed.setdefault(group.group, Followed())
            followed.needs[sender] = (need_ms, now_ms)

    def _attend(self, group: Group, now_ms: int) -> None:
        follows = self._node.plan.limits.lease_follows
        need_ms = self.need_ms(group) if follows else None
        first = self._node.standing[group.group].first
        if first is None:
            return
        if first != self._node.plan.node:
            self._followed.pop(group.group, None)
            if need_ms is not None:
                message = {"kind": "lease-need", "group": group.group, "need_ms": need_ms}
                self._node.out.append(Tell(first, message))
            return
        followed = self._followed.setdefault(group.group, Followed())
        if need_ms is not None:
            followed.needs[first] = (need_ms, now_ms)
        followed.needs = {
            node: told
            for node, told in followed.needs.items()
            if now_ms - told[1] <= FORGET_AFTER_MS
        }
        self._follow(group, followed, now_ms)

    def _follow(self, group: Group, followed: Followed, now_ms: int) -> None:
        plan = group.plan
        need_ms = max((need for need, _ in followed.needs.values()), default=0)
        floor_ms = self.floor_ms(group.group)
        set_ms = max(description_of(plan).least_ttl_ms, floor_ms)
        roomy_ms = -(-need_ms * ROOM_PERCENT // 100 // STEP_MS) * STEP_MS
        wanted_ms = max(set_ms, min(roomy_ms, FOLLOW_MAX_MS))
        followed.short_since_ms = _since(followed.short_since_ms, need_ms > plan.ttl_ms, now_ms)
        may_be_shorter = need_ms > 0 and wanted_ms * 100 <= plan.ttl_ms * SHORTEN_BELOW_PERCENT
        followed.long_since_ms = _since(followed.long_since_ms, may_be_shorter, now_ms)
        is_settled = self._is_settled(group, now_ms)
        followed.settled_since_ms = _since(followed.settled_since_ms, is_settled, now_ms)
        is_short = (
            _lasted(followed.short_since_ms, LENGTHEN_AFTER_MS, now_ms)
            and _lasted(followed.settled_since_ms, LENGTHEN_AFTER_MS, now_ms)
        ) or _lasted(followed.short_since_ms, UNSETTLED_AFTER_MS, now_ms)
        is_long = _lasted(followed.long_since_ms, SHORTEN_AFTER_MS, now_ms)
        is_under = floor_ms > plan.ttl_ms
        if is_under or (is_short and wanted_ms > plan.ttl_ms) or is_long:
            followed.short_since_ms = followed.long_since_ms = None
            why = f"measured round trips need {need_ms} ms"
            why = f"the document timeouts wants {floor_ms} ms or more" if is_under else why
            order = ChangeLease(group.group, wanted_ms, f"node:{self._node.plan.node}", why)
            self._node.changes.follow_lease(order, now_ms)

    def _is_settled(self, group: Group, now_ms: int) -> bool:
        """Whether round trips show how far stores are: little is open, and renewals are in time."""
        is_open = self._node.standing[group.group].is_gone
        unheld = sum(len(s) for holder, s in group.by_holder.items() if is_open(holder, now_ms))
        return unheld <= OPEN_MAX and not group.is_short


def _since(since_ms: int | None, holds: bool, now_ms: int) -> int | None:
    """Since when something holds."""
    if not holds:
        return None
    return now_ms if since_ms is None else since_ms


def _lasted(since_ms: int | None, wanted_ms: int, now_ms: int) -> bool:
    return since_ms is not None and now_ms - since_ms >= wanted_ms
