"""A simulated fleet on which one change is made: three regions, two groups, and movers at work.

The seed says everything that happens until somebody interferes. So the same change can be made
again and again, and be disturbed each time at another of its steps.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias, cast

from controlplane.api.service import Service
from controlplane.machine import Happened
from controlplane.node import Node
from controlplane.node.following import SYSTEM
from controlplane.simulator.checkers.findings import Findings
from controlplane.simulator.checkers.replay import Replay
from controlplane.simulator.fleet import Fleet
from controlplane.simulator.liveness import FinalWrites
from controlplane.simulator.movers import Errand, run_movers, service_of
from controlplane.simulator.process import Process
from controlplane.simulator.runner import judge
from controlplane.simulator.scenario import GroupShape, Scenario
from controlplane.simulator.witness import Witness
from controlplane.simulator.workload import Workload
from controlplane.simulator.world import World

REGIONS = ("eu-central-1", "us-east-1", "ap-southeast-1")
EU, US, AP = REGIONS
TTL_MS = 2_000
WARM_MS = 18_000  # by then everybody is led at home, and trusted
AGAIN_MS = 1_000
STEP_MS = 250
SCENARIO = Scenario(
    name="steps",
    nodes=(("n1", EU), ("n2", US), ("n3", AP), ("n4", EU)),
    stores=(("s1", EU), ("s2", US), ("s3", AP), ("s4", EU), ("s5", US)),
    groups=(
        GroupShape("global", ("s1", "s2", "s3"), (), TTL_MS, REGIONS, 6),
        GroupShape("region/far", ("s3", "s4", "s5"), (), TTL_MS, REGIONS, 2),
    ),
    clients=3,
    operations_per_s=4.0,
    meddling=0.0,
    faults=(),
    jitter=0.1,
    loss=0.0,
    partitions=8,
)

Work: TypeAlias = Callable[[Service], Coroutine[Any, Any, bool]]
"""An order: whether it stands by now."""
Answered: TypeAlias = Callable[[Process], bool]


class Stage:
    """One fleet, warm, with clients at work."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        self.findings = Findings()
        self.fleet = Fleet(self.world, SCENARIO, Node)
        run_movers(self.fleet)
        self.witness = Witness(self.world, self.fleet, self.findings)
        self.workload = Workload(self.fleet)
        self.tenures: list[tuple[str, int, str, str]] = []  # shard, epoch, node, why: as opened
        self.fleet.on_happened = self._happened
        self.fleet.start_all()
        self.workload.start()
        self.run(WARM_MS)

    def _happened(self, process: Process, event: Happened) -> None:
        if event.kind == "elected":
            why = str(event.detail["why"])
            self.tenures.append((event.shard, event.epoch, process.name, why))

    def run(self, ms: int) -> None:
        """Let so much time pass."""
        self.world.run_until(self.world.now_ms + ms)

    def until(self, holds: Callable[[], bool], ms_max: int) -> bool:
        """Let time pass until something holds; whether it does."""
        ends_ms = self.world.now_ms + ms_max
        while not holds():
            if self.world.now_ms >= ends_ms:
                return False
            self.run(STEP_MS)
        return True

    # -- who is there

    def global_leader(self) -> Process | None:
        """The process that would answer for the system shard now."""
        return self.leader_of(SYSTEM)

    def leader_of(self, shard: str) -> Process | None:
        """The process that would answer for a shard now."""
        for process in self.fleet.processes.values():
            if any(claimed == shard for claimed, _, _ in self.witness.claims_of(process)):
                return process
        return None

    def leaders(self) -> dict[str, str]:
        """Who leads what."""
        return {
            shard: name
            for name, process in self.fleet.processes.items()
            for shard, _, _ in self.witness.claims_of(process)
        }

    def length(self, shard: str) -> int:
        """How many entries of a shard's log are decided."""
        return len(self.witness.logs.logs[shard])

    def replay(self, shard: str) -> Replay:
        """What a shard's log, which continues no other, has come to."""
        return Replay(self.witness.logs.logs[shard].blobs)

    # -- what operators do

    def order(self, work: Work) -> None:
        """Have the global leader do this; again, at whoever leads by then, until it is done."""
        done: list[bool] = []

        def attempt() -> None:
            process = self.global_leader()
            if done:
                return
            self.world.after(AGAIN_MS, attempt)
            if process is not None and not process.paused:
                Errand(self.world, process, work(service_of(self.fleet, process)), ended)

        def ended(outcome: bool | None) -> None:
            if outcome:
                done.append(True)

        attempt()

    def order_at(self, answered: Answered) -> None:
        """Say this to the process of the global leader, until it is taken to be done."""
        process = self.global_leader()
        if process is None or process.paused or not answered(process):
            self.world.after(AGAIN_MS, self.order_at, answered)

    # -- the end

    def judge(self) -> None:
        """Let everything come to rest, and have every checker look."""
        self.workload.stop()
        final = FinalWrites(self.workload)
        final.start()
        self.run(5 * TTL_MS)
        judge(self.world, self.fleet, self.workload, self.witness, final, self.findings)


def node_of(process: Process) -> Node:
    """The machine in a process."""
    return cast(Node, process.node)
