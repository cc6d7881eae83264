"""What a process measures while it is away itself, and what it takes for the network."""

import pytest

from tests.node.rig import Rig, Seat
from tests.node.test_serving import led_rig


def warnings(seat: Seat) -> list[str]:
    return [event.kind for event in seat.happened if event.kind == "unsafe-ttl"]


def sleep(rig: Rig, seat: Seat, ms: int) -> None:
    """Calls are under way when it falls asleep, and answered long before it wakes up."""
    asked = sum(len(wire.requests) for wire in seat.wires.values())
    rig.hold(seat.plan.node, *rig.stores)
    rig.until(lambda: sum(len(wire.requests) for wire in seat.wires.values()) > asked)
    seat.asleep = True
    rig.let(seat.plan.node, *rig.stores)
    rig.run(ms)
    seat.asleep = False


@pytest.mark.parametrize("ms", [150, 1_500])
def test_a_pause_of_its_own_is_no_round_trip(ms: int) -> None:
    rig, n1 = led_rig()
    for _ in range(10):
        sleep(rig, n1, ms)
        rig.run(200)
    assert warnings(n1) == []
    assert max(lane.round_trip.p99_ms for lane in n1.node.lanes.values()) < 10


def test_stores_that_are_slow_make_a_lease_unsafe() -> None:
    rig, n1 = led_rig()
    for _ in range(10):
        rig.mute("n1", *rig.stores)
        rig.run(150)
        rig.let("n1", *rig.stores)
        rig.run(100)
    assert warnings(n1) == ["unsafe-ttl"]


def test_a_lane_is_not_given_up_before_what_came_meanwhile_was_heard() -> None:
    rig, n1 = led_rig()
    generations = {store: lane.generation for store, lane in n1.node.lanes.items()}
    asked = sum(len(wire.requests) for wire in n1.wires.values())
    rig.hold("n1", *rig.stores)
    rig.until(lambda: sum(len(wire.requests) for wire in n1.wires.values()) > asked)
    n1.asleep = True
    rig.now_ms += 600
    n1.asleep = False
    rig.turn(n1)  # it wakes up before anything that waits for it was read
    rig.let("n1", *rig.stores)
    rig.run(10)
    assert {store: lane.generation for store, lane in n1.node.lanes.items()} == generations
