"""Which shards are asked for most, and that these are the first to be led again."""

from controlplane.node.demand import HALVE_EVERY_MS, Demand
from tests.node.rig import Rig

SHARDS = tuple(f"s{number:03}" for number in range(40))


def test_the_busiest_come_first_and_the_others_by_name() -> None:
    demand = Demand()
    for shard in ("c", "b", "c", "c", "b"):
        demand.asked(shard)
    assert demand.busiest_first({"a", "b", "c", "d"}) == ["c", "b", "a", "d"]


def test_old_requests_are_forgotten() -> None:
    demand = Demand()
    for shard in ("b", "c", "c"):
        demand.asked(shard)
    demand.advance(0)
    demand.asked("b")
    demand.asked("b")
    assert demand.busiest_first("abc") == ["b", "c", "a"]
    for now_ms in range(0, 4 * HALVE_EVERY_MS, HALVE_EVERY_MS):
        demand.advance(now_ms)
    assert demand.busiest_first("abc") == ["a", "b", "c"]


def test_after_a_crash_shards_that_clients_wait_for_are_stood_for_first() -> None:
    rig = Rig(("n1", "n2"), shards=SHARDS)
    n1, n2 = rig.seats["n1"], rig.seats["n2"]
    rig.until(lambda: all(n1.serves(shard) for shard in SHARDS))
    del rig.seats["n1"]
    for shard in ("s031", "s017", "s031"):
        n2.get(shard, "key", consistency="strong")
    asked: list[str] = []
    rig.on_call = lambda _store, commands: asked.extend(
        command[3] for command in commands if command[0] == "prepare"
    )
    rig.until(lambda: all(n2.serves(shard) for shard in SHARDS))
    in_order = list(dict.fromkeys(asked))
    assert in_order[:2] == ["s031", "s017"]
    assert in_order[2:] == sorted(set(SHARDS) - {"s031", "s017"})
