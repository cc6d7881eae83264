"""What a history says of one key: steps of a register with versions, each with its time.

All attempts of one write are one step, since it happens once: it may begin with the first attempt
that may have done anything, and has ended with the first answer that tells its outcome. A write
without such an answer is *pending*: it may take effect at any later moment, or never. So is one
whose end lies behind the moment at which a history is cut. Reads tell something only when answered.

Strong reads, writes and refused preconditions are taken; reads of copies promise less. A write
must touch one key: what ties several keys of a shard to one position is not looked at here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import inf

from controlplane.requests import (
    Consistency,
    Found,
    Problem,
    Put,
    Read,
    Refused,
    Value,
    Write,
    Written,
)
from controlplane.simulator.checkers.history import Operation

ABSENT = 0
PRESENT = -1


@dataclass(frozen=True, slots=True)
class Writing:
    """Put `value` (None deletes) where `expects` holds: None is always, else as in Compare."""

    value: bytes | None
    expects: int | None = None
    position: int | None = None  # None where nobody was told


@dataclass(frozen=True, slots=True)
class Reading:
    """The key was shown as `value`."""

    value: Value | None


@dataclass(frozen=True, slots=True)
class Refusing:
    """The precondition `expects` did not hold; the version was `found`."""

    expects: int
    found: int


Act = Writing | Reading | Refusing


@dataclass(frozen=True, slots=True)
class Step:
    """One act between two moments; a pending one ends never, and need not have happened."""

    act: Act
    began_ms: float
    ended_ms: float
    told: str = ""  # by whom and where, for people

    @property
    def pending(self) -> bool:
        """Whether it may also not have happened."""
        return self.ended_ms == inf

    def left_open(self) -> Step | None:
        """The same as if nobody had been answered: a pending write, or nothing."""
        if not isinstance(self.act, Writing):
            return None
        return Step(Writing(self.act.value, self.act.expects), self.began_ms, inf, self.told)

    def __str__(self) -> str:
        until = "..." if self.pending else f"{self.ended_ms:.0f}"
        return f"{self.told} [{self.began_ms:.0f}, {until}] {_said(self.act)}"


class TwoOutcomes(ValueError):
    """The attempts of one write were answered in ways that cannot all be true."""


def steps_of(history: Iterable[Operation]) -> dict[str, list[Step]]:
    """The steps of every key, in the order in which they began.

    Raises ValueError for a write that touches several keys, TwoOutcomes for one with two outcomes.
    """
    steps: dict[str, list[Step]] = defaultdict(list)
    attempts: dict[tuple[str, str], list[Operation]] = defaultdict(list)
    for number, operation in enumerate(history):
        request = operation.request
        if isinstance(request, Write):
            name = request.op_id or f"attempt {number}"
            attempts[request.shard, name].append(operation)
        elif isinstance(request, Read) and request.consistency is Consistency.STRONG:
            for key, step in _reads(request, operation):
                steps[key].append(step)
    for tries in attempts.values():
        _add_write(steps, tries)
    return {key: sorted(of_key, key=lambda step: step.began_ms) for key, of_key in steps.items()}


def _reads(request: Read, operation: Operation) -> Iterator[tuple[str, Step]]:
    outcome = operation.outcome
    if isinstance(outcome, Found) and operation.ended_ms is not None:
        told = f"{operation.client} at {operation.node}"
        for key, value in zip(request.keys, outcome.values, strict=True):
            yield key, Step(Reading(value), operation.started_ms, operation.ended_ms, told)


def _add_write(steps: dict[str, list[Step]], tries: list[Operation]) -> None:
    tries = [attempt for attempt in tries if _may_tell(attempt)]
    if not tries:
        return
    request = tries[0].request
    assert isinstance(request, Write)
    key, value, expects = _register(request)
    began_ms = min(attempt.started_ms for attempt in tries)
    told = f"{tries[0].client} at {', '.join(dict.fromkeys(a.node for a in tries))}"
    answers: dict[Act, int] = {}
    for attempt in tries:
        act = _decided(attempt, value, expects)
        if act is not None and attempt.ended_ms is not None:
            answers[act] = min(attempt.ended_ms, answers.get(act, attempt.ended_ms))
    if len(answers) > 1:
        outcomes = " and ".join(_said(act) for act in answers)
        raise TwoOutcomes(f"{request.op_id} on {key} had two outcomes: {outcomes}")
    for act, ended_ms in answers.items():
        steps[key].append(Step(act, began_ms, ended_ms, told))
    if not answers:
        steps[key].append(Step(Writing(value, expects), began_ms, inf, told))


def _may_tell(attempt: Operation) -> bool:
    return not attempt.surely_not_done or _refused_version(attempt) is not None


def _refused_version(attempt: Operation) -> int | None:
    outcome = attempt.outcome
    if isinstance(outcome, Refused) and outcome.problem is Problem.PRECONDITION_FAILED:
        return outcome.version
    return None


def _decided(attempt: Operation, value: bytes | None, expects: int | None) -> Act | None:
    found = _refused_version(attempt)
    if isinstance(attempt.outcome, Written):
        return Writing(value, expects, attempt.outcome.position)
    if found is not None and expects is not None:
        return Refusing(expects, found)
    return None


def _register(write: Write) -> tuple[str, bytes | None, int | None]:
    """The key, its new value, and the version it must have."""
    keys = {m.key for m in write.mutations} | {c.key for c in write.compares}
    if len(keys) != 1 or len(write.mutations) != 1 or len(write.compares) > 1:
        raise ValueError(f"{write.op_id} touches {sorted(keys)}: a register is one key, once")
    (mutation,) = write.mutations
    expects = write.compares[0].version if write.compares else None
    return mutation.key, mutation.value if isinstance(mutation, Put) else None, expects


def _said(act: Act) -> str:
    match act:
        case Reading(None):
            return "read that it is absent"
        case Reading(value):
            assert value is not None
            return f"read {value.data[:40]!r} version {value.version}"
        case Refusing(expects, found):
            return f"wanted version {expects}, was told that it is {found}"
        case Writing(value, expects, position):
            what = "deleted" if value is None else f"put {value[:40]!r}"
            condition = "" if expects is None else f" over version {expects}"
            return f"{what}{condition}, " + (f"as version {position}" if position else "unanswered")
