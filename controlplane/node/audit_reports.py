"""What nodes do on people's orders beside the system shard: told to the global leader.

Theory of operation. Handing a shard over, taking one away, changing a group's stores: such an
order is carried out by the node that takes it, whether there is a global leader or not. So its note
cannot be in the entry of what it records. The node tells it, again and again, until the global
leader says that it is kept. Each note has an id of its own, which is also that of the write that
records it: so one whose acknowledgement got lost is not recorded twice, as long as ids are
remembered.

Not promised: a node that ends before its notes are kept takes them along. What came of such an
order is recorded all the same: leaderships by whoever leads next (controlplane/node/chronicle).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from config.audit import Note, What
from config.document import canonical, digest_of
from controlplane.machine import Tell
from controlplane.node.following import SYSTEM
from controlplane.requests import Outcome, Write, Written

if TYPE_CHECKING:
    from controlplane.node.node import Node

TELL_EVERY_MS: Final = 1_000
TOLD_AT_ONCE: Final = 50
UNKEPT_MAX: Final = 1_000
TEXT_MAX: Final = 2_048
TOLD_KINDS: Final = frozenset({What.TRANSFER, What.EVICTION, What.STORES, What.LEASE, What.FORCED})
"""What nodes do by themselves. Nothing else is taken from them."""

Fields = list[Any]


class AuditReports:
    """Notes of one node that are not known to be kept; and, at the global leader, those of all."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._count = 0
        self._unkept: dict[str, Fields] = {}
        self._next_tell_ms = 0
        self._under_way: set[str] = set()

    def add(self, note: Note) -> None:
        """Have something recorded that was begun here. The oldest goes when there are too many."""
        self._count += 1
        fields = [note.what.value, note.subject, note.principal, note.reason]
        fields += [note.before, note.after]
        self._unkept[f"{self._node.plan.process}/{self._count}"] = fields
        while len(self._unkept) > UNKEPT_MAX:
            self._unkept.pop(next(iter(self._unkept)))
            self._node.happened("audit-note-lost", SYSTEM, 0, {"kept": UNKEPT_MAX})
        self._next_tell_ms = self._node.now_ms

    def advance(self, now_ms: int) -> None:
        """Tell what is not known to be kept."""
        if not self._unkept or now_ms < self._next_tell_ms:
            return
        self._next_tell_ms = now_ms + TELL_EVERY_MS
        leader = self._node.census.global_leader()
        if leader is None:
            return
        notes = [[name, *fields] for name, fields in list(self._unkept.items())[:TOLD_AT_ONCE]]
        if leader.node == self._node.plan.node:
            self.heard(leader.node, notes)
        else:
            self._node.out.append(Tell(leader.node, {"kind": "audit", "notes": notes}))

    def kept(self, names: Any) -> None:
        """These are recorded."""
        if isinstance(names, list):
            for name in names:
                if isinstance(name, str):
                    self._unkept.pop(name, None)

    # -- at the global leader

    def heard(self, sender: str, notes: Any) -> None:
        """Record what a node tells, if this one leads the system shard."""
        led = self._node.census.leadership(SYSTEM)
        if led is None or not led[1].serves(self._node.now_ms) or not isinstance(notes, list):
            return
        for each in notes[:TOLD_AT_ONCE]:
            found = _read(each)
            if found is not None and found[0] not in self._under_way:
                self._record(sender, *found)

    def _record(self, sender: str, name: str, note: Note) -> None:
        digest = digest_of(canonical([note.what.value, note.subject, note.after]))
        write = Write(SYSTEM, (), (), f"audit/{name}", digest, notes=(note,))
        self._under_way.add(name)

        def take(outcome: Outcome) -> None:
            self._under_way.discard(name)
            if not isinstance(outcome, Written):
                return  # it is told again
            if sender == self._node.plan.node:
                self.kept([name])
            else:
                self._node.out.append(Tell(sender, {"kind": "audit-kept", "names": [name]}))

        own = self._node.requests.begin_own(write, take, self._node.now_ms)
        self._node.resubmit(own, write, self._node.now_ms)


def _read(fields: Any) -> tuple[str, Note] | None:
    """A note as a node tells it; None when this is none."""
    match fields:
        case [
            str() as name, str() as what, str() as subject, str() as by, str() as why,
            before, after,
        ]:  # fmt: skip
            texts = (name, subject, by, why)
            if what not in TOLD_KINDS or max(map(len, texts)) > TEXT_MAX:
                return None
            if len(canonical([before, after])) > 2 * TEXT_MAX:
                return None
            return name, Note(What(what), subject, by, why, before, after)
    return None
