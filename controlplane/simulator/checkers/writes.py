"""Writes: an acknowledged one is in the final log, once; a refused one is not (invariant 8).

An acknowledged compare-and-set met its preconditions at the very position where it was done.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from controlplane.requests import Compare, Delete, Put, Write, Written
from controlplane.simulator.checkers.findings import Findings
from controlplane.simulator.checkers.history import Operation
from controlplane.simulator.checkers.replay import Replay

ANY_VERSION = -1


def check_writes(
    operations: Iterable[Operation], logs: dict[str, Replay], findings: Findings
) -> None:
    """Hold every attempt to write against the log of its shard."""
    attempts: dict[tuple[str, str], list[Operation]] = defaultdict(list)
    for operation in operations:
        if isinstance(operation.request, Write):
            attempts[operation.request.shard, operation.request.op_id].append(operation)
    for (shard, op_id), tries in attempts.items():
        log = (logs.get(shard) if shard else _home_of(op_id, logs)) or Replay([])
        done_at = log.done_at.get(op_id, [])
        if not shard:
            done_at = [at for each in logs.values() for at in each.done_at.get(op_id, ())]
        for attempt in tries:
            _check_acknowledged(attempt, op_id, done_at, log, findings)
        changed_at = log.changed_at.get(op_id)
        if changed_at and all(attempt.surely_not_done for attempt in tries):
            detail = f"{op_id} on {shard} was refused every time, but is at {changed_at}"
            findings.add("8 what is refused is not done", _time(tries[-1]), detail)


def _home_of(op_id: str, logs: dict[str, Replay]) -> Replay | None:
    """The log in which an operation was done, for a client that knows of no shards."""
    return next((log for log in logs.values() if op_id in log.done_at), None)


def _check_acknowledged(
    attempt: Operation, op_id: str, done_at: list[int], log: Replay, findings: Findings
) -> None:
    outcome, request = attempt.outcome, attempt.request
    if not isinstance(outcome, Written) or not isinstance(request, Write):
        return
    what = f"{op_id} on {outcome.shard}, acknowledged by {attempt.node} at {outcome.position}"
    if not op_id:
        if outcome.position > log.length:
            findings.add("8 acknowledged writes stay", _time(attempt), f"{what}, is lost")
        return
    if not done_at:
        findings.add("8 acknowledged writes stay", _time(attempt), f"{what}, is lost")
    elif done_at != [outcome.position]:
        detail = f"{what}, was done at {done_at}"
        findings.add("8 acknowledged writes are done once", _time(attempt), detail)
    for compare in request.compares:
        if not _holds(compare, log, outcome.position - 1):
            detail = f"{what}, wants {compare.key} at {compare.version}"
            findings.add("8 preconditions held", _time(attempt), detail)
    for mutation in request.mutations:
        _check_effect(mutation, outcome.position, log, what, _time(attempt), findings)


def _check_effect(
    mutation: Put | Delete,
    position: int,
    log: Replay,
    what: str,
    at_ms: int,
    findings: Findings,
) -> None:
    value = log.value(mutation.key, position)
    if isinstance(mutation, Delete):
        good = value is None
    else:
        good = value is not None and (value.version, value.data) == (position, mutation.value)
    if not good:
        findings.add("8 effects are as asked", at_ms, f"{what}, left {mutation.key} as {value}")


def _holds(compare: Compare, log: Replay, position: int) -> bool:
    value = log.value(compare.key, position)
    if compare.version == ANY_VERSION:
        return value is not None
    return compare.version == (0 if value is None else value.version)


def _time(operation: Operation) -> int:
    return operation.ended_ms if operation.ended_ms is not None else operation.started_ms
