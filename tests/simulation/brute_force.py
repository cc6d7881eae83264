"""Linearizability said as plainly as possible: try every order, and every unknown version.

For histories of a few steps. Nothing is shared with the search that it is held against, but the
records.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, combinations, permutations
from random import Random

from controlplane.requests import Value
from controlplane.simulator.checkers.register_steps import Reading, Refusing, Step, Writing

VERSION_MAX = 10


def has_an_order(steps: Sequence[Step]) -> bool:
    """Whether some order of all told steps and some pending ones explains everything."""
    told = [step for step in steps if not step.pending]
    pending = [step for step in steps if step.pending]
    chosen = chain.from_iterable(combinations(pending, n) for n in range(len(pending) + 1))
    return any(
        _explains(order)
        for some in chosen
        for order in permutations([*told, *some])
        if _keeps_time(order)
    )


def _keeps_time(order: tuple[Step, ...]) -> bool:
    return not any(
        later.ended_ms < earlier.began_ms
        for index, earlier in enumerate(order)
        for later in order[index + 1 :]
    )


def _explains(order: tuple[Step, ...]) -> bool:
    told = [step.act.position for step in order if isinstance(step.act, Writing)]
    return any(_is_right(order, versions) for versions in _growing(told, 0))


def _growing(told: list[int | None], last: int) -> Iterator[list[int]]:
    """Every way to give growing versions to writes of which some were told theirs."""
    if not told:
        yield []
        return
    for version in range(last + 1, VERSION_MAX + 1):
        if told[0] in (None, version):
            yield from ([version, *rest] for rest in _growing(told[1:], version))


def _is_right(order: tuple[Step, ...], versions: list[int]) -> bool:
    now: Value | None = None
    coming = iter(versions)
    for step in order:
        version = 0 if now is None else now.version
        match step.act:
            case Reading(value):
                if value != now:
                    return False
            case Refusing(expects, found):
                if found != version or _holds(expects, version):
                    return False
            case Writing(value, expects):
                if expects is not None and not _holds(expects, version):
                    return False
                position = next(coming)
                now = None if value is None else Value(position, value)
    return True


def _holds(expects: int, version: int) -> bool:
    return version > 0 if expects == -1 else version == expects


def random_history(chance: Random, size: int) -> list[Step]:
    """What clients of a true register could have been told; mostly with one lie."""
    now: Value | None = None
    position = 0
    steps = []
    for number in range(size):
        at_ms = 10 * number
        began_ms = at_ms - chance.randrange(25)
        ended_ms = at_ms + chance.randrange(25)
        version = 0 if now is None else now.version
        kind = chance.choice(("read", "put", "delete", "swap", "swap"))
        if kind == "read":
            steps.append(Step(Reading(now), began_ms, ended_ms))
            continue
        expects = chance.choice((version, version, -1, 0, 3)) if kind == "swap" else None
        value = None if kind == "delete" else chance.choice((b"a", b"b"))
        if expects is not None and not _holds(expects, version):
            steps.append(Step(Refusing(expects, version), began_ms, ended_ms))
            continue
        answered, done = chance.random() < 0.7, chance.random() < 0.5
        if answered or done:
            position += chance.choice((1, 1, 1, 2))
            now = None if value is None else Value(position, value)
        step = Step(Writing(value, expects, position), began_ms, ended_ms)
        pending = step.left_open()
        assert pending is not None
        steps.append(step if answered else pending)
    if chance.random() < 0.8:
        liar = chance.randrange(size)
        steps[liar] = _with_a_lie(steps[liar], chance)
    return steps


def _with_a_lie(step: Step, chance: Random) -> Step:
    act, near = step.act, chance.choice((-1, 1))
    if chance.random() < 0.2 and not step.pending:
        return Step(act, step.began_ms + 60 * near, step.ended_ms + 60 * near)
    match act:
        case Reading(None):
            act = Reading(Value(chance.randrange(1, 6), b"a"))
        case Reading(value):
            assert value is not None
            other = Value(max(1, value.version + near), value.data)
            act = Reading(chance.choice((None, other, Value(value.version, b"c"))))
        case Refusing(expects, found):
            act = Refusing(expects, max(0, found + near))
        case Writing(value, expects, position) if position is not None:
            act = Writing(value, expects, max(1, position + near))
        case Writing(value, _):
            act = Writing(value, chance.randrange(-1, 4))
    return Step(act, step.began_ms, step.ended_ms)
