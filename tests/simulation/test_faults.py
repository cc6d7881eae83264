"""Every kind of fault breaks something and is mended, by itself or by calm."""

import pytest

from controlplane.simulator.faults import Faults
from controlplane.simulator.fleet import Fleet
from controlplane.simulator.scenario import ALL_FAULTS, PRESETS, preset
from controlplane.simulator.world import World
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


@pytest.mark.parametrize("kind", ALL_FAULTS)
def test_a_fleet_is_whole_when_calm_has_come(kind: str) -> None:
    world, fleet, faults = fleet_under(kind, per_minute=600)
    faults.start()
    world.run_until(4_000)
    assert faults.counts[kind] > 10
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
        assert set(scenario.faults) <= set(ALL_FAULTS)
        for group in scenario.groups:
            assert stores >= {*group.voters, *group.followers}
            assert len(group.voters) % 2 == 1
    assert preset("zone", minutes=3).minutes == 3
