"""Many shards to be led at once, by stores that have their work to do: no renewal waits for it."""

from dataclasses import replace

import pytest

from controlplane.machine import Drop, Effect
from controlplane.node import Node
from controlplane.simulator.fleet import Fleet
from controlplane.simulator.scenario import Scenario, zone
from controlplane.simulator.world import World

SHARDS = 600
TTL_MS = 1_000
BYTES_PER_MS = 200  # about one command: these stores are some twenty times as slow as real ones
LED_MS_MAX = 25_000

dropped: list[str] = []


class WatchedNode(Node):
    """Remembers which lanes were given up for want of an answer."""

    def take(self, now_ms: int) -> list[Effect]:
        effects = super().take(now_ms)
        dropped.extend(effect.store for effect in effects if isinstance(effect, Drop))
        return effects


def calm_zone() -> Scenario:
    scenario = zone()
    group = replace(scenario.groups[0], shards=SHARDS, ttl_ms=TTL_MS)
    return replace(scenario, groups=(group,), drift_ppm_max=0, loss=0.0)


def led(fleet: Fleet) -> int:
    return sum(
        len(process.node.lease_claims(process.clock.now_ms()))
        for process in fleet.processes.values()
    )


def run_until_all_are_led(fleet: Fleet, ms_max: int) -> int:
    began_ms = fleet.world.now_ms
    while led(fleet) < SHARDS + 1:  # and the system's
        took_ms = fleet.world.now_ms - began_ms
        assert took_ms < ms_max, f"{led(fleet)} of {SHARDS} are led after {took_ms} ms"
        fleet.world.run_until(fleet.world.now_ms + 100)
    return fleet.world.now_ms - began_ms


@pytest.fixture
def fleet() -> Fleet:
    dropped.clear()
    world = World(7)
    made = Fleet(world, calm_zone(), WatchedNode)
    for store in made.stores.values():
        store.bytes_per_ms = BYTES_PER_MS
    made.start_all()
    return made


def test_a_first_start_and_a_mass_failover_at_slow_stores_miss_no_renewal(fleet: Fleet) -> None:
    run_until_all_are_led(fleet, LED_MS_MAX)
    assert fleet.happenings["elected"] < SHARDS * 1.1  # few candidates get in each other's way
    victim = max(
        fleet.processes, key=lambda name: len(fleet.processes[name].node.lease_claims(10**9))
    )
    fleet.crash_node(victim)
    run_until_all_are_led(fleet, LED_MS_MAX)
    assert dropped == []
    assert fleet.happenings["lease-expired"] == 0
    assert fleet.happenings["session-dead"] == 0
