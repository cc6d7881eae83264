"""When everything works again, the fleet must: every shard takes a write within a bounded time.

Where clients know keys alone, every partition does.
"""

from __future__ import annotations

from controlplane.requests import Outcome, Put, Refused, Write, Written
from controlplane.simulator.checkers.history import Operation
from controlplane.simulator.workload import PARTITION, Workload, key_of

RETRY_MS = 100
PATIENCE_MS = 1_500


class FinalWrites:
    """One write to every shard, tried at node after node until it is acknowledged."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        partitions = workload.fleet.scenario.partitions
        names = [f"p{n}" for n in range(partitions)] if partitions else workload.shards
        self._missing = dict.fromkeys(names, "nobody answered")

    @property
    def missing(self) -> dict[str, str]:
        """Shards whose write is not acknowledged yet, and the last answer."""
        return dict(self._missing)

    def start(self) -> None:
        """Begin with all shards at once."""
        for shard in self._missing:
            self._attempt(shard, 0)

    def _attempt(self, shard: str, number: int, node: str | None = None) -> None:
        if shard not in self._missing:
            return
        workload, fleet = self._workload, self._workload.fleet
        asked = node or workload.nodes[number % len(workload.nodes)]
        region = fleet.scenario.region_of()[asked]
        op_id = f"final-{shard}"
        if fleet.scenario.partitions:
            home, partition, key = "", shard, key_of(shard)
        else:
            home, partition, key = shard, PARTITION, f"{shard}/final"
        put = Put(partition, key, b"calm " + op_id.encode())
        request = Write(home, (put,), (), op_id, "digest of final")
        operation = Operation("final", asked, request, fleet.world.now_ms)
        workload.history.append(operation)

        given_up: list[bool] = []

        def answered(outcome: Outcome, decided_ms: int) -> None:
            if operation.ended_ms is not None:
                return
            operation.outcome, operation.decided_ms = outcome, decided_ms
            operation.ended_ms = fleet.world.now_ms
            if isinstance(outcome, Written):
                self._missing.pop(shard, None)
            elif isinstance(outcome, Refused) and shard in self._missing:
                self._missing[shard] = f"{asked}: {outcome.problem}: {outcome.detail}"
                hint = outcome.leader.node if outcome.leader is not None else None
                follow = hint if hint != asked and hint in workload.nodes else None
                fleet.world.after(RETRY_MS, self._attempt, shard, number + 1, follow)

        def give_up() -> None:
            if not given_up and operation.ended_ms is None:
                given_up.append(True)
                self._attempt(shard, number + 1)

        fleet.ask(region, asked, request, answered, give_up)
        fleet.world.after(PATIENCE_MS, give_up)
