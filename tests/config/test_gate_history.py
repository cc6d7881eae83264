"""Samples of counters: what went by between two moments, over restarts and holes."""

from __future__ import annotations

from typing import Any

import pytest

from config.gate_history import KEPT_MS, SPACED_MS, Histories, History
from config.gate_samples import (
    BUCKETS,
    REGIONS_MAX,
    Before,
    RegionBefore,
    Sample,
    Totals,
    before_of,
    read_sample,
    together,
)


def sample(at_ms: int, requests: int = 0, process: str = "p1", **more: Any) -> Sample:
    return Sample(at_ms, process, requests, **more)


def histories(**nodes: list[Sample]) -> Histories:
    """By node, whose region is what comes before the underscore."""
    found = Histories()
    for node, samples in nodes.items():
        found.take(node, node.partition("_")[0], samples, all_of_it=True)
    return found


STEADY = [sample(0), sample(10_000, 100), sample(20_000, 250), sample(30_000, 300)]


@pytest.mark.parametrize(
    ("since_ms", "until_ms", "requests", "span_ms"),
    [
        (0, 30_000, 300, 30_000),
        (10_000, 20_000, 150, 10_000),
        (14_999, 30_000, 200, 20_000),  # from the newest sample before on
        (-5_000, 25_000, 250, 20_000),
    ],
)
def test_what_went_by_is_the_growth_between_samples(
    since_ms: int, until_ms: int, requests: int, span_ms: int
) -> None:
    found = histories(eu_1=STEADY).totals(since_ms, until_ms)
    assert (found["eu"].requests, found["eu"].span_ms) == (requests, span_ms)


@pytest.mark.parametrize(("since_ms", "until_ms"), [(-9, -1), (0, 9_999), (30_000, 90_000)])
def test_of_one_sample_nothing_went_by(since_ms: int, until_ms: int) -> None:
    assert histories(eu_1=STEADY).totals(since_ms, until_ms) == {}


@pytest.mark.parametrize(
    ("samples", "requests"),
    [
        ([sample(0, 900), sample(10_000, 7, "p2")], 7),
        ([sample(0, 900), sample(10_000, 0, "p2"), sample(20_000, 1_000, "p2")], 1_000),
        ([sample(0, 5), sample(10_000, 900, "p2")], 900),  # it has overtaken what was before
        ([sample(0, 900), sample(10_000, 7)], 7),  # nobody says so, but its counters went back
        ([sample(0, 9, latency=(9,)), sample(10_000, 9, latency=(0, 9))], 9),
        ([sample(0, 9, failovers={"us": 3}), sample(10_000, 9)], 9),
    ],
)
def test_a_node_that_began_anew_counts_from_nothing(samples: list[Sample], requests: int) -> None:
    assert histories(eu_1=samples).totals(0, 30_000)["eu"].requests == requests


def test_regions_are_put_together_and_failovers_and_lags_belong_to_the_region_they_name() -> None:
    one = [
        sample(0, errors=1, fenced=1, latency=(1, 2)),
        sample(10_000, 10, errors=3, fenced=2, latency=(1, 2, 5), failovers={"us": 4},
               lags={"us": 9, "eu": 0}),
        sample(20_000, 20, errors=3, fenced=2, latency=(4, 2, 5), failovers={"us": 4, "": 1},
               lags={"us": 5, "eu": 0}),
    ]  # fmt: skip
    other = [sample(5_000), sample(15_000, 7, lags={"us": 8})]
    found = histories(eu_1=one, eu_2=other, us_1=[sample(0), sample(20_000, 3)]).totals(0, 20_000)
    assert found["eu"] == Totals(20_000, 27, 2, 1, 0, 0, (3, 0, 5))
    assert found["us"] == Totals(20_000, 3, 0, 0, 4, 8, ())
    assert together(found[region] for region in ("eu", "us")) == Totals(
        20_000, 30, 2, 1, 4, 8, (3, 0, 5)
    )


def test_a_lag_is_that_of_the_middle_so_that_a_moment_is_no_lag() -> None:
    moments = [0, 0, 9_999, 0, 1]
    samples = [
        sample(0),
        *(sample(10_000 * n, lags={"eu": lag}) for n, lag in enumerate(moments, 1)),
    ]
    assert histories(eu_1=samples).totals(0, 90_000)["eu"].lag == 0


