"""Changes of the store sets of this node's groups: noticed, followed, begun, and seen through.

Theory of operation. Every poll tells which version of a group a store is at. One that is beyond
this node's is followed at once (controlplane/node/succession). One that is sealed, or has stayed
behind, for longer than a lease shows a change that nobody finishes: then this node does. A store
that answers but is not who it was has lost its data. It is admitted anew, as another one, without
being asked for, unless people want to be asked.

Any node that stands in a group may do any of that, several at once too; so that they do not all,
the first of the living begins, the next one a lease later. What is to be done, shards/changing
says; here its calls are carried, on the bulk lanes, to whatever incarnation they are meant for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from config.audit import Note, What
from controlplane.node.inquiries import Inquiries
from controlplane.node.wishes import (
    lease_refusal,
    lease_wish,
    may_be_replaced,
    refusal_of,
    wish_for,
)
from controlplane.node_plan import description_of
from controlplane.requests import (
    ChangeLease,
    ChangeStores,
    ForceRecover,
    GroupChange,
    Problem,
    Refused,
    StoresForced,
    StoresWanted,
)
from controlplane.views import ChangeView
from regions.change import Wish
from regions.codec import Code, as_bytes
from regions.forcing import Act
from regions.membership import (
    DESCRIPTION_AT,
    Member,
    read_description,
    write_description,
)
from regions.store_calls import Take
from shards.changing import Changing

if TYPE_CHECKING:
    from controlplane.node.group import Group
    from controlplane.node.node import Node

ATTEND_EVERY_MS = 100
ORDER_TTLS = 5  # an order that is not proposed by then gives way to a store that forgot
FORGET_OTHERS_MS = 3_000
NUMBERS_APART = 1_000  # ballots and attempts of one change before those of the next


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A change that some store shows to be decided, since when; and the version that it makes."""

    since_ms: int
    version: int
    description: bytes


@dataclass(frozen=True, slots=True)
class Other:
    """Another node that changes a group, and when it last said so."""

    node: str
    told_ms: int


