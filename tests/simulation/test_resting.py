"""Copies that rest and follow again all the time: no read is older than it says."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from controlplane.simulator.runner import Report, simulate
from controlplane.simulator.scenario import preset
from shards.log import Log

SEEDS = (1, 2)
SEED_OF_OLD_READS = 10
"""There somebody reads a copy that rests and is vouched for."""
RESTLESS = ("rest copies",) * 8 + ("pause node", "cut one way", "crash store", "crash node")


def restless(seed: int) -> Report:
    scenario = preset("restful", minutes=0.35)
    return simulate(
        seed,
        replace(
            scenario, faults=RESTLESS, faults_per_minute=60.0, fault_ttl=(0.1, 0.5),
            operations_per_s=60.0, clients=12,
        ),
    )  # fmt: skip


def test_whatever_rests_nothing_is_lost_and_every_age_is_true() -> None:
    outcomes: Counter[str] = Counter()
    struck = 0
    for seed in SEEDS:
        report = restless(seed)
        assert report.lines() == report.lines()[:1], "\n".join(report.lines())
        outcomes += report.outcomes
        struck += sum(fault.kind == "rest copies" for fault in report.faults)
    assert struck > 10
    assert outcomes["Found"] > 100
    assert outcomes["Written"] > 100


def test_a_leader_that_vouched_for_copies_that_rest_would_be_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    truly = Log.unvouched

    def unvouched(self: Log, store: int) -> bool:
        return not self.followers[store].rests and truly(self, store)

    monkeypatch.setattr(Log, "unvouched", unvouched)
    assert restless(SEED_OF_OLD_READS).violations
