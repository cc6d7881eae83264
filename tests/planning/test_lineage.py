"""What a shard takes over from those that it continues."""

from __future__ import annotations

import pytest

from controlplane.planning.lineage import Lineage
from controlplane.views import ReshardingView
from shards.load import Rates
from shards.load_table import LoadTable
from shards.resharding import Kind, Part, Phase


def part(shard: str, first: int, end: int) -> Part:
    return Part(shard, "global", first, end, ("eu",))


def resharding(
    parents: list[Part], children: list[Part], phase: Phase = Phase.DONE
) -> ReshardingView:
    return ReshardingView(
        1, Kind.SPLIT, phase, tuple(parents), tuple(children), "", "", 0, True, None, ""
    )


WHOLE = part("s0", 0, 100)
HALVES = [part("s1", 0, 25), part("s2", 25, 100)]
MOVED = part("s3", 25, 100)


def writes(lineage: Lineage, shard: str) -> float:
    table = LoadTable()
    table.take("n1", "eu", [("s0", Rates(0, 80, 0, 0)), ("s2", Rates(0, 4, 0, 0))], 0, 0)
    return lineage.loads(shard, table).get("eu", Rates(0, 0, 0, 0)).writes


def test_a_child_has_what_is_left_of_its_ancestors_load_by_the_slots_it_took() -> None:
    lineage = Lineage([resharding([WHOLE], HALVES), resharding([HALVES[1]], [MOVED])])
    found = [writes(lineage, shard) for shard in ("s0", "s1", "s2", "s3")]
    assert found == [80, pytest.approx(20), pytest.approx(64), pytest.approx(64)]


def test_what_is_not_done_hands_nothing_over() -> None:
    assert writes(Lineage([resharding([WHOLE], HALVES, Phase.CLOSING)]), "s1") == 0
