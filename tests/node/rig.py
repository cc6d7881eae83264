"""Real nodes over twin stores, on one clock, with nothing in between but what a test puts there.

Calls are executed and answered in the millisecond they are sent, unless a test holds them back:
`hold` keeps what a node sends to a store, `mute` keeps what the store answers. Time moves only by
`run`. There is no chance anywhere, so a schedule is the same every time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from controlplane.machine import (
    Answer,
    Answered,
    Call,
    Connected,
    Disconnected,
    Drop,
    Effect,
    Event,
    Fetch,
    Fetched,
    Happened,
    Probe,
    Probed,
    Requested,
    Rewire,
    Tell,
    Told,
)
from controlplane.node import Node
from controlplane.node.group import Group
from controlplane.node_plan import Limits, NodePlan, PeerPlan, Place, ShardSeed, group_plan
from controlplane.requests import Outcome, Put, Read, Request, Write
from regions.codec import FORMAT, Code, Reply, pack
from regions.membership import GroupDescription, write_description
from regions.scripts.model import StoreModel
from regions.scripts.state import StoreState
from shards.leadership import Leadership
from shards.scripts.model import COMMANDS, new_store

GROUP = "g"
VERSION = 1
STEP_MS = 5
ROUNDS_MAX = 500  # more within one millisecond is a machine running in circles


@dataclass
class Wire:
    """One ordered lane of one node: up while `generation` is not 0."""

    generation: int = 0
    opened: int = 0
    requests: deque[Call] = field(default_factory=deque)
    replies: deque[Reply] = field(default_factory=deque)
    is_another: bool = False  # the store answers, but is not who it should be, or nobody yet
    held: bool = False
    muted: bool = False


class Seat:
    """One node with its lanes, and all that it has said."""

    def __init__(self, rig: Rig, plan: NodePlan) -> None:
        self.rig = rig
        self.plan = plan
        self.node = Node(plan, lambda: 0.5, rig.now_ms)
        self.inbox: list[Event] = []
        self.wires = {store: Wire() for store in rig.stores}
        self.answers: dict[int, Outcome] = {}
        self.happened: list[Happened] = []
        self.effects: list[Effect] = []
        self.asleep = False
        self.bulk_ms = 0  # answers on bulk lanes take so long
        self.late: deque[tuple[int, Event]] = deque()
        self._requests = 0

    @property
    def group(self) -> Group:
        """The node's one group."""
        return self.node.groups[self.rig.group]

    def led(self, shard: str) -> Leadership:
        """The node's leadership of a shard; KeyError without one."""
        return self.group.led[shard]

    def serves(self, shard: str) -> bool:
        """Whether the node would answer a strong read now."""
        return any(shard == name for name, _, _ in self.node.lease_claims(self.rig.now_ms))

    def ask(self, request: Request) -> int:
        """Hand a request in; `answers` has its outcome under the number returned."""
        self._requests += 1
        self.inbox.append(Requested(self._requests, request))
        return self._requests

    def put(self, shard: str, key: str, value: bytes = b"v", op_id: str = "") -> int:
        """Hand a write of one key in."""
        return self.ask(Write(shard, (Put("p", key, value),), (), op_id, "digest" if op_id else ""))

    def get(self, shard: str, key: str, **how: Any) -> int:
        """Hand a read of one key in."""
        return self.ask(Read(shard, (key,), **how))

    def kinds(self, shard: str) -> list[str]:
        """Life-cycle events of a shard, oldest first."""
        return [event.kind for event in self.happened if event.shard == shard]


