"""A node process in virtual time: it drives the pure Node just as the asyncio driver does.

What happened is collected, handed over in one batch, and the effects are carried out. Everything a
real process suffers is done here: it may be paused between any two batches, or between taking the
effects and carrying them out (the worst moment: what it then sends was decided long ago); its
timers may be late; it may die, and its successor knows nothing but its plan.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Protocol

from controlplane.machine import (
    Answer,
    Call,
    Drained,
    Drop,
    Effect,
    Event,
    Fetch,
    Happened,
    Probe,
    Requested,
    Rewire,
    Tell,
)
from controlplane.node.heats import Heats
from controlplane.node.reshardings import Reshardings
from controlplane.node_plan import NodePlan
from controlplane.requests import (
    GroupChange,
    Outcome,
    Problem,
    Refused,
    Request,
    StoresWanted,
)  # fmt: skip
from controlplane.simulator.lanes import StoreLine
from controlplane.simulator.world import SimulatedClock, World
from controlplane.views import ShardView

RUNS_PER_MS_MAX = 1_000  # more batches within one millisecond are a machine running in circles
LATE_TIMER_SHARE = 0.05
LATE_TIMER_MS_MAX = 15

Claim = tuple[str, int, str]


class PureNode(Protocol):
    """What a driver needs of the core; claims, views and versions are for the checkers alone."""

    @property
    def deadline_ms(self) -> int:
        """When `advance` wants to be called next."""

    @property
    def map_version(self) -> int:
        """Of which version of the shard map it knows."""

    def step(self, event: Event, now_ms: int) -> None:
        """Something happened."""

    def advance(self, now_ms: int) -> None:
        """Time passed."""

    def take(self, now_ms: int) -> list[Effect]:
        """What is to be done now, in this order."""

    def lease_claims(self, now_ms: int) -> list[Claim]:
        """(shard, epoch, session) for each shard of which strong reads would be answered now."""

    def shard_views(self, now_ms: int) -> tuple[ShardView, ...]:
        """The shard map as it is known here, as routing uses it."""

    def change_stores(
        self, order: GroupChange, now_ms: int, *, begin: bool
    ) -> StoresWanted | Refused:
        """What an operator wants of a group's stores or lease."""

    @property
    def reshardings(self) -> Reshardings:
        """What is known here of reshardings."""

    @property
    def heats(self) -> Heats:
        """How hot shards are, as far as is known here."""


NodeMaker = Callable[[NodePlan, Callable[[], float], int], PureNode]


class Surroundings(Protocol):
    """What a process asks of the world around it, besides its stores."""

    def tell(self, sender: str, effect: Tell) -> None:
        """Carry a message to another node, perhaps."""

    def probe(self, asker: Process, effect: Probe) -> None:
        """Ask another node for a strong read, and report Probed."""

    def happened(self, process: Process, effect: Happened) -> None:
        """Note a life-cycle event."""

    def ran(self, process: Process) -> None:
        """A batch has been handled: the checkers look at the node."""

    def drained(self, process: Process) -> None:
        """The process has nothing left to do, and ends."""


