"""Hot shards are split where their load falls, cold neighbours merged, hot partitions told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from controlplane.planning.splitting import HotPartition, ShardSeen, Splitting
from controlplane.requests import Reshard
from shards.heat import Cut, Heat
from shards.resharding import Kind

MERGE = {"requests_per_s": 20, "after_ms": 30_000, "shards_min": 1}
POLICY: dict[str, Any] = {
    "requests_per_s": 100, "write_bytes_per_s": 1_000_000, "after_ms": 10_000,
    "cool_down_ms": 60_000, "merge": MERGE,
}  # fmt: skip
LOOK_MS = 5_000
EVEN = Cut(40, 0.5, "p1", 0.1)
LOPSIDED = Cut(40, 0.95, "p1", 0.9)


def heat(requests: float, cut: Cut | None = EVEN, **more: Any) -> Heat:
    return Heat(requests, more.pop("written", 0.0), by_requests=cut, **more)


def seen(heat: Heat | None, **more: Any) -> ShardSeen:
    fields = {"shard": "s1", "group": "g", "first_slot": 0, "end_slot": 100} | more
    return ShardSeen(node="n1", region="eu", heat=heat, **fields)


def looks(machine: Splitting, count: int, *shards: ShardSeen, since: int = 0) -> list[Reshard]:
    """So many looks at the same shards; orders of the last one."""
    dues = []
    for number in range(count):
        dues = machine.look(POLICY, shards, 1_000, since + number * LOOK_MS)
    return [due.order for due in dues]


def kinds(orders: list[Reshard]) -> list[tuple[Kind, str, int | None, str]]:
    return [(order.kind, order.of, order.at, order.beside) for order in orders]


SPLIT = (Kind.SPLIT, "s1", 40, "")


def test_a_shard_is_split_when_it_stayed_hot_and_not_before() -> None:
    machine = Splitting()
    assert looks(machine, 2, seen(heat(120))) == []
    assert kinds(looks(machine, 1, seen(heat(120)), since=2 * LOOK_MS)) == [SPLIT]


def test_a_moment_of_less_does_not_matter_and_a_moment_of_calm_does() -> None:
    machine = Splitting()
    looks(machine, 2, seen(heat(120)))
    assert kinds(looks(machine, 1, seen(heat(85)), since=2 * LOOK_MS)) == [SPLIT]
    machine = Splitting()
    looks(machine, 2, seen(heat(120)))
    looks(machine, 1, seen(heat(70)), since=2 * LOOK_MS)
    assert looks(machine, 1, seen(heat(120)), since=3 * LOOK_MS) == []


def test_nobody_knows_of_a_silent_leader_whether_its_shard_is_hot_or_cold() -> None:
    machine = Splitting()
    looks(machine, 2, seen(heat(120)))
    looks(machine, 1, seen(None), since=2 * LOOK_MS)
    assert looks(machine, 1, seen(heat(120)), since=3 * LOOK_MS) == []
    two = [seen(heat(1)), seen(None, shard="s2", first_slot=100, end_slot=200)]
    assert looks(Splitting(), 20, *two) == []


def test_written_bytes_make_a_shard_hot_as_well_and_say_where_to_split() -> None:
    hot = Heat(10, 2_000_000.0, 0, LOPSIDED, replace(EVEN, at=60))
    assert kinds(looks(Splitting(), 3, seen(hot))) == [(Kind.SPLIT, "s1", 60, "")]


def test_a_shard_that_came_of_a_resharding_is_left_alone_for_a_while() -> None:
    machine = Splitting()
    young = seen(heat(120), made_ms=0)
    assert looks(machine, 12, young) == []
    assert kinds(looks(machine, 1, young, since=12 * LOOK_MS)) == [SPLIT]


def test_a_shard_that_is_being_resharded_is_left_alone() -> None:
    assert looks(Splitting(), 10, seen(heat(120), is_busy=True)) == []


def test_an_order_that_was_refused_is_not_given_again_at_once() -> None:
    machine = Splitting()
    looks(machine, 2, seen(heat(120)))
    (due,) = machine.look(POLICY, [seen(heat(120))], 1_000, 2 * LOOK_MS)
    machine.refused(due, POLICY, 2 * LOOK_MS)
    assert looks(machine, 11, seen(heat(120)), since=3 * LOOK_MS) == []
    assert kinds(looks(machine, 1, seen(heat(120)), since=14 * LOOK_MS)) == [SPLIT]


def test_the_hottest_comes_first() -> None:
    cuts = [
        seen(
            heat(load, replace(EVEN, at=100 * n + 1)),
            shard=f"s{n}", first_slot=100 * n, end_slot=100 * n + 50,
        )
        for n, load in ((0, 150), (1, 400), (2, 200))
    ]  # fmt: skip
    assert [order.of for order in looks(Splitting(), 3, *cuts)] == ["s1", "s2", "s0"]


def test_a_hot_partition_is_told_once_and_never_split() -> None:
    machine = Splitting()
    assert looks(machine, 50, seen(heat(120, LOPSIDED))) == []
    found = HotPartition("s1", "p1", 0.9, "requests")
    assert machine.take() == [found]
    assert machine.hot_partitions == (found,)
    looks(machine, 1, seen(None), since=50 * LOOK_MS)
    assert looks(machine, 10, seen(heat(120, LOPSIDED)), since=51 * LOOK_MS) == []
    assert machine.take() == [], "a moment of silence is no news"


def test_a_hot_partition_is_over_when_it_cools_or_a_split_would_help_clearly() -> None:
    machine = Splitting()
    looks(machine, 3, seen(heat(120, LOPSIDED)))
    better = replace(LOPSIDED, larger_share=0.78)
    assert looks(machine, 1, seen(heat(120, better)), since=3 * LOOK_MS) == []
    assert kinds(looks(machine, 1, seen(heat(120)), since=4 * LOOK_MS)) == [SPLIT]
    machine = Splitting()
    looks(machine, 3, seen(heat(120, LOPSIDED)))
    looks(machine, 1, seen(heat(10, LOPSIDED)), since=3 * LOOK_MS)
    assert machine.hot_partitions == ()


def test_a_shard_whose_sample_is_too_small_waits_for_a_better_one() -> None:
    machine = Splitting()
    assert looks(machine, 5, seen(heat(120, None))) == []
    assert machine.hot_partitions == ()


def pair(left: float = 5, right: float = 5, **more: Any) -> list[ShardSeen]:
    """Two neighbours."""
    return [
        seen(heat(left)),
        seen(heat(right), **{"shard": "s2", "first_slot": 100, "end_slot": 200} | more),
    ]


MERGED = (Kind.MERGE, "s1", None, "s2")


def test_neighbours_that_stayed_cold_for_long_become_one() -> None:
    machine = Splitting()
    assert looks(machine, 6, *pair()) == []
    assert kinds(looks(machine, 1, *pair(), since=6 * LOOK_MS)) == [MERGED]


def test_one_look_at_more_begins_the_wait_anew() -> None:
    machine = Splitting()
    looks(machine, 6, *pair())
    looks(machine, 1, *pair(18, 5), since=6 * LOOK_MS)
    assert looks(machine, 6, *pair(), since=7 * LOOK_MS) == []


def test_shards_that_differ_or_are_no_neighbours_or_are_large_stay_apart() -> None:
    for more in ({"group": "h"}, {"alike": "pinned"}, {"first_slot": 101}, {"made_ms": 90_000},
                 {"is_busy": True}):  # fmt: skip
        assert looks(Splitting(), 20, *pair(**more)) == [], more
    large = [replace(each, heat=heat(1, size_bytes=501)) for each in pair()]
    assert looks(Splitting(), 20, *large) == []


def test_what_few_requests_write_much_of_is_not_merged() -> None:
    written = [replace(each, heat=heat(1, written=200_000.0)) for each in pair()]
    assert looks(Splitting(), 20, *written) == [], "together more than a quarter of what is split"


def test_a_group_keeps_so_many_shards_and_each_is_merged_with_one_other() -> None:
    four = [seen(heat(1), shard=f"s{n}", first_slot=n * 10, end_slot=n * 10 + 10) for n in range(4)]
    machine = Splitting()
    assert kinds(looks(machine, 7, *four)) == [
        (Kind.MERGE, "s0", None, "s1"), (Kind.MERGE, "s2", None, "s3"),
    ]  # fmt: skip
    keeping = POLICY | {"merge": MERGE | {"shards_min": 3}}
    machine, dues = Splitting(), []
    for number in range(7):
        dues = machine.look(keeping, four, 1_000, number * LOOK_MS)
    assert [due.order.of for due in dues] == ["s0"]


def test_nothing_is_merged_where_the_document_says_nothing_of_it() -> None:
    machine = Splitting()
    only = {name: value for name, value in POLICY.items() if name != "merge"}
    for number in range(20):
        assert machine.look(only, pair(), 1_000, number * LOOK_MS) == []
