"""A node's way from one version of a group to the next.

Theory of operation. Whatever counts, counts within one version: grants, appends, renewals, the
silence of a holder. So the next version begins with a group of its own, with a new session, and
with nothing of the old one but what is true in any version: where shards are placed, and which
epochs this process has asked for. What it led is carried over, as long as its lease of the old
version holds: the log, with writes under way, goes on in the next epoch
(controlplane/node/standing). Nothing is said to the stores of the old version any more; what they
still answer, the old group hears in vain.

Lanes belong to incarnations. A store that came back as another one gets another lane. As long as
groups know it under different ones, each has a lane of its own; what is connected is that of the
incarnation which answers, as far as is known here (`Node.lanes`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane.machine import Rewire
from controlplane.node.group import Carried, Group
from controlplane.node.lane import Lane
from controlplane.node.standing import StandingDesk
from controlplane.node_plan import GroupPlan, StorePlan, group_plan
from regions.membership import GroupDescription, Member
from shards.leadership import Leadership, State

if TYPE_CHECKING:
    from controlplane.node.node import Node

CARRIED = (State.LEADING, State.STANDING, State.RECOVERING)


class Succession:
    """Makes the groups of one node, and replaces them."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._unknown: set[tuple[str, int]] = set()  # versions with stores nobody here knows
        self._made: dict[Member, Lane] = {}  # the one lane to each incarnation that groups use

    def begin(self, plan: GroupPlan, now_ms: int) -> None:
        """Take a group up as this process first knows it."""
        self._put(Group(plan, self._node, self._lanes(plan), now_ms))

    def join(self, description: GroupDescription, now_ms: int) -> None:
        """Take up a group that was made since this process began; not before it is known here where
        its stores are."""
        plan = self._planned(description)
        if plan is None:
            return
        group = Group(plan, self._node, self._rewired(plan), now_ms)
        self._put(group)
        self._connect(group)
        self._node.directory.group_came(group.group)
        detail = {"group": group.group, "version": group.version}
        self._node.happened("group-joined", "", 0, detail)

    def follow(self, description: GroupDescription, now_ms: int) -> None:
        """Go over to a version that is in use somewhere; an older one changes nothing."""
        old = self._node.groups.get(description.group)
        if old is None or description.version <= old.version:
            return
        if description.cluster != old.plan.cluster:
            why = "its stores were restored from a backup: end this process, and start it again"
            self._report_unknown(description, why)
            return
        plan = self._planned(description)
        if plan is None:
            return
        carried = self._give_up(old, now_ms, plan.stands)
        old.is_over = True
        group = Group(plan, self._node, self._rewired(plan), now_ms, carried)
        _remember(old, group)
        self._put(group)
        self._unwire(old)
        self._connect(group)
        self._node.copies.forget(group.group)
        detail = {"group": group.group, "version": group.version, "carried": len(carried)}
        self._node.happened("group-changed", "", 0, detail)
        if plan.forced is not None:
            self._node.following.begin_anew()
            forced = plan.forced
            acts = {"by": forced.by, "why": forced.why, "without": ",".join(forced.gone)}
            detail = {"group": group.group, "version": group.version, "of": forced.of, **acts}
            self._node.happened("group-forced", "", 0, detail)

    def leave(self, name: str, now_ms: int) -> None:
        """Let a group go that was dropped: no shard is in it, and none ever comes there."""
        old = self._node.groups.pop(name, None)
        if old is None:
            return
        self._give_up(old, now_ms, stands=False)
        old.is_over = True
        self._unwire(old)
        self._node.changes.left(name)
        self._node.copies.forget(name)
        self._node.happened("group-left", "", 0, {"group": name, "version": old.version})

    def _planned(self, description: GroupDescription) -> GroupPlan | None:
        here = self._node.plan
        try:
            return group_plan(description, self._node.sites.places, here.region)
        except ValueError as error:
            self._report_unknown(description, str(error))
            return None

    def _connect(self, group: Group) -> None:
        for store, lane in enumerate(group.lanes):
            if lane.is_up:
                group.connected(store)

    def _put(self, group: Group) -> None:
        node = self._node
        group.changed = node.row_changed
        node.groups[group.group] = group
        node.standing[group.group] = StandingDesk(node, group)

    def _give_up(self, old: Group, now_ms: int, stands: bool) -> dict[str, Carried]:
        """End all that is led; what has a lease to carry over is kept for the next version, if this
        node stands there. So is what was not stood for yet in the version that is over."""
        carried = dict(old.carried) if stands else {}
        for shard, left in old.carried.items():
            if shard not in carried:
                self._node.upkeep.gave_up(old, left.former, "group-changed", now_ms)
        for leadership in list(old.led.values()):
            until_ms = _lease_to_carry(leadership) if stands else None
            if until_ms is not None and now_ms < until_ms:
                carried[leadership.shard] = Carried(leadership, until_ms)
                leadership.retire()
            else:
                leadership.end("group-changed", now_ms)
        return carried

    # -- lanes

    def _lanes(self, plan: GroupPlan) -> list[Lane]:
        """One for each store, voters first; those that this node does not use are never up."""
        lanes = []
        for store in (*plan.voters, *plan.followers):
            if plan.stands or store.region == self._node.plan.region:
                lane = self._shared_lane(plan.name, store)
                lane.serve(self._shortest_ttl_ms(lane, plan))
            else:
                lane = self._new_lane(store)
            lanes.append(lane)
        return lanes

    def _shortest_ttl_ms(self, lane: Lane, plan: GroupPlan) -> int:
        """Of all leases that depend on a lane, once this version of a group has taken over."""
        groups = [group for group in self._node.groups.values() if group.group != plan.name]
        return min([plan.ttl_ms, *(g.times.ttl_ms for g in groups if lane in g.lanes)])

    def _shared_lane(self, name: str, store: StorePlan) -> Lane:
        """The lane to an incarnation; connected from now on, unless another one answers to a group
        that needs it. A lane on which nobody asks anything would seem to be up for ever."""
        member = Member(store.store, store.incarnation)
        lane = self._made.get(member)
        if lane is None:
            lane = self._made[member] = self._new_lane(store)
        present = self._node.lanes.get(store.store)
        others = [group for group in self._node.groups.values() if group.group != name]
        if present is not None and not any(present in group.lanes for group in others):
            present = None
        if present is None or not (present.is_up or self._node.changes.is_gone(member)):
            self._node.lanes[store.store] = lane
        return lane

    def try_another(self, store: str) -> None:
        """A store is not who it was: perhaps it is who another group knows it as."""
        gone = self._node.lanes[store]
        for member, lane in self._made.items():
            if member.store == store and not self._node.changes.is_gone(member):
                self._node.lanes[store] = lane
                self._lose(gone)
                self._node.out.append(Rewire(store, lane.incarnation))
                return

    def _new_lane(self, store: StorePlan) -> Lane:
        here = self._node.plan
        expected_ms = here.region_rtt_ms.get((here.region, store.region), 1.0)
        return Lane(store.store, store.incarnation, here.process, expected_ms)

    def _rewired(self, plan: GroupPlan) -> list[Lane]:
        """The lanes of a later version; the driver is told of those that are others than before."""
        before = dict(self._node.lanes)
        lanes = self._lanes(plan)
        for store, lane in self._node.lanes.items():
            old = before.get(store)
            if old is not lane:
                if old is not None:
                    self._lose(old)
                self._node.out.append(Rewire(store, lane.incarnation))
        return lanes

    def _unwire(self, old: Group) -> None:
        """A store that left the last of its groups here needs no lane."""
        lanes = [lane for group in self._node.groups.values() for lane in group.lanes]
        self._made = {member: lane for member, lane in self._made.items() if lane in lanes}
        used = {lane.store for lane in lanes}
        for store in [lane.store for lane in old.lanes if lane.store not in used]:
            lane = self._node.lanes.pop(store, None)
            if lane is not None:
                self._lose(lane)
                self._node.out.append(Rewire(store, ""))

    def _lose(self, lane: Lane) -> None:
        """Other groups may rest on it still: to them its store is gone."""
        was_up = lane.is_up
        lane.lost(self._node.now_ms)
        if not was_up:
            return
        for group in self._node.groups.values():
            if lane in group.lanes and not group.is_over:
                group.disconnected(group.lanes.index(lane))

    def _report_unknown(self, description: GroupDescription, why: str) -> None:
        seen = (description.group, description.version)
        if seen not in self._unknown:
            self._unknown.add(seen)
            detail = {"group": description.group, "version": description.version, "why": why}
            self._node.happened("group-not-followed", "", 0, detail)


def _lease_to_carry(leadership: Leadership) -> int | None:
    """Until when the lease holds of a leadership whose log goes on; None if none does."""
    if leadership.log is None or leadership.state not in CARRIED:
        return None
    if leadership.state is not State.LEADING and leadership.former is None:
        return None
    return leadership.until_ms()


def _remember(old: Group, group: Group) -> None:
    """What is true in any version: epochs once asked for, and where shards are placed."""
    for shard, before in old.shards.items():
        sighted = group.sighted(shard)
        sighted.tried = max(sighted.tried, before.greatest_promise())
        sighted.regions, sighted.pin = before.regions, before.pin
        if group.plan.forced is None:  # else stores may know of none, and are told again
            sighted.placement_rev = before.placement_rev
