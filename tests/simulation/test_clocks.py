"""Clocks that keep to no rate: leases overlap then, and nothing that needs no clock is harmed."""

from collections import Counter
from dataclasses import replace

from controlplane.simulator.runner import simulate
from controlplane.simulator.scenario import preset

SEEDS = (1, 2, 3)


def test_what_rests_on_clocks_breaks_with_them() -> None:
    broken: set[str] = set()
    for seed in SEEDS:
        believing = replace(preset("clocks", minutes=1.0), trusts_clocks=True)
        broken |= simulate(seed, believing).broken
    assert "3 leases are disjoint" in broken


def test_what_rests_on_no_clock_holds_without_them() -> None:
    outcomes: Counter[str] = Counter()
    for seed in SEEDS:
        report = simulate(seed, preset("clocks", minutes=1.0))
        assert not report.violations, "\n".join(report.lines())
        outcomes += report.outcomes
    assert outcomes["Written"] > 100
