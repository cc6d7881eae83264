"""What groups are to be made, or let go: asked for, and written down by the global leader.

Each of the regions has one voter, and every other region one follower: so every region reads and
routes at home. Of a region's stores that are up, the one that votes least often is taken. A name is
used once: when the group that had it was dropped, the next one of its regions has a number behind.

A group is dropped when no shard is in it and no resharding under way names it. A shard comes into a
group by a resharding alone, and whatever begins one writes the counter of reshardings on the
condition that it is as it was. So does what drops a group: of two such entries that exclude each
other, only one is ever made, however old the copy is that this node follows [!].
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from controlplane.node.audit_notes import group_note
from controlplane.node.following import SYSTEM
from controlplane.node.made_groups import MadeGroup
from controlplane.node_plan import description_of
from controlplane.requests import (
    Compare,
    DropGroup,
    GroupDropped,
    GroupWanted,
    MakeGroup,
    Outcome,
    Problem,
    Put,
    Refused,
    Write,
)
from regions.latency import quorum_round_trip_ms, ttl_needed_ms
from regions.membership import FIRST_VERSION, TTL_MAX_MS, GroupDescription, Member
from regions.topology import MULTI_GROUP_AGAIN, MULTI_GROUP_PREFIX
from shards.resharding import COUNTER_KEY
from shards.resharding import PARTITION as RESHARDINGS

if TYPE_CHECKING:
    from controlplane.node.node import Node

VOTERS: Final = (3, 5)
NAME_MAX: Final = 127
GROUPS_MAX: Final = 64
NAMES_MAX: Final = 1_000  # of groups that there are or were
ROOM_PERCENT: Final = 125
"""Measured round trips are no longer than so much of what was expected, mostly."""


class GroupOrders:
    """Orders at one node."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def take(self, number: int, order: MakeGroup | DropGroup, now_ms: int) -> None:
        """Answer an order, as the leader of the system shard: written down, or refused."""
        if isinstance(order, DropGroup):
            self._drop(number, order, now_ms)
        else:
            self._order(number, order, now_ms)

    def _order(self, number: int, order: MakeGroup, now_ms: int) -> None:
        name = self._name(order.regions)
        if name in self._node.groups:
            described = description_of(self._node.groups[name].plan)
            self._node.requests.answer(number, _told(described, begun=False))
            return
        if name in self._node.made_groups.known:
            why = self._node.made_groups.why(name) or f"{name} is being joined"
            self._node.requests.answer(number, _refused(why, 1_000))
            return
        found = self._described(name, order.regions)
        if isinstance(found, Refused):
            self._node.requests.answer(number, found)
        elif not order.begin:
            self._node.requests.answer(number, _told(found, begun=False))
        else:
            self._make(number, order, found, now_ms)

    def _name(self, regions: tuple[str, ...]) -> str:
        """What a group of these regions is called: no name is used again that was dropped."""
        stem = name = MULTI_GROUP_PREFIX + "+".join(sorted(regions))
        known, times = self._node.made_groups.known, 1
        while name in known and known[name].dropped:
            times += 1
            name = f"{stem}{MULTI_GROUP_AGAIN}{times}"
        return name

    def _make(
        self, number: int, order: MakeGroup, description: GroupDescription, now_ms: int
    ) -> None:
        made = MadeGroup(description, is_made=False)
        note = group_note(description, "wanted", order.principal, order.reason)
        write = Write(SYSTEM, (made.put(),), (Compare(made.key, 0),), notes=(note,))
        told = _told(description, begun=True)
        self._write(number, write, told, _refused("it is being made already", 200), now_ms)

    def _write(
        self, number: int, write: Write, answer: Outcome, overtaken: Refused, now_ms: int
    ) -> None:
        opened = self._node.requests.get(number)
        if opened is not None:
            opened.sent = True

        def take(outcome: Outcome) -> None:
            told = answer
            if isinstance(outcome, Refused):
                is_overtaken = outcome.problem is Problem.PRECONDITION_FAILED
                told = overtaken if is_overtaken else outcome
            self._node.following.deadline_ms = self._node.now_ms
            self._node.requests.answer(number, told)

        own = self._node.requests.begin_own(write, take, now_ms)
        self._node.resubmit(own, write, now_ms)

    # -- what is let go

    def _drop(self, number: int, order: DropGroup, now_ms: int) -> None:
        name, node = order.group, self._node
        each = node.made_groups.known.get(name)
        if each is None:
            node.requests.answer(number, self._never_made(name))
            return
        if each.dropped:
            node.requests.answer(number, GroupDropped(name, each.dropped, begun=False))
            return
        if refused := self._in_use(name):
            node.requests.answer(number, refused)
            return
        why = f"{order.principal} wants it" + (f": {order.reason}" if order.reason else "")
        answer = GroupDropped(name, why, begun=order.begin)
        if not order.begin:
            node.requests.answer(number, answer)
            return
        after, counter = replace(each, dropped=why), node.reshardings.orders.counter()
        note = group_note(each.description, "dropped", order.principal, order.reason)
        write = Write(
            SYSTEM,
            (after.put(), Put(RESHARDINGS, COUNTER_KEY, counter.packed())),
            (
                Compare(each.key, each.revision),
                Compare(COUNTER_KEY, node.reshardings.counter_version),
            ),
            notes=(note,),
        )
        overtaken = _kept(f"{name}, or what is resharded, has changed meanwhile; ask again", 200)
        self._write(number, write, answer, overtaken, now_ms)

    def _never_made(self, name: str) -> Refused:
        if name in self._node.groups:
            return _kept(f"{name} was there from the start: only what was made can be dropped")
        return Refused(Problem.UNKNOWN_GROUP, f"no group is called {name!r}")

    def _in_use(self, name: str) -> Refused | None:
        """Why a group cannot be dropped, None if it can."""
        if not self._node.directory.is_of_one_moment:
            return _kept("the map is being read anew; ask again", 200)
        shards = sorted(r.shard for r in self._node.directory.rows.values() if r.group == name)
        if shards:
            return _kept(f"{len(shards)} shards are in {name}: move them first; {shards[0]} is one")
        for each in self._node.reshardings.unfinished():
            if any(part.group == name for part in (*each.parents, *each.children)):
                return _kept(f"resharding {each.number} comes from {name}, or goes there", 1_000)
        return None

    # -- what makes sense

    def _described(self, name: str, regions: tuple[str, ...]) -> GroupDescription | Refused:
        if len(set(regions)) != len(regions) or len(regions) not in VOTERS:
            return _refused("a group votes in three or five regions, once in each")
        if len(name) > NAME_MAX:
            return _refused(f"{name} is longer than {NAME_MAX} characters")
        known = self._node.made_groups.known.values()
        if sum(not each.dropped for each in known) >= GROUPS_MAX:
            return _refused(f"{GROUPS_MAX} groups were made, which is the limit")
        if len(known) >= NAMES_MAX:
            return _refused(f"{NAMES_MAX} groups were made or dropped, which is the limit")
        incarnations = self._incarnations()
        by_region = {
            region: store
            for region in {self._node.places[store].region for store in incarnations}
            if (store := self._best(region, incarnations))
        }
        missing = sorted(set(regions) - by_region.keys())
        if missing:
            return _refused(f"no store is up in {', '.join(missing)}", 1_000)
        voters = {by_region[region]: incarnations[by_region[region]] for region in regions}
        others = [store for region, store in by_region.items() if region not in regions]
        ttl_ms = self._ttl_ms(regions)
        if ttl_ms is None:
            return _refused("nobody has measured or set how far these regions are apart", 1_000)
        followers = {store: incarnations[store] for store in others}
        return GroupDescription(name, FIRST_VERSION, ttl_ms, voters, followers)

    def _incarnations(self) -> dict[str, str]:
        """Stores that are up, as other groups know them."""
        found = {}
        for group in self._node.groups.values():
            for plan in (*group.plan.voters, *group.plan.followers):
                member = Member(plan.store, plan.incarnation)
                is_there = self.is_up(member) and not self._node.changes.is_gone(member)
                if is_there and plan.store in self._node.places:
                    found[plan.store] = plan.incarnation
        return found

    def is_up(self, member: Member) -> bool:
        """Whether a store is there, as far as is known here."""
        lane = self._node.lanes.get(member.store)
        if lane is not None:
            return lane.is_up and lane.incarnation == member.incarnation
        report = self._node.hearsay.of(member.store, self._node.now_ms)
        return report is not None and report.up

    def _best(self, region: str, incarnations: dict[str, str]) -> str:
        groups = self._node.groups.values()
        votes = {
            store: sum(store == plan.store for group in groups for plan in group.plan.voters)
            for store in incarnations
            if self._node.places[store].region == region
        }
        return min(sorted(votes), key=lambda store: votes[store])

    def _ttl_ms(self, regions: tuple[str, ...]) -> int | None:
        """As long as leases of the system shard's group are to last, or longer if need be."""
        gathered, expected = self._node.reports.gathered, self._node.plan.region_rtt_ms
        trips = dict(expected)
        if gathered is not None:
            trips |= {
                (each.from_region, each.to_region): each.round_trip_ms
                for each in gathered.latency.distances({})
            }
        if any((a, b) not in trips for a in regions for b in regions if a != b):
            return None
        worst = max(
            quorum_round_trip_ms([trips[a, b] if a != b else 0.0 for b in regions]) for a in regions
        )
        system = self._node.census.system_group()
        assert system is not None, "who leads the system shard knows its group"
        least_ms = description_of(system.plan).least_ttl_ms
        needed_ms = ttl_needed_ms(worst * ROOM_PERCENT / 100)
        return min(TTL_MAX_MS, max(least_ms, needed_ms))


def _refused(detail: str, retry_after_ms: int | None = None) -> Refused:
    return Refused(Problem.GROUP_NOT_MADE, detail, retry_after_ms=retry_after_ms)


def _kept(detail: str, retry_after_ms: int | None = None) -> Refused:
    return Refused(Problem.GROUP_NOT_DROPPED, detail, retry_after_ms=retry_after_ms)


def _told(description: GroupDescription, *, begun: bool) -> GroupWanted:
    return GroupWanted(
        description.group, tuple(sorted(description.voters)),
        tuple(sorted(description.followers)), description.ttl_ms, begun,
    )  # fmt: skip