def test_a_history_is_bounded_and_keeps_the_newest_sample() -> None:
    kept = History("eu")
    for second in range(3 * KEPT_MS // 1_000):
        kept.add(sample(1_000 * second, second))
    assert len(kept.samples) <= KEPT_MS // SPACED_MS + 3
    assert kept.samples[-1].requests == second
    assert kept.samples[0].at_ms <= kept.samples[-1].at_ms - KEPT_MS <= kept.samples[1].at_ms
    gaps = {b.at_ms - a.at_ms for a, b in zip(kept.samples[:-2], kept.samples[1:-1], strict=True)}
    assert gaps == {SPACED_MS}


def test_the_last_sample_of_a_process_is_kept_when_another_begins() -> None:
    kept = History("eu")
    for each in (sample(0), sample(9_000, 90), sample(9_500, 0, "p2"), sample(12_000, 5, "p2")):
        kept.add(each)
    assert [each.requests for each in kept.samples] == [0, 90, 0, 5]
    assert sample(11_000) not in kept.samples
    kept.add(sample(11_000, 99, "p2"))  # older than what is known: late, and of no use
    assert [each.requests for each in kept.samples] == [0, 90, 0, 5]


def test_all_that_a_node_has_takes_the_place_of_what_was_known_of_that_process() -> None:
    found = histories(eu_1=[sample(0, 5), sample(40_000, 50)])
    anew = [sample(50_000, 0, "p2"), sample(60_000, 8, "p2")]
    for _ in range(2):
        found.take("eu_1", "eu", anew, all_of_it=True)
    assert found.totals(0, 90_000)["eu"].requests == 45 + 8
    found.take("eu_1", "eu", [sample(61_000, 9, "p2")], all_of_it=False)
    found.take("eu_1", "eu", [], all_of_it=True)
    assert found.totals(0, 90_000)["eu"].requests == 45 + 9
    assert (found.newest_ms("eu_1"), found.newest_ms("us_1")) == (61_000, None)


def test_nodes_that_were_heard_of_are_told_and_silent_ones_forgotten() -> None:
    found = histories(eu_1=STEADY, us_1=[sample(0)])
    assert found.heard(0, 5_000) == {"eu": {"eu_1": "p1"}, "us": {"us_1": "p1"}}
    assert found.heard(25_000, 30_000) == {"eu": {"eu_1": "p1"}}
    found.forget_old(KEPT_MS + 1)
    assert found.heard(0, 5_000) == {"eu": {"eu_1": "p1"}}


FULL = Sample(400, "p1", 5, 4, 3, {"eu": 2, "": 1}, {"us": 7}, (1, 0, 2))


def test_a_sample_is_told_with_its_age() -> None:
    assert read_sample(FULL.row(1_000), 91_000) == Sample(
        90_400, "p1", 5, 4, 3, {"eu": 2, "": 1}, {"us": 7}, (1, 0, 2)
    )


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, -1), (0, "1"), (1, 7), (1, "p" * 600), (2, -1), (2, 1.5), (2, True), (2, None),
        (3, float("nan")), (4, 1 << 63), (5, []), (5, {"eu": -1}), (5, {7: 1}),
        (5, {str(n): 1 for n in range(REGIONS_MAX + 1)}), (6, {"eu": float("nan")}),
        (7, {}), (7, [1, -2]), (7, [0] * (BUCKETS + 1)), (7, ["1"]),
    ],
)  # fmt: skip
def test_what_has_not_the_shape_of_a_sample_is_none(place: int, value: Any) -> None:
    row = FULL.row(1_000)
    row[place] = value
    assert read_sample(row, 2_000) is None
    assert read_sample(row[:place], 2_000) is None


def test_how_it_was_before_is_kept_and_read_again() -> None:
    before = Before(
        2, 1, (RegionBefore("eu", (("n1", "p1"), ("n2", "")), Totals(5, 4, 3, 2, 1, None, (1, 2))),)
    )
    kept = {
        "wave": 2, "leaderless": 1,
        "regions": [{
            "region": "eu", "alive": [["n1", "p1"], ["n2", ""]],
            "totals": {"span_ms": 5, "requests": 4, "errors": 3, "fenced": 2, "failovers": 1,
                       "lag": None, "latency": [1, 2]},
        }],
    }  # fmt: skip
    assert before_of(kept) == before
    assert before.of("us") == RegionBefore("us", (), Totals())
