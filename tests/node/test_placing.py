"""Where the map places a shard is written into its group's stores once, by the first candidate."""

from collections import Counter

import pytest

from controlplane.node.directory import MapRow
from controlplane.node_plan import ShardSeed
from regions.codec import pack, unpack
from tests.node.rig import Rig

SHARDS = tuple(f"s{number:03}" for number in range(60))
SEEDS = tuple(ShardSeed(name, "global", i, i + 1, ("eu",)) for i, name in enumerate(SHARDS))


def test_each_shard_of_a_new_map_is_placed_by_one_node() -> None:
    rig = Rig(("n1", "n2", "n3"), shards=(), group="global", seeds=SEEDS)
    placed: Counter[str] = Counter()
    rig.on_call = lambda _store, commands: placed.update(
        command[3] for command in commands if command[0] == "place" and command[3] != "system"
    )
    leads = [seat.node.groups["global"].led for seat in rig.seats.values()]
    rig.until(lambda: sum(map(len, leads)) == len(SHARDS) + 1)
    assert placed == dict.fromkeys(SHARDS, len(rig.stores))


def test_what_the_first_candidate_does_not_place_another_one_does() -> None:
    rig = Rig(("n1", "n2"), shards=(), group="global", seeds=SEEDS)
    n1, n2 = (rig.seats[name] for name in ("n1", "n2"))
    n1.node.directory.advance = lambda now_ms: None  # type: ignore[method-assign]
    rig.until(lambda: len(n2.node.directory.rows) == len(SHARDS))
    seen = [n2.group.sighted(shard) for shard in SHARDS]
    rig.run(rig.ttl_ms)
    assert 0 < sum(one.placement_rev > 0 for one in seen) < len(SHARDS)
    rig.until(lambda: all(one.placement_rev > 0 for one in seen))


def test_a_preferred_node_is_read_as_it_is_kept_and_by_older_nodes_as_a_region_without_nodes() -> (
    None
):
    row = MapRow("a", "g", 0, 9, ("us", "eu"), 3, "us-n2")
    assert MapRow.read("{map}/a", row.packed(), 3) == row
    assert unpack(row.packed()) == ["g", 0, 9, ["node/us-n2", "us", "eu"]]
    # An older node prefers another region, and keeps what it takes for one behind it.
    moved = pack(["g", 0, 9, ["eu", "node/us-n2", "us"]])
    assert MapRow.read("{map}/a", moved, 4) == MapRow("a", "g", 0, 9, ("eu", "us"), 4)


@pytest.mark.parametrize("kept", [[["eu"], "n2"], [["node/n2", "eu"], ""]])
def test_a_node_that_is_preferred_leads_in_its_region_while_it_lives(kept: list[object]) -> None:
    rig = Rig(("n1", "n2", "n3"))
    for store in rig.stores:
        rig.do(store, "place", "a", 2, pack(kept))
    rig.until(lambda: rig.seats["n2"].serves("a"))
    assert {seat.group.sighted("a").regions for seat in rig.seats.values()} == {("eu",)}
    del rig.seats["n2"]
    rig.until(lambda: any(seat.serves("a") for seat in rig.seats.values()))


def test_the_region_comes_before_the_node() -> None:
    sighted = Rig(("n1",)).seats["n1"].group.sighted("a")
    sighted.regions, sighted.pin = ("us", "eu"), "eu-n1"
    alive = [("eu-n1", "eu"), ("eu-n2", "eu"), ("us-n1", "us")]
    desk = Rig(("n1",)).seats["n1"].node.standing["g"]
    desk._alive = alive
    assert desk.order(sighted)[:2] == ["us-n1", "eu-n1"]
