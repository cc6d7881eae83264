"""Benchmarks of what data costs: a small extent of each, to see that it measures what it says."""

from __future__ import annotations

import pytest

from controlplane.bench.move import Moving, measure_move
from controlplane.bench.overwrites import Grown, Overwriting, judged, measure_overwrites
from controlplane.bench.report import Findings
from controlplane.bench.store_catch_up import CatchingUp, measure_catch_up
from shards.log import CACHE_BYTES_MAX

pytestmark = [pytest.mark.timeout(180), pytest.mark.xdist_group("data-bounds")]


def figure(findings: Findings, what: str) -> float:
    return next(f.ours for f in findings.figures if f.what.startswith(what))


def test_overwrites_are_measured_at_stores_and_node() -> None:
    extent = Overwriting(overwrites=4_000, keys=200, value_bytes=2_000, clients=16)
    told: list[str] = []
    found = measure_overwrites(extent, told.append)
    (run,) = found.runs
    assert run["live_bytes"] == 200 * 2_010
    assert run["live_bytes"] < run["store_once_bytes"] <= run["store_peak_bytes"]
    assert run["node_early_bytes"] <= run["node_peak_bytes"]
    assert figure(found, "store, times") == pytest.approx(
        run["store_peak_bytes"] / run["live_bytes"], abs=0.01
    )
    assert "4,000 overwrites" in told[0]


@pytest.mark.parametrize(
    ("store_peak", "node_peak", "reached"),
    [(3_000, 7, [True, True]), (3_020, 7, [False, True]), (10, 1 << 30, [True, False])],
)
def test_what_grows_beyond_the_bound_is_said(
    store_peak: int, node_peak: int, reached: list[bool]
) -> None:
    grown = Grown(1_000, 1_000, store_peak, 7, node_peak, 1.0)
    figures = judged(Overwriting(), grown).figures
    assert [f.reached for f in figures if f.target] == reached
    assert figures[4].target.startswith(f"at most {2 * CACHE_BYTES_MAX >> 20} MiB")


def test_a_store_is_brought_along_while_renewals_are_timed() -> None:
    extent = CatchingUp(
        shard_bytes=10_000_000, value_bytes=8_000, writes_per_second=50, seconds=2.0
    )
    found = measure_catch_up(extent, lambda line: None)
    (run,) = found.runs
    assert run["shard_bytes"] == 10_000_000
    assert {phase: spread["count"] > 0 for phase, spread in run["renewals"].items()} == {
        "before": True,
        "during": True,
        "after": True,
    }
    assert run["writes"]["during"]["count"] > 0
    assert figure(found, "from its start until the store follows") == run["copy_s"] > 0


def test_a_shard_gets_other_voters_while_it_is_written_and_renewals_are_timed() -> None:
    extent = Moving(shard_bytes=5_000_000, value_bytes=8_000, writes_per_second=50, seconds=2.0)
    found = measure_move(extent, lambda line: None)
    (run,) = found.runs
    assert run["failures"] == {"before": {}, "during": {}, "after": {}}
    assert all(run["renewals"][phase]["count"] > 0 for phase in ("before", "during", "after"))
    assert run["writes"]["during"]["count"] > 0
    assert 0 < run["pause_ms"] / 1_000 < run["copy_s"] <= run["swept_s"]
    assert [f.reached for f in found.figures if f.target == "none"] == [True]
