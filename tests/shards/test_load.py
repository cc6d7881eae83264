"""Rates fade by half, follow what is asked, and are forgotten when nobody asks any more."""

import tracemalloc

import pytest

from shards.load import HALF_LIFE_MS, NOTHING, Rates, RouterLoad
from shards.load_table import FORGET_AFTER_MS, LoadTable
from shards.resharding import Part

LOOK_MS = 5_000


def steady(load: RouterLoad, shard: str, ms: int, from_ms: int, reads: int = 0) -> int:
    """So many reads of a hundred bytes a second, looked at every five seconds; when it ended."""
    now_ms = from_ms
    while now_ms < from_ms + ms:
        counts = load.of(shard)
        counts.reads += reads * LOOK_MS // 1_000
        counts.read_bytes += 100 * reads * LOOK_MS // 1_000
        now_ms += LOOK_MS
        load.folded(shard, now_ms)
    return now_ms


def test_a_steady_load_is_known_as_what_it_is_within_minutes() -> None:
    load = RouterLoad(0)
    now_ms = steady(load, "a", HALF_LIFE_MS, 0, reads=40)
    assert load.folded("a", now_ms).reads == pytest.approx(20)  # half of it after one half life
    now_ms = steady(load, "a", 9 * HALF_LIFE_MS, now_ms, reads=40)
    assert load.folded("a", now_ms) == pytest.approx(Rates(40, 0, 4_000, 0), rel=0.01)


def test_the_rate_does_not_depend_on_how_often_it_is_looked_at() -> None:
    often, seldom = RouterLoad(0), RouterLoad(0)
    for second in range(1, 101):
        for load in (often, seldom):
            load.of("a").writes += 7
        often.folded("a", second * 1_000)
    expected = often.folded("a", 100_000).writes
    assert seldom.folded("a", 100_000).writes == pytest.approx(expected, rel=1e-3)


def test_what_nobody_uses_fades_by_half_and_is_forgotten() -> None:
    load = RouterLoad(0)
    now_ms = steady(load, "a", 10 * HALF_LIFE_MS, 0, reads=40)
    before = load.folded("a", now_ms).reads
    assert load.folded("a", now_ms + HALF_LIFE_MS).reads == pytest.approx(before / 2)
    assert load.folded("a", now_ms + 20 * HALF_LIFE_MS) is NOTHING
    assert len(load) == 0
    assert load.shards() == []


def test_a_single_request_is_seen() -> None:
    load = RouterLoad(0)
    load.of("a").writes += 1
    assert load.folded("a", LOOK_MS).writes > 0.01


def test_what_is_counted_between_two_looks_of_one_moment_is_not_lost() -> None:
    load = RouterLoad(0)
    load.of("a").reads += 5
    load.folded("a", 0)
    load.of("a").reads += 5
    load.folded("a", 0)
    share = 1 - 0.5 ** (1 / HALF_LIFE_MS)  # of ten in a millisecond
    assert load.folded("a", 1).reads == pytest.approx(10_000 * share, rel=0.01)


def test_small_changes_are_not_worth_a_word() -> None:
    rates = Rates(10, 1, 1_000, 100)
    assert not rates.differs(Rates(11, 1.1, 1_100, 90))
    assert rates.differs(Rates(20, 1, 1_000, 100))
    assert rates.differs(Rates(10, 1, 5_000, 100))
    assert not Rates(0.01, 0, 1, 0).differs(NOTHING)


def test_the_table_adds_up_the_nodes_of_a_region() -> None:
    table = LoadTable()
    table.take("eu-1", "eu", [("a", Rates(1, 2, 3, 4)), ("b", Rates(5, 0, 0, 0))], 0, 10)
    table.take("eu-2", "eu", [("a", Rates(10, 20, 30, 40))], 0, 20)
    table.take("us-1", "us", [("a", Rates(100, 0, 0, 0))], 7, 30)
    assert table.of("a") == {"eu": Rates(11, 22, 33, 44), "us": Rates(100, 0, 0, 0)}
    assert table.shards() == {"a", "b"}
    assert list(table.reporters()) == [
        ("eu-1", "eu", 10, 2, 0), ("eu-2", "eu", 20, 1, 0), ("us-1", "us", 30, 1, 7),
    ]  # fmt: skip


def test_a_later_row_takes_the_place_of_the_one_before_and_an_empty_one_ends_it() -> None:
    table = LoadTable()
    table.take("eu-1", "eu", [("a", Rates(1, 1, 1, 1))], 0, 10)
    table.take("eu-1", "eu", [("a", Rates(2, 2, 2, 2))], 0, 20)
    assert table.of("a") == {"eu": Rates(2, 2, 2, 2)}
    table.take("eu-1", "eu", [("a", NOTHING)], 0, 30)
    assert table.of("a") == {}
    table.take("eu-1", "eu", [("b", Rates(3, 3, 3, 3))], 0, 40)  # in the place that is free
    assert table.of("b") == {"eu": Rates(3, 3, 3, 3)}
    assert table.of("a") == {}


def test_what_is_not_repeated_is_dropped_and_so_is_a_node_that_is_gone() -> None:
    table = LoadTable()
    some = Rates(1, 1, 1, 1)
    table.take("eu-1", "eu", [("a", some)], 0, 0)
    table.take("us-1", "us", [("a", some), ("b", some)], 0, 0)
    late_ms = FORGET_AFTER_MS + 1
    table.take("us-1", "us", [("b", some)], 0, late_ms)
    assert table.of("a").keys() == {"eu"}
    table.forget_silent(late_ms)
    assert table.shards() == {"b"}
    assert [reporter[0] for reporter in table.reporters()] == ["us-1"]


def test_a_hundred_thousand_shards_take_little_memory() -> None:
    names = [f"s{number:06}" for number in range(100_000)]
    tracemalloc.start()
    table = LoadTable()
    for at in range(0, len(names), 1_000):
        table.take("eu-1", "eu", [(n, Rates(1, 2, 3, 4)) for n in names[at : at + 1_000]], 0, 10)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 25e6, f"{held / 1e6:.1f} MB"


def test_the_load_of_a_shard_goes_over_to_those_that_continue_it() -> None:
    load = RouterLoad(0)
    now_ms = steady(load, "s1", 9 * HALF_LIFE_MS, 0, reads=40)
    now_ms = steady(load, "s2", 9 * HALF_LIFE_MS, now_ms, reads=10)
    parent, other = Part("s1", "g", 0, 100, ()), Part("s2", "g", 100, 200, ())
    before = load.folded("s1", now_ms)
    children = (Part("s3", "g", 0, 25, ()), Part("s4", "g", 25, 100, ()))
    load.went_over((parent,), children, now_ms)
    assert load.folded("s1", now_ms) is NOTHING
    assert load.folded("s3", now_ms) == pytest.approx(before.times(0.25))
    assert load.folded("s4", now_ms) == pytest.approx(before.times(0.75))
    both = load.folded("s4", now_ms).plus(load.folded("s2", now_ms))
    load.went_over((children[1], other), (Part("s5", "g", 25, 200, ()),), now_ms)
    assert load.folded("s5", now_ms) == pytest.approx(both)
