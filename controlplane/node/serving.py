"""Requests at the leader of a shard: writes decided and confirmed, and waiting at a takeover.

Theory of operation. A write is admitted only by a leader that serves and whose renewals are recent;
it is decided (shards/admission), logged, and answered when its entry is committed in the epoch it
was written in, or continued in the next epoch of the same process. If this process loses the shard,
writes under way have an unknown outcome.

Requests that meet a leadership in its making wait for it, in order, until their time is up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from config.document import REVISION_BYTES_MAX
from controlplane.node.confirming import Confirming
from controlplane.node.following import SYSTEM
from controlplane.node.group import Group
from controlplane.node.rerouting import await_map
from controlplane.node.strong_reads import StrongReads, is_by_quorum
from controlplane.requests import (
    CancelResharding,
    DropGroup,
    MakeGroup,
    Outcome,
    Problem,
    Put,
    Read,
    Refused,
    Request,
    Reshard,
    Scan,
    Write,
    Written,
)  # fmt: skip
from regions.codec import Code, as_bytes
from shards.admission import (
    COMPARE_FAILED,
    WRITTEN,
    Admission,
    Admit,
    Change,
    Found,
    Lookup,
    Proposal,
    Refuse,
    Replay,
    compare_failed,
)  # fmt: skip
from shards.leadership import Leadership, State
from shards.reserved import FLOOR_KEY

if TYPE_CHECKING:
    from controlplane.node.node import Node

SWEEP_EVERY_MS = 5_000
_REFUSALS = {
    "compare": Problem.PRECONDITION_FAILED,
    "mismatch": Problem.IDEMPOTENCY_MISMATCH,
    "too-old": Problem.TOO_OLD,
}


class Desk:
    """What one led shard has under way; made when a request comes, dropped when there is none."""

    __slots__ = ("admission", "confirmed", "lookups", "pending", "waiting")

    def __init__(self, commit: int, id_memory_ms: int) -> None:
        self.admission = Admission(id_memory_ms)
        self.pending: dict[int, list[tuple[int, list[Any], bool]]] = {}
        self.waiting: list[tuple[int, Request]] = []
        self.confirmed = commit
        self.lookups = 0


class Serving:
    """Requests at the shards this node leads."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._desks: dict[tuple[str, str], Desk] = {}
        self.pending_writes = 0
        self._next_sweep_ms = 0
        self.reads = StrongReads(node)
        self.confirming = Confirming(node)

    def _desk(self, leadership: Leadership) -> Desk:
        desk = self._desks.get(leadership.place)
        if desk is None:
            commit = 0 if leadership.log is None else leadership.log.commit
            memory_ms = self._node.plan.limits.id_memory_ms
            desk = self._desks[leadership.place] = Desk(commit, memory_ms)
        return desk

    def submit(
        self, group: Group, leadership: Leadership, number: int, request: Request, now_ms: int
    ) -> None:
        """Take a write or a strong read for a shard this node leads, or is about to.

        A request whose time was up while it waited has been refused, and so it must not happen.
        """
        if self._node.requests.get(number) is None:
            return
        if leadership.state is not State.LEADING:
            if isinstance(request, Read | Scan) and leadership.reads_on(now_ms):
                self._read_on(group, leadership, number, request)
            else:
                self._desk(leadership).waiting.append((number, request))
            return
        if leadership.is_closed:
            await_map(self._node, group, number, request)
        elif is_by_quorum(request):
            self.confirming.add(leadership.shard, number, request)
        elif not leadership.serves(now_ms):
            self._refuse(
                number, Problem.NO_QUORUM, "the lease has run out: no majority of stores renews it"
            )
        elif isinstance(request, Reshard | CancelResharding):
            self._node.reshardings.orders.take(number, request, now_ms)
        elif isinstance(request, MakeGroup | DropGroup):
            self._node.group_orders.take(number, request, now_ms)
        elif isinstance(request, Write):
            self._node.heats.note(leadership.shard, request)
            self._write(group, leadership, number, request, now_ms)
        else:
            self._node.heats.note(leadership.shard, request)
            self.reads.read(group, leadership, number, request, 0)

    def _read_on(
        self, group: Group, leadership: Leadership, number: int, request: Read | Scan
    ) -> None:
        def otherwise() -> None:
            makes = leadership.state in (State.STANDING, State.RECOVERING)
            if makes and self._node.requests.get(number) is not None:
                self._desk(leadership).waiting.append((number, request))
            else:
                self._node.resubmit(number, request, self._node.now_ms)

        self.reads.read_on(group, leadership, number, request, otherwise)

    def _refuse(self, number: int, problem: Problem, detail: str, **more: Any) -> None:
        self._node.requests.answer(number, Refused(problem, detail, **more))

    # -- writes

    def _write(
        self, group: Group, leadership: Leadership, number: int, write: Write, now_ms: int
    ) -> None:
        refusal = self._unfit(group, leadership, write, now_ms)
        if refusal is not None:
            self._node.requests.answer(number, refusal)
            return
        audit = self._node.duties.audit
        if write.notes and not audit.is_open(leadership.epoch):
            audit.wait(number, write, leadership.epoch)
            return
        self._decide(group, leadership, number, write, None)

    def _unfit(
        self, group: Group, leadership: Leadership, write: Write, now_ms: int
    ) -> Refused | None:
        limits = self._node.plan.limits
        until = leadership.until_ms()
        renewed_ms = 0 if until is None else until - group.times.hold_ms
        if now_ms - renewed_ms > group.times.quiet_ms:
            return Refused(Problem.NO_QUORUM, "renewals do not reach a majority of stores")
        lack = self._node.headroom.lack(group, grows=_grows(write))
        if lack:
            return Refused(Problem.STORE_FULL, lack, retry_after_ms=1_000)
        reachable = group.reachable
        if reachable < group.quorum:
            return Refused(
                Problem.NO_QUORUM,
                f"{reachable} of {group.voters} stores reachable, {group.quorum} needed",
            )
        most = limits.value_bytes_max
        if write.shard == SYSTEM:
            most = max(most, REVISION_BYTES_MAX)
        for change in write.mutations:
            if type(change) is Put and len(change.value) > most:
                detail = f"value of {len(change.value)} bytes, the limit is {most}"
                return Refused(Problem.TOO_LARGE, detail)
        log = leadership.log
        if (
            log is not None
            and log.size_bytes > limits.shard_bytes_max * 95 // 100
            and _grows(write)
        ):
            return Refused(
                Problem.QUOTA_EXCEEDED,
                f"shard holds {log.size_bytes} of {limits.shard_bytes_max} bytes; delete or split",
            )
        if self.pending_writes >= limits.pending_writes_max:
            return Refused(Problem.OVERLOADED, "too many writes under way", retry_after_ms=50)
        return None

    def _decide(
        self,
        group: Group,
        leadership: Leadership,
        number: int,
        write: Write,
        found: Found | None,
    ) -> None:
        proposal = _proposal(write)
        log = leadership.log
        assert log is not None, "a leading shard has a log"
        desk = self._desk(leadership)
        decision = desk.admission.decide(proposal, log.last.sequence + 1, found)
        if isinstance(decision, Admit):
            effects = decision.effects
            if write.notes and decision.outcome[0] == WRITTEN:
                sequence, epoch = log.last.sequence + 1, leadership.epoch
                effects += self._node.duties.audit.effects(write.notes, sequence, epoch)
            entry = log.write(
                effects, proposal.op_id, proposal.digest,
                decision.outcome if proposal.op_id else False,
            )  # fmt: skip
            self._await(desk, entry.sequence, number, decision.outcome, False)
            group.dirty(leadership)
        elif isinstance(decision, Replay):
            if decision.sequence <= log.commit:
                self._confirm(leadership, number, decision.outcome, True)
            else:
                self._await(desk, decision.sequence, number, decision.outcome, True)
        elif isinstance(decision, Refuse):
            problem = _REFUSALS[decision.reason]
            self._refuse(number, problem, decision.detail, version=decision.version)
        else:
            self._look_up(group, leadership, number, write, decision, 0)

    def _await(
        self, desk: Desk, sequence: int, number: int, outcome: list[Any], replayed: bool
    ) -> None:
        opened = self._node.requests.get(number)
        if opened is not None:
            opened.sent = True
        desk.pending.setdefault(sequence, []).append((number, outcome, replayed))
        self.pending_writes += 1

    def _confirm(
        self, leadership: Leadership, number: int, outcome: list[Any], replayed: bool
    ) -> None:
        answer: Outcome
        if outcome[0] == COMPARE_FAILED:
            answer = Refused(
                Problem.PRECONDITION_FAILED, compare_failed(outcome[1], outcome[2]),
                version=outcome[2],
            )  # fmt: skip
        else:
            answer = Written(leadership.shard, leadership.epoch, outcome[1], replayed)
            opened = self._node.requests.get(number)
            if leadership.shard == SYSTEM and opened is not None:
                self._node.documents.decided(opened.request)
        self._node.requests.answer(number, answer)

    def _look_up(
        self, group: Group, leadership: Leadership, number: int, write: Write,
        lookup: Lookup, attempt: int,
    ) -> None:  # fmt: skip
        desk = self._desk(leadership)
        desk.lookups += 1
        mine = desk.lookups
        log = leadership.log
        assert log is not None, "a leading shard has a log"
        desk.admission.read_began(mine, log.commit)
        epoch = leadership.epoch

        def reply(result: list[Any] | None, now_ms: int) -> None:
            desk.admission.read_ended(mine)
            if self.reads.outlived(leadership, epoch, number):
                return
            if self._node.requests.get(number) is None:
                return  # refused meanwhile, because its time was up
            if result is None or result[0] != Code.OK:
                if attempt < group.stores:
                    self._look_up(group, leadership, number, write, lookup, attempt + 1)
                return
            found = _found(lookup, result[4:])
            self._decide(group, leadership, number, write, found)

        keys = list(lookup.keys)
        if not self.reads.ask_current(group, leadership, keys, list(lookup.ids), attempt, reply):
            desk.admission.read_ended(mine)

    # -- news of the leadership

    def moved(self, group: Group, leadership: Leadership, now_ms: int) -> None:
        """State or commit index changed: confirm what is committed, take up what waited."""
        log = leadership.log
        desk = self._desks.get(leadership.place)
        if leadership.state is State.LEADING and leadership.announced != leadership.epoch:
            leadership.announced = leadership.epoch
            self._node.elections.opened(group, leadership, now_ms)
        if desk is None or log is None or log.epoch != leadership.epoch or not log.is_open:
            return
        for sequence in range(desk.confirmed + 1, log.commit + 1) if desk.pending else ():
            for number, outcome, replayed in desk.pending.pop(sequence, ()):
                self.pending_writes -= 1
                self._confirm(leadership, number, outcome, replayed)
        desk.confirmed = log.commit
        desk.admission.prune(log.commit)
        self._node.headroom.weigh(leadership)
        if leadership.state is State.LEADING and desk.waiting:
            waiting, desk.waiting = desk.waiting, []
            for number, request in waiting:
                self.submit(group, leadership, number, request, now_ms)

    def log_replaced(self, leadership: Leadership) -> None:
        """Another log was recovered: what became of this process's own entries is unknown."""
        desk = self._desks.get(leadership.place)
        if desk is not None:
            self._unknown(desk, leadership, "replaced")
            desk.admission = Admission(self._node.plan.limits.id_memory_ms)

    def _unknown(self, desk: Desk, leadership: Leadership, why: str) -> None:
        self._node.fenced_writes.note(leadership, sorted(desk.pending), why)
        for waiting in desk.pending.values():
            for number, _, _ in waiting:
                self.pending_writes -= 1
                self._refuse(
                    number,
                    Problem.UNKNOWN_OUTCOME,
                    "leadership was lost before a majority confirmed it",
                )
        desk.pending.clear()

    def ended(self, group: Group, leadership: Leadership, why: str, now_ms: int) -> None:
        """The leadership is over: nothing of it can be confirmed here any more."""
        desk = self._desks.pop(leadership.place, None)
        if desk is None:
            return
        self._unknown(desk, leadership, why)
        for number, request in desk.waiting:
            self._node.resubmit(number, request, now_ms)

    def hand_waiting(self, leadership: Leadership, refusal: Refused) -> None:
        """The shard goes to another node: send those who waited there."""
        desk = self._desks.get(leadership.place)
        if desk is not None:
            waiting, desk.waiting = desk.waiting, []
            for number, _ in waiting:
                self._node.requests.answer(number, refusal)

    def sweep(self, now_ms: int) -> None:
        """Expire old ids; drop what has nothing under way."""
        if now_ms < self._next_sweep_ms:
            return
        self._next_sweep_ms = now_ms + SWEEP_EVERY_MS
        for (name, shard), desk in list(self._desks.items()):
            group = self._node.groups.get(name)
            if group is None:  # it was let go
                del self._desks[name, shard]
                continue
            leadership = group.led.get(shard)
            if leadership is None:
                continue
            log = leadership.log
            if log is None or leadership.catch_ups or not leadership.serves(now_ms):
                continue  # a copy is taken with the ids of its beginning
            effects = desk.admission.expiry(now_ms, log.commit)
            if effects is not None:
                log.forgot_at = log.write(effects).sequence
                group.dirty(leadership)


def _proposal(write: Write) -> Proposal:
    changes = tuple(
        [Change(m.partition, m.key, m.value if type(m) is Put else None) for m in write.mutations]
    )
    compares = tuple([(c.key, c.version) for c in write.compares])
    return Proposal(changes, compares, write.op_id, write.digest, write.since)


def _grows(write: Write) -> bool:
    return Put in map(type, write.mutations) or not write.mutations


def _found(lookup: Lookup, payload: list[Any]) -> Found:
    values, ids = payload[6], payload[7]
    versions = {key: v[0] if v else 0 for key, v in zip(lookup.keys, values, strict=True)}
    known = {op: (i[0], i[1], i[2]) for op, i in zip(lookup.ids, ids, strict=True) if i}
    floor = 0
    if FLOOR_KEY in lookup.keys:
        value = values[lookup.keys.index(FLOOR_KEY)]
        floor = int(as_bytes(value[1])) if value else 0
    return Found(versions, known, floor)
