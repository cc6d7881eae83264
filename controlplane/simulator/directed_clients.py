"""The clients of a directed schedule: what they ask is answered in words, and kept to be judged."""

from __future__ import annotations

from collections.abc import Callable

from controlplane.requests import (
    Consistency,
    Evict,
    Evicted,
    Found,
    Outcome,
    Put,
    Read,
    Refused,
    Request,
    Transfer,
    Transferred,
    Write,
    Written,
)
from controlplane.simulator.checkers.history import Operation
from controlplane.simulator.fleet import Fleet
from controlplane.simulator.workload import PARTITION

STEP_MS = 5
ANSWER_MS_MAX = 20_000


class DirectedClients:
    """Asks nodes of one fleet, right in their processes: no network lies between."""

    def __init__(self, fleet: Fleet) -> None:
        self.history: list[Operation] = []
        self._fleet = fleet
        self._answers: list[str] = []
        self._written = 0
        self.acts: dict[str, Callable[..., list[str]]] = {
            "put": self._put,
            "get": self._get,
            "transfer": self._transfer,
            "evict": self._evict,
            "begin": self._begin,
            "flood": self._flood,
            "answers": self._show_answers,
        }

    def _put(self, node: str, shard: str, key: str, value: str, size: str = "0") -> list[str]:
        return self._await("put", node, self._write(shard, key, value, size))

    def _get(self, node: str, shard: str, key: str, how: str = "strong") -> list[str]:
        name, _, number = how.replace("quorum", "strong").partition("=")
        staleness_ms = int(number) if name == "bounded" else None
        position = int(number) if name == "session" else 0
        keys, by_quorum = (f"{shard}/{key}",), how == "quorum"
        request = Read(shard, keys, Consistency(name), staleness_ms, position, by_quorum)
        return self._await("get", node, request)

    def _transfer(self, node: str, shard: str, target: str) -> list[str]:
        return self._await("transfer", node, Transfer(shard, target))

    def _evict(self, node: str, shard: str) -> list[str]:
        return self._await("evict", node, Evict(shard))

    def _begin(self, *words: str) -> list[str]:
        """`begin put NODE SHARD KEY VALUE [BYTES]`: the answer is shown by `answers`."""
        if len(words) not in (5, 6) or words[0] != "put":
            raise ValueError("begin put NODE SHARD KEY VALUE [BYTES]")
        _, node, shard, key, value, *size = words
        self._ask(
            node,
            self._write(shard, key, value, *size),
            lambda outcome: self._answers.append(f"put {key}: {in_words(outcome)}"),
        )
        return []

    def _flood(self, node: str, shard: str, count: str, size: str) -> list[str]:
        """`flood NODE SHARD COUNT BYTES`: so many puts of so many bytes begin at once"""
        for number in range(int(count)):
            self._begin("put", node, shard, f"key{number}", f"value{number}", size)
        return []

    def _show_answers(self) -> list[str]:
        answers, self._answers = self._answers, []
        return answers or ["no answers"]

    def _write(self, shard: str, key: str, value: str, size: str = "0") -> Write:
        self._written += 1
        put = Put(PARTITION, f"{shard}/{key}", value.ljust(int(size), ".").encode())
        return Write(shard, (put,), (), f"op-{self._written}", f"digest-{self._written}")

    def _ask(self, node: str, request: Request, tell: Callable[[Outcome], None]) -> None:
        process, world = self._fleet.processes.get(node), self._fleet.world
        if process is None:
            raise ValueError(f"{node} is not running")
        operation = Operation(f"c{len(self.history)}", node, request, world.now_ms)
        self.history.append(operation)

        def answered(outcome: Outcome, decided_ms: int) -> None:
            operation.outcome, operation.decided_ms = outcome, decided_ms
            operation.ended_ms = world.now_ms
            tell(outcome)

        process.request(request, answered)

    def _await(self, what: str, node: str, request: Request) -> list[str]:
        answers: list[Outcome] = []
        world = self._fleet.world
        self._ask(node, request, answers.append)
        for _ in range(ANSWER_MS_MAX // STEP_MS):
            if answers:
                return [f"{what}: {in_words(answers[0])}"]
            world.run_until(world.now_ms + STEP_MS)
        return [f"{what}: no answer"]


def in_words(outcome: Outcome) -> str:
    """An answer as a schedule shows it."""
    match outcome:
        case Written():
            again = ", done before" if outcome.replayed else ""
            return f"written at {outcome.position} in epoch {outcome.epoch}{again}"
        case Found():
            origin = outcome.provenance
            (value,) = outcome.values
            word = "nothing"
            if value is not None:
                word = f"{value.data.decode().rstrip('.')} of {value.version}"
            return f"{word}, at {origin.position}, by the {origin.role}"
        case Transferred():
            return f"handed from epoch {outcome.from_epoch} to {outcome.to_node}"
        case Evicted():
            return f"{outcome.holder} loses epoch {outcome.epoch}"
        case Refused():
            hint = "" if outcome.leader is None else f", ask {outcome.leader.node}"
            return f"refused, {outcome.problem}{hint}"
    return type(outcome).__name__
