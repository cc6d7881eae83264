"""What is in force where: targets as they are kept, and those that are for some of the nodes."""

from __future__ import annotations

import pytest

from config.effect import Target, first_in_line, place_in_line, read_target
from regions.codec import pack

NODES = tuple(f"n{number}" for number in range(50))


def test_targets_are_read_as_they_were_kept() -> None:
    whole, part = Target(4, "d", 7, 2, 9), Target(4, "d", 7, 2, 9, 1 << 47, 3, "old")
    for target in (whole, part):
        assert read_target(target.packed()) == target
    assert whole.packed() == pack([4, "d", 7, 2, 9]), "as earlier releases read it"
    for strange in ([], [4, "d", 7, 2], [4, "d", 7, 2, 9, 5], "target"):
        with pytest.raises(ValueError, match="target"):
            read_target(pack(strange))


@pytest.mark.parametrize(("percent", "count"), [(1, 1), (2, 1), (10, 5), (33, 17), (98, 49)])
def test_so_many_nodes_are_first_and_those_of_a_smaller_part_are_among_them(
    percent: int, count: int
) -> None:
    target = Target(4, "new", 1, 1, 1, first_in_line("flags", NODES, percent), 3, "old")
    runs = {node: target.at("flags", node) for node in NODES}
    first = {node for node, at in runs.items() if (at.version, at.digest) == (4, "new")}
    assert len(first) == count
    assert {(at.version, at.digest) for node, at in runs.items() if node not in first} == {
        (3, "old")
    }
    smaller = first_in_line("flags", NODES, max(1, percent // 2))
    assert {node for node in NODES if place_in_line("flags", node) <= smaller} <= first


def test_only_a_hundred_percent_are_all_nodes_whoever_is_yet_to_come() -> None:
    assert first_in_line("flags", NODES, 100) == first_in_line("flags", [], 50) == 0
    last = max(place_in_line("flags", node) for node in NODES)
    assert first_in_line("flags", NODES, 99) == last
    assert first_in_line("flags", ["n1"], 1) == place_in_line("flags", "n1")


def test_other_documents_have_other_nodes_first() -> None:
    first = {min(NODES, key=lambda node: place_in_line(f"d{n}", node)) for n in range(20)}
    assert len(first) > 5


def test_what_a_region_runs_when_nothing_is_tried() -> None:
    part = Target(4, "new", 1, 1, 1, 5, 3, "old")
    assert (part.settled, part.versions, part.is_for_all(4, "new")) == ((3, "old"), (4, 3), False)
    whole = Target(4, "new", 1, 1, 1)
    assert (whole.settled, whole.versions, whole.is_for_all(4, "new")) == ((4, "new"), (4,), True)
