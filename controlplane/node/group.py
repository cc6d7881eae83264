"""One group of stores at one node: its sessions, its watch, the shards it sees and leads there.

Theory of operation. Every tick the sessions are renewed, one call for each store, after whatever
entries and commit indexes the store still lacks (controlplane/node/outgoing). Every shorter tick
the stores are polled, which shows who else lives, and which grants changed. What follows from that
is decided elsewhere: controlplane/node/ standing (candidates), serving (requests), upkeep (fences,
releases, lagging stores), store_changes (other versions of the group).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from sys import intern
from typing import TYPE_CHECKING, Any

from controlplane.node.lane import Lane
from controlplane.node.letting_go import LettingGo
from controlplane.node.outgoing import Outgoing
from controlplane.node_plan import GroupPlan
from regions.codec import Code
from regions.lease_times import LeaseTimes
from regions.quorum import quorum_of
from regions.session import Session, Standing
from regions.watch import Watch
from shards.entry import Entry
from shards.grant import Grant, Held, Sighted, process_of
from shards.leadership import Leadership, Reply, State

if TYPE_CHECKING:
    from controlplane.node.node import Node

OBSERVE_MAX = 1000


@dataclass(frozen=True, slots=True)
class Carried:
    """A shard led in the version before: what was led, and until when its lease holds."""

    former: Leadership
    until_ms: int


class Group:
    """One version of a group at one node; implements shards.leadership.Desk."""

    def __init__(
        self,
        plan: GroupPlan,
        node: Node,
        lanes: list[Lane],
        now_ms: int,
        carried: dict[str, Carried] | None = None,
    ) -> None:
        """`carried` is what this process led in the version before, by shard."""
        self.plan = plan
        self.node = node
        self.lanes = lanes  # voters first; lanes this node does not use are never up
        self.group = plan.name
        self.version = plan.version
        self.voters = len(plan.voters)
        self.stores = len(plan.voters) + len(plan.followers)
        self.quorum = quorum_of(self.voters)  # how many voters decide
        self.times = LeaseTimes(plan.ttl_ms)
        earlier = LeaseTimes(plan.earlier_ttl_ms).wait_ms if plan.earlier_ttl_ms else 0
        self.watch = Watch(self.stores, self.times, earlier)
        self.sessions: dict[str, Session] = {}
        self.session: Session | None = None
        self.shards: dict[str, Sighted] = {}
        self.by_holder: dict[str, set[str]] = {}
        self.revoked: set[str] = set()  # shards at which some store shows a revoked grant
        self.let_go: dict[str, str] = {}  # free shards: the session that had them last
        self.took_ms: dict[str, int] = {}  # when a holder was last seen with another shard
        self.led: dict[str, Leadership] = {}
        self.carried = carried or {}
        self.is_over = False  # a later version is known here: this one says and hears nothing more
        self.standing: dict[str, Leadership] = {}
        self.outgoing = [Outgoing(self, store) for store in range(self.stores)]
        self.letting_go = LettingGo(self)
        self.shaky: set[str] = set()  # shards whose lease may end before the session's
        self.next_renew_ms = now_ms
        self.next_poll_ms = now_ms
        self.started_ms = now_ms
        self._lane_of = {lane.store: i for i, lane in enumerate(lanes)}
        self.changed: Callable[[str, int], None] = lambda shard, now_ms: None
        if plan.stands:
            self.open_session()

    # -- sessions

    def open_session(self) -> Session:
        """A new session of this process; it stands for nothing before a majority renewed it."""
        session = Session(
            self.node.next_sid(), self.group, self.version, self.voters, self.stores, self.times,
            {shard: carried.until_ms for shard, carried in self.carried.items()},
        )  # fmt: skip
        self.sessions[session.sid] = session
        self.session = session
        for store, lane in enumerate(self.lanes):
            if lane.is_up:
                self._register(session, store)
        return session

    def _register(self, session: Session, store: int) -> None:
        plan = self.node.plan
        command = session.register(store, plan.node, plan.region, plan.url)
        self.ask(store, command, lambda result, now_ms: self._registered(session, store, result))

    def _registered(self, session: Session, store: int, result: list[Any] | None) -> None:
        if result is None:
            return
        session.registered(store, result[0])
        if session.live_at(store):
            self.outgoing[store].renew_due = True
            self.begin_anew(store)

    def until_ms(self) -> int | None:
        """Until when a grant held at every voter would be a lease of the present session."""
        return None if self.session is None else self.session.until_ms((1 << self.voters) - 1)

    def is_mine(self, sid: str) -> bool:
        """Whether a session id is of this process."""
        return process_of(sid) == self.node.plan.process

    # -- lanes

    def store_of(self, lane: Lane) -> int | None:
        """The number of a lane's store in this group; None if it is meant for another one."""
        number = self._lane_of.get(lane.store)
        return number if number is not None and self.lanes[number] is lane else None

    def ask(self, store: int, command: list[Any], reply: Reply) -> None:
        """Desk: the ordered lane."""
        if self.is_over:
            self.node.unsaid.append(reply)
        else:
            self.lanes[store].ask(command, reply)

    def fetch(self, store: int, command: list[Any], reply: Reply) -> None:
        """Desk: the bulk lane."""
        if self.is_over:
            self.node.unsaid.append(reply)
        else:
            self.node.bulk.fetch(self.lanes[store], command, reply)

    def connected(self, store: int) -> None:
        """A lane came up: sessions are made known, then everything else goes on."""
        for session in self.sessions.values():
            if session.standing[store] is Standing.ABSENT:
                self._register(session, store)
        self.begin_anew(store)
        self.outgoing[store].doubt_all()
        self._poll(store)

    def disconnected(self, store: int) -> None:
        """A lane was lost."""
        self.outgoing[store].lost()
        for leadership in self.led.values():
            leadership.lane_lost(store)

    def declined(self, store: int) -> None:
        """A store refused a call that the next ones built on: all streams there start anew."""
        self.begin_anew(store)
        self.outgoing[store].doubt_all()

    def begin_anew(self, store: int) -> None:
        """Every shard led here has something for this store: as fast as renewals there permit."""
        self.outgoing[store].begin_anew()

    @property
    def room(self) -> int:
        """How many shards may be asked of every store within reach now, by work that can wait."""
        if self.node.is_pressed(self.times.ttl_ms):
            return 0
        rooms = [
            outgoing.lane.pace.room - len(outgoing.urgent)
            for outgoing in self.outgoing
            if outgoing.lane.is_up
        ]
        return max(0, min(rooms, default=0))

    @property
    def is_short(self) -> bool:
        """Whether half of the lease has gone, or all of it, without a majority of renewals."""
        until = self.until_ms()
        return until is not None and until - self.node.now_ms < self.times.hold_ms // 2

    # -- ticks

    def advance(self, now_ms: int) -> None:
        """Renew and poll when it is time; early, late and repeated calls are fine."""
        if now_ms >= self.next_renew_ms and self.plan.stands:
            for outgoing in self.outgoing:
                outgoing.renew_due = True
            self.node.attendance.round_begins(self, now_ms)
            every = self.times.renew_every_ms
            self.next_renew_ms = now_ms + every - int(self.node.draw() * every / 5)
        if now_ms >= self.next_poll_ms:
            every = self.times.poll_every_ms
            self.next_poll_ms = now_ms + every - int(self.node.draw() * every / 10)
            for store in range(self.stores):
                self._poll(store)

    @property
    def deadline_ms(self) -> int:
        """When `advance` has something to do."""
        if not self.plan.stands:
            return self.next_poll_ms
        return min(self.next_renew_ms, self.next_poll_ms)

    @property
    def lazy_ms(self) -> int | None:
        """When a commit index has waited long enough, at a store that can be told now."""
        soonest: int | None = None
        for outgoing in self.outgoing:
            due_ms = outgoing.lazy_ms if outgoing.lazy else None
            if due_ms is not None and (soonest is None or due_ms < soonest):
                soonest = due_ms
        return soonest

    def _poll(self, store: int) -> None:
        lane = self.lanes[store]
        if not lane.is_up:
            return
        command = ["observe", self.group, self.version, self.watch.since(store), OBSERVE_MAX]

        def reply(result: list[Any] | None, now_ms: int) -> None:
            if result is None or self.is_over:
                return
            if result[0] == Code.OK:
                self._polled(store, lane.sent_ms, now_ms, lane.opseq, result[4:])
                if any(s.standing[store] is Standing.ABSENT for s in self.sessions.values()):
                    self.connected(store)  # it has only now come to this version
            self.node.changes.answered(self, store, result, now_ms)

        self.ask(store, command, reply)

    def _polled(
        self, store: int, sent_ms: int, now_ms: int, opseq: int, payload: list[Any]
    ) -> None:
        changed = self.watch.polled(store, sent_ms, now_ms, opseq, payload)
        for shard, pe, pf, he, h, st, tgt, rvk, rev, placement in changed:
            self.saw(shard, store, [pe, pf, he, h, st, tgt, rvk], now_ms)
            if rev:
                self.node.directory.placement_seen(self.sighted(shard), rev, placement)
        if len(changed) + len(payload[1]) >= OBSERVE_MAX:  # there may be more: of deaths as well
            self._poll(store)

    # -- what is seen of shards

    def sighted(self, shard: str) -> Sighted:
        """The record of a shard, made when first heard of."""
        found = self.shards.get(shard)
        if found is None:
            shard = intern(shard)
            found = self.shards[shard] = Sighted(shard, self.voters, self.stores)
            found.tried = self.plan.floor
            self.by_holder.setdefault("", set()).add(shard)
        return found

    def saw(self, shard: str, store: int, fields: list[Any], now_ms: int) -> None:
        """Take one store's grant of a shard, and keep the index of holders."""
        sighted = self.sighted(shard)
        shard = sighted.shard
        before = self.holder_of(sighted)
        grant = sighted.saw(store, fields, now_ms)
        if grant.is_held and self.is_mine(grant.holder):
            self.letting_go.shown(shard)
        after = self.holder_of(sighted)
        self._reindex(shard, before, after, now_ms)
        if after:
            self.let_go.pop(shard, None)
        elif before:
            self.let_go[shard] = before
            self.node.standing[self.group].wake(now_ms)
        (self.revoked.add if sighted.revoked_ms else self.revoked.discard)(shard)
        self.changed(shard, now_ms)
        self._concerns_us(shard, grant, now_ms)

    def _concerns_us(self, shard: str, grant: Grant, now_ms: int) -> None:
        """Do at once what a grant asks of this process: obey a revocation, come for what it names.

        Messages say the same, and mostly earlier; a message may be lost.
        """
        if grant.revoked and self.is_mine(grant.holder):
            self.node.upkeep.revoked(self, shard, grant.epoch, now_ms)
        here = "" if self.session is None else self.session.sid
        if grant.state == Held.HANDOVER and grant.target == here and shard not in self.led:
            self.node.standing[self.group].special.add(shard)
            self.node.standing[self.group].wake(now_ms)

    def holder_of(self, sighted: Sighted) -> str:
        """Who holds a shard: by most voters where this node stands, else by the news it has."""
        if self.plan.stands:
            return sighted.holder()
        leading = sighted.leading_grant()
        return "" if leading is None else leading.holder

    def _reindex(self, shard: str, old: str, new: str, now_ms: int) -> None:
        """Move a shard between holders; "" is nobody."""
        if old == new:
            return
        shards = self.by_holder.get(old)
        if shards is not None:
            shards.discard(shard)
            if not shards:
                del self.by_holder[old]
                self.took_ms.pop(old, None)
        self.by_holder.setdefault(new, set()).add(shard)
        self.took_ms[new] = now_ms
        self.node.attendance.passed(self, shard, old, new, now_ms)

    # -- what waits to be sent

    def dirty(self, leadership: Leadership) -> None:
        """Desk: entries wait. Where no lane is up they need not: everything begins anew there."""
        for outgoing in self.outgoing:
            if outgoing.lane.is_up:
                outgoing.urgent[leadership.shard] = leadership

    def lazily(self, leadership: Leadership, now_ms: int) -> None:
        """Desk: a commit index waits."""
        for outgoing in self.outgoing:
            if outgoing.lane.generation:
                outgoing.lazily(leadership.shard, now_ms)

    def is_steady(self, leadership: Leadership) -> bool:
        """Whether its lease is exactly the present session's."""
        whole = (1 << self.voters) - 1
        return (
            leadership.state is State.LEADING
            and leadership.session is self.session
            and leadership.held & whole == whole
        )

    # -- Desk: news of a leadership

    def not_understood(self, leadership: Leadership, store: int) -> None:
        """Desk: a store finds an append malformed; one of the two is not what it should be."""
        detail = {"group": self.group, "store": self.lanes[store].store}
        self.node.happened("append-malformed", leadership.shard, leadership.epoch, detail)

    def stale_accepted(self, leadership: Leadership, store: int) -> None:
        """Desk: a store does not keep its promise, and is no store to rely on."""
        detail = {"group": self.group, "store": self.lanes[store].store}
        self.node.happened("stale-accepted", leadership.shard, leadership.epoch, detail)

    def moved(self, leadership: Leadership, now_ms: int) -> None:
        """Desk: state, holdings or commit index changed."""
        if self.is_steady(leadership):
            self.shaky.discard(leadership.shard)
        else:
            self.shaky.add(leadership.shard)
        if leadership.state is State.STANDING:
            self.standing[leadership.shard] = leadership
        else:
            self.standing.pop(leadership.shard, None)
        if leadership.state is State.LEADING:
            if self.node.reshardings.waits_for(leadership):
                self.dirty(leadership)
            else:
                self.lazily(leadership, now_ms)
        elif leadership.state is State.RECOVERING:
            self.node.standing[self.group].recovers(leadership.shard, now_ms)
        self.node.serving.moved(self, leadership, now_ms)
        self.node.upkeep.trim(self, leadership)

    def ended(self, leadership: Leadership, why: str, release: int, now_ms: int) -> None:
        """Desk: it is over."""
        self.led.pop(leadership.shard, None)
        self.standing.pop(leadership.shard, None)
        self.shaky.discard(leadership.shard)
        self.node.upkeep.ended(self, leadership, why, release, now_ms)

    def is_child(self, shard: str) -> bool:
        """Desk: whether a shard is known to have begun with a resharding."""
        return self.node.reshardings.is_child(shard)

    def opening(self, leadership: Leadership, tail: Entry, log_kept: bool) -> list[list[Any]]:
        """Desk: the entry that opens an epoch."""
        if not log_kept:
            self.node.serving.log_replaced(leadership)
        return [self.node.upkeep.history_effect(self, leadership, tail)]

    @property
    def regions(self) -> tuple[str, ...]:
        """Regions of the voters, in their order."""
        return tuple(dict.fromkeys(store.region for store in self.plan.voters))

    @property
    def reachable(self) -> int:
        """How many voters there is a lane to."""
        return [lane.generation > 0 for lane in self.lanes[: self.voters]].count(True)
