"""Which copies follow and which rest: by money, and never to and fro."""

from __future__ import annotations

import pytest

from controlplane.planning.copy_needs import (
    SECONDS_PER_MONTH,
    Balance,
    CopyNeeds,
    CopySeen,
    Demand,
    Prices,
    balance_of,
)
from shards.placement import problem

POLICY = {"after_ms": 10_000, "keep_ms": 60_000}


def copy(gain: float, *, rests: bool = False, since_ms: int | None = None) -> CopySeen:
    return CopySeen("a", "us", rests, since_ms, 1.0, Balance(gain, 0.0))


def looks(machine: CopyNeeds, seen: CopySeen, *times_ms: int, gain_min: float = 1.0) -> list[bool]:
    return [bool(machine.look(POLICY, gain_min, [seen], now_ms)) for now_ms in times_ms]


def test_a_copy_that_costs_more_than_it_saves_rests_after_a_while() -> None:
    assert looks(CopyNeeds(), copy(-0.1), 0, 5_000, 9_999, 10_000) == [False, False, False, True]


def test_one_that_saves_enough_follows_again_after_a_while() -> None:
    seen = copy(1.0, rests=True, since_ms=10)
    assert looks(CopyNeeds(), seen, 0, 10_000) == [False, True]


@pytest.mark.parametrize("seen", [copy(0.0), copy(0.99, rests=True), copy(0.5, rests=True)])
def test_between_the_two_marks_everything_stays_as_it_is(seen: CopySeen) -> None:
    assert looks(CopyNeeds(), seen, 0, 10_000, 1_000_000) == [False] * 3


def test_none_rests_that_has_not_followed_for_the_least_time() -> None:
    machine = CopyNeeds()
    assert looks(machine, copy(-5.0, since_ms=59_999), 0, 10_000, 20_000) == [False] * 3
    assert looks(machine, copy(-5.0, since_ms=60_000), 20_001) == [True]


def test_a_demand_that_wavers_changes_nothing() -> None:
    machine = CopyNeeds()
    for now_ms in range(0, 200_000, 10_000):
        gain = -1.0 if now_ms % 20_000 else 1.0
        assert machine.look(POLICY, 1.0, [copy(gain)], now_ms) == []


def test_what_is_at_stake_most_comes_first() -> None:
    machine = CopyNeeds()
    seen = [copy(-1.0), CopySeen("b", "us", True, None, 1.0, Balance(9.0, 2.0))]
    machine.look(POLICY, 1.0, seen, 0)
    assert [each.shard for each in machine.look(POLICY, 1.0, seen, 10_000)] == ["b", "a"]


def test_a_copy_saves_the_way_of_weak_reads_and_costs_writes_and_room() -> None:
    demand = Demand(10.0, 2_000.0, 3.0, 500.0, 4e9, 0.5)
    prices = Prices(80.0, 0.01, 0.09, 0.1)
    found = balance_of(demand, prices)
    month = SECONDS_PER_MONTH
    assert found.saves_usd == pytest.approx(
        month * 5.0 * 80.0 * 0.01 / 1e6 + month * 1_000.0 / 1e9 * 0.09
    )
    assert found.costs_usd == pytest.approx(month * 500.0 / 1e9 * 0.09 + 4 * 0.1)
    assert found.gain_usd == pytest.approx(found.saves_usd - found.costs_usd)
    assert month == problem.SECONDS_PER_MONTH, "the same month as in plans"
