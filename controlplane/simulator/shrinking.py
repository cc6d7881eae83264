"""A failing run, shrunk: the same seed with as few faults as still break what was broken.

Faults do not depend on each other (see faults.py), so each can be left out of the schedule. What
is left breaks at least one of the invariants that the whole run broke; with the same workload and
the same delays, but for what the faults themselves change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from controlplane.simulator.runner import Report, simulate
from controlplane.simulator.scenario import Scenario
from controlplane.simulator.smallest import smallest

RUNS_MAX = 300


@dataclass(frozen=True, slots=True)
class Shrunk:
    """A failing run with fewer faults; `before` is how many there were."""

    report: Report
    before: int
    runs: int

    def lines(self) -> list[str]:
        """How much is left, what it is, what it still does and how to run it."""
        left = self.report.faults
        head = f"  shrunk to {len(left)} of {self.before} faults, in {self.runs} runs:"
        return [head, *(f"  {fault}" for fault in left), *self.report.lines()]


def shrink(
    report: Report,
    run: Callable[[int, Scenario], Report] = simulate,
    runs_max: int = RUNS_MAX,
) -> Shrunk:
    """Leave out faults of a run that had violations, until none can be or `runs_max` is reached."""
    best, runs = report, 0

    def fails(numbers: list[int]) -> bool:
        nonlocal best, runs
        if runs >= runs_max:
            return False
        runs += 1
        tried = run(report.seed, replace(report.scenario, only_faults=tuple(numbers)))
        failed = bool(tried.broken & report.broken)
        if failed:
            best = tried
        return failed

    smallest([fault.number for fault in report.faults], fails)
    return Shrunk(best, len(report.faults), runs)
