"""Directed schedules as text: steps, a line of dashes, and what they are expected to show.

    fleet nodes=3 stores=3 shards=1 ttl=1000
    until g-0 is led
    ----
    n1 leads g-0 at epoch 1

    pause n1
    until g-0 is led by another
    put n1 g-0 color blue
    ----
    n2 leads g-0 at epoch 2
    put: refused, not-leader, ask n2

Blocks are separated by empty lines; lines that begin with # are comments. Delays have no jitter and
nothing is lost, so a schedule shows the same today and tomorrow. `play` returns the whole file with
the output that it really gave: equal to the file, or something has changed.
"""

from __future__ import annotations

from collections.abc import Callable

from controlplane.node import Node
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
from controlplane.simulator.checkers.findings import Findings
from controlplane.simulator.checkers.replay import Replay
from controlplane.simulator.fleet import Fleet
from controlplane.simulator.process import NodeMaker
from controlplane.simulator.scenario import GroupShape, Scenario
from controlplane.simulator.witness import Witness
from controlplane.simulator.workload import PARTITION
from controlplane.simulator.world import World

SEPARATOR = "----"
STEP_MS = 5
UNTIL_MS_MAX = 60_000
ANSWER_MS_MAX = 20_000


def play(text: str, make_node: NodeMaker = Node) -> str:
    """Run a schedule; returns its text with the output that each block really gave."""
    stage = Stage(make_node)
    blocks = []
    for block in text.strip().split("\n\n"):
        steps = block.split(f"\n{SEPARATOR}")[0]
        shown: list[str] = []
        for line in steps.splitlines():
            if not line.startswith("#"):
                shown += stage.do(line.split())
        blocks.append("\n".join([steps, SEPARATOR, *shown] if shown else [steps]))
    return "\n\n".join(blocks) + "\n"


