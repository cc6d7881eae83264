"""What goes wrong: a seeded schedule of faults, each of which ends by itself.

The schedule is planned by the world's own chance, independent of what the fleet does. Each fault is
a pair of acts: something breaks, and later it is mended. `calm` mends everything at once. When a
fault strikes, and what it is, depends on no other fault: some can be left out, and the others stay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from controlplane.machine import Draining
from controlplane.simulator.fleet import Fleet
from controlplane.simulator.process import Process

# What a process that freezes has in hand: anything, or one of the commands that must not come late.
FREEZE_BEFORE = ("", "", "renew", "append", "prepare", "release", "handover")
SLOW_STORE_MS = (2, 40)
SLOW_LINK_MS = (10, 400)
# How full a store gets: enough for a warning, so full that it is spared, or up to its limit.
FULL_PERCENTS = (85, 96, 100, 100)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault that struck: which of the schedule it was, and where; `lasts_ms` is its measure."""

    number: int
    at_ms: int
    kind: str
    place: str
    lasts_ms: int

    def __str__(self) -> str:
        return (
            f"fault {self.number}, at {self.at_ms} ms: {self.kind} {self.place}, {self.lasts_ms} ms"
        )


class Faults:
    """Breaks and mends the fleet, until it is told to be calm."""

    def __init__(self, fleet: Fleet) -> None:
        self.struck: list[Fault] = []
        self._fleet = fleet
        self._pace = fleet.world.chance("faults")
        self._chance = self._pace  # of the fault that strikes
        self._planned = 0
        self._calm = True
        self._nodes = [name for name, _ in fleet.scenario.nodes]
        self._stores = list(fleet.stores)
        self._acts: dict[str, Callable[[int], str]] = {
            "crash node": self._crash_node,
            "drain node": self._drain_node,
            "pause node": self._pause_node,
            "pause node before it sends": self._freeze_node,
            "cut one way": self._cut_one_way,
            "partition": self._partition,
            "crash store": self._crash_store,
            "pause store": self._pause_store,
            "slow store": self._slow_store,
            "full store": self._fill_store,
            "slow link": self._slow_link,
            "break connection": self._break_connection,
            "break connection unnoticed": self._sever_connection,
            "deafen front door": self._deafen,
        }

    @property
    def counts(self) -> Counter[str]:
        """How many faults of each kind have struck."""
        return Counter(fault.kind for fault in self.struck)

    def start(self) -> None:
        """Begin the schedule."""
        self._calm = False
        self._plan_next()

    def calm(self) -> None:
        """End every fault: all nodes and stores run, all links are open."""
        fleet = self._fleet
        self._calm = True
        fleet.network.heal_all()
        fleet.deaf.clear()
        for name in self._stores:
            fleet.restart_store(name)
            fleet.stores[name].resume()
            fleet.stores[name].slowness_ms = 0
            if fleet.stores[name].memory_percent:
                fleet.fill_store(name, 0)
        for name in self._nodes:
            fleet.start_node(name)
            fleet.processes[name].resume()

    def _plan_next(self) -> None:
        rate_per_ms = self._fleet.scenario.faults_per_minute / 60_000
        if rate_per_ms > 0:
            self._fleet.world.after(round(self._pace.expovariate(rate_per_ms)), self._strike)

    def _strike(self) -> None:
        if self._calm:
            return
        scenario, world = self._fleet.scenario, self._fleet.world
        self._planned += 1
        if scenario.only_faults is None or self._planned in scenario.only_faults:
            self._chance = world.chance(f"fault/{self._planned}")
            kind = self._chance.choice(scenario.faults)
            low, high = (round(share * scenario.ttl_ms) for share in scenario.fault_ttl)
            lasts_ms = self._chance.randint(low, high)
            world.note("fault", kind)
            place = self._acts[kind](lasts_ms)
            self.struck.append(Fault(self._planned, world.now_ms, kind, place, lasts_ms))
        self._plan_next()

    def _later(self, delay_ms: int, act: Callable[..., None], *arguments: object) -> None:
        self._fleet.world.after(delay_ms, act, *arguments)

    # -- nodes

    def _crash_node(self, lasts_ms: int) -> str:
        name = self._chance.choice(self._nodes)
        self._fleet.crash_node(name)
        self._later(lasts_ms, self._fleet.start_node, name)
        return name

    def _drain_node(self, lasts_ms: int) -> str:
        name = self._chance.choice(self._nodes)
        process = self._fleet.processes.get(name)
        if process is not None:
            process.deliver(Draining())
            self._later(lasts_ms, self._replace, process)
        return name

    def _replace(self, process: Process) -> None:
        if self._fleet.processes.get(process.name, process) is process:
            self._fleet.crash_node(process.name)
            self._fleet.start_node(process.name)

    def _pause_node(self, lasts_ms: int) -> str:
        name = self._chance.choice(self._nodes)
        process = self._fleet.processes.get(name)
        if process is not None:
            process.pause()
            self._later(lasts_ms, process.resume)
        return name

    def _freeze_node(self, lasts_ms: int) -> str:
        name, command = self._chance.choice(self._nodes), self._chance.choice(FREEZE_BEFORE)
        process = self._fleet.processes.get(name)
        if process is not None:
            process.freeze(command)
            self._later(lasts_ms, process.resume)
        return f"{name}, {command or 'anything'}"

    def _deafen(self, lasts_ms: int) -> str:
        name = self._chance.choice(self._nodes)
        self._fleet.deaf.add(name)
        self._later(2 * lasts_ms, self._fleet.deaf.discard, name)
        return name

    # -- links

    def _cut(self, source: str, target: str, lasts_ms: int) -> None:
        self._fleet.network.cut(source, target)
        self._later(lasts_ms, self._fleet.network.heal, source, target)

    def _cut_one_way(self, lasts_ms: int) -> str:
        node, store = self._chance.choice(self._nodes), self._chance.choice(self._stores)
        way = (node, store) if self._chance.random() < 0.5 else (store, node)
        self._cut(*way, lasts_ms)
        return " to ".join(way)

    def _partition(self, lasts_ms: int) -> str:
        places = self._nodes + self._stores
        one_side = {place for place in places if self._chance.random() < 0.5}
        both_ways = self._chance.random() < 0.7
        for a in places:
            for b in places:
                if a in one_side and b not in one_side:
                    self._cut(a, b, lasts_ms)
                    if both_ways:
                        self._cut(b, a, lasts_ms)
        return f"{' '.join(sorted(one_side))} {'from' if both_ways else 'not heard by'} the others"

    def _slow_link(self, lasts_ms: int) -> str:
        node, store = self._chance.choice(self._nodes), self._chance.choice(self._stores)
        extra_ms = self._chance.randint(*SLOW_LINK_MS)
        network = self._fleet.network
        for way in ((node, store), (store, node)):
            network.slow(*way, extra_ms)
            self._later(lasts_ms, self._unslow, *way, extra_ms)
        return f"{node} and {store}, {extra_ms} ms more"

    def _unslow(self, source: str, target: str, extra_ms: int) -> None:
        if not self._calm:
            self._fleet.network.slow(source, target, -extra_ms)

    def _break_connection(self, _lasts_ms: int, silent: bool = False) -> str:
        node, store = self._chance.choice(self._nodes), self._chance.choice(self._stores)
        process = self._fleet.processes.get(node)
        if process is not None:
            process.lines[store].snap("the network broke the connection", silent)
        return f"{node} and {store}"

    def _sever_connection(self, lasts_ms: int) -> str:
        return self._break_connection(lasts_ms, silent=True)

    # -- stores

    def _crash_store(self, lasts_ms: int) -> str:
        name = self._chance.choice(self._stores)
        self._fleet.crash_store(name)
        self._later(lasts_ms, self._fleet.restart_store, name)
        return name

    def _pause_store(self, lasts_ms: int) -> str:
        store = self._fleet.stores[self._chance.choice(self._stores)]
        store.pause()
        self._later(lasts_ms, store.resume)
        return store.name

    def _slow_store(self, lasts_ms: int) -> str:
        store = self._fleet.stores[self._chance.choice(self._stores)]
        store.slowness_ms = self._chance.randint(*SLOW_STORE_MS)
        self._later(lasts_ms, self._quicken, store.name)
        return f"{store.name}, {store.slowness_ms} ms"

    def _quicken(self, name: str) -> None:
        self._fleet.stores[name].slowness_ms = 0

    def _fill_store(self, lasts_ms: int) -> str:
        name, percent = self._chance.choice(self._stores), self._chance.choice(FULL_PERCENTS)
        self._fleet.fill_store(name, percent)
        self._later(lasts_ms, self._fleet.fill_store, name, 0)
        return f"{name}, {percent} %"
