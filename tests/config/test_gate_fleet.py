"""The fleet's own gate, case by case: what fails a wave, what does not, and what is not known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from config.gate import FLEET_GATE, Gate, Look, Measure, NoData, Verdict
from config.gate_fleet import (
    FAILOVER_MS,
    REPORTS_MS,
    SAMPLES_MS,
    FleetSeen,
    fleet_look,
    quantile_ms,
    slower,
)
from config.gate_samples import Before, RegionBefore, Totals

PASS, FAIL = Verdict.PASS, Verdict.FAIL
INCONCLUSIVE, NO_DATA = Verdict.INCONCLUSIVE, Verdict.NO_DATA
MINUTE_MS = 60_000
QUICK = (0, 0, 0, 1_000)  # 4 to 8 ms each
UNKNOWN = Totals()
IDLE = Totals(MINUTE_MS, lag=0)


def totals(requests: int = 1_000, errors: int = 0, **more: Any) -> Totals:
    """A minute of a region, quick if nothing else is said."""
    named = {"span_ms": MINUTE_MS, "lag": 0, "latency": (0, 0, 0, requests), **more}
    return Totals(requests=requests, errors=errors, **named)


FINE = totals()


def look(
    now: Totals | dict[str, Totals],
    before: Totals = FINE,
    control: Totals = FINE,
    control_before: Totals = FINE,
    gate: Gate = FLEET_GATE,
    **more: Any,
) -> Look | None:
    """A look at a wave of `eu`, or of several regions, beside the control region `us`."""
    wave = now if isinstance(now, dict) else {"eu": now}
    known = [
        RegionBefore(region, ((f"{region}-1", "p1"), (f"{region}-2", "")), before)
        for region in wave
    ]
    was = Before(0, 1, (*known, RegionBefore("us", (("us-1", "p1"),), control_before)))
    seen = FleetSeen(
        wave=frozenset(wave),
        control=frozenset({"us"}),
        alive=dict(node for each in was.regions for node in each.alive),
        leaderless=1,
        leaderless_ms=0,
        totals={**wave, "us": control},
    )
    return fleet_look(gate, was, replace(seen, **more))


def verdict(*args: Any, **named: Any) -> Verdict | None:
    found = look(*args, **named)
    return None if found is None else found.verdict


def test_a_wave_that_is_as_before_passes() -> None:
    assert look(FINE) == Look(PASS, "fleet: as before")


# -- nodes and leaders


def test_a_node_that_died_in_the_wave_fails_it_and_elsewhere_does_not() -> None:
    alive = {"eu-1": "p1", "us-1": "p1"}
    assert look(FINE, alive=alive) == Look(FAIL, "fleet: eu-2 died")
    assert verdict(FINE, alive={"eu-1": "p1", "eu-2": "p5"}) is PASS
    without = Gate("fleet", measures=(Measure.LEADERS, Measure.ERRORS))
    assert verdict(FINE, alive=alive, gate=without) is PASS


def test_a_node_that_was_dead_before_counts_for_nothing() -> None:
    assert verdict({"eu": FINE, "ap": FINE}, alive={"us-1": "p1"}) is FAIL
    nobody = Before(0, 1, (RegionBefore("eu", (), FINE),))
    seen = FleetSeen(frozenset({"eu"}), frozenset(), {}, 1, 0, {"eu": FINE})
    assert fleet_look(Gate("fleet"), nobody, seen) == Look(PASS, "fleet: as before")


@pytest.mark.parametrize(
    ("now", "left", "wanted"),
    [
        ("p1", set(), PASS),
        ("p2", set(), FAIL),
        ("", set(), PASS),  # it is not known whether it is the same
        ("p2", {"p1"}, PASS),
        (None, {"p1"}, PASS),
        (None, {"p2"}, FAIL),
        (None, set(), FAIL),
    ],
)
def test_a_node_that_began_anew_died_unless_it_was_stopped_on_purpose(
    now: str | None, left: set[str], wanted: Verdict
) -> None:
    alive = {"eu-2": "p7", "us-1": "p1"} | ({} if now is None else {"eu-1": now})
    assert verdict(FINE, alive=alive, left=frozenset(left)) is wanted


@pytest.mark.parametrize(
    ("leaderless", "since_ms", "wanted"),
    [
        (1, 0, PASS),  # one had none before, either
        (0, 0, PASS),
        (2, 0, None),
        (2, FAILOVER_MS - 1, None),
        (2, FAILOVER_MS, FAIL),
    ],
)
def test_while_a_failover_is_on_nothing_is_said_and_then_it_fails(
    leaderless: int, since_ms: int, wanted: Verdict | None
) -> None:
    assert verdict(FINE, leaderless=leaderless, leaderless_ms=since_ms) is wanted


# -- errors


@pytest.mark.parametrize(
    ("now", "before", "control", "control_before", "wanted"),
    [
        # the guard: up to 1 % is never a failure, and fewer than three errors are chance
        (totals(errors=10), FINE, FINE, FINE, PASS),
        (totals(errors=11), FINE, FINE, FINE, FAIL),
        (totals(20, 2), FINE, FINE, FINE, PASS),
        (totals(20, 3), FINE, FINE, FINE, FAIL),
        # against what was before
        (totals(errors=60), totals(errors=20), FINE, FINE, PASS),
        (totals(errors=61), totals(errors=20), FINE, FINE, FAIL),
        # the control regions have it too: it is not the wave's doing
        (totals(errors=60), FINE, totals(errors=20), FINE, PASS),
        (totals(errors=61), FINE, totals(errors=20), FINE, FAIL),
        (totals(errors=60), totals(errors=20), totals(errors=20), totals(errors=20), PASS),
        (totals(errors=61), totals(errors=20), totals(errors=20), totals(errors=20), FAIL),
        # the control regions got better, and the wave did not
        (totals(errors=60), totals(errors=20), totals(errors=20), totals(errors=60), FAIL),
        # no control region, or one that has too few requests to say anything
        (totals(errors=60), totals(errors=20), UNKNOWN, UNKNOWN, PASS),
        (totals(errors=61), totals(errors=20), UNKNOWN, UNKNOWN, FAIL),
        (totals(errors=61), totals(errors=20), totals(19, 19), FINE, FAIL),
        (totals(errors=61), totals(errors=20), totals(errors=500), totals(19), FAIL),
        # nothing is known of before: the control regions as they are
        (totals(errors=60), UNKNOWN, totals(errors=20), UNKNOWN, PASS),
        (totals(errors=61), UNKNOWN, totals(errors=20), UNKNOWN, FAIL),
        (totals(errors=61), totals(19, 19), totals(errors=20), FINE, FAIL),
        # neither: below the guard it passes, above it nobody can say
        (totals(errors=10), UNKNOWN, UNKNOWN, UNKNOWN, PASS),
        (totals(errors=11), UNKNOWN, UNKNOWN, UNKNOWN, INCONCLUSIVE),
        # so many errors before, or elsewhere, that nothing could be more
        (totals(errors=900), totals(errors=333), FINE, FINE, PASS),
        (totals(errors=1_000), totals(errors=333), FINE, FINE, FAIL),
        (totals(errors=900), totals(errors=334), FINE, FINE, INCONCLUSIVE),
        (totals(errors=900), FINE, totals(errors=900), FINE, INCONCLUSIVE),
        (totals(errors=11), FINE, totals(errors=900), FINE, INCONCLUSIVE),
        (totals(errors=10), FINE, totals(errors=900), FINE, PASS),
    ],
)
def test_errors_are_held_against_before_and_against_the_control_regions(
    now: Totals, before: Totals, control: Totals, control_before: Totals, wanted: Verdict
) -> None:
    assert verdict(now, before, control, control_before) is wanted


def test_what_is_said_of_errors_has_the_figures() -> None:
    found = look(totals(errors=42), totals(errors=1))
    assert found == Look(FAIL, "fleet: errors of the wave: 4.2 %, at most 1, before 0.1")


def test_one_bad_region_fails_a_wave_of_many() -> None:
    good = {f"r{n}": FINE for n in range(9)}
    found = look({**good, "bad": totals(errors=90)})
    assert found == Look(FAIL, "fleet: errors of bad: 9 %, at most 1, before 0")
    assert verdict({**good, "small": totals(19, 19)}) is PASS, "too few to judge it alone"


# -- samples


@pytest.mark.parametrize(
    ("now", "before", "samples_min", "wanted"),
    [
        (totals(20), FINE, 20, PASS),
        (totals(19), FINE, 20, INCONCLUSIVE),
        (IDLE, FINE, 20, INCONCLUSIVE),  # there was traffic, and now there is none
        (IDLE, totals(20), 20, INCONCLUSIVE),
        (IDLE, totals(19), 20, PASS),  # there never was any to speak of
        (totals(19, 19), totals(19), 20, PASS),
        (IDLE, IDLE, 20, PASS),
        (IDLE, UNKNOWN, 20, INCONCLUSIVE),  # nobody knows whether there was
        (IDLE, FINE, 0, PASS),
        (IDLE, UNKNOWN, 0, PASS),
        (totals(3, 3), FINE, 0, FAIL),
        (IDLE, FINE, 1, INCONCLUSIVE),
    ],
)
def test_too_few_requests_are_inconclusive_unless_there_never_were_more(
    now: Totals, before: Totals, samples_min: int, wanted: Verdict
) -> None:
    gate = Gate("fleet", measures=(Measure.ERRORS, Measure.LATENCY), samples_min=samples_min)
    assert verdict(now, before, gate=gate) is wanted


def test_a_fleet_without_traffic_passes_and_the_look_says_what_it_left_out() -> None:
    found = look(IDLE, IDLE, IDLE, IDLE)
    left = "errors left out: 0 requests; latency left out: 0 requests"
    assert found == Look(PASS, f"fleet: {left}")


@pytest.mark.parametrize(
    ("watched_ms", "wanted"), [(SAMPLES_MS - 1, None), (SAMPLES_MS, INCONCLUSIVE)]
)
def test_a_young_wave_may_still_have_its_requests(watched_ms: int, wanted: Verdict | None) -> None:
    assert verdict(totals(5), watched_ms=watched_ms) is wanted
    assert verdict(totals(errors=100), watched_ms=watched_ms) is FAIL


@pytest.mark.parametrize(
    ("watched_ms", "no_data", "wanted"),
    [
        (REPORTS_MS - 1, NoData.ERROR, None),
        (REPORTS_MS, NoData.ERROR, NO_DATA),
        (REPORTS_MS, NoData.PASS, PASS),
        (REPORTS_MS, NoData.FAIL, FAIL),
    ],
)
def test_a_node_of_the_wave_that_says_nothing_of_itself_is_missing(
    watched_ms: int, no_data: NoData, wanted: Verdict | None
) -> None:
    gate = Gate("fleet", no_data=no_data)
    assert verdict(FINE, gate=gate, unheard=("eu-2",), watched_ms=watched_ms) is wanted
    nodes_alone = Gate("fleet", measures=(Measure.NODES, Measure.LEADERS), no_data=no_data)
    assert verdict(FINE, gate=nodes_alone, unheard=("eu-2",), watched_ms=watched_ms) is PASS


def test_a_wave_of_which_nothing_is_known_is_inconclusive() -> None:
    found = look(UNKNOWN)
    assert found is not None
    assert (found.verdict, found.detail.count("nothing is known")) == (INCONCLUSIVE, 5)


def test_of_a_wave_that_does_not_bake_nodes_and_leaders_are_asked_alone() -> None:
    assert verdict(totals(errors=900), is_baked=False) is PASS
    assert verdict(UNKNOWN, is_baked=False, unheard=("eu-1",)) is PASS
    assert verdict(FINE, is_baked=False, alive={}) is FAIL


def test_a_wave_in_which_nobody_is_watched_passes_unless_leaders_are_missed() -> None:
    assert verdict({}) is PASS
    assert verdict({}, leaderless=2, leaderless_ms=30_000) is FAIL


# -- latency


def slow(requests: int, bucket: int, quick: int = 1_000) -> Totals:
    latency = [0] * (bucket + 1)
    latency[3] = quick
    latency[bucket] += requests
    return totals(quick + requests, latency=tuple(latency))


@pytest.mark.parametrize(
    ("now", "before", "control", "control_before", "wanted"),
    [
        # p99 from below 8 ms; 20 ms are never too slow
        (slow(100, 4), FINE, FINE, FINE, PASS),
        (slow(100, 6), FINE, FINE, FINE, FAIL),
        # a hundredth may be slow, and two are chance
        (slow(10, 10), FINE, FINE, FINE, PASS),
        (slow(12, 10), FINE, FINE, FINE, FAIL),
        (slow(2, 10, quick=20), FINE, FINE, FINE, PASS),
        (slow(3, 10, quick=20), FINE, FINE, FINE, FAIL),
        # up to twice of what was before
        (slow(100, 8), slow(100, 7), FINE, FINE, PASS),
        (slow(100, 9), slow(100, 7), FINE, FINE, FAIL),
        # the control regions slowed down as well
        (slow(100, 8), FINE, slow(100, 8), FINE, PASS),
        (slow(100, 8), FINE, UNKNOWN, UNKNOWN, FAIL),
        # nothing to hold it against, or nobody asked before
        (slow(100, 8), UNKNOWN, UNKNOWN, UNKNOWN, INCONCLUSIVE),
        (slow(100, 8), totals(19), UNKNOWN, UNKNOWN, PASS),
        (slow(100, 8), totals(19), FINE, FINE, FAIL),
        (FINE, UNKNOWN, UNKNOWN, UNKNOWN, PASS),
    ],
)
def test_the_slowest_hundredth_is_held_against_before_and_against_the_control_regions(
    now: Totals, before: Totals, control: Totals, control_before: Totals, wanted: Verdict
) -> None:
    gate = Gate("fleet", measures=(Measure.LATENCY,))
    assert verdict(now, before, control, control_before, gate=gate) is wanted


@pytest.mark.parametrize(
    ("before", "control", "control_before", "wanted"),
    [
        # a single request of control regions, quick by chance, says nothing of the wave
        (slow(50, 6, quick=0), IDLE, slow(1, 6, quick=0), PASS),
        (slow(50, 6, quick=0), totals(1), slow(1, 6, quick=0), PASS),
        (slow(50, 6, quick=0), totals(50), slow(50, 6, quick=0), FAIL),
        (slow(19, 6, quick=0), IDLE, IDLE, PASS),
        (totals(20), IDLE, IDLE, FAIL),
    ],
)
def test_a_few_requests_are_no_reference_even_where_a_few_are_judged(
    before: Totals, control: Totals, control_before: Totals, wanted: Verdict
) -> None:
    gate = Gate("fleet", measures=(Measure.LATENCY,), samples_min=0)
    assert verdict(slow(4, 6, quick=0), before, control, control_before, gate=gate) is wanted


@pytest.mark.parametrize(
    ("latency", "p99_ms"),
    [
        ((), None),
        ((0, 0), None),
        ((100,), 0.99),
        ((0, 100), 1.99),
        ((0, 0, 0, 100), 7.96),
        ((99, 0, 0, 1), 4.0),
        ((999, 0, 0, 1), 0.99),
    ],
)
def test_a_quantile_lies_within_its_bucket(latency: tuple[int, ...], p99_ms: float | None) -> None:
    assert quantile_ms(latency) == (None if p99_ms is None else pytest.approx(p99_ms, abs=0.01))


@pytest.mark.parametrize(
    ("limit_ms", "requests"), [(0.0, 18.0), (1.0, 8.0), (6.0, 4.0), (8.0, 0.0), (900.0, 0.0)]
)
def test_how_many_were_slower_is_counted_within_buckets(limit_ms: float, requests: float) -> None:
    assert slower((10, 0, 0, 8), limit_ms) == requests


# -- elections, fenced writes, lag


@pytest.mark.parametrize("field", ["failovers", "fenced"])
@pytest.mark.parametrize(
    ("now", "before", "control", "control_before", "wanted"),
    [
        (3, 0, 0, 0, PASS),
        (4, 0, 0, 0, FAIL),
        (12, 4, 0, 0, PASS),
        (13, 4, 0, 0, FAIL),
        (12, 0, 4, 0, PASS),  # all regions lose leaders now
        (13, 0, 4, 1, FAIL),
        (4, 4, 0, 0, PASS),
    ],
)
def test_events_above_those_before_and_elsewhere_fail(
    field: str, now: int, before: int, control: int, control_before: int, wanted: Verdict
) -> None:
    found = verdict(
        totals(**{field: now}),
        totals(**{field: before}),
        totals(**{field: control}),
        totals(**{field: control_before}),
    )
    assert found is wanted


def test_events_are_compared_by_the_minute_since_the_times_differ() -> None:
    long = totals(10_000, span_ms=10 * MINUTE_MS, fenced=40)
    assert verdict(totals(fenced=12), long, UNKNOWN, UNKNOWN) is PASS
    assert verdict(totals(fenced=13), long, UNKNOWN, UNKNOWN) is FAIL
    assert verdict(totals(fenced=4), UNKNOWN, UNKNOWN, UNKNOWN) is INCONCLUSIVE


def test_events_in_one_region_of_many_fail_the_wave() -> None:
    good = {f"r{n}": FINE for n in range(9)}
    found = look({**good, "bad": totals(failovers=9)})
    said = "elections of bad: 9 leaders lost a minute, at most 3, before 0"
    assert found == Look(FAIL, f"fleet: {said}")
    assert verdict({f"r{n}": totals(failovers=3) for n in range(9)}) is PASS


@pytest.mark.parametrize(
    ("now", "before", "control", "wanted"),
    [
        (1_000, 0, 0, PASS),
        (1_001, 0, 0, FAIL),
        (5_000, 2_000, 0, PASS),
        (5_000, 0, 5_000, PASS),
        (None, None, None, PASS),  # no store of any shard is there
        (None, 5, 0, INCONCLUSIVE),  # it was told before, and is not any more
        (5, None, None, PASS),
    ],
)
def test_stores_that_lack_entries_fail_unless_they_did_before(
    now: int | None, before: int | None, control: int | None, wanted: Verdict
) -> None:
    found = verdict(totals(lag=now), totals(lag=before), totals(lag=control))
    assert found is wanted


def test_a_control_region_of_which_before_is_unknown_is_left_out_beside_others() -> None:
    was = Before(
        0, 0,
        (
            RegionBefore("eu", (), FINE),
            RegionBefore("us", (), FINE),
            RegionBefore("ap", (), UNKNOWN),
        ),
    )  # fmt: skip
    seen = FleetSeen(
        frozenset({"eu"}), frozenset({"us", "ap", "sa"}), {}, 0, 0,
        {"eu": totals(errors=50), "us": FINE, "ap": totals(errors=900)},
    )  # fmt: skip
    found = fleet_look(Gate("fleet"), was, seen)
    assert found is not None
    assert found.verdict is FAIL
