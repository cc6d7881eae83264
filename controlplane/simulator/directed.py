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
from controlplane.simulator.checkers.findings import Findings
from controlplane.simulator.checkers.reads import check_reads
from controlplane.simulator.checkers.replay import Replay
from controlplane.simulator.checkers.writes import check_writes
from controlplane.simulator.directed_clients import STEP_MS, DirectedClients
from controlplane.simulator.fleet import Fleet
from controlplane.simulator.process import NodeMaker
from controlplane.simulator.scenario import GroupShape, Scenario
from controlplane.simulator.witness import Witness
from controlplane.simulator.world import World
from regions.scripts.state import StoreState

SEPARATOR = "----"
UNTIL_MS_MAX = 60_000


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
        self._acts: dict[str, Callable[..., list[str]]] = {
            "fleet": self._fleet,
            "run": self._run,
            "until": self._until,
            "cut": self._cut,
            "heal": self._heal,
            "show": self._show,
            "check": self._check,
        }
        self._faults: dict[str, Callable[..., None]] = {}
        self._copies: dict[str, StoreState] = {}

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
        given = {"nodes": 3, "stores": 3, "shards": 1, "ttl": 1_000, "seed": 1, "clocks": 1}
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
            trusts_clocks=bool(given["clocks"]),
            jitter=0.0,
            loss=0.0,
        )
        self.world = World(given["seed"])
        self.findings = Findings()
        self.fleet = Fleet(self.world, scenario, self._make_node)
        self.witness = Witness(self.world, self.fleet, self.findings)
        self.clients = DirectedClients(self.fleet)
        self._acts |= self.clients.acts
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
            "wipe": self.fleet.wipe_store,
            "copy": self._copy,
            "restore": self._restore,
            "slow": self._slow,
            "step": self._step,
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

    def _slow(self, source: str, _to: str, target: str, duration: str) -> None:
        """`slow A -> B 300ms`: what goes from A to B takes so much longer from now on"""
        self.fleet.network.slow(source, target, _milliseconds(duration))

    # -- clocks and memories that fail

    def _step(self, node: str, duration: str) -> None:
        process = self.fleet.processes[node]
        process.clock.step(_milliseconds(duration))
        process.clock_changed()

    def _copy(self, store: str) -> None:
        self._copies[store] = self.fleet.stores[store].twin.copy()

    def _restore(self, store: str) -> None:
        """It goes down and comes back with what it was when it was copied."""
        self.fleet.crash_store(store)
        self.fleet.stores[store].go_back(self._copies[store])
        self.witness.forgot(store)
        self.fleet.restart_store(store)

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
        check_writes(self.clients.history, replays, self.findings)
        check_reads(self.clients.history, replays, self.findings, self.fleet.scenario.trusts_clocks)
        self.witness.check_copies(replays)
        self.witness.check_maps()
        return [str(violation) for violation in self.findings.violations] or ["no violations"]


def _milliseconds(text: str) -> int:
    if text.endswith("ms"):
        return int(text.removesuffix("ms"))
    if text.endswith("s"):
        return round(float(text.removesuffix("s")) * 1_000)
    raise ValueError(f"a duration is 200ms or 1.5s, not {text}")
