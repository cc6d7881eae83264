"""Rollouts under every fault, on whole fleets in virtual time: nothing that must hold is broken."""

from __future__ import annotations

import pytest

from config.rollout import Phase
from controlplane.simulator.runner import simulate
from controlplane.simulator.scenario import preset


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_rollouts_go_step_by_step_whoever_dies(seed: int) -> None:
    report = simulate(seed, preset("rollouts", 0.7))
    assert report.lines() == report.lines()[:1], "\n".join(report.lines())
    ended = {phase: report.happenings[f"rollout {phase}"] for phase in Phase}
    assert sum(ended.values()) >= 5, ended
    assert ended[Phase.SUCCEEDED], ended
    assert ended[Phase.ROLLED_BACK], ended
