"""Leaders come home: soon after their region heals, and not while it comes and goes."""

from __future__ import annotations

import pytest

from controlplane.node import Node
from controlplane.node.homecoming import PATIENCE_MS
from controlplane.node.trust import STABLE_MS, SUSPECT_MS
from controlplane.simulator.checkers.findings import Findings
from controlplane.simulator.fleet import Fleet
from controlplane.simulator.scenario import GroupShape, Scenario
from controlplane.simulator.witness import Witness
from controlplane.simulator.world import World

REGIONS = ("eu-central-1", "us-east-1", "ap-southeast-1")
HOME = REGIONS[0]
SHARDS = 3  # each prefers another region
TTL_MS = 2_000
STEP_MS = 500
TIMES = 4
FLAPPING = Scenario(
    name="flapping",
    nodes=tuple((f"{region}-n{n}", region) for region in REGIONS for n in (1,)),
    stores=tuple((f"{region}-s", region) for region in REGIONS),
    groups=(GroupShape("global", tuple(f"{r}-s" for r in REGIONS), (), TTL_MS, REGIONS, SHARDS),),
    jitter=0.1,
    loss=0.0,
)


class Watched:
    """A fleet whose home region is made to come and go."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        self.fleet = Fleet(self.world, FLAPPING, Node)
        self.findings = Findings()
        self.witness = Witness(self.world, self.fleet, self.findings)
        self.home_nodes = [name for name, region in FLAPPING.nodes if region == HOME]
        self.fleet.start_all()
        self.run(30_000)

    def run(self, ms: int) -> None:
        self.world.run_until(self.world.now_ms + ms)

    def at_home(self) -> int:
        """Shards that home leads."""
        return len(
            {
                shard
                for name, process in self.fleet.processes.items()
                if name in self.home_nodes
                for shard, _, _ in self.witness.claims_of(process)
                if shard != "system"
            }
        )

    def away(self, how: str) -> None:
        for name in self.home_nodes:
            if how == "crashes":
                self.fleet.crash_node(name)
            else:
                self.fleet.processes[name].pause()

    def back(self, how: str) -> None:
        for name in self.home_nodes:
            if how == "crashes":
                self.fleet.start_node(name)
            else:
                self.fleet.processes[name].resume()

    def ms_until_home(self, ms_max: int) -> int | None:
        began_ms = self.world.now_ms
        while self.world.now_ms - began_ms < ms_max:
            if self.at_home() == 1:
                return self.world.now_ms - began_ms
            self.run(STEP_MS)
        return None


@pytest.mark.parametrize("seed", [1, 2])
def test_leaders_are_back_soon_after_their_region_is(seed: int) -> None:
    watched = Watched(seed)
    assert watched.at_home() == 1
    watched.away("crashes")
    watched.run(10_000)
    assert watched.at_home() == 0
    watched.back("crashes")
    took_ms = watched.ms_until_home(60_000)
    assert took_ms is not None
    assert STABLE_MS - 1_000 <= took_ms <= STABLE_MS + PATIENCE_MS + 6_000
    assert not watched.findings.violations


@pytest.mark.parametrize("seed", [1])
def test_a_region_that_comes_and_goes_is_trusted_more_slowly_each_time(seed: int) -> None:
    watched = Watched(seed)
    homecomings = []
    for _ in range(TIMES):
        watched.away("crashes")
        watched.run(8_000)
        watched.back("crashes")
        watched.run(STABLE_MS + PATIENCE_MS + 4_000)  # long enough for one that never did it before
        homecomings.append(watched.at_home())
    assert homecomings == [1, 0, 0, 0], "the first time, and not soon again"
    assert watched.ms_until_home(20 * 60_000) is not None, "and it does come home in the end"
    assert not watched.findings.violations


def test_a_region_that_was_silent_is_given_nothing_for_a_while() -> None:
    watched = Watched(3)
    watched.away("pauses")
    watched.run(10_000)
    watched.back("pauses")
    took_ms = watched.ms_until_home(3 * SUSPECT_MS)
    assert took_ms is not None
    assert SUSPECT_MS - 2_000 <= took_ms <= SUSPECT_MS + 8_000
    assert not watched.findings.violations