class Process:
    """One life of a node: from its start to its crash."""

    def __init__(
        self,
        world: World,
        plan: NodePlan,
        make_node: NodeMaker,
        clock: SimulatedClock,
        chance: Random,
        surroundings: Surroundings,
    ) -> None:
        self.name = plan.node
        self.plan = plan
        self.clock = clock
        self.alive = True
        self.paused = False
        self.lines: dict[str, StoreLine] = {}
        self.node = make_node(plan, chance.random, clock.now_ms())
        self._world = world
        self._chance = chance
        self._surroundings = surroundings
        self._inbox: list[Event] = []
        self._unsent: list[tuple[list[Effect], int]] = []
        self._freeze_before: str | None = None
        self._scheduled = False
        self._timer_at_ms: int | None = None
        self._deadline_ms = self.node.deadline_ms  # as it was after the latest batch
        self._requests = 0
        self._callers: dict[int, tuple[Callable[[Outcome, int], None], int]] = {}
        self._runs_at = (0, 0)

    def start(self) -> None:
        """Connect to all stores and start the timer."""
        for line in self.lines.values():
            line.dial()
        self._wake()

    # -- from outside

    def deliver(self, event: Event) -> None:
        """Something happened to this process; it is handled in the present millisecond."""
        if self.alive:
            self._inbox.append(event)
            self._wake()

    def request(self, request: Request, caller: Callable[[Outcome, int], None]) -> None:
        """A client's request; `caller` gets the outcome and the world's time of the decision."""
        self._requests += 1
        self._callers[self._requests] = (caller, self._world.now_ms)
        self.deliver(Requested(self._requests, request))

    def change_stores(self, order: GroupChange) -> StoresWanted | Refused:
        """An operator's order at this node's front door, answered at once; paused ones refuse."""
        if self.paused or not self.alive:
            return Refused(Problem.OVERLOADED, "nobody answers")
        answer = self.node.change_stores(order, self.clock.now_ms(), begin=True)
        self._wake()
        return answer

    def pause(self) -> None:
        """Stop handling anything."""
        self.paused = True

    def freeze(self, operation: str = "") -> None:
        """Stop at the worst moment: with the next effects decided, and none of them carried out.

        With an operation, the next effects are those that send such a command to some store.
        """
        self._freeze_before = operation

    def resume(self) -> None:
        """Go on: first with the effects that were in hand, however old they are."""
        self._freeze_before = None
        self.paused = False
        unsent, self._unsent = self._unsent, []
        for effects, decided_ms in unsent:
            self._perform(effects, decided_ms)
        self._wake()

    def clock_changed(self) -> None:
        """Its clock was bent or stepped: timers are set anew."""
        self._timer_at_ms = None
        self._wake()

    def crash(self) -> None:
        """End this life; nothing is said to anybody."""
        self.alive = False
        for line in self.lines.values():
            line.close()
        self._callers.clear()
        self._inbox.clear()
        self._unsent.clear()

    def unanswered_since(self, asked_ms: int) -> int:
        """Requests made up to that time of the world, and not answered yet."""
        return sum(since_ms <= asked_ms for _, since_ms in self._callers.values())

    # -- running

    def _wake(self) -> None:
        if not self._scheduled and self.alive and not self.paused:
            self._scheduled = True
            self._world.after(0, self._run)

    def _run(self) -> None:
        self._scheduled = False
        if self.paused or not self.alive:
            return
        self._count_run()
        node, now_ms = self.node, self.clock.now_ms()  # a turn takes no time
        inbox, self._inbox = self._inbox, []
        for event in inbox:
            node.step(event, now_ms)
        if self._deadline_ms <= now_ms:
            node.advance(now_ms)
        effects = node.take(now_ms)
        if self._freezes(effects):
            self._freeze_before = None
            self.paused = True
            self._unsent.append((effects, self._world.now_ms))
        else:
            self._perform(effects, self._world.now_ms)
        self._surroundings.ran(self)
        self._arm()

    def _freezes(self, effects: list[Effect]) -> bool:
        wanted = self._freeze_before
        if wanted is None or wanted == "":
            return wanted is not None and bool(effects)
        calls = [effect for effect in effects if isinstance(effect, Call)]
        return any(command[0] == wanted for call in calls for command in call.commands)

    def _count_run(self) -> None:
        at_ms, count = self._runs_at
        count = count + 1 if at_ms == self._world.now_ms else 1
        self._runs_at = (self._world.now_ms, count)
        assert count <= RUNS_PER_MS_MAX, f"{self.name} runs in circles"

    def _arm(self) -> None:
        if not self.alive or self.paused:
            return
        self._deadline_ms = self.node.deadline_ms
        delay_ms = max(1, self.clock.world_delay_ms(self._deadline_ms))
        due_ms = self._world.now_ms + delay_ms
        if self._timer_at_ms is None or due_ms < self._timer_at_ms:
            self._timer_at_ms = due_ms
            if self._chance.random() < LATE_TIMER_SHARE:
                delay_ms += self._chance.randrange(LATE_TIMER_MS_MAX)
            self._world.after(delay_ms, self._timer, due_ms)

    def _timer(self, due_ms: int) -> None:
        if self._timer_at_ms != due_ms or not self.alive:
            return
        self._timer_at_ms = None
        if self.paused:
            return
        if self._deadline_ms <= self.clock.now_ms():
            self._wake()
        else:
            self._arm()

    # -- doing what the node wants

    def _perform(self, effects: list[Effect], decided_ms: int) -> None:
        ends = False
        for effect in effects:
            match effect:
                case Call():
                    self.lines[effect.store].send(effect)
                case Answer():
                    caller, _ = self._callers.pop(effect.id)
                    caller(effect.outcome, decided_ms)
                case Drop():
                    self.lines[effect.store].drop(effect.generation, effect.why)
                case Rewire():
                    self.lines[effect.store].redial()
                case Fetch():
                    self.lines[effect.store].fetch(effect)
                case Tell():
                    self._surroundings.tell(self.name, effect)
                case Probe():
                    self._surroundings.probe(self, effect)
                case Happened():
                    self._surroundings.happened(self, effect)
                case Drained():
                    ends = True  # once the rest of this turn is done, too
        if ends:
            self._surroundings.drained(self)
