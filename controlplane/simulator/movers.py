"""The mover of every simulated node, and its rollouts: real loops, in virtual time.

Theory of operation. What moves leaders on purpose (controlplane/planning/mover), and what rolls
documents out (controlplane/rollouts/leading), is written as coroutines that wait for answers of
their own node, and for nothing else. So no event loop is needed: a turn is sent on whenever the
node has answered it. It stands still while its process is paused, and ends with it, wherever it
was.
"""

from __future__ import annotations

from collections.abc import (
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Mapping,
    Sequence,
    Set,
)
from typing import Any, Protocol, TypeAlias, cast

from config.feed import Feed
from config.gate import Look
from config.rollout import Rollout
from config.rollout_step import Ack
from controlplane.api.service import Service
from controlplane.machine import Happened, HomeWish, Judged
from controlplane.node import Node
from controlplane.node.directory import MapRow
from controlplane.node.drains import Drain
from controlplane.node.load_reports import Gathered
from controlplane.node.resting import CopiesOf
from controlplane.node_plan import Limits
from controlplane.planning.mover import EVERY_S, Mover
from controlplane.planning.planner import Planner
from controlplane.problems import RequestRefused
from controlplane.requests import Outcome, Request
from controlplane.rollouts.gates import Asker, GateKeeper
from controlplane.rollouts.leading import RolloutLeader
from controlplane.simulator.process import Process
from controlplane.simulator.world import World
from controlplane.views import FleetView, ReshardingView, ShardView
from shards.heat import Heat

EVERY_MS = round(EVERY_S * 1_000)
PAUSED_LOOK_MS = 5


class Question:
    """A request on its way to the node; waiting for it gives the outcome."""

    def __init__(self, request: Request) -> None:
        self.request = request

    def __await__(self) -> Generator[Question, Outcome, Outcome]:
        outcome = yield self
        return outcome


Work: TypeAlias = Coroutine[Question, Any, Any]


class Surroundings(Protocol):
    """What the movers need of the fleet around them."""

    world: World
    on_started: Callable[[Process], None] | None

    def happened(self, process: Process, effect: Happened) -> None:
        """Note a life-cycle event."""


class SimulatedService:
    """One process as its mover sees it: the part of `Service` that moves need."""

    def __init__(self, fleet: Surroundings, process: Process) -> None:
        self._fleet = fleet
        self._process = process
        self._node = cast(Node, process.node)

    @property
    def _now_ms(self) -> int:
        return self._process.clock.now_ms()

    @property
    def limits(self) -> Limits:
        """Those of this node."""
        return self._process.plan.limits

    async def submit(self, request: Request) -> Outcome:
        """Put a request to this node and wait for its one answer."""
        return await Question(request)

    def gathered(self) -> Gathered | None:
        """What was reported to this node; None unless it leads the others."""
        return self._node.gathered(self._now_ms)

    def report(self, event: Happened) -> None:
        """Note something that was decided here."""
        self._node.duties.outbox.add(event.kind, event.shard, event.epoch, event.detail)
        self._fleet.happened(self._process, event)

    def fleet(self) -> FleetView:
        """Everything this node knows."""
        return self._node.fleet(self._now_ms)

    def shard_view(self, shard: str) -> ShardView | None:
        """One row of the routing table."""
        return self._node.shard_view(shard, self._now_ms)

    def map_row(self, shard: str) -> MapRow | None:
        """The row of the shard map that this node knows."""
        return self._node.directory.rows.get(shard)

    def led_by(self, nodes: Set[str]) -> Set[str]:
        """Shards that any of these nodes leads."""
        return self._node.led_by(nodes, self._now_ms)

    def rollouts(self) -> tuple[tuple[Rollout, int], ...]:
        """Every rollout, as this region's copy of the system shard has it."""
        return self._node.rollouts.known()

    def acks(self, document: str, rollout: int) -> Mapping[str, Ack]:
        """By node, what it said to this one that it runs in a rollout."""
        return self._node.documents.acks(document, rollout)

    def drains(self) -> tuple[tuple[Drain, int], ...]:
        """Every drain that this node knows of."""
        return self._node.drains.known()

    def copies(self) -> Mapping[str, CopiesOf]:
        """What this node knows of copies that may rest."""
        return self._node.resting.known

    def documents(self) -> Feed:
        """The documents in force here."""
        return self._node.feed

    def shard_names(self) -> Iterable[str]:
        """Every shard there is a view of."""
        return self._node.shard_names()

    def ancestors(self, shard: str) -> tuple[str, ...]:
        """Shards that this one continues."""
        return self._node.reshardings.ancestors(shard)

    def reshardings(self) -> tuple[ReshardingView, ...]:
        """Every resharding that is remembered."""
        return self._node.reshardings.switching.views()

    def heat_of(self, shard: str) -> Heat | None:
        """How hot a shard is, as its leader told this node lately."""
        return self._node.heats.of(shard, self._now_ms)

    def unsteady_canaries(self) -> Mapping[str, str]:
        """Nodes that handed their canaries back, told since the last call."""
        return self._node.canary.take()

    def home_wishes(self) -> tuple[HomeWish, ...]:
        """Shards that leaders would hand home, asked of this node since the last call."""
        return self._node.homecoming.take()

    def judge_home(self, wishes: Sequence[HomeWish], admitted: Sequence[HomeWish]) -> None:
        """Answer them."""
        self._process.deliver(Judged(tuple(wishes), tuple(admitted)))


