"""The asyncio driver of a node: it owns the clock and the loop, and decides nothing.

Everything that happens is posted as an event. The first event after a quiet moment schedules one
*turn* for later in the same iteration of the loop; all that arrives until then joins it. A turn
steps the node through its events, advances it if its deadline has come, and carries out what the
node then wants done. So whatever arrived together leaves together, and one flush of a store's disk
pays for all of it.

A turn is synchronous: no lease can run out between a decision and its sending without the node
having read the clock in between. If a turn raises, an invariant is broken and nothing that this
process believes can be relied upon: the driver stops for good, and `run` raises what was found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Set
from itertools import count
from typing import Protocol

from config.feed import Feed
from controlplane.machine import (
    Answer,
    Call,
    Drained,
    Draining,
    Drop,
    Effect,
    Event,
    Fetch,
    Happened,
    Locate,
    Probe,
    Requested,
    Rewire,
    Tell,
)
from controlplane.node.canary import Canary
from controlplane.node.directory import Directory
from controlplane.node.documents import Documents
from controlplane.node.drains import Drains
from controlplane.node.duties import Duties
from controlplane.node.fenced_writes import FencedWrites
from controlplane.node.figures import Figures
from controlplane.node.heats import Heats
from controlplane.node.homecoming import Homecoming
from controlplane.node.load_reports import Gathered
from controlplane.node.reshardings import Reshardings
from controlplane.node.resting import RestingCopies
from controlplane.node.rollouts import Rollouts
from controlplane.node_plan import Place
from controlplane.requests import (
    ForceRecover,
    GroupChange,
    Outcome,
    Refused,
    Request,
    StoresForced,
    StoresWanted,
)
from controlplane.runtime.clock import Clock, boottime_ms
from controlplane.views import FleetView, ReplicaView, ShardView
from shards.load import ShardLoad


class NodeMachine(Protocol):
    """What the driver and the services around it use of the pure node."""

    @property
    def deadline_ms(self) -> int: ...
    @property
    def map_version(self) -> int: ...
    @property
    def leadership_revision(self) -> int: ...
    @property
    def directory(self) -> Directory: ...
    @property
    def reshardings(self) -> Reshardings: ...
    @property
    def fenced_writes(self) -> FencedWrites: ...
    @property
    def drains(self) -> Drains: ...
    @property
    def resting(self) -> RestingCopies: ...

    @property
    def duties(self) -> Duties: ...
    @property
    def documents(self) -> Documents: ...

    @property
    def rollouts(self) -> Rollouts: ...
    @property
    def heats(self) -> Heats: ...
    @property
    def figures(self) -> Figures: ...
    @property
    def canary(self) -> Canary: ...
    @property
    def homecoming(self) -> Homecoming: ...
    @property
    def feed(self) -> Feed: ...
    @property
    def places(self) -> Mapping[str, Place]: ...
    def take_changed_rows(self) -> Set[str]: ...
    def step(self, event: Event, now_ms: int) -> None: ...
    def advance(self, now_ms: int) -> None: ...

    def take(self, now_ms: int) -> list[Effect]: ...
    def fleet(self, now_ms: int) -> FleetView: ...
    def shard_now(self, request: Request) -> str: ...
    def shard_names(self) -> Set[str]: ...
    def shard_views(self, now_ms: int) -> tuple[ShardView, ...]: ...
    def shard_view(self, shard: str, now_ms: int) -> ShardView | None: ...
    def replicas(self, shard: str, now_ms: int) -> tuple[ReplicaView, ...]: ...
    def led_by(self, nodes: Set[str], now_ms: int) -> Set[str]: ...
    def load_of(self, shard: str) -> ShardLoad: ...
    def gathered(self, now_ms: int) -> Gathered | None: ...
    def store_refused(self, store: str, why: str, *, forgot: bool) -> None: ...
    def change_stores(
        self, order: GroupChange, now_ms: int, *, begin: bool
    ) -> StoresWanted | Refused: ...
    def force_recover(
        self, order: ForceRecover, now_ms: int, *, begin: bool
    ) -> StoresForced | Refused: ...


class Performer(Protocol):
    """Carries out what leaves the process; every method returns at once and never raises."""

    def call(self, effect: Call) -> None: ...
    def drop(self, effect: Drop) -> None: ...
    def rewire(self, effect: Rewire) -> None: ...
    def locate(self, effect: Locate) -> None: ...
    def fetch(self, effect: Fetch) -> None: ...
    def tell(self, effect: Tell) -> None: ...
    def probe(self, effect: Probe) -> None: ...


class Driver:
    """Runs one node on the loop it is made in. Not thread-safe: all calls come from that loop."""

    def __init__(
        self,
        node: NodeMachine,
        performer: Performer,
        *,
        on_happened: Callable[[Happened], None],
        on_table: Callable[[Set[str]], None],
        clock: Clock = boottime_ms,
    ) -> None:
        self.node = node
        self.clock = clock
        self.drained = asyncio.Event()
        self.turns = 0
        self.events = 0
        self._performer = performer
        self._on_happened = on_happened
        self._on_table = on_table
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Event] = []
        self._turn_scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms = 0
        self._deadline_ms = node.deadline_ms
        """As of the last turn: what a step brings closer is met by a timer without delay."""
        self._ids = count(1)
        self._answers: dict[int, asyncio.Future[Outcome]] = {}
        self._broken: asyncio.Future[None] = self._loop.create_future()

    async def run(self) -> None:
        """Drive until cancelled. Raises whatever broke the node, as soon as it did."""
        self._schedule()
        try:
            await asyncio.shield(self._broken)
        finally:
            self._stop()

    def post(self, event: Event) -> None:
        """Hand an event to the node, in this iteration of the loop, in the order posted."""
        self._waiting.append(event)
        if not self._turn_scheduled:
            self._schedule()

    async def ask(self, request: Request) -> Outcome:
        """Put a client's request to the node and wait for its answer.

        Time limits are the node's, so this always returns while the driver runs. Cancelling it
        leaves nothing behind: the answer that comes later finds nobody and is dropped.
        """
        request_id = next(self._ids)
        answer: asyncio.Future[Outcome] = self._loop.create_future()
        self._answers[request_id] = answer
        if self._broken.done():
            answer.cancel()  # nobody is left to answer
        self.post(Requested(request_id, request))
        try:
            return await answer
        finally:
            self._answers.pop(request_id, None)

    @property
    def unanswered(self) -> int:
        """How many requests of clients are waiting for an answer."""
        return len(self._answers)

    def change_stores(self, order: GroupChange, *, begin: bool) -> StoresWanted | Refused:
        """Have a group's stores or lease changed, or only say what would be wanted."""
        answer = self.node.change_stores(order, self.clock(), begin=begin)
        if not self._turn_scheduled:
            self._schedule()
        return answer

    def force_recover(self, order: ForceRecover, *, begin: bool) -> StoresForced | Refused:
        """Make a lost group go on with what is left of it, or only say what would be lost."""
        answer = self.node.force_recover(order, self.clock(), begin=begin)
        if not self._turn_scheduled:
            self._schedule()
        return answer

    def drain(self) -> None:
        """Ask the node to hand over all it leads; `drained` is set when that is done."""
        self.post(Draining())

    def _schedule(self) -> None:
        if self._broken.done():
            return
        self._turn_scheduled = True
        self._loop.call_soon(self._guarded_turn)

    def _guarded_turn(self) -> None:
        self._turn_scheduled = False
        if self._broken.done():
            return
        try:
            self._turn()
        except Exception as error:
            self._broken.set_exception(error)
            self._stop()

    def _turn(self) -> None:
        node, clock = self.node, self.clock
        events, self._waiting = self._waiting, []
        for event in events:
            node.step(event, clock())
        now_ms = clock()
        if self._deadline_ms <= now_ms:
            node.advance(now_ms)
        for effect in node.take(clock()):
            self._carry_out(effect)
        self.turns += 1
        self.events += len(events)
        self._deadline_ms = node.deadline_ms
        self._set_timer(self._deadline_ms)
        changed = node.take_changed_rows()
        if changed:
            self._on_table(changed)

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Call():
                self._performer.call(effect)
            case Answer(request_id, outcome):
                answer = self._answers.get(request_id)
                if answer is not None and not answer.done():
                    answer.set_result(outcome)
            case Happened():
                self._on_happened(effect)
            case Fetch():
                self._performer.fetch(effect)
            case Tell():
                self._performer.tell(effect)
            case Probe():
                self._performer.probe(effect)
            case Drop():
                self._performer.drop(effect)
            case Rewire():
                self._performer.rewire(effect)
            case Locate():
                self._performer.locate(effect)
            case Drained():
                self.drained.set()

    def _set_timer(self, deadline_ms: int) -> None:
        """See that a turn comes by the deadline.

        A timer that fires too early costs one empty turn, which arms it again; replacing it with
        every turn would cost more, since busy nodes move their deadline all the time.
        """
        if self._timer is not None:
            if self._timer_ms <= deadline_ms:
                return
            self._timer.cancel()
        self._timer_ms = deadline_ms
        delay_ms = max(0, deadline_ms - self.clock())
        self._timer = self._loop.call_later(delay_ms / 1_000, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if not self._turn_scheduled:
            self._schedule()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._broken.done():
            self._broken.cancel()
        for answer in self._answers.values():
            answer.cancel()
