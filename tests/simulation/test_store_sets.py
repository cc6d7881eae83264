"""Stores and leases that change all the time, stores that forget: nothing is lost, all vote."""

from __future__ import annotations

import pytest

from controlplane.simulator.runner import simulate
from controlplane.simulator.scenario import preset


@pytest.mark.parametrize("seed", [3, 4, 5])
@pytest.mark.parametrize("name", ["forgetful", "shifting", "leasing"])
def test_what_changes_all_the_time_stays_right(name: str, seed: int) -> None:
    report = simulate(seed, preset(name, minutes=0.7))
    assert report.lines() == report.lines()[:1], "\n".join(report.lines())
    assert report.happenings["group-changed"] > 2
    assert report.outcomes["Written"] > 20
