"""The production node under seeded trouble: nothing that must hold is broken, and much happens."""

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controlplane.machine import Answer, Effect
from controlplane.node import Node
from controlplane.requests import Found
from controlplane.simulator.checkers.linearizability import INVARIANT
from controlplane.simulator.runner import Report, run_seeds, simulate
from controlplane.simulator.scenario import PRESETS, preset

ROOT = Path(__file__).resolve().parents[2]


KEPT = [
    line.split(maxsplit=3)
    for line in (Path(__file__).parent / "regressions.txt").read_text().splitlines()
    if line and not line.startswith("#")
]


def no_violation(report: Report) -> None:
    assert not report.violations, "\n".join(report.lines())


@pytest.mark.parametrize(
    ("scenario", "seed", "minutes", "why"), KEPT, ids=[" ".join(kept[:2]) for kept in KEPT]
)
def test_a_seed_that_is_kept(scenario: str, seed: str, minutes: str, why: str) -> None:
    assert why
    no_violation(simulate(int(seed), preset(scenario, float(minutes))))


def test_a_run_is_not_vacuous() -> None:
    outcomes: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    happenings: Counter[str] = Counter()
    for seed in (101, 103, 104):
        report = simulate(seed, preset("zone", minutes=0.7))
        no_violation(report)
        assert report.elections >= 8
        outcomes += report.outcomes
        faults.update(fault.kind for fault in report.faults)
        happenings += report.happenings
    assert outcomes["Written"] > 150
    assert outcomes["Found"] > 150
    assert outcomes["Scanned"] > 0
    assert outcomes["precondition-failed"] > 0
    assert outcomes["not-leader"] > 0
    assert sum(faults.values()) > 50
    assert len(faults) >= 10
    assert happenings["elected"] >= 24


@pytest.mark.parametrize("name", PRESETS)
def test_one_seed_gives_one_trace(name: str) -> None:
    scenario = preset(name, minutes=0.1)
    first, second, other = (simulate(seed, scenario) for seed in (7, 7, 8))
    assert first == second
    assert first.trace_hash != other.trace_hash


def test_a_trace_depends_on_no_order_of_sets() -> None:
    """Names hash differently in every process; the trace must not show it."""
    command = [sys.executable, "-m", "controlplane.simulator", "--seeds", "1-2", "--minutes", "0.3"]
    shown = [
        subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            text=True,
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert shown[0] == shown[1]
    assert shown[0].count("trace") == 2


def test_failing_seeds_are_counted_and_shown_with_the_command_that_repeats_them() -> None:
    lines: list[str] = []
    assert run_seeds([5], preset("zone", minutes=0.1), lines.append) == 0
    assert len(lines) == 1
    assert lines[0].startswith("zone seed 5: ok")
    report = simulate(5, preset("zone", minutes=0.1), make_node=_broken)
    assert [v.invariant for v in report.violations] == ["nothing is raised"]
    assert report.lines()[-1].endswith("simulate --seeds 5-5 --scenario zone --minutes 0.1")


def _broken(*_arguments: object) -> None:
    raise RuntimeError("a node that does not start")


class Forgetful:
    """The node of this release, but every key that it is asked for is absent."""

    def __init__(self, *arguments: Any) -> None:
        self._node = Node(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node, name)

    def take(self, now_ms: int) -> list[Effect]:
        return [_without_values(effect) for effect in self._node.take(now_ms)]


def _without_values(effect: Effect) -> Effect:
    if isinstance(effect, Answer) and isinstance(effect.outcome, Found):
        return replace(effect, outcome=replace(effect.outcome, values=(None,)))
    return effect


def test_the_search_sees_what_clients_of_a_run_were_told() -> None:
    report = simulate(5, preset("zone", minutes=0.3), make_node=Forgetful)
    assert INVARIANT in report.broken
