"""The reshardings as this node knows them: a reader of the system shard.

What it says of names is as new as the shard map that this node knows, since both are read from one
copy of one log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane.node.following import SYSTEM
from controlplane.node.parents import Parents
from controlplane.node.rerouting import addressed
from controlplane.node.reshard_orders import ReshardOrders
from controlplane.node.switching import Switching
from controlplane.requests import Request
from shards.leadership import Leadership
from shards.position import Position
from shards.resharding import (
    COUNTER_KEY,
    PARTITION,
    PREFIX,
    Counter,
    Phase,
    Resharding,
    number_of,
    read_counter,
    read_resharding,
)  # fmt: skip

if TYPE_CHECKING:
    from controlplane.node.node import Node


class Reshardings:
    """What one node knows of reshardings."""

    partition = PARTITION
    prefix = PREFIX

    def __init__(self, node: Node) -> None:
        self._node = node
        self.orders = ReshardOrders(node)
        self.parents = Parents(node)
        self.switching = Switching(node)
        self.known: dict[int, Resharding] = {}
        self.counter: Counter | None = None
        self.counter_version = 0
        self.ripe: set[str] = set()  # children that are ripe at a majority, as was told
        self._unfinished: dict[int, Resharding] = {}
        self._children: set[str] = set()
        self._parents: dict[str, tuple[str, ...]] = {}  # of every shard that was born of others
        self.lineage = 0  # another number whenever some shard has other ancestors

    def advance(self, now_ms: int) -> None:
        """Do for them what falls to this node."""
        self.parents.advance(now_ms)
        self.switching.advance(now_ms)

    @property
    def deadline_ms(self) -> int | None:
        """When `advance` has something to do."""
        return self.parents.deadline_ms

    def addressed(self, request: Request, position: Position) -> Request:
        """A client's request for the shard that has its key by the map known here."""
        return addressed(self._node, request, position)

    # -- what the system shard says (controlplane/node/following)

    def begun(self) -> None:
        """All of it comes once more; nothing of it is ever taken back."""

    def put(self, key: str, value: bytes | str, version: int) -> None:
        """A resharding is so, or these are the next numbers."""
        try:
            if key == COUNTER_KEY:
                if version > self.counter_version:
                    self.counter, self.counter_version = read_counter(value), version
                return
            found = read_resharding(key, value, version)
        except ValueError as complaint:
            self._node.happened("resharding-unreadable", SYSTEM, 0, {"why": str(complaint)})
            return
        before = self.known.get(found.number)
        if before is None or before.revision < version:
            self._take(before, found)

    def _take(self, before: Resharding | None, found: Resharding) -> None:
        self.known[found.number] = found
        if found.is_over:
            self._unfinished.pop(found.number, None)
        else:
            self._unfinished[found.number] = found
        for child in found.children:
            self._children.add(child.shard)
            if found.phase is not Phase.CANCELLED:
                self._parents[child.shard] = tuple(parent.shard for parent in found.parents)
                self.lineage += 1
        if found.phase is Phase.DONE and before is not None and before.is_open:
            self._node.reports.load.went_over(found.parents, found.children, self._node.now_ms)
        if before is None or before.phase is not found.phase:
            for parent in found.parents:
                self._node.resting.resharded(parent.shard)
            detail = {"number": found.number, "kind": found.kind.value}
            detail |= {"parents": ",".join(parent.shard for parent in found.parents)}
            detail |= {"children": ",".join(child.shard for child in found.children)}
            self._node.happened(f"resharding-{found.phase.value}", SYSTEM, 0, detail)

    def deleted(self, key: str, version: int) -> None:
        """One that was over is not remembered any more."""
        gone = self.known.pop(int(key.removeprefix(PREFIX)), None)
        for child in () if gone is None else gone.children:
            self._parents.pop(child.shard, None)
            self.lineage += 1

    def scanned(self) -> None:
        """What there was is known."""

    # -- what follows from it

    def unfinished(self) -> list[Resharding]:
        """All that somebody has something to do for, the oldest first."""
        return [self._unfinished[number] for number in sorted(self._unfinished)]

    @property
    def is_anything_on(self) -> bool:
        """Whether there is something to do for anybody."""
        return bool(self._unfinished)

    def waits_for(self, leadership: Leadership) -> bool:
        """Whether clients wait until stores, or nodes, know what is committed of a shard: that it
        is closed, or, of the system shard, where a closed one goes on."""
        if not self._unfinished:
            return False
        return leadership.is_closed or (leadership.shard == SYSTEM and self.is_any_closing)

    @property
    def is_any_closing(self) -> bool:
        """Whether clients may be waiting for another map."""
        return any(each.phase is Phase.CLOSING for each in self._unfinished.values())

    def of_parent(self, shard: str, group: str) -> tuple[Resharding, int] | None:
        """The resharding that closes a shard of a group, and which of its parents it is."""
        for resharding in self._unfinished.values():
            number = resharding.parent_number(shard, group)
            if number is not None and resharding.phase is not Phase.CANCELLED:
                return resharding, number
        return None

    def may_be_led(self, shard: str, group: str) -> bool:
        """Whether anybody may stand for a shard: it is in the map; or a parent, to be finished; or
        a child that was counted to be ripe at a majority [!]."""
        directory = self._node.directory
        if shard == SYSTEM or not directory.is_known or shard in directory.rows:
            return True
        if shard in self.ripe:
            return True
        return any(
            resharding.parent_number(shard, group) is not None
            for resharding in self._unfinished.values()
        )

    def is_ahead(self, shard: str) -> bool:
        """Whether somebody who names this shard, which the map here has not, knows a later map."""
        number = number_of(shard)
        if number is None:
            return False
        if self.counter is None:
            return True
        return number >= self.counter.shard or any(
            resharding.is_open and any(c.shard == shard for c in resharding.children)
            for resharding in self._unfinished.values()
        )

    def is_child(self, shard: str) -> bool:
        """Whether a shard begins, or began, with a resharding."""
        return shard in self._children

    def names(self, shard: str) -> tuple[str, ...]:
        """A shard's own name and those of its ancestors: what is said of any of them holds."""
        return (shard, *self.ancestors(shard))

    def ancestors(self, shard: str) -> tuple[str, ...]:
        """Shards that this one continues, the nearest first."""
        found: dict[str, None] = {}
        ahead = list(self._parents.get(shard, ()))
        while ahead:
            name = ahead.pop(0)
            if name not in found:
                found[name] = None
                ahead += self._parents.get(name, ())
        return tuple(found)
