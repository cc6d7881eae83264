"""What one node shows of the fleet."""

from tests.node.rig import Rig


def test_a_store_is_shown_with_what_a_round_trip_takes_mostly_and_at_worst() -> None:
    rig = Rig()
    n1 = rig.seats["n1"]
    rig.until(lambda: n1.serves("a"))
    rig.run(5 * rig.ttl_ms)
    for _ in range(4):
        rig.mute("n1", "s1")
        rig.run(60)
        rig.let("n1", "s1")
        rig.run(rig.ttl_ms)
    slow, fast, _ = n1.node.fleet(rig.now_ms).stores
    assert (slow.round_trip_ms, fast.round_trip_ms, fast.round_trip_p99_ms) == (0, 0, 0)
    assert slow.round_trip_p99_ms is not None
    assert 20 <= slow.round_trip_p99_ms <= 60
    rig.disconnect("n1", "s1")
    rig.turn(n1)
    down = n1.node.fleet(rig.now_ms).stores[0]
    assert (down.round_trip_ms, down.round_trip_p99_ms) == (None, None)
