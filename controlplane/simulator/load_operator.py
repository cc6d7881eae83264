"""Who orders splits and merges by load in the simulation: the machines of the global leader.

Beside a real node, a loop shows them the fleet (controlplane/planning/resharder); here, that is
whichever process collects what leaders tell. Another one begins anew, as a real one would. The one
rule that it must keep is checked: what came of a resharding is left alone for its cool-down.
"""

from __future__ import annotations

from controlplane.planning.admission import Admission
from controlplane.planning.limits import limits_of
from controlplane.planning.load_orders import LoadOrders
from controlplane.planning.proceedings import NodeSeen, NodesSeen, Reported
from controlplane.planning.splitting import Due, ShardSeen
from controlplane.requests import Outcome, Refused
from controlplane.simulator.checkers.findings import Findings
from controlplane.simulator.fleet import Fleet
from controlplane.simulator.process import Process

LOOK_MS = 1_000
BYTES_MAX = 1 << 30


class LoadOperator:
    """Looks again and again, until it is told to stop."""

    def __init__(self, fleet: Fleet, findings: Findings) -> None:
        self._fleet = fleet
        self._findings = findings
        self._stopped = False
        self._process: Process | None = None
        self._orders = LoadOrders()
        self._admission = Admission(limits_of({}), 0)
        self._ordered_ms: dict[int, int] = {}  # when each resharding was first seen anywhere

    def start(self) -> None:
        """Begin to look."""
        self._fleet.world.after(LOOK_MS, self._look)

    def stop(self) -> None:
        """Order nothing more."""
        self._stopped = True

    def _look(self) -> None:
        if self._stopped:
            return
        fleet, now_ms = self._fleet, self._fleet.world.now_ms
        fleet.world.after(LOOK_MS, self._look)
        for each in fleet.processes.values():
            for number in each.node.reshardings.known:
                self._ordered_ms.setdefault(number, now_ms)
        policy = fleet.scenario.split_by_load
        collecting = (
            process for process in fleet.processes.values()
            if not process.paused and process.node.heats.collects(process.clock.now_ms())
        )  # fmt: skip
        process = next(collecting, None)
        if process is None or policy is None:
            return
        if process is not self._process:
            self._process, self._orders = process, LoadOrders()
            self._admission = Admission(limits_of({}), now_ms)
        nodes = tuple(NodeSeen(name, "eu", name in fleet.processes) for name in fleet.node_names)
        self._admission.step(NodesSeen(nodes), now_ms)
        self._admission.step(Reported(), now_ms)
        self._admission.advance(now_ms)
        known = process.node.reshardings.known.values()
        records = [(each.principal, each.phase, each.parents) for each in known]
        for due in self._orders.due(
            policy, self._seen(process), records, BYTES_MAX, self._admission, now_ms
        ):
            self._check(due, policy["cool_down_ms"])
            self._give(process, due)

    def _seen(self, process: Process) -> list[ShardSeen]:
        node, here_ms = process.node, process.clock.now_ms()
        made_ms: dict[str, int] = {}
        busy: set[str] = set()
        for number, each in node.reshardings.known.items():
            made_ms |= {child.shard: self._ordered_ms[number] for child in each.children}
            if not each.is_over:
                busy |= {part.shard for part in (*each.parents, *each.children)}
        return [
            ShardSeen(
                view.shard, view.group, view.first_slot, view.end_slot,
                "" if view.leader is None else view.leader.node,
                "" if view.leader is None else view.leader.region,
                node.heats.of(view.shard, here_ms), (), made_ms.get(view.shard), view.shard in busy,
            )
            for view in node.shard_views(here_ms) if view.first_slot < view.end_slot
        ]  # fmt: skip

    def _check(self, due: Due, cool_down_ms: int) -> None:
        now_ms = self._fleet.world.now_ms
        for process in self._fleet.processes.values():
            for number, each in process.node.reshardings.known.items():
                for name in {c.shard for c in each.children} & {p.shard for p in due.parents}:
                    if now_ms - self._ordered_ms[number] < cool_down_ms:
                        detail = f"{due.order.kind} of {name}, which resharding {number} made"
                        self._findings.add("what was resharded is left alone", now_ms, detail)

    def _give(self, process: Process, due: Due) -> None:
        self._fleet.happenings[f"{due.order.kind}-by-load"] += 1
        orders, admission = self._orders, self._admission

        def answered(outcome: Outcome, _decided_ms: int) -> None:
            policy = self._fleet.scenario.split_by_load
            if isinstance(outcome, Refused) and policy is not None:
                orders.refused(due, policy, admission, self._fleet.world.now_ms)

        process.request(due.order, answered)
