"""Linearizability of every key, by search: is there one order that explains what all were told?

It asks nothing of positions but that they are versions of a register, and needs no log; so it can
disagree with the checks that follow positions in linear time. A search that was given up counts as
a violation. Long histories are cut: up to any moment, what had not ended is pending, and a history
that is linearizable is so up to every moment.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

from controlplane.simulator.checkers.findings import Findings
from controlplane.simulator.checkers.history import Operation
from controlplane.simulator.checkers.register_steps import (
    Step,
    TwoOutcomes,
    steps_of,
)
from controlplane.simulator.checkers.search import CONFIGURATIONS_MAX, Verdict, search
from controlplane.simulator.smallest import smallest

INVARIANT = "an order explains what was told"
STEPS_MAX = 2_000  # of one key; what comes later is not searched
EXPLANATION_CONFIGURATIONS_MAX = 5_000


@dataclass(frozen=True, slots=True)
class Searched:
    """How much was searched: keys, their steps, the configurations of all searches; and how many
    searches were given up."""

    keys: int = 0
    steps: int = 0
    configurations: int = 0
    unknown: int = 0


def check_linearizability(
    history: Iterable[Operation],
    findings: Findings,
    steps_max: int = STEPS_MAX,
    configurations_max: int = CONFIGURATIONS_MAX,
) -> Searched:
    """Search every key, up to its first `steps_max` steps. Raises ValueError as steps_of does."""
    try:
        steps = steps_of(history)
    except TwoOutcomes as error:
        findings.add(INVARIANT, 0, str(error))
        return Searched()
    configurations = searched = unknown = 0
    for key, all_of_key in steps.items():
        of_key = until(all_of_key, steps_max)
        answer = search(of_key, configurations_max)
        searched += len(of_key)
        configurations += answer.configurations
        if answer.verdict is Verdict.VIOLATION:
            contradiction = explanation(of_key)
            lines = "; ".join(str(step) for step in contradiction)
            findings.add(INVARIANT, _last_ms(contradiction), f"{key}, no order has all of: {lines}")
        elif answer.verdict is Verdict.UNKNOWN:
            unknown += 1
            detail = f"{key}, not known after {answer.configurations} configurations"
            findings.add(INVARIANT, _last_ms(of_key), detail)
    return Searched(len(steps), searched, configurations, unknown)


def until(steps: list[Step], steps_max: int) -> list[Step]:
    """What is known of a key before its step number `steps_max` (from 0) begins."""
    if len(steps) <= steps_max:
        return steps
    return _up_to(steps, steps[steps_max].began_ms - 1)


def explanation(steps: list[Step]) -> list[Step]:
    """Few steps that no order can have all, whatever may be thought of the others.

    Of the others, reads are left out, and writes may have happened or not, at any time after they
    began. The steps must be without an order.
    """
    short = _first_without_order(steps)
    told = [number for number, step in enumerate(short) if not step.pending]

    def fails(kept: list[int]) -> bool:
        certain = set(kept)
        numbered = enumerate(short)
        steps = [step if number in certain else step.left_open() for number, step in numbered]
        return _has_no_order([step for step in steps if step is not None])

    return [short[number] for number in smallest(told, fails)]


def _first_without_order(steps: list[Step]) -> list[Step]:
    """The steps up to the first moment at which they have no order."""
    moments = sorted({step.ended_ms for step in steps if not step.pending})
    first = bisect_left(moments, True, key=lambda moment: _has_no_order(_up_to(steps, moment)))
    return _up_to(steps, moments[first]) if first < len(moments) else steps


def _up_to(steps: list[Step], moment_ms: float) -> list[Step]:
    """What was known at a moment."""
    begun = [step for step in steps if step.began_ms <= moment_ms]
    known = [step if step.ended_ms <= moment_ms else step.left_open() for step in begun]
    return [step for step in known if step is not None]


def _has_no_order(steps: list[Step]) -> bool:
    return search(steps, EXPLANATION_CONFIGURATIONS_MAX).verdict is Verdict.VIOLATION


def _last_ms(steps: Iterable[Step]) -> int:
    return round(max((s.began_ms if s.pending else s.ended_ms for s in steps), default=0))
