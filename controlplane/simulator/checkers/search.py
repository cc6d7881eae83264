"""Is there an order? A search for one in which the steps of a register could have happened.

An order is good when each step, done in turn on one register, says what it was told, and no step
comes before one that had ended when it began. The search takes, again and again, a step that may
come next, and goes back when there is none; a configuration (what is done, and the register then)
that led nowhere is not tried twice. This is the search of Wing and Gong, with Lowe's memory.

Pending steps may be left out. One is tried only where the step right after it looks at the
register: otherwise the order is as good without it. Of those that would do the same, only the one
that began first is tried. A read that fits and teaches nothing is taken at once, for it can be
moved to the front of any order. None of this changes the answer.

A version that nobody was told is known by its least possible value; to see it fixes it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import NamedTuple

from controlplane.simulator.checkers.register_steps import (
    ABSENT,
    PRESENT,
    Act,
    Reading,
    Refusing,
    Step,
    Writing,
)

CONFIGURATIONS_MAX = 100_000


class Verdict(Enum):
    """What a search has found. UNKNOWN, a search given up, is no success."""

    LINEARIZABLE = "linearizable"
    VIOLATION = "violation"
    UNKNOWN = "unknown"


class Register(NamedTuple):
    """A key at one moment. `version` is that of the last change, also of a deletion; where it is
    not `exact`, the least that it can be."""

    version: int = 0
    exact: bool = True
    value: bytes | None = None

    def seen_as(self, version: int) -> Register | None:
        """The register, now that it is known to be present in this version; None if it cannot."""
        fits = version == self.version if self.exact else version >= self.version
        return Register(version, True, self.value) if fits and self.value is not None else None

    def met(self, expects: int | None) -> Register | None:
        """The register, now that this precondition is known to hold; None if it cannot."""
        if expects is None:
            return self
        if expects in (ABSENT, PRESENT):
            return self if (self.value is None) == (expects == ABSENT) else None
        return self.seen_as(expects)

    def after(self, act: Act) -> Register | None:
        """The register after the act; None if the act could not have happened so."""
        match act:
            case Reading(None):
                return self if self.value is None else None
            case Reading(value):
                assert value is not None
                return self.seen_as(value.version) if self.value == value.data else None
            case Refusing(expects, found):
                if found == expects or (expects == PRESENT and found != ABSENT):
                    return None
                return self.met(found)
            case Writing(value, expects, position):
                before = self.met(expects)
                if before is None or (position is not None and position <= before.version):
                    return None
                if position is None:
                    return Register(before.version + 1, False, value)
                return Register(position, True, value)


class Configuration(NamedTuple):
    """How far a search has got: all steps before `first`, and of those from it on the ones in
    `done`, bit by bit; the pending ones in `used`; `idle` while the last of these is not seen."""

    first: int
    done: int
    used: int
    register: Register
    idle: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """The verdict, and how many configurations were looked at."""

    verdict: Verdict
    configurations: int


def search(steps: Iterable[Step], configurations_max: int = CONFIGURATIONS_MAX) -> Answer:
    """Look for an order of one key's steps."""
    ordered = sorted(steps, key=lambda step: step.began_ms)
    return _Search(ordered).run(configurations_max)


