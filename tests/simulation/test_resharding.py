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


@pytest.mark.parametrize("seed", [2])
def test_load_splits_and_merges_shards_and_leaves_alone_what_it_made(seed: int) -> None:
    report = simulate(seed, preset("heated", minutes=1.5))
    assert report.lines() == report.lines()[:1], "\n".join(report.lines())
    assert report.happenings["split-by-load"] > 0
    assert report.happenings["merge-by-load"] > 0


@pytest.mark.parametrize("seed", [4])
def test_shards_move_between_regions_that_share_no_node_and_lose_nothing(seed: int) -> None:
    report = simulate(seed, preset("apart", minutes=0.7))
    assert report.lines() == report.lines()[:1], "\n".join(report.lines())
    wanted = [each.place for each in report.faults if each.kind == "reshard"]
    assert any(place.startswith("move") and "region/" in place for place in wanted)
    assert report.happenings["closed"] > 2