class Stage:
    """One fleet on which a schedule is played, step by step."""

    def __init__(self, make_node: NodeMaker) -> None:
        self._make_node = make_node
        self._answers: list[str] = []
        self._written = 0
        self._acts: dict[str, Callable[..., list[str]]] = {
            "fleet": self._fleet,
            "run": self._run,
            "until": self._until,
            "put": self._put,
            "get": self._get,
            "transfer": self._transfer,
            "evict": self._evict,
            "begin": self._begin,
            "answers": self._show_answers,
            "cut": self._cut,
            "heal": self._heal,
            "show": self._show,
            "check": self._check,
        }
        self._faults: dict[str, Callable[..., None]] = {}

    def do(self, words: list[str]) -> list[str]:
        """One step; returns the lines it shows. Raises ValueError for an unknown step."""
        if not words:
            return []
        name, *arguments = words
        if name in self._faults:
            self._faults[name](*arguments)
            return []
        if name not in self._acts:
            raise ValueError(f"no such step: {' '.join(words)}")
        return self._acts[name](*arguments)

    # -- the fleet and its time

    def _fleet(self, *settings: str) -> list[str]:
        given = {"nodes": 3, "stores": 3, "shards": 1, "ttl": 1_000, "seed": 1}
        for setting in settings:
            name, _, number = setting.partition("=")
            if name not in given:
                raise ValueError(f"fleet knows {', '.join(given)}, not {name}")
            given[name] = int(number)
        stores = tuple((f"s{n + 1}", "eu") for n in range(given["stores"]))
        names = tuple(name for name, _ in stores)
        shape = GroupShape("global", names, (), given["ttl"], ("eu",), given["shards"])
        scenario = Scenario(
            name="directed",
            nodes=tuple((f"n{n + 1}", "eu") for n in range(given["nodes"])),
            stores=stores,
            groups=(shape,),
            drift_ppm_max=0,
            jitter=0.0,
            loss=0.0,
        )
        self.world = World(given["seed"])
        self.findings = Findings()
        self.fleet = Fleet(self.world, scenario, self._make_node)
        self.witness = Witness(self.world, self.fleet, self.findings)
        self._faults = {
            "pause": lambda node: self.fleet.processes[node].pause(),
            "freeze": lambda node, _before="", operation="": self.fleet.processes[node].freeze(
                operation
            ),
            "resume": lambda node: self.fleet.processes[node].resume(),
            "crash": self.fleet.crash_node,
            "start": self.fleet.start_node,
            "stop": self.fleet.crash_store,
            "boot": self.fleet.restart_store,
            "break": lambda node, store: self.fleet.processes[node].lines[store].snap("broken"),
            "deafen": self.fleet.deaf.add,
            "fill": lambda store, percent: self.fleet.fill_store(store, int(percent)),
        }
        self.fleet.start_all()
        return []

    def _run(self, duration: str) -> list[str]:
        self.world.run_until(self.world.now_ms + _milliseconds(duration))
        return []

    def _until(self, shard: str, *words: str) -> list[str]:
        """`until SHARD is led [by NODE | by another]`"""
        if words[:2] != ("is", "led"):
            raise ValueError("until SHARD is led [by NODE | by another]")
        wanted = words[3] if len(words) > 3 else None
        before = self._leader(shard)
        for _ in range(UNTIL_MS_MAX // STEP_MS):
            now = self._leader(shard)
            changed = now is not None and (before is None or now != before)
            if now is not None and (wanted in (None, now[0]) or (wanted == "another" and changed)):
                return [f"{now[0]} leads {shard} at epoch {now[1]}"]
            if wanted == "another" and now is None:
                before = before or ("nobody", 0)
            self.world.run_until(self.world.now_ms + STEP_MS)
        return [f"nobody leads {shard} after {UNTIL_MS_MAX} ms"]

    def _leader(self, shard: str) -> tuple[str, int] | None:
        for name, process in self.fleet.processes.items():
            for claimed, epoch, _sid in self.witness.claims_of(process):
                if claimed == shard:
                    return name, epoch
        return None

    # -- clients

    def _put(self, node: str, shard: str, key: str, value: str) -> list[str]:
        return self._await("put", node, self._write(shard, key, value))

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
        """`begin put NODE SHARD KEY VALUE`: the answer is shown by `answers`."""
        if len(words) != 5 or words[0] != "put":
            raise ValueError("begin put NODE SHARD KEY VALUE")
        _, node, shard, key, value = words
        what = f"put {key}"
        self._ask(node, self._write(shard, key, value), lambda o: self._answers.append(
            f"{what}: {_in_words(o)}"
        ))  # fmt: skip
        return []

    def _show_answers(self) -> list[str]:
        answers, self._answers = self._answers, []
        return answers or ["no answers"]

    def _write(self, shard: str, key: str, value: str) -> Write:
        self._written += 1
        put = Put(PARTITION, f"{shard}/{key}", value.encode())
        return Write(shard, (put,), (), f"op-{self._written}", f"digest-{self._written}")

    def _ask(self, node: str, request: Request, tell: Callable[[Outcome], None]) -> None:
        process = self.fleet.processes.get(node)
        if process is None:
            raise ValueError(f"{node} is not running")
        process.request(request, lambda outcome, _decided_ms: tell(outcome))

    def _await(self, what: str, node: str, request: Request) -> list[str]:
        answers: list[Outcome] = []
        self._ask(node, request, answers.append)
        for _ in range(ANSWER_MS_MAX // STEP_MS):
            if answers:
                return [f"{what}: {_in_words(answers[0])}"]
            self.world.run_until(self.world.now_ms + STEP_MS)
        return [f"{what}: no answer"]

    # -- links

    def _cut(self, a: str, how: str, b: str) -> list[str]:
        """`cut A -> B` one way, `cut A - B` both ways"""
        self.fleet.network.cut(a, b)
        if how == "-":
            self.fleet.network.cut(b, a)
        return []

    def _heal(self, *words: str) -> list[str]:
        """`heal` everything, `heal A - B`, `heal A -> B`"""
        if not words:
            self.fleet.network.heal_all()
            return []
        a, how, b = words
        self.fleet.network.heal(a, b)
        if how == "-":
            self.fleet.network.heal(b, a)
        return []

    # -- what there is to see

    def _show(self, shard: str) -> list[str]:
        return [
            f"{name}: promised {state.promised}, held at {state.granted} by "
            f"{state.holder or 'nobody'} ({state.state}), committed {state.committed}, "
            f"tail {state.tail}"
            for name, state in self.witness.stored(shard)
        ]

    def _check(self) -> list[str]:
        replays = {shard: Replay(log.blobs) for shard, log in self.witness.logs.logs.items()}
        self.witness.check_copies(replays)
        return [str(violation) for violation in self.findings.violations] or ["no violations"]


def _in_words(outcome: Outcome) -> str:
    match outcome:
        case Written():
            again = ", done before" if outcome.replayed else ""
            return f"written at {outcome.position} in epoch {outcome.epoch}{again}"
        case Found():
            origin = outcome.provenance
            (value,) = outcome.values
            shown = "nothing" if value is None else f"{value.data.decode()} of {value.version}"
            return f"{shown}, at {origin.position}, by the {origin.role}"
        case Transferred():
            return f"handed from epoch {outcome.from_epoch} to {outcome.to_node}"
        case Evicted():
            return f"{outcome.holder} loses epoch {outcome.epoch}"
        case Refused():
            hint = "" if outcome.leader is None else f", ask {outcome.leader.node}"
            return f"refused, {outcome.problem}{hint}"
    return type(outcome).__name__


def _milliseconds(text: str) -> int:
    if text.endswith("ms"):
        return int(text.removesuffix("ms"))
    if text.endswith("s"):
        return round(float(text.removesuffix("s")) * 1_000)
    raise ValueError(f"a duration is 200ms or 1.5s, not {text}")
