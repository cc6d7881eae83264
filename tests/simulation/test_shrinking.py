"""A failing run is shrunk to the faults that it needs, and what is left is one command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from controlplane.simulator.checkers.findings import Findings
from controlplane.simulator.checkers.linearizability import Searched
from controlplane.simulator.faults import Fault
from controlplane.simulator.runner import Report, simulate
from controlplane.simulator.scenario import Scenario
from controlplane.simulator.shrinking import shrink
from controlplane.simulator.smallest import smallest
from tests.simulation.fakes import small_scenario
from tests.simulation.mutants import plant
from tests.simulation.planted import MUTANTS


@pytest.mark.parametrize("needed", [[], [0], [99], [3, 4], [0, 50, 99], list(range(20, 30))])
def test_what_is_needed_is_left(needed: list[int]) -> None:
    asked = 0

    def fails(some: list[int]) -> bool:
        nonlocal asked
        asked += 1
        return set(needed) <= set(some)

    assert smallest(range(100), fails) == needed
    assert asked < 120


def test_nothing_that_is_left_can_be_left_out() -> None:
    """Either half alone fails: it must not stop with both, nor with more than one needs."""

    def fails(some: list[int]) -> bool:
        return {1, 8} <= set(some) or {2, 3, 9} <= set(some)

    left = smallest(range(10), fails)
    assert fails(left)
    assert not any(fails([other for other in left if other != one]) for one in left)


SCENARIO = small_scenario(faults_per_minute=120.0, minutes=0.1)
ALL = tuple(Fault(number, 1_000 * number, "crash node", "n1", 500) for number in range(1, 31))


def breaks_by_two(seed: int, scenario: Scenario) -> Report:
    """A run that breaks when the faults 7 and 20 strike, and otherwise when 1 does."""
    only = scenario.only_faults
    faults = tuple(fault for fault in ALL if only is None or fault.number in only)
    struck = {fault.number for fault in faults}
    findings = Findings()
    if {7, 20} <= struck:
        findings.add("the wanted one", 0, "")
    elif 1 in struck:
        findings.add("another one", 0, "")
    violations = tuple(findings.violations)
    return Report(seed, scenario, violations, "", 0, 0, 0, 0, Searched(), faults=faults)


def test_a_run_is_shrunk_to_the_faults_that_break_what_was_broken() -> None:
    shrunk = shrink(breaks_by_two(5, SCENARIO), breaks_by_two)
    assert shrunk.report.faults == (ALL[6], ALL[19])
    lines = shrunk.lines()
    assert lines[:3] == [
        f"  shrunk to 2 of 30 faults, in {shrunk.runs} runs:",
        "  fault 7, at 7000 ms: crash node n1, 500 ms",
        "  fault 20, at 20000 ms: crash node n1, 500 ms",
    ]
    assert lines[-1] == (
        "  again: leadplane simulate --seeds 5-5 --scenario small --minutes 0.1 --faults 7,20"
    )


def test_shrinking_stops_at_its_limit_with_a_run_that_fails() -> None:
    shrunk = shrink(breaks_by_two(5, SCENARIO), breaks_by_two, runs_max=4)
    assert shrunk.runs == 4
    assert shrunk.report.broken == {"the wanted one"}


def test_faults_that_are_left_out_change_no_other() -> None:
    """Which faults strike, when, where and for how long, does not depend on the others."""
    everything = simulate(3, SCENARIO).faults
    some = tuple(fault.number for fault in everything)[::2]
    left = simulate(3, replace(SCENARIO, only_faults=some)).faults
    assert len(everything) > 4
    assert left == tuple(fault for fault in everything if fault.number in some)
    assert simulate(3, replace(SCENARIO, only_faults=())).faults == ()


@pytest.mark.timeout(240)
def test_a_planted_bug_is_found_and_its_run_is_shrunk(tmp_path: Path) -> None:
    (mutant,) = [mutant for mutant in MUTANTS if mutant.name == "append-below-promise"]
    plant(mutant, tmp_path)
    command = [sys.executable, "-m", "controlplane.cli.main", "simulate", "--until-caught"]
    options = ["--seeds", "1-12", "--scenario", mutant.scenario, "--minutes", "0.2", "--shrink"]
    run = subprocess.run(
        [*command, *options],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        text=True,
        capture_output=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (1, "")
    found = re.search(r"shrunk to (\d+) of (\d+) faults", run.stdout)
    assert found is not None, run.stdout
    assert int(found[1]) < int(found[2])
    assert re.search(r"again: leadplane simulate .* --faults (none|[\d,]+)$", run.stdout.strip())
