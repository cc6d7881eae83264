"""The course of a campaign: which run has which number, and what runs come to.

Run number n is seed n of a scenario that the number picks; so a number says all of a run, and a
campaign that is taken up again only has to know how far it has come. A pair is a kind of fault that
struck while a scenario's clients were at work.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from controlplane.simulator.checkers.findings import Violation
from controlplane.simulator.runner import Report, simulate
from controlplane.simulator.scenario import Scenario, preset

# Scenario, and minutes of trouble in one run. What is rare or slow comes less often.
COURSE = (
    ("zone", 2.0),
    ("wide", 2.0),
    ("five", 1.5),
    ("zone", 4.0),
    ("clocks", 2.0),
    ("busy", 0.5),
    ("zone", 2.0),
    ("world", 3.0),
    ("forgetful", 2.0),
    ("shifting", 2.0),
    ("fleet", 1.0),
    ("zone", 4.0),
    ("bulky", 0.5),
    ("leasing", 2.0),
    ("restful", 0.5),
    ("resharding", 0.5),
    ("apart", 0.5),
    ("heated", 1.0),
    ("rollouts", 0.7),
)
VIOLATIONS_KEPT = 3


def scenario_of(number: int) -> Scenario:
    """The scenario of a run."""
    name, minutes = COURSE[number % len(COURSE)]
    return preset(name, minutes)


@dataclass
class Tally:
    """What runs came to, added up. `failures` tell what broke and the command that repeats it."""

    runs: int = 0
    simulated_ms: int = 0
    processor_s: float = 0.0
    elections: int = 0
    calls: int = 0
    faults: int = 0
    answered: int = 0  # operations, each held against the final log by positions
    searched: int = 0  # steps of keys, for which an order was looked for
    unknown: int = 0  # searches given up
    pairs: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Count what another one counted as well."""
        for name, value in vars(other).items():
            if isinstance(value, Counter):
                getattr(self, name).update(value)
            else:
                setattr(self, name, getattr(self, name) + value)

    @property
    def hours(self) -> float:
        """Simulated."""
        return self.simulated_ms / 3_600_000


def run(number: int) -> Tally:
    """Do one run of the course."""
    began_s = time.process_time()
    report = simulate(number, scenario_of(number))
    return tally_of(report, time.process_time() - began_s)


def tally_of(report: Report, processor_s: float) -> Tally:
    """What one run came to."""
    scenario = report.scenario.name
    answered = sum(n for outcome, n in report.outcomes.items() if outcome != "unanswered")
    tally = Tally(
        runs=1,
        simulated_ms=report.virtual_ms,
        processor_s=processor_s,
        elections=report.elections,
        calls=report.calls,
        faults=len(report.faults),
        answered=answered,
        searched=report.searched.steps,
        unknown=report.searched.unknown,
        pairs=Counter(f"{scenario}, {fault.kind}" for fault in report.faults),
    )
    if report.violations:
        tally.failures.append(
            {
                "again": report.command,
                "violations": [_in_a_line(found) for found in report.violations[:VIOLATIONS_KEPT]],
                "trace": report.trace_hash,
            }
        )
    return tally


def _in_a_line(found: Violation) -> str:
    """The first line of a violation and its last: a traceback names files in between."""
    first, *rest = str(found).splitlines()
    return f"{first} ... {rest[-1]}" if rest else first
