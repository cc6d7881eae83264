"""The eyes of the checkers of rollouts: what every node has in force, and what stores were told.

After each turn of a node its documents are compared with what it had before. Of each store is kept,
for every position that it came to know to be decided, up to where it had been told by then.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection
from typing import Any, cast

from config.revision import Revision
from controlplane.node import Node
from controlplane.node.following import SYSTEM
from controlplane.simulator.checkers.applied import Applied, check_applied
from controlplane.simulator.checkers.findings import Findings
from controlplane.simulator.checkers.replay import Replay
from controlplane.simulator.checkers.rollouts import (
    NOTHING,
    Content,
    RolloutChecker,
    changes_of,
)
from controlplane.simulator.fleet import Fleet
from controlplane.simulator.process import Process
from controlplane.simulator.stores import SimulatedStore
from regions.codec import Code, Reply

NAMES_EACH_OTHER = frozenset({"held", "schema.s"})


def are_related(one: str, other: str) -> bool:
    """Whether one of these documents names the other; written down, not looked up."""
    return {one, other} == NAMES_EACH_OTHER


class RolloutWatch:
    """Watches the documents of one simulation."""

    def __init__(self, fleet: Fleet, documents: Collection[str]) -> None:
        self._fleet = fleet
        self._documents = tuple(documents)
        self._regions = fleet.scenario.region_of()
        self._had: dict[tuple[str, str], Revision | None] = {}
        self._told: dict[str, int] = defaultdict(int)
        self._steps: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._known: dict[str, list[tuple[int, int]]] = defaultdict(list)  # time, position
        self.applied: list[Applied] = []
        ran, self._ran_before = self._ran, fleet.on_ran
        fleet.on_ran = ran
        for store in fleet.stores.values():
            self._watch(store)

    def _ran(self, process: Process) -> None:
        if self._ran_before is not None:
            self._ran_before(process)
        node, name = cast(Node, process.node), process.plan.process
        for document in self._documents:
            found, place = node.feed.in_force(document), (name, document)
            if found is not self._had.get(place):
                self._had[place] = found
                self.applied.append(
                    Applied(
                        name, self._regions[process.name], document, in_force(node, document),
                        node.following.position, self._fleet.world.now_ms,
                    )
                )  # fmt: skip

    def _watch(self, store: SimulatedStore) -> None:
        before = store.watcher

        def called(store: SimulatedStore, commands: list[list[Any]], reply: Reply) -> None:
            if before is not None:
                before(store, commands, reply)
            for command, result in zip(commands, reply.results, strict=False):
                if command[0] == "append" and command[3] == SYSTEM and result[0] == Code.OK:
                    self._appended(store.region, int(command[10]), result[7])

        store.watcher = called

    def _appended(self, region: str, told: int, known: int) -> None:
        self._told[region] = max(self._told[region], told)
        steps = self._steps[region]
        if not steps or known > steps[-1][0]:
            steps.append((known, self._told[region]))
            self._known[region].append((self._fleet.world.now_ms, known))

    def told(self, region: str, position: int) -> int:
        """Up to where a region's store was told when it came to know that this is decided."""
        steps = self._steps[region]
        at = bisect_left(steps, (position, 0))
        return steps[at][1] if at < len(steps) and position else 0

    def known(self, region: str, at_ms: int) -> int:
        """Up to where a region's store knew at a time that entries are decided."""
        known = self._known[region]
        at = bisect_left(known, (at_ms, 0))
        return known[at - 1][1] if at else 0

    def judge(self, replay: Replay, bad: Collection[str], findings: Findings) -> RolloutChecker:
        """Hold all that was seen against the log, and what nodes have in the end."""
        checker = RolloutChecker(findings, are_related, bad)
        checker.check(changes_of(replay))
        regions = set(self._regions.values())
        check_applied(self.applied, replay, self.told, self.known, regions, findings)
        now_ms = self._fleet.world.now_ms
        for name, process in self._fleet.processes.items():
            for document in self._documents:
                found = in_force(cast(Node, process.node), document)
                right = checker.right(document, self._regions[name])
                if found != right:
                    detail = f"{name} has {document} {found}, should have {right}"
                    findings.add("every region ends at the right revision", now_ms, detail)
        return checker


def in_force(node: Node, document: str) -> Content:
    """Version and digest of what a node has in force."""
    found = node.feed.in_force(document)
    return NOTHING if found is None else (found.version, found.digest)
