"""Shards that continue others: their logs played again from where their parents' ended.

* Every parent of a resharding that is done was closed by it, in a committed entry.
* Nothing but openings and the wipe follows in a closed log (Replay applies nothing else).
* Of a key, an answer that states a staleness covers every write acknowledged that long before it
  was given, whatever shard had the key then. Versions of a key only grow, whichever shard has it.
* No two shards that share a slot are served at the same moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from controlplane.requests import Consistency, Found, Put, Read, Write, Written
from controlplane.simulator.checkers.findings import Findings
from controlplane.simulator.checkers.history import Operation
from controlplane.simulator.checkers.logs import CommittedLog
from controlplane.simulator.checkers.reads import Floor
from controlplane.simulator.checkers.replay import Replay
from shards.keyspace import slot_of
from shards.resharding import Part, Phase, Resharding


def replay_all(
    logs: Mapping[str, CommittedLog], reshardings: Iterable[Resharding], findings: Findings
) -> dict[str, Replay]:
    """Every shard's log played again, children after their parents."""
    replays = {
        shard: Replay(log.blobs, log.base[1] if log.base is not None else 0)
        for shard, log in logs.items()
    }
    for resharding in sorted(reshardings, key=lambda each: each.number):
        if resharding.phase is not Phase.DONE:
            continue
        parents = [replays[parent.shard] for parent in resharding.parents]
        for part, parent in zip(resharding.parents, parents, strict=True):
            if parent.closed_by != resharding.number:
                detail = f"{part.shard} was closed by {parent.closed_by}, not {resharding.number}"
                findings.add("a parent is closed by its resharding", 0, detail)
        for child in resharding.children:
            if child.shard in replays:
                replays[child.shard].begin_with(resharding.number, parents, partial(_takes, child))
    return replays


def _takes(child: Part, partition: str) -> bool:
    return child.first_slot <= slot_of(partition) < child.end_slot


def check_staleness_of_keys(operations: Iterable[Operation], findings: Findings) -> int:
    """Hold what reads of copies say of their age against writes of the key; give their number."""
    history = list(operations)
    acknowledged = Floor(
        (mutation.key, operation.decided_ms, operation.outcome.position)
        for operation in history
        if isinstance(operation.request, Write)
        and isinstance(operation.outcome, Written)
        and operation.decided_ms is not None
        for mutation in operation.request.mutations
        if isinstance(mutation, Put)
    )
    reads = 0
    for operation in history:
        request, outcome = operation.request, operation.outcome
        if not isinstance(request, Read) or not isinstance(outcome, Found):
            continue
        told_ms, decided_ms = outcome.provenance.staleness_ms, operation.decided_ms
        if told_ms is None or decided_ms is None or request.consistency is Consistency.STRONG:
            continue
        reads += 1
        for key, value in zip(request.keys, outcome.values, strict=True):
            floor = acknowledged.before(key, decided_ms - told_ms)
            version = 0 if value is None else value.version
            if version < floor:
                detail = (
                    f"{operation.client} read {key} at {operation.node} in version {version}, "
                    f"at most {told_ms} ms stale, but {floor} was acknowledged before"
                )
                findings.add("staleness is truthful across shards", decided_ms, detail)
    return reads


class SlotChecker:
    """Fed with the shards that a node serves whenever there are others than before."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._served: dict[str, frozenset[str]] = {}
        self.ranges: dict[str, tuple[int, int]] = {}  # by shard; grows
        self.compared = 0

    def is_news(self, process: str, shards: frozenset[str]) -> bool:
        """Whether a process serves a shard that it did not when it was last asked."""
        before = self._served.get(process, frozenset())
        self._served[process] = shards
        return not shards <= before

    def served(
        self, process: str, shards: Iterable[str], others: Iterable[tuple[str, str]], at_ms: int
    ) -> None:
        """A process serves these; of `others` (process, shard) all that is served right now."""
        now = list(others)
        for shard in shards:
            first, end = self.ranges.get(shard, (0, 0))
            for other, theirs in now:
                their_first, their_end = self.ranges.get(theirs, (0, 0))
                self.compared += 1
                if theirs != shard and max(first, their_first) < min(end, their_end):
                    detail = f"{process} serves {shard} while {other} serves {theirs}"
                    self._findings.add("a slot is served by one shard", at_ms, detail)
