"""Where the map places a shard is written into its group's stores once, by the first candidate."""

from collections import Counter

from controlplane.node_plan import ShardSeed
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
