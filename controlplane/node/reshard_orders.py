"""What operators want moved, split or merged: checked, named and written down by the global leader.

Theory of operation. An order is checked against the map as it is followed here, and written with
its numbers on the condition that map and counter are still the same: so two orders that exclude
each other are never both written, however old the copy is that this node follows. What is written
is carried out, whoever leads (controlplane/node/switching, controlplane/node/parents).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from config.document import Kind as DocumentKind
from config.shard_rules import differing, is_named
from controlplane.node.audit_notes import resharding_notes
from controlplane.node.directory import MAP_PREFIX, MapRow
from controlplane.node.following import SYSTEM
from controlplane.requests import (
    CancelResharding,
    Compare,
    Delete,
    Outcome,
    Problem,
    Put,
    Refused,
    Reshard,
    Resharded,
    Write,
)  # fmt: skip
from shards.grant import Held
from shards.resharding import (
    COUNTER_KEY,
    PARTITION,
    Counter,
    Kind,
    Part,
    Phase,
    Resharding,
    name_of,
    number_of,
)  # fmt: skip

if TYPE_CHECKING:
    from controlplane.node.node import Node

ON_MAX = 32
"""Reshardings under way at once."""
REMEMBERED_MAX = 1_000
FORGOTTEN_AT_ONCE = 100  # in one entry
"""How many are remembered; the oldest that is over goes first."""


class ReshardOrders:
    """Orders at one node."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def take(self, number: int, order: Reshard | CancelResharding, now_ms: int) -> None:
        """Answer an order, as the leader of the system shard: written down, or refused."""
        if isinstance(order, CancelResharding):
            self._cancel(number, order, now_ms)
            return
        planned = self._planned(order)
        if isinstance(planned, Refused):
            self._node.requests.answer(number, planned)
            return
        resharding, rows = planned
        if not order.begin:
            self._node.requests.answer(number, _told(resharding, begun=False))
            return
        counter = self.counter()
        after = Counter(counter.resharding + 1, counter.shard + len(resharding.children))
        write = Write(
            SYSTEM,
            (
                Put(PARTITION, COUNTER_KEY, after.packed()),
                Put(PARTITION, resharding.key, resharding.packed()),
                *self._forgotten(),
                *order.also,
            ),
            (
                Compare(COUNTER_KEY, self._node.reshardings.counter_version),
                *(Compare(MAP_PREFIX + row.shard, row.revision) for row in rows),
                *order.compares,
            ),
            notes=resharding_notes(None, resharding),
        )
        self._write(number, write, _told(resharding, begun=True), now_ms)

    def _cancel(self, number: int, order: CancelResharding, now_ms: int) -> None:
        found = self._node.reshardings.known.get(order.number)
        if found is None:
            refused = Refused(Problem.UNKNOWN_RESHARDING, f"no resharding {order.number} is known")
            self._node.requests.answer(number, refused)
        elif found.phase is not Phase.DRAFTING:
            detail = f"it is {found.phase}: only what is drafting can be cancelled"
            self._node.requests.answer(number, Refused(Problem.NOT_RESHARDED, detail))
        elif not order.begin:
            self._node.requests.answer(number, _told(found, begun=False))
        else:
            after = found.at(Phase.CANCELLED)
            put = Put(PARTITION, after.key, after.packed())
            notes = resharding_notes(found, after, order.principal, order.reason)
            write = Write(SYSTEM, (put,), (Compare(found.key, found.revision),), notes=notes)
            self._write(number, write, _told(after, begun=True), now_ms)

    def _write(self, number: int, write: Write, answer: Resharded, now_ms: int) -> None:
        opened = self._node.requests.get(number)
        if opened is not None:
            opened.sent = True

        def take(outcome: Outcome) -> None:
            told: Outcome = answer
            if isinstance(outcome, Refused):
                told = outcome
                if outcome.problem is Problem.PRECONDITION_FAILED:
                    detail = "map or reshardings have changed meanwhile; ask again"
                    told = Refused(Problem.NOT_RESHARDED, detail, retry_after_ms=200)
            self._node.following.deadline_ms = self._node.now_ms
            self._node.requests.answer(number, told)

        own = self._node.requests.begin_own(write, take, now_ms)
        self._node.resubmit(own, write, now_ms)

    # -- what makes sense

    def counter(self) -> Counter:
        """The next numbers."""
        known = self._node.reshardings.counter
        if known is not None:
            return known
        taken = [number_of(shard) for shard in self._node.directory.rows]
        return Counter(1, 1 + max((n for n in taken if n is not None), default=-1))

    def _forgotten(self) -> list[Delete]:
        """Old records, but those by which a rule that names an ancestor finds its shards."""
        known = self._node.reshardings.known
        too_many = min(len(known) - REMEMBERED_MAX, FORGOTTEN_AT_ONCE)
        if too_many <= 0:
            return []
        content = self._node.feed.content(DocumentKind.CONSTRAINTS)
        over = [
            each for n in sorted(known) if (each := known[n]).is_over
            and not any(
                is_named(content, name)
                for parent in each.parents for name in self._node.reshardings.names(parent.shard)
            )
        ]  # fmt: skip
        return [Delete(PARTITION, each.key) for each in over[:too_many]]

    def _planned(self, order: Reshard) -> tuple[Resharding, list[MapRow]] | Refused:
        rows = self._node.directory.rows
        names = [order.of, order.beside] if order.kind is Kind.MERGE else [order.of]
        for name in names:
            if name == SYSTEM:
                return Refused(Problem.NOT_RESHARDED, "the system shard stays as it is")
            if name not in rows:
                return Refused(Problem.UNKNOWN_SHARD, f"no shard is called {name!r}")
            if why := self._busy(rows[name]):
                return Refused(Problem.NOT_RESHARDED, why, retry_after_ms=1_000)
        on = [each for each in self._node.reshardings.unfinished() if each.is_open]
        if len(on) >= ON_MAX:
            detail = f"{len(on)} reshardings are on, the limit is {ON_MAX}"
            return Refused(Problem.NOT_RESHARDED, detail, retry_after_ms=1_000)
        parents = sorted([rows[name] for name in names], key=lambda row: row.first_slot)
        children = self._children(order, parents)
        if isinstance(children, Refused):
            return children
        resharding = Resharding(
            self.counter().resharding, order.kind, tuple(_part(row) for row in parents), children,
            Phase.DRAFTING, order.principal, order.reason, self._node.wall_ms(),
        )  # fmt: skip
        return resharding, parents

    def _busy(self, row: MapRow) -> str:
        """Why a shard cannot be resharded now, "" if it can."""
        for other in self._node.reshardings.unfinished():
            if any(parent.shard == row.shard for parent in other.parents):
                return f"resharding {other.number} of {row.shard} is {other.phase}"
            if any(child.shard == row.shard for child in other.children) and other.is_open:
                return f"{row.shard} is being made by resharding {other.number}"
        group = self._node.groups.get(row.group)
        if group is None:
            return f"no store of {row.group} is known here"
        if self._node.losses.of(group):
            return f"{row.group} is lost"
        sighted = group.shards.get(row.shard)
        if sighted is not None and any(g.state == Held.HANDOVER for g in sighted.grants):
            return f"{row.shard} is being handed over"
        return ""

    def _children(self, order: Reshard, parents: list[MapRow]) -> tuple[Part, ...] | Refused:
        match order.kind:
            case Kind.SPLIT:
                return self._halves(parents[0], order.at)
            case Kind.MERGE:
                return self._merged(*parents)
            case Kind.MOVE:
                return self._moved(parents[0], order)

    def _halves(self, row: MapRow, at: int | None) -> tuple[Part, ...] | Refused:
        if row.end_slot - row.first_slot < 2:
            detail = f"{row.shard} has the slot {row.first_slot} alone"
            return Refused(Problem.UNSPLITTABLE, detail)
        middle = (row.first_slot + row.end_slot) // 2 if at is None else at
        if not row.first_slot < middle < row.end_slot:
            detail = f"at must be a slot from {row.first_slot + 1} to {row.end_slot - 1}"
            return Refused(Problem.NOT_RESHARDED, detail)
        number = self.counter().shard
        return (
            replace(_part(row), shard=name_of(number), end_slot=middle),
            replace(_part(row), shard=name_of(number + 1), first_slot=middle),
        )

    def _merged(self, left: MapRow, right: MapRow) -> tuple[Part, ...] | Refused:
        if left.shard == right.shard or left.end_slot != right.first_slot:
            detail = f"{left.shard} and {right.shard} are no neighbours"
            return Refused(Problem.NOT_RESHARDED, detail)
        if left.group != right.group:
            detail = f"{left.shard} is in {left.group}, {right.shard} in {right.group}"
            return Refused(Problem.NOT_RESHARDED, detail)
        if part := self._differing(left, right):
            detail = f"{left.shard} and {right.shard} differ in {part}: what would hold for both?"
            return Refused(Problem.NOT_RESHARDED, detail)
        name = name_of(self.counter().shard)
        return (replace(_part(left), shard=name, end_slot=right.end_slot),)

    def _differing(self, left: MapRow, right: MapRow) -> str:
        """What is said of one shard and not of the other, or otherwise; empty if nothing is."""
        content = self._node.feed.content(DocumentKind.CONSTRAINTS)
        names = [self._node.reshardings.names(row.shard) for row in (left, right)]
        return differing(content, *names)

    def _moved(self, row: MapRow, order: Reshard) -> tuple[Part, ...] | Refused:
        to_group, first = order.to_group, order.to_region
        group = self._node.groups.get(to_group)
        if group is None:
            return Refused(Problem.UNKNOWN_GROUP, f"no group is called {to_group!r}")
        if to_group == row.group:
            return Refused(Problem.NOT_RESHARDED, f"{row.shard} is in {to_group} already")
        if self._node.losses.of(group):
            return Refused(Problem.NOT_RESHARDED, f"{to_group} is lost")
        if first and first not in group.regions:
            return Refused(Problem.NOT_RESHARDED, f"{to_group} has no voter in {first}")
        wished = [first, *row.regions] if first else row.regions
        kept = [region for region in wished if region in group.regions]
        regions = tuple(dict.fromkeys([*kept, *group.regions]))
        name = name_of(self.counter().shard)
        child = replace(_part(row), shard=name, group=to_group, regions=regions)
        return (replace(child, node=order.to_node),)


def _part(row: MapRow) -> Part:
    return Part(row.shard, row.group, row.first_slot, row.end_slot, row.regions, row.node)


def _told(resharding: Resharding, *, begun: bool) -> Resharded:
    return Resharded(
        resharding.number, resharding.kind, resharding.parents, resharding.children,
        resharding.phase, begun,
    )  # fmt: skip
