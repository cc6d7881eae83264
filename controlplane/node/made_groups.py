"""Groups that are made while a fleet runs: as kept in the system shard, made, joined, and let go.

Theory of operation. A group that nobody named at the start has a record of the system shard, in
partition `groups`: its first description, with the incarnation of every store. That is written once
and never another one under the same name [!]: no two stores can be told different things, whoever
tells them and however often. The global leader has the group installed at every store that it
names, in its first version, again and again until all have it; only then does the record say that
it is made. Every node follows the records at its own region's copy, and joins what is made: from
then on it is a group like any other, and what becomes of it (stores, lease, versions) its stores
decide. A record tells later nodes where to begin: when a later version is in use, the global leader
puts that one there.

A group that is not made may be *dropped*: by an operator, or by the global leader when one of its
stores can never have it, or has not had it for `DROP_AFTER_MS`. Nobody has joined such a group, and
making it and dropping it are entries of one log, each on the condition that the other was not
written: so there was never a shard in it. One that is made is dropped by an operator alone, when no
shard is in it or on its way there (controlplane/node/group_orders); then every node leaves it. The
record stays, and the name is never used again: stores may have that group for ever.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from controlplane.node.audit_notes import group_note
from controlplane.node.following import SYSTEM
from controlplane.node_plan import description_of
from controlplane.requests import Compare, Outcome, Put, Refused, Write
from controlplane.views import ComingGroupView
from regions.codec import ANOTHER_STORE, Code, as_bytes, as_text, pack, unpack
from regions.codec import Reply as StoreReply
from regions.membership import (
    FIRST_VERSION,
    GroupDescription,
    Member,
    members,
    read_description,
    write_description,
)

if TYPE_CHECKING:
    from controlplane.node.node import Node

PARTITION: Final = "groups"
PREFIX: Final = "{groups}/"
LOOK_EVERY_MS: Final = 200
DROP_AFTER_MS: Final = 600_000


@dataclass(frozen=True, slots=True)
class MadeGroup:
    """One of them, as the system shard has it; `revision` is the position that wrote it.

    `dropped` is why it was let go, "" if it was not.
    """

    description: GroupDescription
    is_made: bool
    revision: int = 0
    dropped: str = ""

    @property
    def key(self) -> str:
        """Where it is kept."""
        return PREFIX + self.description.group

    def put(self) -> Put:
        """How it is kept; nodes that know nothing of dropped ones do not read those."""
        row = [int(self.is_made), write_description(self.description)]
        return Put(PARTITION, self.key, pack([*row, self.dropped] if self.dropped else row))


def read_made_group(key: str, value: bytes | str, revision: int) -> MadeGroup:
    """From the system shard; raises ValueError when it is none."""
    match unpack(as_bytes(value)):
        case [int() as is_made, (bytes() | str()) as text, *dropped] if len(dropped) <= 1:
            why = as_text(dropped[0]) if dropped else ""
            return MadeGroup(read_description(text), bool(is_made), revision, why)
    raise ValueError(f"{key} is no group")


class MadeGroups:
    """What one node knows of them, and does."""

    partition = PARTITION
    prefix = PREFIX

    def __init__(self, node: Node, now_ms: int) -> None:
        self._node = node
        self.known: dict[str, MadeGroup] = {}
        self._installed: set[tuple[str, Member]] = set()  # as answered to this node
        self._refused: set[tuple[str, Member]] = set()  # ... for good
        self._asked: set[tuple[str, Member]] = set()
        self._making: dict[str, int] = {}  # since when this node has it made, as global leader
        self._written: dict[str, int] = {}  # by group, of which revision the next was written
        self._next_ms = now_ms

    # -- what the system shard says (controlplane/node/following)

    def begun(self) -> None:
        """All of it comes once more; nothing of it is ever taken back."""

    def put(self, key: str, value: bytes | str, version: int) -> None:
        """A group is so."""
        try:
            found = read_made_group(key, value, version)
        except ValueError as complaint:
            self._node.happened("group-unreadable", "", 0, {"why": str(complaint)})
            return
        name = found.description.group
        before = self.known.get(name)
        if before is None or before.revision < version:
            self.known[name] = found
            if found.dropped:
                self._leave(found)
            else:
                self._join(found)

    def deleted(self, key: str, version: int) -> None:
        """No node deletes any."""

    def scanned(self) -> None:
        """What there was is known."""

    # -- what is done

    def advance(self, now_ms: int) -> None:
        """Join what is made; as the global leader, have made what is not."""
        if now_ms < self._next_ms or not self.known:
            return
        self._next_ms = now_ms + LOOK_EVERY_MS
        present = [each for each in self.known.values() if not each.dropped]
        for each in present:
            self._join(each)
        led = self._node.census.leadership(SYSTEM)
        if led is None or not led[1].serves(now_ms):
            self._making = {}
            return
        self._making = {
            each.description.group: self._making.get(each.description.group, now_ms)
            for each in present if not each.is_made
        }  # fmt: skip
        for each in present:
            if not each.is_made:
                self._make(each, now_ms)
            else:
                self._keep_up(each)

    @property
    def deadline_ms(self) -> int | None:
        """When `advance` has something to do."""
        return self._next_ms if self.known else None

    def _join(self, each: MadeGroup) -> None:
        if each.is_made and each.description.group not in self._node.groups:
            self._node.succession.join(each.description, self._node.now_ms)

    def _leave(self, each: MadeGroup) -> None:
        name = each.description.group
        self._node.happened("group-dropped", "", 0, {"group": name, "why": each.dropped})
        self._node.succession.leave(name, self._node.now_ms)

    def _make(self, each: MadeGroup, now_ms: int) -> None:
        description = each.description
        missing = self._missing(description)
        for member in missing:
            self._install(description, member)
        if not missing:
            self._write(each, replace(each, is_made=True))
            return
        never = [m.store for m in missing if (description.group, m) in self._refused]
        if never:
            why = f"{', '.join(never)} is another store by now"
            self._write(each, replace(each, dropped=why))
        elif now_ms - self._making[description.group] >= DROP_AFTER_MS:
            self._write(each, replace(each, dropped=self.why(description.group)))

    def _missing(self, description: GroupDescription) -> list[Member]:
        wanted = members(description.incarnations)
        return [m for m in wanted if (description.group, m) not in self._installed]

    def _install(self, description: GroupDescription, member: Member) -> None:
        place = (description.group, member)
        if place in self._asked:
            return
        self._asked.add(place)

        def take(reply: StoreReply | None, now_ms: int) -> None:
            self._asked.discard(place)
            if reply is None:
                return
            code = reply.results[0][0] if reply.results else reply.code
            if code == Code.OK:
                self._installed.add(place)
            elif code in ANOTHER_STORE:
                self._refused.add(place)

        text = write_description(description)
        command = ["install", description.group, FIRST_VERSION, text]
        self._node.bulk.visit(*member, [command], take)

    # -- what people are told

    def why(self, group: str) -> str:
        """What a group waits for that is not made yet. Which stores have it, only the global
        leader knows; others say which are not up."""
        each = self.known.get(group)
        if each is None or each.is_made or each.dropped:
            return ""
        missing = self._missing(each.description)
        if group in self._making:
            names = [member.store for member in missing]
            return f"{group} is not at {', '.join(names)} yet" if names else ""
        down = [member.store for member in missing if not self._node.group_orders.is_up(member)]
        return f"{', '.join(down)} cannot be told now" if down else ""

    def coming(self) -> tuple[ComingGroupView, ...]:
        """Groups that are not made yet, by name."""
        return tuple(
            ComingGroupView(name, tuple(sorted(each.description.voters)), self.why(name))
            for name, each in sorted(self.known.items())
            if not each.is_made and not each.dropped
        )

    def _keep_up(self, each: MadeGroup) -> None:
        """Where later nodes begin is where the group is by now."""
        group = self._node.groups.get(each.description.group)
        if group is not None and group.version > each.description.version:
            self._write(each, replace(each, description=description_of(group.plan)))

    def _write(self, before: MadeGroup, after: MadeGroup) -> None:
        name = before.description.group
        if self._written.get(name) == before.revision:
            return
        self._written[name] = before.revision
        state = "dropped" if after.dropped else "made"
        note = group_note(after.description, state, reason=after.dropped)
        compares = (Compare(before.key, before.revision),)
        write = Write(SYSTEM, (after.put(),), compares, notes=(note,))

        def take(outcome: Outcome) -> None:
            if isinstance(outcome, Refused):
                self._written.pop(name, None)
            self._node.following.deadline_ms = self._node.now_ms

        own = self._node.requests.begin_own(write, take, self._node.now_ms)
        self._node.resubmit(own, write, self._node.now_ms)
