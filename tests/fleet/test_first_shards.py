"""The first shard map covers every slot once, and spreads leaders and groups by its rule."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.first_shards import FirstShards
from controlplane.survival import Survival
from regions.reference import default_topology
from shards.keyspace import SLOTS
from shards.routing import RoutingTable, SlotRange

TOPOLOGY = default_topology()
REGIONS = tuple(region.name for region in TOPOLOGY.regions)


@pytest.mark.parametrize("count", [1, 2, 3, 12, 1000])
@pytest.mark.parametrize("survival", list(Survival))
def test_every_slot_belongs_to_exactly_one_shard(count: int, survival: Survival) -> None:
    first = FirstShards(TOPOLOGY, count, survival)
    seeds = tuple(first)
    assert len(first) == len(seeds) == len({seed.shard for seed in seeds}) == count
    assert seeds[0].first_slot == 0
    assert seeds[-1].end_slot == SLOTS
    assert all(left.end_slot == right.first_slot for left, right in pairwise(seeds))
    assert all(seed.first_slot < seed.end_slot for seed in seeds)


@given(st.integers(1, 2_000), st.integers(0, SLOTS - 1))
def test_a_slot_is_where_the_rule_says_and_no_shard_is_much_larger(count: int, slot: int) -> None:
    seeds = FirstShards(TOPOLOGY, count, Survival.REGION)
    ranges = [SlotRange(seed.first_slot, seed.end_slot, seed.shard) for seed in seeds]
    (owner,) = (each.shard for each in ranges if each.first_slot <= slot < each.end_slot)
    assert RoutingTable(ranges, 1).shard_of_slot(slot) == owner
    widths = {each.end_slot - each.first_slot for each in ranges}
    assert max(widths) - min(widths) <= 1


def test_regions_are_preferred_in_turn_and_goals_alternate() -> None:
    seeds = tuple(FirstShards(TOPOLOGY, 6, Survival.MIXED))
    a, b, c = REGIONS
    assert [(seed.group, seed.regions) for seed in seeds] == [
        ("global", (a, b, c)),
        (f"region/{b}", (b,)),
        ("global", (c, a, b)),
        (f"region/{a}", (a,)),
        ("global", (b, c, a)),
        (f"region/{c}", (c,)),
    ]


@pytest.mark.parametrize(
    ("survival", "groups"),
    [
        (Survival.REGION, {"global"}),
        (Survival.ZONE, {f"region/{name}" for name in REGIONS}),
    ],
)
def test_one_goal_for_all(survival: Survival, groups: set[str]) -> None:
    assert {seed.group for seed in FirstShards(TOPOLOGY, 9, survival)} == groups
