"""A store that was away is brought along in pieces: what was ordered and taken back meanwhile, in
different pieces of one gap, is never in force at a node that reads there."""

from __future__ import annotations

from typing import cast

import pytest

from config.document import canonical
from config.effect import PARTITION, Target, live_key, target_key
from config.revision import Revision
from controlplane.machine import Happened
from controlplane.node import Node
from controlplane.node.following import SYSTEM
from controlplane.requests import Outcome, Put, Write, Written
from controlplane.simulator.fleet import Fleet
from controlplane.simulator.process import Process
from controlplane.simulator.scenario import GroupShape, Scenario
from controlplane.simulator.world import World

EU, US, AP, AF = "eu-central-1", "us-east-1", "ap-southeast-1", "af-south-1"
AWAY = "s4"
FILLING_BYTES = 100_000
SCENARIO = Scenario(
    name="gaps",
    nodes=(("n1", EU), ("n2", US), ("n3", AP), ("n4", AF)),
    stores=(("s1", EU), ("s2", US), ("s3", AP), (AWAY, AF)),
    groups=(GroupShape("global", ("s1", "s2", "s3"), (AWAY,), 2_000, (EU, US, AP), 1),),
    jitter=0.0,
    loss=0.0,
)
ONE, TWO = (Revision("free", number, canonical({"n": number})) for number in (1, 2))


class Gap:
    """A fleet with one region whose store is cut off from all nodes but its own."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        self.fleet = Fleet(self.world, SCENARIO, Node)
        self.told: list[tuple[str, int]] = []
        self.fleet.on_happened = self._happened
        self.fleet.start_all()
        self.run(15_000)

    def _happened(self, process: Process, event: Happened) -> None:
        if event.kind == "document-applied":
            self.told.append((process.name, int(event.detail["version"])))

    def run(self, ms: int) -> None:
        self.world.run_until(self.world.now_ms + ms)

    def write(self, *puts: Put) -> None:
        """One entry of the system shard, at whoever leads it."""
        outcomes: list[Outcome] = []
        leader = next(
            process
            for process in self.fleet.processes.values()
            if SYSTEM in {shard for shard, *_ in process.node.lease_claims(process.clock.now_ms())}
        )
        leader.request(Write(SYSTEM, puts), lambda outcome, _: outcomes.append(outcome))
        while not outcomes:
            self.run(10)
        assert isinstance(outcomes[0], Written), outcomes

    def order(self, revision: Revision, step: int) -> None:
        target = Target(revision.version, revision.digest, 1, step, 1)
        live = Put(PARTITION, live_key("free", revision.version), revision.packed())
        self.write(live, Put(PARTITION, target_key("free"), target.packed()))

    def fill(self) -> None:
        """More than travels at once."""
        for number in range(4):
            self.write(Put("filling", f"{{filling}}/{number}", b"x" * FILLING_BYTES))

    def cut(self) -> None:
        for node, _ in SCENARIO.nodes[:3]:
            self.fleet.network.cut(node, AWAY)
            self.fleet.network.cut(AWAY, node)

    def away(self) -> Node:
        return cast(Node, self.fleet.processes["n4"].node)

    def runs(self) -> int:
        found = self.away().feed.in_force("free")
        return 0 if found is None else found.version

    def ordered_and_taken_back(self) -> None:
        """While the store is away."""
        self.order(ONE, 1)
        self.run(2_000)
        assert self.runs() == 1
        self.cut()
        self.run(10_000)  # no connection is left that may still deliver something
        self.order(TWO, 2)
        self.fill()
        self.order(ONE, 3)
        self.told.clear()
        self.run(3_000)
        assert self.runs() == 1


@pytest.mark.parametrize("seed", range(3))
def test_what_was_taken_back_in_the_same_gap_is_not_taken_up(seed: int) -> None:
    gap = Gap(seed)
    gap.ordered_and_taken_back()
    gap.fleet.network.heal_all()
    gap.run(5_000)
    assert ("n4", 2) not in gap.told
    assert (gap.runs(), gap.away().documents.target("free")) == (1, Target(1, ONE.digest, 1, 3, 1))


def test_a_node_that_begins_in_the_gap_does_not_take_it_up_either() -> None:
    gap = Gap(1)
    gap.ordered_and_taken_back()
    gap.fleet.crash_node("n4")
    gap.fleet.network.heal_all()
    gap.fleet.start_node("n4")
    had: set[int] = set()
    for _ in range(600):
        gap.run(10)
        had.add(gap.runs())
    assert had == {0, 1}


def test_a_node_that_begins_while_nobody_brings_the_rest_takes_up_what_there_is() -> None:
    """Better what may have been taken back than nothing at all, for as long as the region is cut
    off."""
    gap = Gap(1)
    gap.ordered_and_taken_back()
    gap.fleet.network.heal_all()
    state = gap.fleet.stores[AWAY].twin.state.groups["global"]
    while state.shards[SYSTEM].lc <= state.shards[SYSTEM].cm:
        gap.run(1)
    gap.cut()
    gap.fleet.crash_node("n4")
    gap.fleet.start_node("n4")
    gap.run(5_000)
    assert gap.runs() == 0
    gap.run(10_000)
    assert gap.runs() == 2
