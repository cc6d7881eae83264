"""Shards that are split, merged and moved all the time, under every fault: nothing is lost."""

from __future__ import annotations

import pytest

from controlplane.simulator.runner import simulate
from controlplane.simulator.scenario import preset


@pytest.mark.parametrize("seed", [3, 5, 8])
def test_shards_that_go_over_into_others_lose_nothing(seed: int) -> None:
    report = simulate(seed, preset("resharding", minutes=0.5))
    assert report.lines() == report.lines()[:1], "\n".join(report.lines())
    assert report.happenings["closed"] > 2
    assert report.outcomes["Written"] > 20