def service_of(fleet: Surroundings, process: Process) -> Service:
    """The service of a process, for whatever moves need of it."""
    return cast(Service, SimulatedService(fleet, process))


class Errand:
    """One coroutine carried on by the answers of one process."""

    def __init__(
        self, world: World, process: Process, work: Work, ended: Callable[[Any], None]
    ) -> None:
        """`ended` gets what it comes to, None if it was refused; it is not called after a crash."""
        self._world = world
        self._process = process
        self._work = work
        self._ended = ended
        self._go_on(None)

    def _go_on(self, outcome: Outcome | None) -> None:
        process = self._process
        if not process.alive:
            self._work.close()
            return
        if process.paused:
            self._world.after(PAUSED_LOOK_MS, self._go_on, outcome)
            return
        try:
            question = self._work.send(outcome)
        except StopIteration as end:
            self._ended(end.value)
        except (RequestRefused, ValueError):
            self._ended(None)
        else:
            process.request(question.request, self._answered)

    def _answered(self, outcome: Outcome, _decided_ms: int) -> None:
        self._world.after(0, self._go_on, outcome)


class Loop:
    """One loop of one process, turn after turn."""

    def __init__(
        self, fleet: Surroundings, process: Process, turn: Callable[[float], Work]
    ) -> None:
        """`turn` is given the seconds that have passed since the last one."""
        self._world = fleet.world
        self._process = process
        self._turn = turn
        self._at_ms = process.clock.now_ms()
        self._is_busy = False
        self._world.after(EVERY_MS, self._tick)

    def _tick(self) -> None:
        process = self._process
        if not process.alive:
            return
        self._world.after(EVERY_MS, self._tick)
        if process.paused or self._is_busy:
            return
        passed_ms, self._at_ms = process.clock.now_ms() - self._at_ms, process.clock.now_ms()
        self._is_busy = True
        Errand(self._world, process, self._turn(passed_ms / 1_000), self._ended)

    def _ended(self, _: object) -> None:
        self._is_busy = False


class AnsweredAtOnce:
    """What a coroutine comes to that waits for nothing."""

    def __init__(self, asking: Coroutine[Any, Any, list[Look]]) -> None:
        try:
            asking.send(None)
        except StopIteration as ended:
            self._looks: list[Look] = ended.value
        else:
            raise AssertionError("who is asked in virtual time answers at once")

    def done(self) -> bool:
        """It is."""
        return True

    def result(self) -> list[Look]:
        """What was said."""
        return self._looks

    def cancel(self) -> None:
        """There is nothing to be ended."""


def run_movers(fleet: Surroundings) -> None:
    """Let every process that starts from now on have its mover, and go on with rollouts."""

    def begin(process: Process) -> None:
        service = service_of(fleet, process)

        def wall_s() -> float:
            return fleet.world.now_ms / 1_000

        Loop(fleet, process, Mover(service, Planner(service), wall_s).turn)
        Loop(fleet, process, RolloutLeader(service, GateKeeper(service), wall_s).turn)

    fleet.on_started = begin


def run_rollouts(fleet: Surroundings, asker: Asker) -> None:
    """Let every process that starts from now on go on with rollouts, and ask gates of `asker`."""

    def begin(process: Process) -> None:
        service = service_of(fleet, process)

        def wall_s() -> float:
            return fleet.world.now_ms / 1_000

        gates = GateKeeper(service, asker, wall_s, AnsweredAtOnce)
        Loop(fleet, process, RolloutLeader(service, gates, wall_s).turn)

    fleet.on_started = begin