class _Search:
    """The steps of one search, told ones and pending ones, each by when they began."""

    def __init__(self, steps: list[Step]) -> None:
        self._told = [step for step in steps if not step.pending]
        self._pending = _visible([step for step in steps if step.pending], steps)
        shown = {
            step.act.value.data: step.act.value.version
            for step in steps
            if isinstance(step.act, Reading) and step.act.value is not None
        }
        self._told_ranks = [_rank(step.act, shown) for step in self._told]
        self._pending_ranks = [_rank(step.act, shown) for step in self._pending]

    def run(self, configurations_max: int) -> Answer:
        start = self._advanced(Configuration(0, 0, 0, Register(), False))
        known: dict[tuple[int, int, Register, bool], list[int]] = defaultdict(list)
        stack = [start]
        looked_at = 0
        while stack:
            here = stack.pop()
            used = known[here.first, here.done, here.register, here.idle]
            if any(less & here.used == less for less in used):
                continue  # with fewer pending steps used, this has led nowhere
            used.append(here.used)
            looked_at += 1
            if here.first == len(self._told):
                return Answer(Verdict.LINEARIZABLE, looked_at)
            if looked_at >= configurations_max:
                return Answer(Verdict.UNKNOWN, looked_at)
            stack.extend(reversed(self._successors(here)))
        return Answer(Verdict.VIOLATION, looked_at)

    def _next_told(self, here: Configuration) -> tuple[list[int], float]:
        """Told steps that may come next, and the moment before which one must have begun."""
        bound_ms = inf
        possible = []
        for index in range(here.first, len(self._told)):
            step = self._told[index]
            if step.began_ms > bound_ms:
                break
            if not here.done >> (index - here.first) & 1:
                possible.append(index)
                bound_ms = min(bound_ms, step.ended_ms)
        return possible, bound_ms

    def _successors(self, here: Configuration) -> list[Configuration]:
        """Where one step leads, the most promising first."""
        possible, bound_ms = self._next_told(here)
        found: list[tuple[tuple[float, int], Configuration]] = []
        for index in possible:
            act = self._told[index].act
            if (after := self._taken(here, act)) is not None:
                there = self._advanced(self._with_done(here, index, after))
                found.append((self._told_ranks[index], there))
        tried = set()
        for index, step in enumerate(self._pending):
            if step.began_ms > bound_ms:
                break
            if here.used >> index & 1 or step.act in tried:
                continue
            tried.add(step.act)
            if (after := self._taken(here, step.act)) is not None:
                there = here._replace(used=here.used | 1 << index, register=after, idle=True)
                found.append((self._pending_ranks[index], self._advanced(there)))
        found.sort(key=lambda pair: pair[0])
        return [there for _, there in found]

    def _taken(self, here: Configuration, act: Act) -> Register | None:
        if here.idle and isinstance(act, Writing) and act.expects is None:
            return None  # it does not look: the pending step before it would have been for nothing
        return here.register.after(act)

    def _with_done(self, here: Configuration, index: int, register: Register) -> Configuration:
        first, done = here.first, here.done | 1 << (index - here.first)
        while done & 1:
            first, done = first + 1, done >> 1
        return Configuration(first, done, here.used, register, False)

    def _advanced(self, here: Configuration) -> Configuration:
        """As far as steps go that change nothing and fit."""
        while True:
            for index in self._next_told(here)[0]:
                act = self._told[index].act
                if not isinstance(act, Writing) and here.register.after(act) == here.register:
                    here = self._with_done(here, index, here.register)
                    break
            else:
                return here


def _visible(pending: list[Step], steps: list[Step]) -> list[Step]:
    """Without the puts that no step can have seen: their value is shown nowhere, and every version
    that is named belongs to something else."""
    writings = [step.act for step in steps if isinstance(step.act, Writing)]
    readings = [step.act.value for step in steps if isinstance(step.act, Reading)]
    values = {value.data for value in readings if value is not None}
    owned = {value.version for value in readings if value is not None}
    owned |= {act.position for act in writings if act.position is not None}
    named = {act.expects for act in writings} - {None, ABSENT}
    named |= {step.act.found for step in steps if isinstance(step.act, Refusing)} - {ABSENT}
    if named - owned:
        return pending
    return [
        step
        for step in pending
        if isinstance(step.act, Writing) and (step.act.value is None or step.act.value in values)
    ]


def _rank(act: Act, shown: dict[bytes, int]) -> tuple[float, int]:
    """Where a step is likely to belong: by its version, a write before those who see it."""
    match act:
        case Reading(value):
            return (0 if value is None else value.version, 1)
        case Refusing(_, found):
            return (found, 1)
        case Writing(value, _, position):
            likely = position if position is not None else shown.get(value or b"", inf)
            return (likely, 0)
