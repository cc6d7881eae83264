"""Keys as registers: what clients were told, held against itself, where nobody can see the log.

For runs against real fleets. Every write puts a value that no other write puts, so a value that is
read tells which write it is of. Times are those of one clock, read by the clients themselves.

* Of two writes to one shard, one acknowledged before the other began has the smaller position.
* A value that is read was written, under the position it is shown with, by a write that was not
  refused every time.
* A strong read covers every write acknowledged, and what every strong read showed, before it began.
* A read that states a staleness covers every write acknowledged that long before it began.

A last strong read of each key, after everything else, so finds whatever was lost.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from controlplane.requests import Consistency, Found, Put, Read, Value, Write, Written
from controlplane.simulator.checkers.findings import Findings
from controlplane.simulator.checkers.history import Operation
from controlplane.simulator.checkers.reads import Floor


def check_registers(operations: Iterable[Operation], findings: Findings) -> None:
    """Hold a whole history against the rules. Requests touch one key each, named for its shard."""
    history = sorted(operations, key=lambda operation: operation.started_ms)
    writes = _Writes(history)
    _check_order(history, findings)
    acknowledged = Floor(_acknowledged(history))
    seen = Floor([*_acknowledged(history), *_shown(history)])
    for operation in history:
        request, outcome = operation.request, operation.outcome
        if not isinstance(request, Read) or not isinstance(outcome, Found):
            continue
        assert operation.ended_ms is not None, "an answer without its time"
        (key,), (value,) = request.keys, outcome.values
        what = f"{operation.client} read {key} at {operation.node}: {value}"
        version = 0 if value is None else value.version
        if value is not None and (wrong := writes.contradiction(key, value)):
            findings.add("what is read was written", operation.ended_ms, f"{what}, {wrong}")
        if request.consistency is Consistency.STRONG:
            floor = seen.before(key, operation.started_ms)
            if version < floor:
                detail = f"{what}, but {floor} was known before {operation.started_ms}"
                findings.add("strong reads are linearizable", operation.ended_ms, detail)
        elif (staleness_ms := outcome.provenance.staleness_ms) is not None:
            floor = acknowledged.before(key, operation.started_ms - staleness_ms)
            if version < floor:
                detail = f"{what}, at most {staleness_ms} ms stale, but lacks {floor}"
                findings.add("staleness is truthful", operation.ended_ms, detail)


class _Writes:
    """All attempts to write, by the value they put."""

    def __init__(self, history: list[Operation]) -> None:
        self._attempts: dict[tuple[str, bytes], list[Operation]] = defaultdict(list)
        for operation in history:
            if isinstance(operation.request, Write):
                put = _put(operation.request)
                self._attempts[put.key, put.value].append(operation)

    def contradiction(self, key: str, value: Value) -> str:
        """What is wrong with a value that was read, "" if nothing is."""
        attempts = self._attempts.get((key, value.data))
        if not attempts:
            return "which nobody wrote"
        positions = {a.outcome.position for a in attempts if isinstance(a.outcome, Written)}
        if positions - {value.version}:
            return f"which was acknowledged at {sorted(positions)}"
        if all(attempt.surely_not_done for attempt in attempts):
            return "which was refused"
        return ""


def _check_order(history: list[Operation], findings: Findings) -> None:
    """Positions of a shard follow real time. A replay is answered with the position of old."""
    latest = Floor(
        (operation.outcome.shard, operation.ended_ms or 0, operation.outcome.position)
        for operation in history
        if isinstance(operation.outcome, Written)
    )
    first_ms: dict[str, int] = {}
    taken: dict[tuple[str, int], str] = {}
    for operation in history:
        request, outcome = operation.request, operation.outcome
        if not isinstance(request, Write):
            continue
        began_ms = first_ms.setdefault(request.op_id, operation.started_ms)
        if not isinstance(outcome, Written):
            continue
        what = f"{request.op_id}, acknowledged by {operation.node} at {outcome.position}"
        before = latest.before(outcome.shard, began_ms)
        if outcome.position <= before:
            detail = f"{what}, began after {before} had been acknowledged"
            findings.add("positions follow real time", operation.ended_ms or 0, detail)
        owner = taken.setdefault((outcome.shard, outcome.position), request.op_id)
        if owner != request.op_id:
            findings.add("one write a position", operation.ended_ms or 0, f"{what}, as was {owner}")


def _acknowledged(history: list[Operation]) -> Iterable[tuple[str, int, int]]:
    for operation in history:
        if isinstance(operation.outcome, Written) and isinstance(operation.request, Write):
            ended_ms = operation.ended_ms or 0
            yield _put(operation.request).key, ended_ms, operation.outcome.position


def _shown(history: list[Operation]) -> Iterable[tuple[str, int, int]]:
    for operation in history:
        request, outcome = operation.request, operation.outcome
        strong = isinstance(request, Read) and request.consistency is Consistency.STRONG
        if strong and isinstance(request, Read) and isinstance(outcome, Found):
            (value,) = outcome.values
            yield request.keys[0], operation.ended_ms or 0, 0 if value is None else value.version


def _put(write: Write) -> Put:
    (mutation,) = write.mutations
    assert isinstance(mutation, Put), "registers are only put"
    return mutation
