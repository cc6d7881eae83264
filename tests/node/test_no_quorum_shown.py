"""What nodes show of shards whose stores are gone: that they are not led, and why."""

from tests.node.rig import Rig
from tests.node.test_global_leader import fleet


def shown(rig: Rig) -> list[tuple[str, str, int, int, bool]]:
    """State of one shard, why, how many shards are led in all and in the group, and whether anybody
    leads the whole: per node."""
    found = []
    for seat in rig.seats.values():
        view, page = seat.node.shard_view("a", rig.now_ms), seat.node.fleet(rig.now_ms)
        assert view is not None
        led = page.shards_led, page.groups[0].led, page.global_leader is not None
        found.append((view.state, view.why, *led))
    return found


def test_shards_without_a_majority_of_stores_are_led_at_no_node() -> None:
    rig = fleet()
    rig.run(rig.ttl_ms)
    assert shown(rig) == [("led", "", 3, 3, True)] * 2
    for node in rig.seats:
        for store in ("s2", "s3"):
            rig.disconnect(node, store)
    rig.run(2 * rig.ttl_ms)
    assert shown(rig) == [("unavailable", "1 of 3 stores reachable, 2 needed", 0, 0, False)] * 2
    for node in rig.seats:
        for store in ("s2", "s3"):
            rig.connect(node, store)
    rig.until(lambda: shown(rig) == [("led", "", 3, 3, True)] * 2)
