"""Every kind of fault breaks something and is mended, by itself or by calm."""

from collections.abc import Callable

import pytest

from controlplane.simulator.faults import Faults
from controlplane.simulator.fleet import Fleet
from controlplane.simulator.scenario import ALL_FAULTS, PRESETS, preset
from controlplane.simulator.world import World
from regions.codec import Code
from tests.simulation.fakes import FakeNode, small_scenario

TTL_MS = 600


def fleet_under(kind: str, per_minute: float) -> tuple[World, Fleet, Faults]:
    """A fleet of fakes that suffers one kind of fault."""
    world = World(5)
    fleet = Fleet(world, small_scenario(faults=(kind,), faults_per_minute=per_minute), FakeNode)
    fleet.start_all()
    world.run_until(500)
    return world, fleet, Faults(fleet)


def is_whole(fleet: Fleet) -> bool:
    """Whether everything runs and reaches everything."""
    places = [*fleet.stores, "n1", "n2"]
    return (
        sorted(fleet.processes) == ["n1", "n2"]
        and not any(process.paused for process in fleet.processes.values())
        and all(
            store.up and not store.slowness_ms and not store.memory_percent
            for store in fleet.stores.values()
        )
        and not any(fleet.network.is_blocked(a, b) for a in places for b in places)
        and not fleet.deaf
    )


EVERY_FAULT = (
    *ALL_FAULTS, "step clock", "wipe store", "change stores", "change lease", "reshard",
    "rest copies", "strike global leader", "cut off region",
)  # fmt: skip


@pytest.mark.parametrize("kind", ALL_FAULTS)
def test_a_fleet_is_whole_when_calm_has_come(kind: str) -> None:
    world, fleet, faults = fleet_under(kind, per_minute=600)
    faults.start()
    world.run_until(4_000)
    assert faults.counts[kind] > 3
    faults.calm()
    world.run_until(4_000 + 20 * TTL_MS)
    assert is_whole(fleet)
    struck = faults.counts[kind]
    world.run_until(world.now_ms + 10_000)
    assert faults.counts[kind] == struck
    if kind == "break connection unnoticed":
        return  # whoever has no time-outs, as these nodes, waits for ever
    answered = {name: len(p.node.events) for name, p in fleet.processes.items()}  # type: ignore[attr-defined]
    world.run_until(world.now_ms + 1_000)
    for name, process in fleet.processes.items():
        assert len(process.node.events) > answered[name] + 10  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "kind", ["crash node", "pause node", "cut one way", "crash store", "full store"]
)
def test_a_fault_ends_by_itself(kind: str) -> None:
    world, fleet, faults = fleet_under(kind, per_minute=12)
    faults.start()
    broken = mended = 0
    for _ in range(3_000):
        world.run_until(world.now_ms + 10)
        if is_whole(fleet):
            mended += 1
        else:
            broken += 1
    assert broken > 50
    assert mended > 50


def test_scenarios_name_only_faults_and_stores_that_there_are() -> None:
    for name in PRESETS:
        scenario = preset(name)
        stores = {store for store, _ in scenario.stores}
        assert set(scenario.faults) <= set(EVERY_FAULT)
        for group in scenario.groups:
            assert stores >= {*group.voters, *group.followers}
            assert len(group.voters) % 2 == 1
    assert preset("zone", minutes=3).minutes == 3


def test_half_of_the_seeds_have_faults_of_few_kinds() -> None:
    kinds = []
    for seed in range(40):
        world = World(seed)
        fleet = Fleet(world, small_scenario(faults=ALL_FAULTS, faults_per_minute=6_000), FakeNode)
        fleet.start_all()
        faults = Faults(fleet)
        faults.start()
        world.run_until(2_000)
        kinds.append(len(faults.counts))
    few = [number for number in kinds if number <= 5]
    assert 10 < len(few) < 30
    assert max(kinds) == len(ALL_FAULTS)


def test_a_flapping_link_is_cut_again_and_again() -> None:
    world, fleet, faults = fleet_under("flap link", per_minute=12)
    faults.start()
    changes = 0
    was_blocked = False
    while not faults.counts:
        world.run_until(world.now_ms + 1)
    for _ in range(3 * TTL_MS):
        world.run_until(world.now_ms + 1)
        blocked = any(fleet.network.is_blocked(n, s) for n in ("n1", "n2") for s in fleet.stores)
        changes += blocked != was_blocked
        was_blocked = blocked
    assert changes >= 2 * 3 - 1


@pytest.mark.parametrize(
    ("kind", "is_down"),
    [
        ("restart all nodes", lambda fleet: not fleet.processes),
        ("restart all stores", lambda fleet: not any(s.up for s in fleet.stores.values())),
    ],
)
def test_a_storm_takes_all_of_them_at_once(kind: str, is_down: Callable[[Fleet], bool]) -> None:
    world, fleet, faults = fleet_under(kind, per_minute=60)
    faults.start()
    while not faults.counts:
        world.run_until(world.now_ms + 1)
    down = 0
    for _ in range(100):
        world.run_until(world.now_ms + 1)
        down += is_down(fleet)
    assert down > 10


def test_a_bent_clock_runs_at_another_rate_and_a_stepped_one_is_ahead() -> None:
    for kind, most_ms in (("bend clock", 40), ("step clock", 3_000)):
        world = World(5)
        scenario = small_scenario(faults=(kind,), faults_per_minute=60, drift_ppm_max=10_000)
        fleet = Fleet(world, scenario, FakeNode)
        fleet.start_all()
        world.run_until(500)
        clocks = {name: process.clock for name, process in fleet.processes.items()}
        began = {name: clock.now_ms() for name, clock in clocks.items()}
        faults = Faults(fleet)
        faults.start()
        world.run_until(4_500)
        assert faults.counts[kind] > 1
        off = [abs(clocks[name].now_ms() - began[name] - 4_000) for name in clocks]
        assert max(off) <= most_ms * faults.counts[kind]
        assert max(off) > 3


def test_a_wiped_store_refuses_everybody_and_a_majority_remembers() -> None:
    world, fleet, faults = fleet_under("wipe store", per_minute=600)
    faults.start()
    world.run_until(3_000)
    (wiped,) = fleet.wiped
    assert faults.counts["wipe store"] == 1
    codes = [process.node.codes(wiped) for process in fleet.processes.values()]  # type: ignore[attr-defined]
    assert all(of_node[-1] == Code.EMPTY for of_node in codes)
    fleet.crash_node("n1")
    fleet.start_node("n1")
    world.run_until(4_000)
    assert set(fleet.processes["n1"].node.codes(wiped)) == {Code.EMPTY}  # type: ignore[attr-defined]
