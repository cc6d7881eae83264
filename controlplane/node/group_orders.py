"""What groups are to be made: asked for by regions, written down by the global leader.

Each of the regions has one voter, and every other region one follower: so every region reads and
routes at home. Of a region's stores that are up, the one that votes least often is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from controlplane.node.audit_notes import group_note
from controlplane.node.following import SYSTEM
from controlplane.node.made_groups import MadeGroup
from controlplane.node_plan import description_of
from controlplane.requests import (
    Compare,
    GroupWanted,
    MakeGroup,
    Outcome,
    Problem,
    Refused,
    Write,
)
from regions.latency import quorum_round_trip_ms, ttl_needed_ms
from regions.membership import FIRST_VERSION, TTL_MAX_MS, GroupDescription, Member
from regions.topology import MULTI_GROUP_PREFIX

if TYPE_CHECKING:
    from controlplane.node.node import Node

VOTERS: Final = (3, 5)
NAME_MAX: Final = 127
GROUPS_MAX: Final = 64
ROOM_PERCENT: Final = 125
"""Measured round trips are no longer than so much of what was expected, mostly."""


class GroupOrders:
    """Orders at one node."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def take(self, number: int, order: MakeGroup, now_ms: int) -> None:
        """Answer an order, as the leader of the system shard: written down, or refused."""
        name = MULTI_GROUP_PREFIX + "+".join(sorted(order.regions))
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
            self._write(number, order, found, now_ms)

    def _write(
        self, number: int, order: MakeGroup, description: GroupDescription, now_ms: int
    ) -> None:
        made = MadeGroup(description, is_made=False)
        note = group_note(description, "wanted", order.principal, order.reason)
        write = Write(SYSTEM, (made.put(),), (Compare(made.key, 0),), notes=(note,))
        opened = self._node.requests.get(number)
        if opened is not None:
            opened.sent = True

        def take(outcome: Outcome) -> None:
            told: Outcome = _told(description, begun=True)
            if isinstance(outcome, Refused):
                told = outcome
                if outcome.problem is Problem.PRECONDITION_FAILED:
                    told = _refused("it is being made already", 200)
            self._node.following.deadline_ms = self._node.now_ms
            self._node.requests.answer(number, told)

        own = self._node.requests.begin_own(write, take, now_ms)
        self._node.resubmit(own, write, now_ms)

    # -- what makes sense

    def _described(self, name: str, regions: tuple[str, ...]) -> GroupDescription | Refused:
        if len(set(regions)) != len(regions) or len(regions) not in VOTERS:
            return _refused("a group votes in three or five regions, once in each")
        if len(name) > NAME_MAX:
            return _refused(f"{name} is longer than {NAME_MAX} characters")
        if len(self._node.made_groups.known) >= GROUPS_MAX:
            return _refused(f"{GROUPS_MAX} groups were made, which is the limit")
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
                is_there = self._is_up(member) and not self._node.changes.is_gone(member)
                if is_there and plan.store in self._node.places:
                    found[plan.store] = plan.incarnation
        return found

    def _is_up(self, member: Member) -> bool:
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


def _told(description: GroupDescription, *, begun: bool) -> GroupWanted:
    return GroupWanted(
        description.group, tuple(sorted(description.voters)),
        tuple(sorted(description.followers)), description.ttl_ms, begun,
    )  # fmt: skip
