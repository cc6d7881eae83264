"""Reads: right for their position, never older than they say, strong ones linearizable.

* Every answer shows exactly what the log says at the answer's position.
* A strong read covers every write acknowledged, and every strong read answered, before it began.
  Since versions are positions of one log, this is linearizability, checked in linear time.
* An answer that states a staleness covers every write acknowledged that long before it was given.
* A session's answer covers the position that the session came with (invariant 7).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable

from controlplane.requests import Consistency, Found, Provenance, Read, Scan, Scanned, Written
from controlplane.simulator.checkers.findings import Findings
from controlplane.simulator.checkers.history import Operation
from controlplane.simulator.checkers.replay import Replay


class Floor:
    """The greatest position known before a moment, for each shard."""

    def __init__(self, moments: Iterable[tuple[str, int, int]]) -> None:
        """From (shard, time, position) in any order."""
        self._times: dict[str, list[int]] = defaultdict(list)
        self._greatest: dict[str, list[int]] = defaultdict(list)
        for shard, at_ms, position in sorted(moments, key=lambda moment: moment[1]):
            greatest = self._greatest[shard]
            self._times[shard].append(at_ms)
            greatest.append(max(position, greatest[-1] if greatest else 0))

    def before(self, shard: str, at_ms: int) -> int:
        """The greatest position of a moment strictly before `at_ms`; 0 without one."""
        index = bisect_left(self._times.get(shard, []), at_ms)
        return self._greatest[shard][index - 1] if index else 0


def check_reads(
    operations: Iterable[Operation],
    logs: dict[str, Replay],
    findings: Findings,
    trusts_clocks: bool = True,
) -> None:
    """Hold every answered read against the log, the writes and the other reads.

    Where clocks keep to no rate, nothing is asked of what rests on them (see rests_on_clocks).
    """
    history = list(operations)
    seen = Floor(_seen(history))
    acknowledged = Floor(_acknowledged(history))
    for operation in history:
        outcome, request = operation.outcome, operation.request
        if not isinstance(outcome, Found | Scanned) or not isinstance(request, Read | Scan):
            continue
        assert operation.decided_ms is not None
        assert operation.ended_ms is not None
        origin = outcome.provenance
        shard = origin.shard
        what = f"{operation.client} read {shard} at {operation.node}: position {origin.position}"
        _check_content(operation, logs.get(shard) or Replay([]), what, findings)
        judged = trusts_clocks or not rests_on_clocks(operation)
        if request.consistency is Consistency.STRONG and judged:
            floor = seen.before(shard, operation.started_ms)
            if origin.position < floor:
                detail = f"{what}, but {floor} had been seen before {operation.started_ms}"
                findings.add("strong reads are linearizable", operation.ended_ms, detail)
        if request.consistency is Consistency.SESSION and origin.position < request.position:
            detail = f"{what}, asked for {request.position}"
            findings.add("7 sessions never go back", operation.ended_ms, detail)
        _check_bound(operation, origin, what, findings)
        if judged:
            _check_staleness(operation, origin, acknowledged, what, findings)


def rests_on_clocks(operation: Operation) -> bool:
    """Whether what was answered is as new as it should be only if clocks keep to their rates."""
    request = operation.request
    if not isinstance(request, Read | Scan):
        return False
    return request.consistency is not Consistency.STRONG or not request.quorum


def _check_content(operation: Operation, log: Replay, what: str, findings: Findings) -> None:
    outcome, request = operation.outcome, operation.request
    assert operation.ended_ms is not None
    if isinstance(outcome, Found) and isinstance(request, Read):
        position = outcome.provenance.position
        right = tuple(log.value(key, position) for key in request.keys)
        if outcome.values != right:
            detail = f"{what}, {request.keys} are {outcome.values}, the log says {right}"
            findings.add("reads show what the log says", operation.ended_ms, detail)
    elif isinstance(outcome, Scanned) and isinstance(request, Scan):
        position = outcome.provenance.position
        keys = log.scan(request.partition, request.prefix, request.after, position)
        shown = [key for key, _ in outcome.items]
        values_right = all(log.value(key, position) == value for key, value in outcome.items)
        complete = shown == keys[: len(shown)] and outcome.more == (len(shown) < len(keys))
        if not (values_right and complete):
            detail = f"{what}, scanned {outcome.items}, the log has {keys}"
            findings.add("reads show what the log says", operation.ended_ms, detail)
    if outcome.provenance.position > log.length:  # type: ignore[union-attr]
        findings.add("only what is committed is shown", operation.ended_ms, what)


def _check_bound(operation: Operation, origin: Provenance, what: str, findings: Findings) -> None:
    request = operation.request
    assert isinstance(request, Read | Scan)
    assert operation.decided_ms is not None
    asked_ms, told_ms = request.max_staleness_ms, origin.staleness_ms
    if request.consistency is not Consistency.BOUNDED or asked_ms is None or told_ms is None:
        return
    if told_ms > asked_ms:
        detail = f"{what}, {told_ms} ms stale, asked for {asked_ms}"
        findings.add("bounded reads keep their bound", operation.decided_ms, detail)


def _check_staleness(
    operation: Operation,
    origin: Provenance,
    acknowledged: Floor,
    what: str,
    findings: Findings,
) -> None:
    request = operation.request
    if origin.staleness_ms is None or operation.decided_ms is None:
        return
    if isinstance(request, Read | Scan) and request.consistency is Consistency.STRONG:
        return  # it is as of a moment between question and answer, which is checked above
    floor = acknowledged.before(origin.shard, operation.decided_ms - origin.staleness_ms)
    if origin.position < floor:
        detail = f"{what}, at most {origin.staleness_ms} ms stale, but lacks {floor}"
        findings.add("staleness is truthful", operation.decided_ms, detail)


def _seen(history: list[Operation]) -> Iterable[tuple[str, int, int]]:
    for operation in history:
        outcome, request = operation.outcome, operation.request
        if operation.ended_ms is None:
            continue
        if isinstance(outcome, Written):
            yield outcome.shard, operation.ended_ms, outcome.position
        elif (
            isinstance(outcome, Found | Scanned)
            and isinstance(request, Read | Scan)
            and request.consistency is Consistency.STRONG
        ):
            yield outcome.provenance.shard, operation.ended_ms, outcome.provenance.position


def _acknowledged(history: list[Operation]) -> Iterable[tuple[str, int, int]]:
    for operation in history:
        if isinstance(operation.outcome, Written) and operation.decided_ms is not None:
            yield operation.outcome.shard, operation.decided_ms, operation.outcome.position
