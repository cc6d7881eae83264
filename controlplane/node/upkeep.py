"""What a leader owes its stores: fences heeded, grants released, logs trimmed, history kept.

Everything here runs beside the requests and may be late without harm, except two things that are
done at once: giving up a revoked grant, and standing again (or stopping) when a store promised a
higher epoch; of many thousands, as soon as they have been looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controlplane.node.elections import SAME_LEADER, cause_of
from controlplane.node.group import Group
from regions.codec import Code, pack
from regions.latency import quorum_round_trip_ms, ttl_needed_ms
from shards.entry import Entry
from shards.leadership import Leadership, State
from shards.log import Log, Stream
from shards.trimming import HOLD, HOLD_FOR_COPY, HOLD_NOTHING

if TYPE_CHECKING:
    from controlplane.node.node import Node

HEEDED_PER_MS = 50  # leaderships that something may have befallen: to look at them takes time
ENDINGS = {
    "free": "vacant",
    "dead": "expired",
    "handover": "transferred",
    "revoked": "evicted",
    "mine": "renewed",
    "carry": "renewed",
    "waited": "expired",
}


class Upkeep:
    """Duties of one node towards its groups' stores."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._reasons: dict[str, tuple[int, str, str]] = {}  # for the end of that epoch
        self._ended_by: dict[str, tuple[int, str, str]] = {}  # before that epoch, if ordered
        self._next_heed_ms: dict[str, int] = {}  # by group
        self._next_sweep_ms = 0
        self._warned: set[str] = set()
        self._leased: set[str] = set()

    def advance(self, now_ms: int) -> None:
        """Heed fences at once; sweep for the rest a few times a TTL."""
        for group in self._node.groups.values():
            self._note_lease(group, now_ms)
            if now_ms >= self._next_heed_ms.get(group.group, 0):
                self._heed_all(group, now_ms)
        if now_ms >= self._next_sweep_ms:
            self._next_sweep_ms = now_ms + 500
            for group in self._node.groups.values():
                self._sweep(group, now_ms)
            self._node.copies.again(now_ms)

    # -- fences

    def _heed_all(self, group: Group, now_ms: int) -> None:
        """Heed whatever befell leaderships; the more there are, the longer until the next look."""
        troubled = [shard for shard in group.shaky if _is_troubled(group, shard)]
        self._next_heed_ms[group.group] = now_ms + len(group.shaky) // HEEDED_PER_MS
        room = group.room if troubled else 0
        for shard in self._node.demand.busiest_first(troubled):
            leadership = group.led.get(shard)
            if leadership is not None and self._heed(group, leadership, room > 0, now_ms):
                room -= 1

    def _heed(self, group: Group, leadership: Leadership, has_room: bool, now_ms: int) -> bool:
        """Stand again or stop, where that is due; says whether a new election was begun."""
        fenced = leadership.fenced_at
        if leadership.state is State.RECOVERING and fenced:
            leadership.end("fenced", now_ms)
        elif leadership.state is State.LEADING:
            moved = leadership.session is not group.session
            if fenced.bit_count() >= group.quorum:
                self._node.happened("fenced", leadership.shard, leadership.epoch, {})
                leadership.end("fenced", now_ms)
            elif (fenced or moved) and leadership.serves(now_ms):
                if has_room:
                    self._node.standing[group.group].again(leadership, now_ms)
                    return True
            elif moved and group.until_ms() is not None:
                leadership.end("expired", now_ms)
        return False

    # -- revocations and releases

    def revoked(
        self, group: Group, shard: str, epoch: int, now_ms: int, by: str = "", reason: str = ""
    ) -> None:
        """Our grant of this epoch is taken away, a store says, or who did it: obey at once."""
        leadership = group.led.get(shard)
        if leadership is None or self._node.transfers.obeys(shard):
            return
        if leadership.epoch != epoch:
            leadership.revoked(epoch)
            return
        leadership.drop_lease()
        self._node.standing[group.group].cool(shard, now_ms)
        self._node.happened("evicted", shard, epoch, {"node": self._node.plan.node})
        self._node.transfers.obey(group, leadership, by, reason, now_ms)

    def ended(
        self, group: Group, leadership: Leadership, why: str, release: int, now_ms: int
    ) -> None:
        """A leadership is over: release what may be held, answer its requests, back off."""
        group.letting_go.ended(leadership, release)
        self.gave_up(group, leadership, why, now_ms)

    def gave_up(self, group: Group, leadership: Leadership, why: str, now_ms: int) -> None:
        """This process leads a shard no more: answer its requests, back off."""
        shard, epoch = leadership.shard, leadership.epoch
        self._node.serving.ended(group, leadership, why, now_ms)
        self._node.standing[group.group].lost(shard, now_ms)
        self._node.canary.lost(why, now_ms)
        self._node.elections.gave_up(leadership, why)
        if why != "lost":
            self._node.happened("resigned", shard, epoch, {"why": why})

    # -- sweeps

    def _sweep(self, group: Group, now_ms: int) -> None:
        if group.session is None:
            return
        group.letting_go.sweep()
        self._drop_old_sessions(group)
        self._warn_of_ttl(group)
        self._bury_silent(group, now_ms)

    def _note_lease(self, group: Group, now_ms: int) -> None:
        """Say when the lease of everything led in a group runs out, and when it is back."""
        until = group.until_ms()
        if until is None and now_ms - group.started_ms < group.times.ttl_ms:
            return  # a session is about to be renewed for the first time
        holds = until is not None and now_ms < until
        if holds == (group.group in self._leased):
            return
        (self._leased.add if holds else self._leased.discard)(group.group)
        kind = "lease-held" if holds else "lease-expired"
        self._node.happened(kind, "", 0, {"group": group.group, "shards": len(group.led)})

    def _warn_of_ttl(self, group: Group) -> None:
        """Say once that a lease is shorter than the measured round trips allow."""
        trips = [group.lanes[i].round_trip.p99_ms for i in range(group.voters)]
        needed_ms = ttl_needed_ms(quorum_round_trip_ms(trips))
        if needed_ms > group.times.ttl_ms and group.group not in self._warned:
            self._warned.add(group.group)
            detail = {"group": group.group, "ttl_ms": group.times.ttl_ms, "needed_ms": needed_ms}
            self._node.happened("unsafe-ttl", "", 0, detail)

    def _drop_old_sessions(self, group: Group) -> None:
        if len(group.sessions) == 1:
            return
        used = {leadership.session.sid for leadership in group.led.values()}
        for sid in list(group.sessions):
            if sid not in used and group.sessions[sid] is not group.session:
                del group.sessions[sid]

    def _bury_silent(self, group: Group, now_ms: int) -> None:
        """Sessions of processes long gone that hold nothing: so that polls stay short."""
        patience_ms = 10 * group.times.ttl_ms
        for store in range(group.stores):
            if not group.lanes[store].is_up:
                continue
            for sid, seen in group.watch.sightings[store].items():
                silent_ms = now_ms - seen.first_seen_ms
                if (
                    sid not in group.by_holder
                    and silent_ms > patience_ms
                    and sid not in group.sessions
                ):
                    command = ["bury", group.group, group.version, sid, seen.counter]
                    group.ask(store, command, lambda result, now_ms: None)

    # -- trimming

    def trim(self, group: Group, leadership: Leadership) -> None:
        """Have the stores drop what no store needs, or none may hope for any more."""
        log = leadership.log
        if log is None or not log.is_open or leadership.state is not State.LEADING:
            return
        drafted_to = self._node.reshardings.parents.drafted_to(leadership)
        copied = leadership.catch_ups or self._node.changes.is_at(group.group)
        hold = HOLD_FOR_COPY if copied or drafted_to is not None else HOLD
        if self._node.headroom.any_low(group):
            hold = HOLD_NOTHING
        if log.trims(hold, drafted_to) is not None:
            for store in range(group.stores):
                self._trim_at(group, leadership, log, store)

    def _trim_at(self, group: Group, leadership: Leadership, log: Log, store: int) -> None:
        trimming = log.trimming
        follower = log.followers[store]
        flows = (
            follower.stream is Stream.FLOWING and not follower.rests and group.lanes[store].is_up
        )
        if trimming is None or not flows or leadership.log is not log or not trimming.asks(store):
            return

        def reply(result: list[Any] | None, now_ms: int) -> None:
            base = result[4] if result is not None and result[0] == Code.OK else None
            if trimming.answered(store, base):
                self._trim_at(group, leadership, log, store)

        sid, epoch = leadership.session.sid, str(leadership.epoch)
        command = ["trim", group.group, group.version, log.shard, epoch, sid, trimming.upto]
        group.ask(store, command, reply)

    # -- history

    def history_effect(self, group: Group, leadership: Leadership, tail: Entry) -> list[Any]:
        """One line of the history of leadership: who, since when, who before, why it ended.

        Nobody led for `unled_ms` when the line is written; until it is kept it takes a round trip.
        """
        plan, now_ms = self._node.plan, self._node.now_ms
        holder, before = leadership.before
        ended_epoch, by, reason = self._reasons.pop(leadership.shard, (0, "", ""))
        if ended_epoch != before:
            by, reason = "", ""  # that end was another node's to tell
        if by or reason:
            self._ended_by[leadership.shard] = (leadership.epoch, by, reason)
        left_ms = self._node.standing[group.group].left_ms(leadership.shard)
        was_unled = left_ms is not None and leadership.why not in SAME_LEADER
        record = {
            "shard": leadership.shard,
            "epoch": leadership.epoch,
            "node": plan.node,
            "region": plan.region,
            "group": group.group,
            "before": self._node.census.node_name(holder),
            "before_epoch": before,
            "ended": ENDINGS.get(leadership.why, leadership.why),
            "cause": cause_of(leadership.why, left_ms is not None, by),
            "unled_ms": now_ms - left_ms if was_unled and left_ms is not None else None,
            "principal": by or "system",
            "reason": reason,
            "wall_ms": self._node.wall_ms(),
            "previous": [tail.sequence, tail.epoch, tail.chain],
        }
        return ["h", str(leadership.epoch), pack(record)]

    def remember_reason(self, shard: str, epoch: int, principal: str, reason: str) -> None:
        """Who ends this epoch of a shard, and why: for its history, if this node takes it over."""
        self._reasons[shard] = (epoch, principal, reason)

    def who_ended(self, shard: str, epoch: int) -> dict[str, str]:
        """Who ended what came before this epoch, and why, if somebody ordered it; asked once."""
        opened, by, reason = self._ended_by.pop(shard, (0, "", ""))
        return {"principal": by, "reason": reason} if opened == epoch else {}


def _is_troubled(group: Group, shard: str) -> bool:
    """Whether a store refuses the epoch of a shard led here, or its session was replaced."""
    leadership = group.led.get(shard)
    if leadership is None:
        return False
    return leadership.is_refused or leadership.session is not group.session
