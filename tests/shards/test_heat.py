"""A leader's sample says where its load falls, and where to split, and does not grow."""

from __future__ import annotations

from random import Random

import pytest

from shards.heat import SAMPLE_MAX, SAMPLE_MIN, Cut, Heat, HeatGauge, best_cut
from shards.keyspace import slot_of


def parts(number: int) -> list[str]:
    """Partitions in the order of their slots."""
    return sorted((f"p{n}" for n in range(number)), key=slot_of)


def gauge(seed: int = 1) -> HeatGauge:
    return HeatGauge(Random(seed).random, 0)


def test_a_split_falls_where_both_sides_carry_the_same_not_in_the_middle_of_the_slots() -> None:
    first, *others = parts(9)
    cut = best_cut([(first, 8), *((each, 1) for each in others)])
    assert cut == Cut(slot_of(others[0]), 0.5, first, 0.5)


def test_one_hot_partition_leaves_nearly_all_on_one_side() -> None:
    left, hot, right = parts(3)
    cut = best_cut([(left, 4), (hot, 92), (right, 4)])
    assert cut is not None
    assert (cut.hottest, cut.hottest_share) == (hot, 0.92)
    assert cut.larger_share == 0.96


def test_a_single_partition_cannot_be_cut_at_all() -> None:
    assert best_cut([("p", 1)] * 5) == Cut(0, 1.0, "p", 1.0)
    assert best_cut([("p", 0)]) is None


def test_a_look_gives_rates_and_begins_anew() -> None:
    noting = gauge()
    for number in range(100):
        noting.note(f"p{number % 10}", 50)
    heat = noting.look(7_000, 2_000)
    assert (heat.requests_per_s, heat.write_bytes_per_s, heat.size_bytes) == (50.0, 2_500.0, 7_000)
    assert noting.look(7_000, 3_000) == Heat(0.0, 0.0, 7_000)


def test_few_requests_say_nothing_of_where_to_split() -> None:
    noting = gauge()
    for number in range(SAMPLE_MIN - 1):
        noting.note(f"p{number}", 1)
    heat = noting.look(0, 1_000)
    assert (heat.by_requests, heat.by_bytes) == (None, None)


def test_what_is_hot_by_bytes_is_cut_by_bytes() -> None:
    names = parts(10)
    noting = gauge()
    for _ in range(10):
        for name in names:
            noting.note(name, 10_000 if name == names[0] else 10)
    heat = noting.look(0, 1_000)
    assert heat.by_requests is not None
    assert heat.by_bytes is not None
    assert heat.by_requests.larger_share == 0.5
    assert heat.by_bytes.hottest == names[0]
    assert heat.by_bytes.larger_share > 0.9


@pytest.mark.parametrize("seed", range(5))
def test_a_sample_is_bounded_and_finds_the_middle_of_a_load_in_any_order(seed: int) -> None:
    """All requests of the right half come first: an early or a late sample would miss a side."""
    names = parts(400)
    noting = gauge(seed)
    for name in [*names[200:], *names[:200]] * 10:
        noting.note(name, 0)
    assert len(noting._sample) == SAMPLE_MAX
    heat = noting.look(0, 1_000)
    assert heat.by_requests is not None
    left = sum(slot_of(name) < heat.by_requests.at for name in names) / len(names)
    assert left == pytest.approx(0.5, abs=0.12)
