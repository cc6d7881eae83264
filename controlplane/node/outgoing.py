"""What one node has to say to one store of a group, and when: entries, commit indexes, renewals.

Theory of operation. Entries are urgent. A commit index is lazy: it waits a little for entries that
carry it anyway. After a lane came up, everything led here begins anew there, at the pace that the
lane is measured to bear. All of it is composed when a call leaves, so that whatever waited leaves
together, and a renewal comes last: it vouches for what went before it. It vouches for followers
only while the lease holds, and names every shard for which it must not be believed. It names them
until the store has answered, and again when an append has marked it since: after a mass failover,
or a start, to name them all each time would be most of what there is to do.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from controlplane.machine import Happened
from regions.codec import Code
from regions.session import Session
from shards.leadership import Leadership, Reply

if TYPE_CHECKING:
    from controlplane.node.group import Group
    from controlplane.node.lane import Lane

LAZY_MS = 10  # a commit index waits so long for an append that carries it anyway
LAZY_MIN = 64  # so many are told at a time, however slow the store
LOOK_AGAIN_MIN = 256  # shards that are not vouched for, looked at with each renewal
LATEST_MS = 1 << 62
CONFIRM_MIN = 256  # shards that may have something under way, and still be vouched for
APPEND_BYTES_MAX = 256 * 1024


class Outgoing:
    """What waits for one store; `store` is its number in the group."""

    __slots__ = (
        "_group", "_naming", "lane", "lazy", "renew_due", "returning", "store", "unanswered",
        "unmarked", "unsure", "urgent",
    )  # fmt: skip

    def __init__(self, group: Group, store: int) -> None:
        self._group = group
        self.store = store
        self.lane: Lane = group.lanes[store]
        self.urgent: dict[str, Leadership] = {}
        self.returning: dict[str, None] = {}  # streams to begin
        self.lazy: dict[str, int] = {}  # until when a commit index may wait
        self.unanswered: dict[str, None] = {}
        self.unsure: set[str] = set()  # not certain to be as this node knows them
        self.unmarked: dict[str, None] = {}  # as the store has answered: it vouches for none
        self._naming: list[set[str]] = []  # what renewals under way name, and nothing marked since
        self.renew_due = False

    def lost(self) -> None:
        """The lane is gone: what waited for it begins anew on the next one."""
        self.urgent.clear()
        self.returning.clear()
        self.lazy.clear()
        self.unanswered.clear()
        self.unmarked.clear()
        self._naming.clear()

    def begin_anew(self) -> None:
        """Every shard led here has something for this store: as fast as renewals there permit."""
        self.returning.update(dict.fromkeys(self._group.led))

    def doubt_all(self) -> None:
        """No shard is vouched for before its stream is certain again; a renewal says so now."""
        self.unsure.update(self._group.led)
        self.renew_due = True

    def lazily(self, shard: str, now_ms: int) -> None:
        """A commit index waits; it may wait a little."""
        self.lazy.setdefault(shard, now_ms + LAZY_MS)

    @property
    def lazy_ms(self) -> int | None:
        """When a commit index has waited long enough, if it can be told now."""
        lane = self.lane
        can_be_told = self.lazy and lane.has_room and lane.pace.room > 0
        return next(iter(self.lazy.values())) if can_be_told else None

    def compose(self, now_ms: int) -> None:
        """Queue appends, then the renewal when that is due: it vouches for them."""
        lane, renew = self.lane, self.renew_due
        if not (renew or self.urgent or self.lazy or self.returning):
            return
        if not lane.is_up:
            self.renew_due = False
            return
        vouches = renew and self._may_vouch(now_ms)
        if vouches:
            self._confirm(now_ms)
        if renew or lane.has_room:
            self._append(now_ms, everything=renew)
        if renew:
            self.renew_due = False
            self._renew(now_ms, vouches)

    def _append(self, now_ms: int, everything: bool) -> None:
        urgent = self.urgent
        if self.returning:
            self._return()
        self._hurry(LATEST_MS if everything else now_ms)
        room = APPEND_BYTES_MAX
        for shard in list(urgent):
            if room <= 0:
                return
            room -= self._append_one(urgent.pop(shard), room, now_ms)

    def _return(self) -> None:
        """Take up as many streams that begin anew as the pace of this lane has room for."""
        room = self.lane.pace.room - len(self.urgent)
        for shard in list(islice(self.returning, max(0, room))):
            del self.returning[shard]
            if shard in self._group.led:
                self.urgent[shard] = self._group.led[shard]

    def _hurry(self, until_ms: int) -> None:
        """Have those commit indexes told that may wait until then, as many as the lane bears.

        After a lease was lost there is one for every shard. What is left out is not vouched for.
        """
        room = max(LAZY_MIN, self.lane.pace.room - len(self.urgent))
        for shard, due_ms in list(islice(self.lazy.items(), room)):
            if due_ms > until_ms:
                return
            del self.lazy[shard]
            if shard in self._group.led:
                self.urgent[shard] = self._group.led[shard]

    def _confirm(self, now_ms: int) -> None:
        """What was sent and is not answered is confirmed in the renewal's own call.

        A store may refuse a single call and take the next. The renewal would then vouch for what
        was lost with it. It vouches for nothing that is not served, so that is left out: after a
        mass failure there is much of it.
        """
        for shard in self.unanswered:
            leadership = self._group.led[shard]
            if leadership.serves(now_ms):
                found = leadership.confirm(self.store, now_ms)
                assert found is not None, "what has answered was left out"
                self._ask_append(shard, *found)

    def _append_one(self, leadership: Leadership, room: int, now_ms: int) -> int:
        group, store, log = self._group, self.store, leadership.log
        if log is not None:
            rests = group.node.resting.heed(group, store, leadership)
            held_back = rests or group.node.headroom.holds_back(group, store, leadership)
            log.followers[store].held_back = held_back
        found = leadership.next_append(store, room, now_ms)
        if log is None or log.unvouched(store):
            self.unsure.add(leadership.shard)
        if found is None:
            group.node.copies.check(group, leadership, store)
            return 0
        command, reply = found
        self._ask_append(leadership.shard, command, reply)
        self.unanswered[leadership.shard] = None
        if log is not None and log.lacks_entries(store):
            self.urgent[leadership.shard] = leadership
        return 64 + sum(map(len, command[9]))

    def _ask_append(self, shard: str, command: list[Any], reply: Reply) -> None:
        if command[-1]:  # from here on the store may vouch for it
            self.unmarked.pop(shard, None)
            for naming in self._naming:
                naming.discard(shard)
        self._group.ask(self.store, command, reply)

    # -- renewals

    def _may_vouch(self, now_ms: int) -> bool:
        """Whether the lease holds, and what is under way can be confirmed as fast as it goes.

        To confirm more than the lane bears would make it slower, and the next renewal confirm yet
        more. A renewal that vouches for nothing is as good for the lease; copies only grow older.
        """
        until, led = self._group.until_ms(), self._group.led
        for shard in list(self.unanswered):
            if shard not in led or led[shard].has_answered(self.store):
                del self.unanswered[shard]
        bears = max(CONFIRM_MIN, self.lane.pace.allowance)
        return until is not None and now_ms < until and len(self.unanswered) <= bears

    def _renew(self, now_ms: int, vouches: bool) -> None:
        group = self._group
        # What vouches for nothing has nothing to except: each copy stays as old as it was known.
        unsync = self._unsync(now_ms) if vouches else []
        seen = self.lane.opseq if vouches else 0
        named = set(unsync) if len(group.sessions) == 1 else set()
        for session in group.sessions.values():
            if session.live_at(self.store):
                command = session.renew(self.store, seen, unsync)
                self._naming.append(named)
                group.ask(self.store, command, self._renewed(session, named))

    def _unsync(self, now_ms: int) -> list[str]:
        """Shards for which this renewal must not vouch at this store."""
        group = self._group
        self._look_again(now_ms)
        names = group.letting_go.not_vouched_for
        for shard in sorted(self._doubtful()):
            leadership = group.led.get(shard)
            log = None if leadership is None else leadership.log
            if leadership is None or log is None:
                names.add(shard)
                self.unsure.discard(shard)
                continue
            serves = leadership.serves(now_ms)
            if not serves or log.unvouched(self.store):
                names.add(shard)
                log.followers[self.store].synced = False
                if serves:
                    self.lazily(shard, now_ms)  # so that it is marked
            else:
                self.unsure.discard(shard)
            if group.is_steady(leadership):
                group.shaky.discard(shard)
        return sorted(names - self.unmarked.keys())

    def _doubtful(self) -> set[str]:
        """Shards that may have to be unsynced here; all others surely need not be."""
        doubtful = (self.urgent.keys() | self.lazy.keys()) | self._group.shaky | self.unsure
        return doubtful - self.unmarked.keys()

    def _look_again(self, now_ms: int) -> None:
        """Have those marked that may be, of what is not vouched for: some, the others in turn."""
        group = self._group
        looks = max(LOOK_AGAIN_MIN, self.lane.pace.room)
        for shard in list(islice(self.unmarked, looks)):
            del self.unmarked[shard]
            leadership = group.led.get(shard)
            if leadership is None and not group.letting_go.owes(shard):
                continue
            self.unmarked[shard] = None
            if leadership is not None and leadership.serves(now_ms):
                if not group.node.resting.rests_at(group, self.store, shard):
                    self.lazily(shard, now_ms)
                if group.is_steady(leadership):
                    group.shaky.discard(shard)

    def _renewed(self, session: Session, named: set[str]) -> Reply:
        group, lane, store = self._group, self.lane, self.store

        def reply(result: list[Any] | None, now_ms: int) -> None:
            if result is None or group.is_over:
                return
            self._naming.remove(named)
            if result[0] == Code.OK:
                self.unmarked.update(dict.fromkeys(named))
                self.unsure -= named
            revoked = session.renewed(store, lane.sent_ms, result)
            for shard, epoch in revoked:
                group.node.upkeep.revoked(group, shard, epoch, now_ms)
            if result[0] == Code.REVOKED:
                self.renew_due = True
            if session.spent and session is group.session:
                event = {"group": group.group, "sid": session.sid, "store": lane.store}
                group.node.out.append(Happened("session-dead", "", 0, event))
                group.open_session()
                group.shaky.update(group.led)  # all of them must be prepared again

        return reply
