"""Handing a shard to another node without waiting for a lease to run out, and taking one away.

Theory of operation. *Transfer*: the leader stops admitting, waits for its tail to commit, drops
what it holds strictly before the first handover is sent, writes the handover to the stores, and
tells the target once a majority has it. If a handover is refused, or the target has not taken over
in TTL/2, it stands again at a higher epoch; it never resumes the old one.
*Eviction* works without the holder's help: the grant is marked revoked at the stores. A holder is
told, or finds out, and obeys: it drops what it holds and hands the shard to the best other
candidate, as in a transfer, but never takes it back. One that does not obey loses its lease when
its renewals are refused, and its shard after the wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from config.audit import Note, What
from controlplane.machine import Tell
from controlplane.node.group import Group
from controlplane.requests import (
    Evict,
    Evicted,
    LeaderHint,
    Problem,
    Refused,
    Transfer,
    Transferred,
)  # fmt: skip
from regions.codec import Code
from regions.quorum import Tally, Verdict
from regions.watch import Peer
from shards.leadership import Leadership, State

if TYPE_CHECKING:
    from controlplane.node.node import Node

SYSTEM_PRINCIPAL = "system"
NODE_PREFIX = "node:"  # a node that takes a shard away from one that does not serve


@dataclass(slots=True)
class Handing:
    """One transfer under way."""

    group: Group
    leadership: Leadership
    target: Peer
    epoch: int
    began_ms: int
    number: int | None
    principal: str
    reason: str
    dropped_ms: int | None = None  # when the lease was given up
    told: bool = False
    evicted: bool = False  # it was taken away: never taken back
    tally: Tally | None = None


class Transfers:
    """Transfers and evictions begun at one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._handing: dict[str, Handing] = {}

    @property
    def under_way(self) -> int:
        """Transfers that have not ended."""
        return len(self._handing)

    def begin(
        self,
        group: Group,
        leadership: Leadership,
        request: Transfer,
        number: int | None,
        now_ms: int,
    ) -> None:
        """Start handing a led shard over; answers `number` when the target has been told."""
        target = self._target(group, request.to_node, now_ms)
        problem = None
        if leadership.is_closed:
            problem = Refused(Problem.TRANSFERRING, "the shard goes on in others")
        elif leadership.state is State.LEADING and not leadership.serves(now_ms):
            problem = Refused(
                Problem.NO_QUORUM, "the lease has run out: no majority of stores renews it"
            )
        elif not leadership.serves(now_ms):
            problem = Refused(Problem.TRANSFERRING, "the shard is changing hands already")
        elif request.to_node == self._node.plan.node:
            problem = Refused(Problem.INVALID, f"{request.to_node} leads {request.shard} already")
        elif target is None:
            problem = Refused(
                Problem.UNKNOWN_NODE, f"no live session of {request.to_node!r} in {group.group}"
            )
        if problem is not None or target is None:
            if number is not None and problem is not None:
                self._node.requests.answer(number, problem)
            return
        if number is not None:
            opened = self._node.requests.get(number)
            if opened is None:
                return  # its time was up, and that was said
            opened.sent = True
        leadership.state = State.HANDING
        handing = Handing(
            group, leadership, target, leadership.epoch, now_ms, number,
            request.principal, request.reason,
        )  # fmt: skip
        self._handing[leadership.shard] = handing
        group.shaky.add(leadership.shard)
        self._note(request, What.TRANSFER, leadership.epoch, self._node.plan.node, target.node)
        self._drained(handing, now_ms)

    def _note(
        self, order: Transfer | Evict, what: What, epoch: int, holder: str, to: str | None
    ) -> None:
        """Have recorded what a person ordered; the rest, leaderships themselves tell."""
        if order.principal == SYSTEM_PRINCIPAL or order.principal.startswith(NODE_PREFIX):
            return
        before = {"epoch": epoch, "node": holder}
        after = None if to is None else {"node": to}
        note = Note(what, order.shard, order.principal, order.reason, before, after)
        self._node.duties.audit_reports.add(note)

    def obeys(self, shard: str) -> bool:
        """Whether a revocation of this node's grant is being obeyed."""
        handing = self._handing.get(shard)
        return handing is not None and handing.evicted

    def obey(self, group: Group, leadership: Leadership, by: str, reason: str, now_ms: int) -> None:
        """Hand a shard that was taken away to whoever comes next; let it go if there is nobody."""
        shard = leadership.shard
        handing = self._handing.get(shard)
        if handing is None:
            heir = self._node.standing[group.group].next_best(leadership.sighted)
            target = None if heir is None else self._target(group, heir, now_ms)
            if target is None or leadership.state is not State.LEADING:
                leadership.end("evicted", now_ms)
                return
            handing = Handing(group, leadership, target, leadership.epoch, now_ms, None, by, reason)
            self._handing[shard] = handing
            group.shaky.add(shard)
        handing.evicted = True
        if leadership.state is not State.HANDED:
            self._hand_over(handing, now_ms)

    def _target(self, group: Group, node: str, now_ms: int) -> Peer | None:
        live = [
            p for p in group.watch.peers(now_ms).values()
            if p.node == node and p.silent_ms < group.times.silent_ms
        ]  # fmt: skip
        return min(live, key=lambda p: p.silent_ms) if live else None

    def advance(self, now_ms: int) -> None:
        """Go on with what waits: tails to commit, targets to take over."""
        for shard, handing in list(self._handing.items()):
            leadership = handing.leadership
            if leadership.state is State.HANDING:
                self._drained(handing, now_ms)
            elif leadership.state is not State.HANDED or leadership.epoch != handing.epoch:
                del self._handing[shard]
                self._answer(handing, Refused(Problem.NO_LEADER, "the transfer was overtaken"))
            else:
                self._watch_target(handing, now_ms)

    def _drained(self, handing: Handing, now_ms: int) -> None:
        leadership, group = handing.leadership, handing.group
        log = leadership.log
        if log is not None and log.pending == 0:
            self._hand_over(handing, now_ms)
        elif now_ms - handing.began_ms > group.times.ttl_ms // 2:
            leadership.state = State.LEADING
            del self._handing[leadership.shard]
            self._answer(handing, Refused(Problem.NO_QUORUM, "the tail of the log did not commit"))
            self._node.serving.moved(group, leadership, now_ms)

    def _hand_over(self, handing: Handing, now_ms: int) -> None:
        leadership, group = handing.leadership, handing.group
        leadership.drop_lease()
        leadership.state = State.HANDED
        handing.dropped_ms = now_ms
        handing.tally = Tally((1 << group.voters) - 1, group.quorum)
        for store in range(group.stores):
            if leadership.state is not State.HANDED:
                return  # too few stores are up, and it has been taken back already
            if group.lanes[store].is_up:
                command = [
                    "handover", group.group, group.version, leadership.shard,
                    str(leadership.epoch), leadership.session.sid, handing.target.sid,
                ]  # fmt: skip
                group.ask(store, command, self._handed(handing, store))
            else:
                self._count(handing, store, False, now_ms)

    def _handed(self, handing: Handing, store: int) -> Any:
        def reply(result: list[Any] | None, now_ms: int) -> None:
            self._count(handing, store, result is not None and result[0] == Code.OK, now_ms)

        return reply

    def _count(self, handing: Handing, store: int, yes: bool, now_ms: int) -> None:
        tally, leadership = handing.tally, handing.leadership
        under_way = leadership.state is State.HANDED and leadership.epoch == handing.epoch
        if tally is None or store >= handing.group.voters or not under_way:
            return
        if yes:
            tally.yes |= 1 << store
        else:
            tally.no |= 1 << store
        if tally.verdict() is Verdict.LOST:
            self._take_back(handing, now_ms)
        elif tally.verdict() is Verdict.WON:
            self._tell(handing, now_ms)

    def _tell(self, handing: Handing, now_ms: int) -> None:
        leadership, target = handing.leadership, handing.target
        message = {
            "kind": "handed", "group": handing.group.group, "shard": leadership.shard,
            "epoch": leadership.epoch, "sid": target.sid,
            "stores": handing.tally.yes | handing.tally.maybe if handing.tally is not None else 0,
            "principal": handing.principal, "reason": handing.reason, "evicted": handing.evicted,
        }  # fmt: skip
        self._node.out.append(Tell(target.node, message))
        handing.told = True
        hint = LeaderHint(target.node, target.region, target.url, leadership.epoch + 1)
        moved = Refused(Problem.NOT_LEADER, "handed over", leader=hint)
        self._node.serving.hand_waiting(leadership, moved)
        self._node.parking.changed(leadership.shard)  # what came since the lease was dropped
        paused_ms = now_ms - handing.began_ms
        self._answer(
            handing, Transferred(leadership.shard, leadership.epoch, target.node, paused_ms)
        )

    def heir(self, shard: str) -> LeaderHint | None:
        """Who takes a shard over from this node, once it has been told to."""
        handing = self._handing.get(shard)
        if handing is None or handing.leadership.state is not State.HANDED or not handing.told:
            return None
        target = handing.target
        return LeaderHint(target.node, target.region, target.url, handing.epoch + 1)

    def _watch_target(self, handing: Handing, now_ms: int) -> None:
        leadership, group = handing.leadership, handing.group
        leading = leadership.sighted.leading_grant()
        if leading is not None and leading.epoch > handing.epoch:
            del self._handing[leadership.shard]
            self._node.rebalance.trust.came(handing.target.node)
            if handing.evicted:
                leadership.end("evicted", now_ms)
                return
            detail = {"to": handing.target.node}
            self._node.happened("transferred", leadership.shard, leadership.epoch, detail)
            leadership.end("transferred", now_ms)
        elif now_ms - (handing.dropped_ms or now_ms) > group.times.ttl_ms // 2:
            self._take_back(handing, now_ms)

    def _take_back(self, handing: Handing, now_ms: int) -> None:
        """The target is late, or a handover was refused: stand again, at a higher epoch."""
        self._handing.pop(handing.leadership.shard, None)
        if handing.told:  # else the stores refused it, and the target did nothing wrong
            self._node.rebalance.trust.missed(handing.target.node, now_ms)
        if handing.evicted:
            self._answer(handing, Refused(Problem.NO_LEADER, "it was taken away meanwhile"))
            handing.leadership.end("evicted", now_ms)
            return
        self._answer(
            handing, Refused(Problem.TRANSFERRING, "the target did not take over; standing again")
        )
        self._node.standing[handing.group.group].again(handing.leadership, now_ms)
        if handing.leadership.state is State.HANDED:
            handing.leadership.end("resigned", now_ms)

    def _answer(self, handing: Handing, outcome: Transferred | Refused) -> None:
        if handing.number is not None:
            self._node.requests.answer(handing.number, outcome)
            handing.number = None

    def handed_to_us(self, message: dict[str, Any], now_ms: int) -> None:
        """The holder says that its shard is ours to take."""
        group = self._node.groups.get(str(message.get("group")))
        session = None if group is None else group.session
        shard, epoch, stores = message.get("shard"), message.get("epoch"), message.get("stores")
        if group is None or session is None or message.get("sid") != session.sid:
            return
        if not isinstance(shard, str) or not isinstance(epoch, int) or not isinstance(stores, int):
            return
        sighted = group.sighted(shard)
        leading = sighted.leading_grant()
        holder = "" if leading is None else leading.holder
        for store in range(group.voters):
            if stores >> store & 1 and sighted.grants[store].epoch <= epoch:
                fields = [str(epoch), "0", str(epoch), holder, "handover", session.sid, 0]
                group.saw(shard, store, fields, now_ms)
        by, reason = str(message.get("principal")), str(message.get("reason"))
        self._node.upkeep.remember_reason(shard, epoch, by, reason)
        self._node.standing[group.group].came_by(shard, evicted=message.get("evicted") is True)
        if by != SYSTEM_PRINCIPAL:
            self._node.rebalance.keep(shard, now_ms)
        self._node.standing[group.group].special.add(shard)
        self._node.standing[group.group].advance(now_ms)

    # -- evictions

    def evict(self, group: Group, request: Evict, number: int, now_ms: int) -> None:
        """Revoke the present grant at every store of the group."""
        sighted = group.sighted(request.shard)
        leading = sighted.leading_grant()
        if leading is None:
            refused = Refused(Problem.NO_LEADER, "nobody holds the shard")
            self._node.requests.answer(number, refused)
            return
        tally = Tally((1 << group.voters) - 1, group.quorum)
        holder = self._node.census.node_name(leading.holder)
        done = Evicted(request.shard, leading.epoch, holder)
        notice = {
            "kind": "revoked", "group": group.group, "shard": request.shard,
            "epoch": leading.epoch, "sid": leading.holder,
            "principal": request.principal, "reason": request.reason,
        }  # fmt: skip

        def count(store: int, yes: bool) -> None:
            if yes:
                tally.yes |= 1 << store
            else:
                tally.no |= 1 << store
            if yes and tally.yes.bit_count() == group.quorum:
                self._node.requests.answer(number, done)
                self._note(request, What.EVICTION, leading.epoch, holder, None)
                if group.is_mine(leading.holder):
                    self.revoked_of_us(notice, self._node.now_ms)
                else:
                    self._node.out.append(Tell(holder, notice))
            elif tally.verdict() is Verdict.LOST:
                refused = Refused(Problem.NO_QUORUM, "no majority of stores took the revocation")
                self._node.requests.answer(number, refused)

        self._node.upkeep.remember_reason(
            request.shard, leading.epoch, request.principal, request.reason
        )
        for store in range(group.voters):
            if not group.lanes[store].is_up:
                count(store, False)
                continue
            command = [
                "revoke", group.group, group.version, request.shard, leading.holder,
                str(leading.epoch), request.principal, request.reason,
            ]  # fmt: skip
            group.ask(store, command, _counted(count, store))

    def revoked_of_us(self, message: dict[str, Any], now_ms: int) -> None:
        """Whoever took a grant of ours away says so, before our renewals find out."""
        group = self._node.groups.get(str(message.get("group")))
        shard, epoch, sid = message.get("shard"), message.get("epoch"), str(message.get("sid"))
        if group is None or not group.is_mine(sid):
            return
        if isinstance(shard, str) and isinstance(epoch, int):
            by, reason = str(message.get("principal")), str(message.get("reason"))
            self._node.upkeep.revoked(group, shard, epoch, now_ms, by, reason)


def _counted(count: Any, store: int) -> Any:
    def reply(result: list[Any] | None, now_ms: int) -> None:
        count(store, result is not None and result[0] == Code.OK)

    return reply
