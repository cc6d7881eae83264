"""Virtual time, clocks, links and pipes, by themselves."""

from itertools import pairwise

import pytest

from controlplane.simulator.network import Network, Pipe
from controlplane.simulator.scenario import preset, round_trips
from controlplane.simulator.world import SimulatedClock, World


def network_of(world: World, jitter: float = 0.0, loss: float = 0.0) -> Network:
    """Two places, 10 ms apart there and back."""
    return Network(world, {"a": "r", "b": "r"}, {("r", "r"): 10.0}, jitter, loss)


def test_things_happen_in_order_of_time_and_then_of_planning() -> None:
    world, seen = World(1), []
    world.after(5, seen.append, "later")
    world.after(1, seen.append, "first")
    world.after(5, seen.append, "after later")
    world.run_until(4)
    assert (seen, world.now_ms) == (["first"], 4)
    world.run_until(10)
    assert (seen, world.now_ms) == (["first", "later", "after later"], 10)


def test_what_happens_may_plan_more_in_the_same_millisecond() -> None:
    world, seen = World(1), []
    world.after(3, lambda: world.after(0, seen.append, world.now_ms))
    world.run_until(3)
    assert seen == [3]


def test_streams_of_chance_depend_on_seed_and_name_alone() -> None:
    first, second = World(7), World(7)
    second.chance("other").random()
    assert first.chance("network").random() == second.chance("network").random()
    assert first.chance("network").random() != first.chance("faults").random()
    assert World(8).chance("network").random() != World(7).chance("network").random()


def test_the_trace_depends_on_what_is_noted_and_when() -> None:
    def trace(at_ms: int, word: str) -> str:
        world = World(1)
        world.after(at_ms, world.note, word)
        world.run_until(100)
        return world.trace_hash

    assert trace(5, "x") == trace(5, "x")
    assert len({trace(5, "x"), trace(6, "x"), trace(5, "y")}) == 3


@pytest.mark.parametrize("drift_ppm", [-10_000, -1, 0, 333, 10_000])
def test_a_clock_shows_a_reading_exactly_after_the_delay_it_names(drift_ppm: int) -> None:
    world = World(1)
    world.run_until(12_345)
    clock = SimulatedClock(world, 777, drift_ppm)
    assert clock.now_ms() == 777
    for until_ms in (778, 1_000, 5_432):
        delay_ms = clock.world_delay_ms(until_ms)
        world.run_until(world.now_ms + delay_ms - 1)
        assert clock.now_ms() < until_ms
        world.run_until(world.now_ms + 1)
        assert clock.now_ms() >= until_ms
        assert clock.world_delay_ms(until_ms) == 0


def test_a_pipe_keeps_its_order_whatever_the_delays() -> None:
    world, seen = World(3), []
    pipe = Pipe(world, network_of(world, jitter=5.0), "a", "b", seen.append)
    for number in range(200):
        world.after(number, pipe.put, number)
    world.run_until(5_000)
    assert seen == list(range(200))


def test_datagrams_are_lost_and_overtake_each_other() -> None:
    world, seen = World(3), []
    network = network_of(world, jitter=5.0, loss=0.2)
    for number in range(200):
        world.after(number, network.datagram, "a", "b", seen.append, number)
    world.run_until(5_000)
    assert 120 < len(seen) < 190
    assert any(one > next_one for one, next_one in pairwise(seen))


def test_a_cut_loses_datagrams_and_holds_connections_back() -> None:
    world, seen = World(1), []
    network = network_of(world)
    pipe = Pipe(world, network, "a", "b", seen.append)
    network.cut("a", "b")
    network.datagram("a", "b", seen.append, "datagram")
    pipe.put("one")
    pipe.put("two")
    world.run_until(1_000)
    assert seen == []
    network.heal("a", "b")
    world.run_until(2_000)
    assert seen == ["one", "two"]


def test_cuts_are_counted_and_go_one_way() -> None:
    network = network_of(World(1))
    network.cut("a", "b")
    network.cut("a", "b")
    network.heal("a", "b")
    assert network.is_blocked("a", "b")
    assert not network.is_blocked("b", "a")
    network.heal("a", "b")
    network.heal("a", "b")
    assert not network.is_blocked("a", "b")


def test_a_closed_pipe_returns_what_was_inside_and_stays_silent() -> None:
    world, seen = World(1), []
    pipe = Pipe(world, network_of(world), "a", "b", seen.append)
    pipe.put("one")
    world.run_until(10)
    pipe.put("two")
    pipe.put("three")
    assert pipe.close() == [("two",), ("three",)]
    world.run_until(1_000)
    assert seen == ["one"]


def test_a_clock_that_is_bent_or_stepped_goes_on_from_where_it_was() -> None:
    world = World(1)
    clock = SimulatedClock(world, 1_000, 0)
    world.run_until(500)
    clock.bend(-500_000)
    assert clock.now_ms() == 1_500
    world.run_until(700)
    assert clock.now_ms() == 1_600
    assert clock.world_delay_ms(1_700) == 200
    clock.step(5_000)
    assert clock.now_ms() == 6_600
    world.run_until(900)
    assert clock.now_ms() == 6_700


def test_the_shortest_way_is_not_always_the_direct_one() -> None:
    scenario = preset("world")
    apart = round_trips(set(scenario.region_of().values()))
    (here, over, there) = scenario.groups[0].stands_in
    assert apart[here, there] > 1.3 * (apart[here, over] + apart[over, there])
    network = Network(World(1), scenario.region_of(), apart, 0.0, 0.0)
    assert network.delay_ms("n1", "s3") == round(apart[here, there] / 2)
