"""Clients of the simulation: they write, read, retry and follow hints, and remember all they saw.

Each client does one thing at a time. It asks some node, follows `leader` where it is told to, and
retries a write under its own id when the outcome is not known. What it saw goes into the history,
attempt by attempt; nobody judges here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import TypeAlias

from controlplane.requests import (
    Compare,
    Consistency,
    Delete,
    Evict,
    Found,
    Outcome,
    Problem,
    Put,
    Read,
    Refused,
    Scan,
    Scanned,
    Transfer,
    Write,
    Written,
)
from controlplane.simulator.checkers.history import Operation
from controlplane.simulator.fleet import NOTHING_SEEN, Fleet
from shards.keyspace import partition_of

PATIENCE_MS = 6_000  # longer than a node's own time-outs: what is not answered by then is lost
RETRY_MS = (20, 400)
ATTEMPTS_MAX = 6
INSISTS_MS = ATTEMPTS_MAX * (PATIENCE_MS + RETRY_MS[1])  # from the first attempt to the last
PARTITION = "p"
EBB = 40  # by so much clients pause longer while they ask for nearly nothing
STALENESS_MS = (50, 200, 1_000, 5_000)

Asked: TypeAlias = Write | Read | Scan | Transfer | Evict

# What clients do, and how often.
MIX: dict[str, float] = {
    "put": 30,
    "delete": 6,
    "compare-and-set": 12,
    "strong": 16,
    "bounded": 12,
    "session": 12,
    "any": 4,
    "scan": 3,
    "quorum": 5,
}
# What operators do meanwhile.
MEDDLING: dict[str, float] = {"transfer": 1.5, "evict": 0.5}
WORTH_RETRYING = (
    Problem.UNKNOWN_SHARD,
    Problem.UNKNOWN_OUTCOME,
    Problem.NO_LEADER,
    Problem.NO_QUORUM,
    Problem.NOT_LEADER,
    Problem.TRANSFERRING,
    Problem.OVERLOADED,
)


@dataclass(slots=True)
class Task:
    """One thing a client wants, over all its attempts."""

    request: Asked
    attempts: int = 0
    operation: Operation | None = None
    done: bool = False


class Client:
    """One client in one region, with a session of its own."""

    def __init__(self, workload: Workload, name: str, region: str, chance: Random) -> None:
        self.name = name
        self._workload = workload
        self._region = region
        self._chance = chance
        self._count = 0
        self._positions: dict[str, int] = {}
        self._versions: dict[str, int] = {}
        self._leaders: dict[str, str] = {}

    def start(self) -> None:
        """Do something now, and then the next thing, until the workload stops."""
        if self._workload.stopped:
            return
        self._count += 1
        self.attempt(Task(self._wish()))

    def attempt(self, task: Task, node: str | None = None) -> None:
        """Ask a node: the named one, or the one believed to lead, or any."""
        fleet = self._workload.fleet
        if node is None:
            node = self._leaders.get(_topic(task.request))
            if node is None or self._chance.random() < 0.3:
                node = self._chance.choice(self._workload.nodes)
        task.attempts += 1
        operation = Operation(self.name, node, task.request, fleet.world.now_ms)
        task.operation = operation
        self._workload.history.append(operation)
        fleet.world.after(PATIENCE_MS, self._give_up, task, operation)

        def answered(outcome: Outcome, decided_ms: int) -> None:
            self._answered(task, operation, outcome, decided_ms)

        def nobody() -> None:
            self._give_up(task, operation)

        seen = dict(self._positions) if not task.request.shard else NOTHING_SEEN
        fleet.ask(self._region, node, task.request, answered, nobody, seen)

    def _answered(
        self, task: Task, operation: Operation, outcome: Outcome, decided_ms: int
    ) -> None:
        if task.operation is not operation or task.done:
            return
        world = self._workload.fleet.world
        operation.outcome = outcome
        operation.decided_ms = decided_ms
        operation.ended_ms = world.now_ms
        world.note(self.name, operation.node, type(outcome).__name__, _digest(outcome))
        self._learn(operation.request, outcome)
        if not isinstance(outcome, Refused):
            self._finish(task)
            return
        hint = outcome.leader.node if outcome.leader is not None else None
        if hint is not None and hint != operation.node:
            self._leaders[_topic(task.request)] = hint
        else:
            self._leaders.pop(_topic(task.request), None)
        if outcome.problem in WORTH_RETRYING and task.attempts < ATTEMPTS_MAX:
            self._try_again(task, hint if hint in self._workload.nodes else None)
        else:
            self._finish(task)

    def _give_up(self, task: Task, operation: Operation) -> None:
        if task.operation is not operation or task.done or operation.ended_ms is not None:
            return
        self._leaders.pop(_topic(task.request), None)
        if isinstance(task.request, Write) and task.attempts < ATTEMPTS_MAX:
            self._try_again(task, None)
        else:
            self._finish(task)

    def _try_again(self, task: Task, node: str | None) -> None:
        delay_ms = self._chance.randint(*RETRY_MS)
        self._workload.fleet.world.after(delay_ms, self.attempt, task, node)

    def _finish(self, task: Task) -> None:
        if not task.done:
            task.done = True
            self._workload.fleet.world.after(self._workload.pause_ms(self._chance), self.start)

    def _learn(self, request: object, outcome: Outcome) -> None:
        if isinstance(outcome, Written):
            self._saw(outcome.shard, outcome.position)
            if isinstance(request, Write):
                for mutation in request.mutations:
                    self._versions[mutation.key] = outcome.position
        elif isinstance(outcome, Found) and isinstance(request, Read):
            if request.consistency is not Consistency.ANY:
                self._saw(outcome.provenance.shard, outcome.provenance.position)
            for key, value in zip(request.keys, outcome.values, strict=True):
                self._versions[key] = 0 if value is None else value.version

    def _saw(self, shard: str, position: int) -> None:
        self._positions[shard] = max(position, self._positions.get(shard, 0))

    # -- what to do next

    def _wish(self) -> Asked:
        chance, workload = self._chance, self._workload
        (kind,) = chance.choices(list(workload.mix), list(workload.mix.values()))
        shard, partition, key = workload.somewhere(chance, is_order=kind in MEDDLING)
        match kind:
            case "put" | "delete" | "compare-and-set":
                return self._write(kind, shard, partition, key)
            case "scan":
                return Scan(shard, partition, limit=2, max_staleness_ms=None)
            case "transfer":
                return Transfer(shard, chance.choice(workload.nodes), reason="simulated")
            case "evict":
                return Evict(shard, reason="simulated")
            case "quorum":
                return Read(shard, (key,), quorum=True)
            case "bounded":
                staleness_ms = chance.choice(STALENESS_MS)
                return Read(shard, (key,), Consistency.BOUNDED, staleness_ms)
            case "session":
                position = self._positions.get(shard, 0)
                return Read(shard, (key,), Consistency.SESSION, None, position)
        return Read(shard, (key,), Consistency(kind))

    def _write(self, kind: str, shard: str, partition: str, key: str) -> Write:
        op_id = f"{self.name}-{self._count}"
        mutation = Delete(partition, key) if kind == "delete" else self._put(partition, key, op_id)
        write = Write(shard, (mutation,), (), op_id, f"digest of {op_id}")
        if self._chance.random() < 0.3 or self._workload.must_tell_since:
            write = replace(write, since=self._positions.get(shard, 0))
        if kind != "compare-and-set":
            return write
        expected = self._versions.get(key, 0)
        if self._chance.random() < 0.1:
            expected = -1
        return replace(write, compares=(Compare(key, expected),))

    def _put(self, partition: str, key: str, op_id: str) -> Put:
        size = self._workload.fleet.scenario.value_bytes_max
        padding = b"." * self._chance.randrange(size) if size else b""
        return Put(partition, key, op_id.encode() + padding)


class Workload:
    """All clients, and the history of what they did."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.history: list[Operation] = []
        self.stopped = False
        self.nodes = [name for name, _ in fleet.scenario.nodes]
        self.shards = [seed.shard for seed in fleet.seeds]
        scenario = fleet.scenario
        self.mix = MIX | {act: often * scenario.meddling for act, often in MEDDLING.items()}
        regions = sorted({region for _, region in scenario.nodes})
        if scenario.partitions:
            self.mix["delete"] = 0  # so that versions of a key only grow, whatever shard has it
        self._mean_pause_ms = 1_000 * scenario.clients / scenario.operations_per_s
        self.must_tell_since = scenario.id_memory_ms < 2 * INSISTS_MS
        self.clients = [
            Client(self, f"c{n}", regions[n % len(regions)], fleet.world.chance(f"client/{n}"))
            for n in range(scenario.clients)
        ]

    def start(self) -> None:
        """Let every client begin, at a moment of its own."""
        for client in self.clients:
            chance = self.fleet.world.chance(f"start/{client.name}")
            self.fleet.world.after(self.pause_ms(chance), client.start)

    def stop(self) -> None:
        """No client begins anything new; what is under way may end."""
        self.stopped = True

    def somewhere(self, chance: Random, *, is_order: bool) -> tuple[str, str, str]:
        """A shard, and a partition and a key of it; no shard where clients know keys alone."""
        scenario = self.fleet.scenario
        if not scenario.partitions:
            shard = chance.choice(self.shards)
            return shard, PARTITION, f"{shard}/{chance.randrange(scenario.keys_per_shard)}"
        partition = f"p{chance.randrange(scenario.partitions)}"
        shard = chance.choice(self.fleet.shard_names() or self.shards) if is_order else ""
        return shard, partition, key_of(partition)

    def pause_ms(self, chance: Random) -> int:
        """How long a client thinks before its next wish."""
        waves_ms = self.fleet.scenario.waves_ms
        ebb = waves_ms and self.fleet.world.now_ms // waves_ms % 2
        mean_ms = self._mean_pause_ms * (EBB if ebb else 1)
        return min(round(chance.expovariate(1 / mean_ms)), 20_000)


def key_of(partition: str) -> str:
    """The key of a partition that clients ask for who do not know of shards."""
    return f"{{{partition}}}/k"


def _topic(request: Asked) -> str:
    """What a client remembers a leader for."""
    if request.shard:
        return request.shard
    match request:
        case Write(mutations=(first, *_)):
            return first.partition
        case Read(keys=(key, *_)):
            return partition_of(key)
        case Scan():
            return request.partition
    return ""


def _digest(outcome: Outcome) -> list[object]:
    match outcome:
        case Written():
            return [outcome.epoch, outcome.position]
        case Found() | Scanned():
            origin = outcome.provenance
            return [origin.epoch, origin.position, origin.staleness_ms, origin.store]
        case Refused():
            return [outcome.problem.value, outcome.detail]
    return []