class Rig:
    """Nodes, stores, and the clock that all of them share."""

    def __init__(
        self,
        nodes: tuple[str, ...] = ("n1",),
        stores: int = 3,
        followers: int = 0,
        ttl_ms: int = 1_000,
        shards: tuple[str, ...] = ("a",),
        group: str = GROUP,
        seeds: tuple[ShardSeed, ...] = (),
        spares: int = 0,
        onlookers: tuple[str, ...] = (),
        limits: Limits | None = None,
    ) -> None:
        """Of the stores, some vote, some follow, and spares belong to no group."""
        self.limits = limits or Limits()
        self.now_ms = 1_000_000
        self.step_ms = STEP_MS
        self.ttl_ms = ttl_ms
        names = [f"s{n + 1}" for n in range(stores + followers)]
        self.stores: dict[str, StoreModel] = {name: new_store(name) for name in names}
        for number in range(spares):
            spare = f"spare{number + 1}"
            self.stores[spare] = StoreModel(COMMANDS, f"{spare}-run")
        self.on_call: Callable[[str, list[list[Any]]], None] = lambda store, commands: None
        self.full: set[str] = set()  # stores that have no memory for calls, and do nothing of them
        self.untold: set[str] = set()  # nodes that messages of others do not reach
        self.deaf: set[str] = set()  # nodes whose front door does not answer
        self.group = group
        self._seeds = seeds
        self._onlookers = onlookers  # nodes that stand for nothing in the group
        self._voters = stores
        self.seats: dict[str, Seat] = {}
        members = {name: self.stores[name].state.incarnation for name in names}
        voters = {name: members[name] for name in names[:stores]}
        others = {name: members[name] for name in names[stores:]}
        self.also: list[GroupDescription] = []  # groups that nodes started from now on stand in too
        self.description = GroupDescription(group, VERSION, ttl_ms, voters, others)
        for name in names:
            self.do(name, "install", write_description(self.description))
            for shard in shards:
                self.do(name, "place", shard, 1, pack([["eu"], nodes[0]]))
        for node in nodes:
            self.start(node, nodes)

    def start(self, node: str, nodes: tuple[str, ...], life: int = 1) -> Seat:
        """A new life of a node, with all lanes up."""
        places = {name: Place("eu", f"eu-{name}") for name in self.stores}
        group = group_plan(self.description, places, "eu")
        group = replace(group, stands=node not in self._onlookers)
        also = [group_plan(description, places, "eu") for description in self.also]
        peers = tuple(PeerPlan(name, "eu", f"//{name}") for name in nodes if name != node)
        plan = NodePlan(
            node, "eu", f"//{node}", f"{node}-{life}", (group, *also), peers, self._seeds, places,
            limits=self.limits,
        )  # fmt: skip
        seat = self.seats[node] = Seat(self, plan)
        for store in self.stores:
            self.connect(node, store)
        return seat

    # -- stores

    def do(self, store: str, operation: str, *arguments: Any) -> list[Any]:
        """One command of nobody's; returns [code, payload ...]."""
        twin = self.stores[store]
        header = [FORMAT, twin.state.incarnation, "", 0]
        result = twin.call(header, [[operation, self.group, VERSION, *arguments]]).results[0]
        return [str(result[0]), *result[4:]]

    def forget(self, store: str) -> None:
        """The store's data is gone, and it answers again: every lane to it breaks."""
        self.stores[store].restore(StoreState())
        for node in self.seats:
            self.disconnect(node, store)
            self.connect(node, store)

    def grant(self, store: str, shard: str = "a") -> tuple[int, str, str]:
        """(epoch held, holder, state)"""
        grant = self.stores[store].state.groups[self.group].grants[shard]
        return grant.he, grant.h, grant.st

    def log(self, store: str, shard: str = "a") -> Any:
        """The store's record of a shard's log."""
        return self.stores[store].state.groups[self.group].shards[shard]

    def is_fresh(self, store: str, shard: str = "a") -> tuple[bool, int]:
        """Whether the store vouches for its copy, and its holder's `seen`."""
        payload = self.do(store, "read", shard, "", 0, [], [])
        return bool(payload[4]), payload[5]

    # -- lanes

    def wire(self, node: str, store: str) -> Wire:
        """One lane."""
        return self.seats[node].wires[store]

    def connect(self, node: str, store: str) -> None:
        """Open a lane that is down, under a greater generation, if the store is who it was."""
        wire, core = self.wire(node, store), self.seats[node].node
        lane = core.lanes.get(store)
        wire.is_another = lane is None
        if lane is not None and lane.incarnation != self.stores[store].state.incarnation:
            wire.is_another = True
            core.store_refused(store, "another incarnation", forgot=True)
            return
        wire.opened += 1
        wire.generation = wire.opened
        self.seats[node].inbox.append(Connected(store, wire.generation))

    def disconnect(self, node: str, store: str) -> None:
        """Break a lane; what was on it is lost."""
        wire = self.wire(node, store)
        if wire.generation:
            self.seats[node].inbox.append(Disconnected(store, wire.generation, "broken"))
        wire.is_another = False
        wire.generation = 0
        wire.requests.clear()
        wire.replies.clear()

    def hold(self, node: str, *stores: str) -> None:
        """Keep what the node sends to these stores."""
        for store in stores:
            self.wire(node, store).held = True

    def mute(self, node: str, *stores: str) -> None:
        """Let these stores execute what the node sends, and keep their answers."""
        for store in stores:
            self.wire(node, store).muted = True

    def let(self, node: str, *stores: str) -> None:
        """End `hold` and `mute`."""
        for store in stores:
            self.wire(node, store).held = self.wire(node, store).muted = False

    # -- time

    def run(self, ms: int) -> None:
        """Let time pass."""
        end_ms = self.now_ms + ms
        self.settle()
        while self.now_ms < end_ms:
            self.now_ms = min(end_ms, self.now_ms + self.step_ms)
            self.settle()

    def until(self, condition: Callable[[], bool], ms_max: int = 20_000) -> None:
        """Let time pass until something holds; fails if it never does."""
        end_ms = self.now_ms + ms_max
        self.settle()
        while not condition():
            assert self.now_ms < end_ms, "it never happened"
            self.run(self.step_ms)

    def step_until(self, seat: Seat, condition: Callable[[], bool]) -> None:
        """One node and its stores, turn by turn: stops between deciding and sending."""
        for _ in range(2 * self.ttl_ms):
            self.turn(seat)
            if condition():
                return
            self.carry(seat)
            self.turn(seat)
            if condition():
                return
            self.now_ms += 1
        raise AssertionError("it never happened")

    def settle(self) -> None:
        """Let everything happen that needs no time."""
        for _ in range(ROUNDS_MAX):
            turned = [self.turn(seat) for seat in list(self.seats.values())]
            carried = [self.carry(seat) for seat in list(self.seats.values())]
            if not any(turned) and not any(carried):
                return
        raise AssertionError("the nodes run in circles")

    def turn(self, seat: Seat) -> bool:
        """One batch of events at one node; says whether there was anything to do."""
        if seat.asleep:
            return False
        while seat.late and seat.late[0][0] <= self.now_ms:
            seat.inbox.append(seat.late.popleft()[1])
        inbox, seat.inbox = seat.inbox, []
        for event in inbox:
            seat.node.step(event, self.now_ms)
        if seat.node.deadline_ms <= self.now_ms:
            seat.node.advance(self.now_ms)
        effects = seat.node.take(self.now_ms)
        for effect in effects:
            self._perform(seat, effect)
        return bool(inbox or effects)

    def carry(self, seat: Seat) -> bool:
        """Take what is on the lanes to its other end."""
        moved = False
        for store, wire in seat.wires.items():
            while wire.requests and not wire.held:
                call = wire.requests.popleft()
                wire.replies.append(self._execute(store, call))
                moved = True
            while wire.replies and not wire.muted:
                seat.inbox.append(Answered(store, wire.generation, wire.replies.popleft()))
                moved = True
        return moved

    def _execute(self, store: str, call: Call) -> Reply:
        twin = self.stores[store]
        if store in self.full:
            state = twin.state
            return Reply(Code.OOM, state.store_id, state.incarnation, twin.run_id, state.opseq, [])
        self.on_call(store, call.commands)
        return twin.call(call.header, call.commands)

    def _perform(self, seat: Seat, effect: Effect) -> None:
        seat.effects.append(effect)
        match effect:
            case Call():
                wire = seat.wires[effect.store]
                if effect.generation == wire.generation:
                    wire.requests.append(effect)
            case Drop():
                if effect.generation == seat.wires[effect.store].generation:
                    self.disconnect(seat.plan.node, effect.store)
                    self.connect(seat.plan.node, effect.store)
            case Rewire():
                self.disconnect(seat.plan.node, effect.store)
                seat.wires[effect.store].is_another = True  # within reach of a bulk lane
                if effect.incarnation:
                    self.connect(seat.plan.node, effect.store)
            case Fetch():
                twin = self.stores[effect.store]
                wire = seat.wires[effect.store]
                up = wire.generation > 0 or wire.is_another
                reply = twin.call(effect.header, effect.commands) if up else None
                seat.late.append((self.now_ms + seat.bulk_ms, Fetched(effect.token, reply)))
            case Answer():
                seat.answers[effect.id] = effect.outcome
            case Tell():
                if effect.node in self.seats and effect.node not in self.untold:
                    self.seats[effect.node].inbox.append(Told(seat.plan.node, effect.message))
            case Probe():
                served = effect.node in self.seats and effect.node not in self.deaf
                seat.inbox.append(Probed(effect.node, effect.shard, served))
            case Happened():
                seat.happened.append(effect)
