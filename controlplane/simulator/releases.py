"""The rollouts of one simulation: who orders them, who carries them out, and who judges them."""

from __future__ import annotations

from controlplane.node.following import SYSTEM
from controlplane.simulator.checkers.findings import Findings
from controlplane.simulator.checkers.replay import Replay
from controlplane.simulator.fleet import Fleet
from controlplane.simulator.movers import run_rollouts
from controlplane.simulator.rollout_operator import DOCUMENTS, RolloutOperator
from controlplane.simulator.rollout_watch import RolloutWatch
from controlplane.simulator.witness import Witness

END_MS_MAX = 240_000  # so long what goes on, and what waits for it, may take when all is calm
REST_MS = 2_000
ROLLOUT = "rollout "
"""How endings are counted: this, and the phase."""


class Releases:
    """From the beginning of a run to its end."""

    def __init__(self, fleet: Fleet, witness: Witness, findings: Findings) -> None:
        self._fleet = fleet
        self._witness = witness
        self._findings = findings
        self.operator = RolloutOperator(fleet)
        run_rollouts(fleet, self.operator)
        self._watch = RolloutWatch(fleet, DOCUMENTS)
        self.operator.start()

    def _replay(self) -> Replay:
        return Replay(self._witness.logs.logs[SYSTEM].blobs)

    def end(self) -> None:
        """Let everything come to an end, with nothing in the way, and judge it."""
        world = self._fleet.world
        self.operator.stop()
        ends_ms = world.now_ms + END_MS_MAX
        if not self.operator.is_any_on():
            world.run_until(world.now_ms + REST_MS)  # what was asked for last may just begin
        while world.now_ms < ends_ms and self.operator.is_any_on():
            world.run_until(world.now_ms + REST_MS)
        world.run_until(world.now_ms + REST_MS)
        checker = self._watch.judge(self._replay(), self.operator.bad, self._findings)
        for each in checker.unfinished():
            detail = f"{each.id} of {each.document} is {each.phase}, {each.pause}"
            self._findings.add("a calm fleet finishes rollouts", world.now_ms, detail)
        for phase, count in checker.ended.items():
            self._fleet.happenings[f"{ROLLOUT}{phase}"] += count
