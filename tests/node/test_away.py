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


@pytest.mark.parametrize("ms", [90, 120, 150, 1_500])
def test_a_pause_of_its_own_is_no_round_trip(ms: int) -> None:
    rig, n1 = led_rig()
    for _ in range(10):
        sleep(rig, n1, ms)
        rig.run(200)
    assert warnings(n1) == []
    assert max(lane.round_trip.p99_ms for lane in n1.node.lanes.values()) < 10


@pytest.mark.parametrize("apart_ms", [10, 40, 100])
def test_a_process_that_is_stopped_again_and_again_needs_no_longer_lease(apart_ms: int) -> None:
    rig, n1 = led_rig(ttl_ms=600)
    for _ in range(60):
        sleep(rig, n1, 95)
        rig.run(apart_ms)
    need_ms = n1.node.lease_needs.need_ms(n1.group)
    assert need_ms is not None
    assert need_ms <= rig.ttl_ms


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


def test_a_store_that_is_gone_when_a_process_wakes_up_is_given_up_all_the_same() -> None:
    rig, n1 = led_rig()
    generation = n1.node.lanes["s1"].generation
    asked = len(n1.wires["s1"].requests)
    rig.hold("n1", "s1")
    rig.until(lambda: len(n1.wires["s1"].requests) > asked)
    n1.asleep = True
    rig.run(5_000)
    n1.asleep = False
    rig.run(200)
    assert n1.node.away_until_ms < rig.now_ms - 100, "it has been awake since"
    rig.until(lambda: n1.node.lanes["s1"].generation > generation, ms_max=1_000)
