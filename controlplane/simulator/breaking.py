"""The acts behind the faults: each breaks one thing, and plans its mending.

An act chooses where it strikes by the chance it is given, and says where that was: "" when there
was nothing to break, as where a node is to pause that does not run. What an act did ends by itself;
what a store forgot is not given back, but the store is admitted anew.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from controlplane.machine import Draining
from controlplane.node.following import SYSTEM
from controlplane.node.resting import CopiesOf, CopyState
from controlplane.requests import (
    ChangeLease,
    ChangeStores,
    Outcome,
    Refused,
    Request,
    Reshard,
    StoreAction,
    Write,
)  # fmt: skip
from controlplane.simulator.fleet import Fleet
from controlplane.simulator.process import Process
from shards.resharding import Kind

# What a process that freezes has in hand: anything, or one of the commands that must not come late.
FREEZE_BEFORE = (
    "", "", "renew", "append", "prepare", "release", "handover", "register", "observe", "revoke",
)  # fmt: skip
SLOW_STORE_MS = (2, 40)
SLOW_LINK_MS = (10, 400)
FLAPS = (3, 8)
STEP_MS = (1, 3_000)
SHARDS_MAX = 12  # not split any further
ATTEMPTS_MAX = 3
VOTERS_MIN = 3  # operators leave a group so many
LEASES_MS = (600, 900, 1_500, 2_000, 3_000)
REST_SHARE = 0.6
# How full a store gets: enough for a warning, so full that it is spared, or up to its limit.
FULL_PERCENTS = (85, 96, 100, 100)
# How many of the calls that a crashing store has in hand were flushed, and so are done.
FLUSHED = (0, 0, 1, 2, 1_000)


class Breaker:
    """Breaks a fleet in one of many ways; `is_calm` is set when nothing may break any more."""

    def __init__(self, fleet: Fleet) -> None:
        self.is_calm = True
        self._fleet = fleet
        self._chance = Random()  # replaced by that of the fault that strikes
        self._nodes = [name for name, _ in fleet.scenario.nodes]
        self._stores = list(fleet.stores)
        self._acts: dict[str, Callable[[int], str]] = {
            "crash node": self._crash_node,
            "drain node": self._drain_node,
            "pause node": self._pause_node,
            "pause node before it sends": self._freeze_node,
            "restart all nodes": self._restart_nodes,
            "bend clock": self._bend_clock,
            "step clock": self._step_clock,
            "cut one way": self._cut_one_way,
            "partition": self._partition,
            "flap link": self._flap_link,
            "crash store": self._crash_store,
            "restart all stores": self._restart_stores,
            "pause store": self._pause_store,
            "slow store": self._slow_store,
            "full store": self._fill_store,
            "wipe store": self._wipe_store,
            "change stores": self._change_stores,
            "change lease": self._change_lease,
            "reshard": self._reshard,
            "rest copies": self._rest_copies,
            "slow link": self._slow_link,
            "break connection": self._break_connection,
            "break connection unnoticed": self._sever_connection,
            "deafen front door": self._deafen,
            "strike global leader": self._strike_global_leader,
            "cut off region": self._cut_off_region,
        }

    def strike(self, kind: str, lasts_ms: int, chance: Random) -> str:
        """Break something in this way for about so long; returns where, "" for nowhere."""
        self._chance = chance
        return self._acts[kind](lasts_ms)

    def calm(self) -> None:
        """End everything at once: all nodes and stores run, all links are open, clocks are good."""
        fleet = self._fleet
        self.is_calm = True
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
        if not fleet.scenario.trusts_clocks:
            fleet.drift_ppm_max = 0
            for process in fleet.processes.values():
                process.clock.bend(0)
                process.clock_changed()

    def _later(self, delay_ms: int, act: Callable[..., None], *arguments: object) -> None:
        self._fleet.world.after(delay_ms, act, *arguments)

    def _some_process(self) -> Process | None:
        """A node that runs, or None where the one that was chosen does not."""
        return self._fleet.processes.get(self._chance.choice(self._nodes))

    # -- nodes

    def _crash_node(self, lasts_ms: int) -> str:
        name = self._chance.choice(self._nodes)
        if name not in self._fleet.processes:
            return ""
        self._fleet.crash_node(name)
        self._later(lasts_ms, self._fleet.start_node, name)
        return name

    def _restart_nodes(self, lasts_ms: int) -> str:
        for name in self._nodes:
            self._fleet.crash_node(name)
            self._later(self._chance.randint(0, lasts_ms), self._fleet.start_node, name)
        return "everywhere"

    def _drain_node(self, lasts_ms: int) -> str:
        process = self._some_process()
        if process is None:
            return ""
        process.deliver(Draining())
        self._later(lasts_ms, self._replace, process)
        return process.name

    def _replace(self, process: Process) -> None:
        if self._fleet.processes.get(process.name, process) is process:
            self._fleet.crash_node(process.name)
            self._fleet.start_node(process.name)

    def _pause_node(self, lasts_ms: int) -> str:
        process = self._some_process()
        if process is None:
            return ""
        process.pause()
        self._later(lasts_ms, process.resume)
        return process.name

    def _freeze_node(self, lasts_ms: int) -> str:
        process, command = self._some_process(), self._chance.choice(FREEZE_BEFORE)
        if process is None:
            return ""
        process.freeze(command)
        self._later(lasts_ms, process.resume)
        return f"{process.name}, {command or 'anything'}"

    def _bend_clock(self, _lasts_ms: int) -> str:
        process, most_ppm = self._some_process(), self._fleet.drift_ppm_max
        if process is None:
            return ""
        drift_ppm = self._chance.randint(-most_ppm, most_ppm)
        process.clock.bend(drift_ppm)
        process.clock_changed()
        return f"{process.name}, {drift_ppm} ppm fast"

    def _step_clock(self, _lasts_ms: int) -> str:
        process = self._some_process()
        if process is None:
            return ""
        ahead_ms = self._chance.randint(*STEP_MS)
        process.clock.step(ahead_ms)
        process.clock_changed()
        return f"{process.name}, {ahead_ms} ms ahead"

    def _deafen(self, lasts_ms: int) -> str:
        name = self._chance.choice(self._nodes)
        self._fleet.deaf.add(name)
        self._later(2 * lasts_ms, self._fleet.deaf.discard, name)
        return name

    def _strike_global_leader(self, lasts_ms: int) -> str:
        """Kill it, or let it sleep, be it with an entry on its lips."""
        fleet = self._fleet
        leaders = [
            process
            for process in fleet.processes.values()
            for shard, _, _ in process.node.lease_claims(process.clock.now_ms())
            if shard == SYSTEM
        ]
        if not leaders:
            return ""
        process, name = leaders[0], leaders[0].name
        match self._chance.randrange(3):
            case 0:
                fleet.crash_node(name)
                self._later(lasts_ms, fleet.start_node, name)
            case 1:
                process.pause()
                self._later(lasts_ms, process.resume)
            case _:
                process.freeze("append")
                self._later(lasts_ms, process.resume)
        return name

    # -- links

    def _link(self) -> tuple[str, str]:
        return self._chance.choice(self._nodes), self._chance.choice(self._stores)

    def _cut(self, source: str, target: str, lasts_ms: int) -> None:
        if not self.is_calm:
            self._fleet.network.cut(source, target)
            self._later(lasts_ms, self._fleet.network.heal, source, target)

    def _cut_one_way(self, lasts_ms: int) -> str:
        node, store = self._link()
        way = (node, store) if self._chance.random() < 0.5 else (store, node)
        self._cut(*way, lasts_ms)
        return " to ".join(way)

    def _flap_link(self, lasts_ms: int) -> str:
        node, store = self._link()
        flaps = self._chance.randint(*FLAPS)
        each_ms = max(2, lasts_ms // flaps)
        for flap in range(flaps):
            for way in ((node, store), (store, node)):
                self._later(flap * each_ms, self._cut, *way, each_ms // 2)
        return f"{node} and {store}, {flaps} times"

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

    def _cut_off_region(self, lasts_ms: int) -> str:
        """Nothing gets into a region or out of it, for longer than most faults last."""
        regions = self._fleet.scenario.region_of()
        region = self._chance.choice(sorted(set(regions.values())))
        for a in regions:
            for b in regions:
                if (regions[a] == region) != (regions[b] == region):
                    self._cut(a, b, 2 * lasts_ms)
        return region

    def _slow_link(self, lasts_ms: int) -> str:
        node, store = self._link()
        extra_ms = self._chance.randint(*SLOW_LINK_MS)
        network = self._fleet.network
        for way in ((node, store), (store, node)):
            network.slow(*way, extra_ms)
            self._later(lasts_ms, self._unslow, *way, extra_ms)
        return f"{node} and {store}, {extra_ms} ms more"

    def _unslow(self, source: str, target: str, extra_ms: int) -> None:
        if not self.is_calm:
            self._fleet.network.slow(source, target, -extra_ms)

    def _break_connection(self, _lasts_ms: int, silent: bool = False) -> str:
        node, store = self._link()
        process = self._fleet.processes.get(node)
        if process is None:
            return ""
        process.lines[store].snap("the network broke the connection", silent)
        return f"{node} and {store}"

    def _sever_connection(self, lasts_ms: int) -> str:
        return self._break_connection(lasts_ms, silent=True)

    # -- stores

    def _crash_store(self, lasts_ms: int) -> str:
        name = self._chance.choice(self._stores)
        if not self._fleet.stores[name].up:
            return ""
        self._fleet.crash_store(name, self._chance.choice(FLUSHED))
        self._later(lasts_ms, self._fleet.restart_store, name)
        return name

    def _restart_stores(self, lasts_ms: int) -> str:
        for name in self._stores:
            self._fleet.crash_store(name, self._chance.choice(FLUSHED))
            self._later(self._chance.randint(0, lasts_ms), self._fleet.restart_store, name)
        return "everywhere"

    def _wipe_store(self, _lasts_ms: int) -> str:
        name = self._chance.choice(self._stores)
        remembers = self._fleet.stores[name].twin.state.incarnation
        if not remembers or not self._fleet.can_spare(name):
            return ""
        self._fleet.wipe_store(name)
        return name

    def _change_stores(self, _lasts_ms: int) -> str:
        """An operator orders another store set at some node; what makes no sense is refused."""
        process, group = self._some_process(), self._chance.choice(self._fleet.scenario.groups)
        action = self._chance.choice(tuple(StoreAction))
        voters = sorted(self._fleet.sets.latest(group.name).voters)
        if process is None or (action is StoreAction.REMOVE and len(voters) <= VOTERS_MIN):
            return ""
        strangers = [name for name in self._stores if name not in voters]
        if action is not StoreAction.REMOVE and not strangers:
            return ""
        store = self._chance.choice(strangers if action is StoreAction.ADD else voters)
        by = self._chance.choice(strangers) if action is StoreAction.REPLACE else ""
        outcome = process.change_stores(ChangeStores(group.name, action, store, by))
        if isinstance(outcome, Refused):
            return ""
        return f"{group.name}: {action} {store} {by}".rstrip()

    def _change_lease(self, _lasts_ms: int) -> str:
        """An operator orders another lease at some node; what is being changed already stays."""
        process, group = self._some_process(), self._chance.choice(self._fleet.scenario.groups)
        ttl_ms = self._chance.choice(LEASES_MS)
        if process is None:
            return ""
        outcome = process.change_stores(ChangeLease(group.name, ttl_ms))
        return "" if isinstance(outcome, Refused) else f"{group.name}: {ttl_ms} ms"

    def _reshard(self, _lasts_ms: int) -> str:
        """An operator orders to split, merge or move a shard; what makes no sense is refused."""
        fleet, chance = self._fleet, self._chance
        process, names = self._some_process(), fleet.shard_names()
        if process is None or not names:
            return ""
        kind, at = chance.choice(tuple(Kind)), chance.randrange(len(names))
        if kind is Kind.MERGE and len(names) > 1:
            at = min(at, len(names) - 2)
            order = Reshard(kind, names[at], beside=names[at + 1])
        elif kind is Kind.MOVE:
            group = chance.choice(fleet.scenario.groups).name
            order = Reshard(kind, names[at], to_group=group)
        elif len(names) < SHARDS_MAX:
            order = Reshard(Kind.SPLIT, names[at])
        else:
            return ""
        self._order(process.name, order, 0)
        return f"{order.kind} {order.of} {order.beside}{order.to_group}".rstrip()

    def _rest_copies(self, _lasts_ms: int) -> str:
        """Copies of some shard rest in some region from now on, or follow again."""
        process, names, chance = self._some_process(), self._fleet.shard_names(), self._chance
        regions = sorted(set(self._fleet.scenario.region_of().values()))
        if process is None or not names:
            return ""
        shard, rests = chance.choice(names), chance.random() < REST_SHARE
        states = {region: CopyState(rests, 0) for region in regions if chance.random() < 0.7}
        change = CopiesOf(shard, states).put()
        self._order(process.name, Write(SYSTEM, (change,)), 0)
        return f"{shard} {'rests' if rests else 'follows'} in {', '.join(states) or 'no region'}"

    def _order(self, node: str, order: Request, attempts: int) -> None:
        """Give an order to a node, and then to the one that it points to."""
        region = self._fleet.scenario.region_of()[node]

        def answered(outcome: Outcome, _decided_ms: int) -> None:
            leader = outcome.leader if isinstance(outcome, Refused) else None
            if leader is not None and attempts < ATTEMPTS_MAX:
                self._order(leader.node, order, attempts + 1)

        def nobody() -> None:
            """It does not run: the order is forgotten."""

        self._fleet.ask(region, node, order, answered, nobody)

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