class StoreChanges:
    """What one node knows of changes, and does for them; carries their calls (store_calls.Desk)."""

    def __init__(self, node: Node, now_ms: int) -> None:
        self._node = node
        self._running: dict[str, Changing] = {}
        self._given_up: dict[str, ChangeView] = {}  # an operator's act that came to nothing
        self._unfinished: dict[str, Unfinished] = {}
        self._forgot: dict[Member, int] = {}  # who is not there any more, and since when
        self._others: dict[str, Other] = {}  # who else changes a group
        self._ordered_ms: dict[str, int] = {}  # by group: when a change was last ordered here
        self._inquiries = Inquiries(node, self.forgot)
        self._unasked: list[Take] = []  # of calls that are answered by nobody
        self._begun = 0
        self._next_ms = now_ms

    @property
    def deadline_ms(self) -> int:
        """When `advance` has something to do."""
        return self._next_ms

    # -- what is noticed

    def answered(self, group: Group, store: int, result: list[Any], now_ms: int) -> None:
        """A store was polled: is it at another version of the group than this node?"""
        code, shown = result[0], result[DESCRIPTION_AT]
        if code == Code.OK:
            lane = group.lanes[store]
            self._forgot.pop(Member(lane.store, lane.incarnation), None)
        elif code == Code.OLD_VERSION and shown:
            self._node.succession.follow(read_description(shown), now_ms)
        elif code == Code.SEALED and shown:
            self._note(group, as_bytes(shown), now_ms)
        elif code in (Code.NEW_VERSION, Code.NOT_MEMBER):
            self._note(group, write_description(description_of(group.plan)), now_ms)

    def _note(self, group: Group, description: bytes, now_ms: int) -> None:
        """Stores may show different ones: the latest counts, since whoever finishes it brings
        those along that are still further behind."""
        known, version = self._unfinished.get(group.group), read_description(description).version
        if known is None or known.version < version:
            self._unfinished[group.group] = Unfinished(now_ms, version, description)

    def forgot(self, store: str, now_ms: int) -> None:
        """A store answers, but is not who it was, and the ordered lane is meant for."""
        member = Member(store, self._node.lanes[store].incarnation)
        if member not in self._forgot:
            self._forgot[member] = now_ms
            self._node.happened("store-forgot", "", 0, {"store": store})
            self._node.succession.try_another(store)

    def is_gone(self, member: Member) -> bool:
        """Whether a store was seen to answer as another one, or as nobody."""
        return member in self._forgot

    @property
    def at_work(self) -> list[str]:
        """Groups that this node is changing, for others to know. One whose next version is in use
        is not left to it: perhaps it cannot follow there."""
        return [
            name
            for name, changing in self._running.items()
            if changing.install is None or not changing.install.in_use
        ]

    def heard(self, sender: str, groups: Any, now_ms: int) -> None:
        """Another node says what it is changing: it is left to it, as long as it goes on to say."""
        for name in groups if isinstance(groups, list) else ():
            if isinstance(name, str) and name in self._node.groups:
                self._others[name] = Other(sender, now_ms)

    # -- Desk of a change

    def fetch(self, member: Member, commands: list[list[Any]], take: Take) -> None:
        """Desk: a store that went back in time, or of which nobody here knows where it is, is asked
        nothing, and answers nothing."""
        lane = self._node.lanes.get(member.store)
        went_back = lane is not None and lane.quarantined and lane.incarnation == member.incarnation
        if went_back or member.store not in self._node.sites.places:
            self._unasked.append(take)
        else:
            self._node.bulk.visit(*member, commands, take)

    # -- what is done

    def advance(self, now_ms: int) -> None:
        """Begin what this node should be at; go on with what it is at."""
        unasked, self._unasked = self._unasked, []
        for take in unasked:
            take(None, now_ms)
        if now_ms < self._next_ms and not unasked:
            return
        self._forget_the_past()
        for group in tuple(self._node.groups.values()):
            self._attend(group, now_ms)
        for name, changing in list(self._running.items()):
            group = self._node.groups[name]
            if self._is_needless(group, changing) or self._gives_way(group, changing, now_ms):
                del self._running[name]
                self._node.happened("change-left", "", 0, {"group": name, "why": changing.why})
                continue
            changing.advance(now_ms)
            if changing.install is not None and changing.install.in_use:
                # Perhaps no store that this node polls is in that version.
                self._node.succession.follow(changing.install.new, now_ms)
            if changing.is_over:
                self._ended(name, changing, now_ms)
        self._next_ms = now_ms + ATTEND_EVERY_MS

    def _forget_the_past(self) -> None:
        """Incarnations that no group knows any more are of no interest."""
        if self._forgot:
            lanes = [lane for group in self._node.groups.values() for lane in group.lanes]
            known = {Member(lane.store, lane.incarnation) for lane in lanes}
            self._forgot = {m: ms for m, ms in self._forgot.items() if m in known}

    def _attend(self, group: Group, now_ms: int) -> None:
        gone = self.gone(group)
        self._node.losses.attend(group, [store for store, _ in gone], now_ms)
        self._inquiries.attend(group, gone, now_ms)
        other = self._others.get(group.group)
        if other is not None and now_ms - other.told_ms > FORGET_OTHERS_MS:
            del self._others[group.group]
        if not group.plan.stands or self._is_busy(group) or group.group in self._others:
            return
        late_ms = self._node.standing[group.group].rank * group.times.ttl_ms
        unfinished = self._unfinished.get(group.group)
        if unfinished is not None and self._is_seen_to(group, unfinished):
            del self._unfinished[group.group]  # noted anew, if a store still shows it
            unfinished = None
        if unfinished is not None:
            if now_ms - unfinished.since_ms >= group.times.ttl_ms + late_ms:
                del self._unfinished[group.group]  # noted anew, if it does not help
                self._finish(group, unfinished.description)
            return
        readmit_ms = self._node.plan.limits.readmit_after_ms
        for store, since_ms in gone:
            if readmit_ms is not None and now_ms - since_ms >= readmit_ms + late_ms:
                members = description_of(group.plan)
                wish = Wish(tuple(members.voters), tuple(members.followers), frozenset({store}))
                self._begin(group, wish, f"{store} lost its data")
                return

    def _is_seen_to(self, group: Group, unfinished: Unfinished) -> bool:
        """Whether the group has come to that version meanwhile, or this node is at it already: to
        begin once more would take what is copied from those who copy it."""
        changing = self._running.get(group.group)
        install = None if changing is None else changing.install
        is_at_it = install is not None and install.new.version >= unfinished.version
        was_before = unfinished.since_ms < group.started_ms
        return is_at_it or (was_before and unfinished.version <= group.version)

    def _is_busy(self, group: Group) -> bool:
        """Whether this node changes the present version of a group. A store that has not come to
        that version yet, perhaps because it is down, keeps nobody from changing it further."""
        changing = self._running.get(group.group)
        if changing is None:
            return False
        install = changing.install
        return install is None or not install.in_use or install.new.version > group.version

    def _is_needless(self, group: Group, changing: Changing) -> bool:
        """Whether a change was left that nobody ordered: because what was to be admitted anew is
        there after all, or because the node that comes before this one is at it as well."""
        change = changing.change
        if changing.install is not None or change is None or not change.wish.forgot:
            return False
        gone = {store for store, _ in self.gone(group)}
        other = self._others.get(group.group)
        yields = other is not None and other.node < self._node.plan.node
        return (yields or not gone & change.wish.forgot) and changing.give_up()

    def _gives_way(self, group: Group, changing: Changing, now_ms: int) -> bool:
        """Whether an order was left for now: it does not come on, perhaps for want of a store that
        forgot; and that one cannot be admitted anew as long as the order is on."""
        change = changing.change
        if changing.install is not None or change is None or change.wish.forgot:
            return False
        since_ms = self._ordered_ms.get(group.group, now_ms)
        if not self.gone(group) or now_ms - since_ms < ORDER_TTLS * group.times.ttl_ms:
            return False
        return changing.give_up()

    def gone(self, group: Group) -> list[tuple[str, int]]:
        """Stores of a group that are not who they were, as the group knows them; since when."""
        found = []
        for lane in group.lanes:
            present = self._node.lanes.get(lane.store)
            since_ms = self._forgot.get(Member(lane.store, lane.incarnation))
            if since_ms is not None:
                found.append((lane.store, since_ms))
            elif present is not None and present.is_up and present.incarnation != lane.incarnation:
                found.append((lane.store, 0))  # another group knows it as another one already
        return found

    def _number(self) -> tuple[int, str]:
        self._begun += 1
        return self._begun * NUMBERS_APART, self._node.plan.process

    def _run(self, group: Group, changing: Changing) -> None:
        self._running[group.group] = changing
        self._given_up.pop(group.group, None)

    def _begin(self, group: Group, wish: Wish, why: str) -> None:
        old = write_description(description_of(group.plan))
        wish = replace(wish, settled=group.watch.is_version_old(self._node.now_ms))
        changing = Changing.wanted(old, wish, self, self._number(), self._node.draw)
        self._run(group, changing)
        detail = {"group": group.group, "version": group.version, "why": why}
        self._node.happened("stores-wanted", "", 0, detail)

    def _finish(self, group: Group, description: bytes) -> None:
        changing = Changing.decided(description, self, self._number(), self._node.draw)
        self._run(group, changing)
        detail = {"group": group.group, "version": read_description(description).version}
        self._node.happened("change-taken-up", "", 0, detail)

    def _ended(self, name: str, changing: Changing, now_ms: int) -> None:
        del self._running[name]
        install = changing.install
        if install is None:
            if changing.forcing is not None:
                self._given_up[name] = _view(changing)
                detail = {"group": name, "why": changing.why}
                self._node.happened("force-recover-refused", "", 0, detail)
            return
        if changing.broken:
            detail = {"group": name, "why": changing.broken}
            self._node.happened("invariant-broken", "", 0, detail)
        elif install.overtaken is not None:
            self._node.succession.follow(read_description(install.overtaken), now_ms)
        elif install.superseded:
            detail = {"group": name, "why": "a version beyond it was forced"}
            self._node.happened("change-left", "", 0, detail)
        else:
            new = install.new
            finished = {
                "group": name, "version": str(new.version), "voters": ",".join(sorted(new.voters)),
                "followers": ",".join(sorted(new.followers)),
            }  # fmt: skip
            self._node.happened("change-finished", "", 0, finished)

    def left(self, name: str) -> None:
        """A group is let go: nobody changes it any more."""
        for kept in (self._running, self._given_up, self._unfinished, self._others):
            kept.pop(name, None)

    # -- what operators want, and see

    def view(self, group: str) -> ChangeView | None:
        """The change of a group that this node is at."""
        changing = self._running.get(group)
        return self._given_up.get(group) if changing is None else _view(changing)

    def is_at(self, group: str) -> bool:
        """Whether this node changes a group: its leaders keep what new stores have yet to copy."""
        return group in self._running

    def order(self, order: GroupChange, now_ms: int, *, begin: bool) -> StoresWanted | Refused:
        """Begin what an operator wants, if it makes sense and nothing else is on."""
        group = self._node.groups.get(order.group)
        if group is None:
            return Refused(Problem.UNKNOWN_GROUP, f"no group is called {order.group!r}")
        places = self._node.sites.places
        stores = (order.store, order.by) if isinstance(order, ChangeStores) else ()
        unknown = [s for s in stores if s and s not in places]
        if unknown:
            detail = f"neither the topology nor a document says where {unknown[0]!r} is"
            return Refused(Problem.UNKNOWN_STORE, detail)
        running = self._running.get(order.group)
        if running is not None and self._is_busy(group) and not may_be_replaced(running, begin):
            detail = f"a change is on, {running.state.value}: {running.why or 'it goes on'}"
            return Refused(Problem.NOT_CHANGED, detail, retry_after_ms=1_000)
        wish = self._wish_for(order, group)
        if isinstance(wish, Wish):
            wish = refusal_of(wish, group) or wish
        if isinstance(wish, str):
            return Refused(Problem.NOT_CHANGED, wish)
        if begin:
            self._begin(group, wish, order.reason or f"{order.principal} wants it")
            self._record(order, group, wish)
            self._ordered_ms[group.group] = now_ms
            self._next_ms = now_ms
        ttl_ms = group.times.ttl_ms if wish.ttl_ms is None else wish.ttl_ms
        return StoresWanted(order.group, group.version, wish.voters, wish.followers, begin, ttl_ms)

    def _record(self, order: GroupChange, group: Group, wish: Wish) -> None:
        """Have recorded what is wanted. What comes of it, the group's own description says."""
        present = description_of(group.plan)
        if isinstance(order, ChangeLease):
            what, before, after = What.LEASE, {"ttl_ms": present.ttl_ms}, {"ttl_ms": order.ttl_ms}
            note = Note(what, order.group, order.principal, order.reason, before, after)
        else:
            was = {"version": present.version, "voters": list(present.voters)}
            wanted = {"voters": list(wish.voters), "followers": list(wish.followers)}
            note = Note(What.STORES, order.group, order.principal, order.reason, was, wanted)
        self._node.duties.audit_reports.add(note)

    def _wish_for(self, order: GroupChange, group: Group) -> Wish | str:
        if isinstance(order, ChangeStores):
            return wish_for(order, group)
        present = description_of(group.plan)
        need_ms = self._node.lease_needs.need_ms(group)
        floor_ms = self._node.lease_needs.floor_ms(order.group)
        refusal = lease_refusal(order, present, need_ms, floor_ms)
        return refusal or lease_wish(present, order.ttl_ms, order.ttl_ms)

    def follow_lease(self, order: ChangeLease, now_ms: int) -> None:
        """Begin to give a group the lease that its round trips need, unless it is being changed."""
        group = self._node.groups[order.group]
        if self._is_busy(group) or order.group in self._others or order.group in self._unfinished:
            return
        present = description_of(group.plan)
        self._begin(group, lease_wish(present, order.ttl_ms, present.least_ttl_ms), order.reason)
        self._ordered_ms[group.group] = now_ms

    def force(self, order: ForceRecover, now_ms: int, *, begin: bool) -> StoresForced | Refused:
        """Make a group go on with what is left of it, if that is what is called for."""
        group = self._node.groups.get(order.group)
        if group is None or not group.plan.stands:
            return Refused(Problem.UNKNOWN_GROUP, f"{order.group!r} is no group of this node")
        running = self._running.get(order.group)
        if running is not None and running.forcing is not None and self._is_busy(group):
            detail = f"it is being forced, {running.state.value}: {running.why or 'it goes on'}"
            return Refused(Problem.NOT_CHANGED, detail, retry_after_ms=1_000)
        found = self._node.losses.account(order, group, begin=begin)
        if begin and isinstance(found, StoresForced):
            self._begin_force(group, order, found)
            self._next_ms = now_ms
        return found

    def _begin_force(self, group: Group, order: ForceRecover, found: StoresForced) -> None:
        """What was being changed is left: without a majority it comes to nothing."""
        act = Act(found.left, found.emptied, order.principal, order.reason)
        after = {"left": found.left, "emptied": found.emptied, "silent": found.silent}
        before = {"version": group.version, "voters": found.voters}
        note = Note(What.FORCED, group.group, order.principal, order.reason, before, after)
        self._node.duties.audit_reports.add(note)
        old = write_description(description_of(group.plan))
        self._run(group, Changing.forced(old, act, self, self._number(), self._node.draw))
        detail = {
            "group": group.group, "version": group.version, "by": order.principal,
            "why": order.reason, "left": ",".join(found.left), "emptied": ",".join(found.emptied),
            "silent": ",".join(found.silent),
        }  # fmt: skip
        self._node.happened("force-recover", "", 0, detail)


def _view(changing: Changing) -> ChangeView:
    voters, followers = _stores_of(changing)
    return ChangeView(changing.state.value, changing.why, voters, followers)


def _stores_of(changing: Changing) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Voters and followers of the version that a change is about."""
    if changing.install is not None:
        new = changing.install.new
        return tuple(new.voters), tuple(new.followers)
    if changing.forcing is not None:
        return changing.forcing.voters, changing.forcing.followers
    assert changing.change is not None, "a change is wanted, decided or forced"
    return changing.change.wish.voters, changing.change.wish.followers
