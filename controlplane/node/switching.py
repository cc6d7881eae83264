"""What the global leader does for a resharding: it says when to close, and switches the map.

Theory of operation. Leaders of parents fill drafts and report how far they are, again and again
(controlplane/node/parents). When all of them say that their drafts are near, the record goes to
`closing`, and from then on there is no way back. When, of every child, one of them has counted a
majority of its group's voters to be ripe, one entry of the system shard puts the children's rows,
deletes the parents', and marks the resharding done. Each step is written on the condition that
record and rows are as they were read: so it is made once, by whichever global leader comes first,
and its successor goes on from the record alone, since reports come again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from controlplane.node.audit_notes import resharding_notes
from controlplane.node.directory import MAP, MAP_PREFIX, MapRow
from controlplane.node.following import SYSTEM
from controlplane.requests import Compare, Delete, Outcome, Put, Refused, Write
from controlplane.views import ReshardingView
from shards.resharding import PARTITION, Part, Phase, Resharding

if TYPE_CHECKING:
    from controlplane.node.node import Node

FRESH_MS = 2_000  # a report that is older says nothing
AGAIN_MS = 100


@dataclass(frozen=True, slots=True)
class Report:
    """What the leader of one parent says; `near` and `ripe` are of each child in turn."""

    near: tuple[bool, ...]
    ripe: tuple[bool, ...]
    swept: bool
    behind: int  # entries that the drafts lack, of the one that lacks most
    at_ms: int


class Switching:
    """Reshardings at the global leader."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._reports: dict[tuple[int, int], Report] = {}
        self._written: dict[int, int] = {}  # by number, of which revision the next was written
        self._not_before_ms = 0

    def heard(self, message: dict[str, Any], now_ms: int) -> None:
        """The leader of a parent says how far its drafts are."""
        match message:
            case {
                "number": int() as number, "parent": int() as parent, "near": list() as near,
                "ripe": list() as ripe, "swept": bool() as swept, "behind": int() as behind,
            }:  # fmt: skip
                report = Report(
                    tuple(map(bool, near)), tuple(map(bool, ripe)), swept, behind, now_ms
                )
                self.take(number, parent, report)

    def take(self, number: int, parent: int, report: Report) -> None:
        """The same, of this node itself."""
        self._reports[number, parent] = report

    def reports_of(self, resharding: Resharding) -> list[Report]:
        """What the leaders of its parents said lately, in the parents' order; not all, perhaps."""
        now_ms = self._node.now_ms
        found = [
            self._reports.get((resharding.number, i)) for i, _ in enumerate(resharding.parents)
        ]
        return [report for report in found if report and now_ms - report.at_ms <= FRESH_MS]

    def views(self) -> tuple[ReshardingView, ...]:
        """Every resharding that is remembered; how far it is, if this node was told."""
        known = self._node.reshardings.known
        return tuple(self._view(known[number]) for number in sorted(known))

    def _view(self, each: Resharding) -> ReshardingView:
        reports = self.reports_of(each)
        lags = [report.behind for report in reports]
        behind = max(lags) if lags and min(lags) >= 0 and each.is_open else None
        return ReshardingView(
            each.number, each.kind, each.phase, each.parents, each.children, each.principal,
            each.reason, each.wall_ms, each.swept, behind, self._why(each, reports),
        )  # fmt: skip

    def _why(self, each: Resharding, reports: list[Report]) -> str:
        if each.is_over or self._node.census.leadership(SYSTEM) is None:
            return ""
        if len(reports) < len(each.parents):
            return "the leader of a parent has not reported"
        match each.phase:
            case Phase.DRAFTING:
                return "drafts are being filled"
            case Phase.CLOSING:
                return "the last entries are being copied"
        return "stores are being swept"

    def advance(self, now_ms: int) -> None:
        """Take every resharding a step further that is ready for it, as the global leader."""
        led = self._node.census.leadership(SYSTEM)
        if led is None or not led[1].serves(now_ms) or now_ms < self._not_before_ms:
            return
        for resharding in self._node.reshardings.unfinished():
            if self._written.get(resharding.number) != resharding.revision:
                step = self._next(resharding)
                if step is not None:
                    self._write(resharding, step, now_ms)
        if self._reports:
            known = {resharding.number for resharding in self._node.reshardings.unfinished()}
            self._reports = {k: r for k, r in self._reports.items() if k[0] in known}
            self._written = {n: r for n, r in self._written.items() if n in known}

    def _next(self, resharding: Resharding) -> Write | None:
        reports = self.reports_of(resharding)
        every = len(reports) == len(resharding.parents)
        match resharding.phase:
            case Phase.DRAFTING if every and all(all(report.near) for report in reports):
                return self._record(resharding, resharding.at(Phase.CLOSING))
            case Phase.CLOSING:
                ripe = [
                    any(child < len(report.ripe) and report.ripe[child] for report in reports)
                    for child, _ in enumerate(resharding.children)
                ]
                return self._switch(resharding) if all(ripe) else None
            case Phase.DONE | Phase.CANCELLED if every and all(r.swept for r in reports):
                return self._record(resharding, replace(resharding, swept=True))
        return None

    def _record(self, before: Resharding, after: Resharding) -> Write:
        put = Put(PARTITION, after.key, after.packed())
        compares = (Compare(before.key, before.revision),)
        return Write(SYSTEM, (put,), compares, notes=resharding_notes(before, after))

    def _switch(self, resharding: Resharding) -> Write | None:
        """Children's rows, no parents' rows, and the record, at once."""
        rows = self._node.directory.rows
        written = self._record(resharding, resharding.at(Phase.DONE))
        compares = list(written.compares)
        gone: list[Delete] = []
        for parent in resharding.parents:
            row = rows.get(parent.shard)
            if row is None or row.group != parent.group:
                return None  # the copy that is followed here lags behind
            compares.append(Compare(MAP_PREFIX + parent.shard, row.revision))
            gone.append(Delete(MAP, MAP_PREFIX + parent.shard))
        came = [_put_row(child) for child in resharding.children]
        return replace(
            written, mutations=(*written.mutations, *came, *gone), compares=tuple(compares)
        )

    def _write(self, resharding: Resharding, write: Write, now_ms: int) -> None:
        self._written[resharding.number] = resharding.revision

        def take(outcome: Outcome) -> None:
            if isinstance(outcome, Refused):
                self._written.pop(resharding.number, None)
                self._not_before_ms = self._node.now_ms + AGAIN_MS
            self._node.following.deadline_ms = self._node.now_ms

        own = self._node.requests.begin_own(write, take, now_ms)
        self._node.resubmit(own, write, now_ms)


def _put_row(child: Part) -> Put:
    row = MapRow(
        child.shard, child.group, child.first_slot, child.end_slot, child.regions, 0, child.node
    )  # fmt: skip
    return Put(MAP, MAP_PREFIX + child.shard, row.packed())
