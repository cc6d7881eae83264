"""Who edits documents in the simulation, has them rolled out, and interferes.

Four documents; two of them name each other. Revisions are good or bad: the gate of a bad one fails
whenever it is asked about regions that have it, or has nothing to say. Operators begin rollouts in
all ways, of new revisions and of old ones, pause, resume, promote what is good, and abort. They
ask whichever process collects what nodes tell, be it deposed by now.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import replace
from random import Random
from typing import Any, TypeAlias

from config.check import Edit, decide
from config.gate import FLEET_GATE, Gate, GateKind, Look, Verdict
from config.revision import EDITION_KEY, PARTITION, Revision, head_key, read_revision, version_key
from config.rollout import Rollout
from config.rollout_orders import Order, ordered
from config.strategy import DEFAULTS, OnFailure, OnUnreachable, Strategy, StrategyName
from controlplane.api.service import Service
from controlplane.node.following import SYSTEM
from controlplane.requests import Compare, Found, Put, Read, Write, Written
from controlplane.rollouts.beginning import Beginnings, Wish
from controlplane.rollouts.book import RolloutBook, ended
from controlplane.rollouts.notes import Ordered
from controlplane.simulator.fleet import Fleet
from controlplane.simulator.movers import Errand, service_of

DOCUMENTS = ("a", "b", "held", "schema.s")
SCHEMAS = {"held": "s"}
STRATEGIES = tuple(name for name in StrategyName if name is not StrategyName.EMERGENCY)
ACT_EVERY_MS = 1_000
TIDY_EVERY_MS = 1_000
UNFINISHED_MAX = 6
BAKES_MS = (0, 300, 1_000, 3_000)
DEADLINES_MS = (1_500, 4_000)
BULK_BYTES = 60_000
NAME = "ada"

Work: TypeAlias = Callable[[Service], Coroutine[Any, Any, None]]


class RolloutOperator:
    """Acts again and again, until it is told to stop; then it brings to an end what goes on."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._chance = fleet.world.chance("rollouts")
        self._look_chance = fleet.world.chance("gates")
        self._count = 0
        self._stopped = False
        self.bad: set[str] = set()
        """Digests of revisions whose gate fails."""

    def start(self) -> None:
        """Begin to act."""
        self._fleet.world.after(ACT_EVERY_MS, self._act)

    def stop(self) -> None:
        """Begin nothing more; what is paused goes on or back."""
        self._stopped = True
        self._tidy()

    def is_any_on(self) -> bool:
        """Whether any node knows of a rollout that is not over."""
        processes = self._fleet.processes.values()
        return any(_unfinished(service_of(self._fleet, process)) for process in processes)

    async def ask(self, gates: Sequence[Gate], regions: Collection[str]) -> list[Look]:
        """The verdicts of gates: a bad revision never passes, and a good one mostly does."""
        return [self._look(gate, regions) for gate in gates]

    def _look(self, gate: Gate, regions: Collection[str]) -> Look:
        weights = (1, 0, 4, 4) if gate.url == "bad" else (1, 30, 1, 2)
        if gate.url == "bad" and self._look_chance.random() < 0.7:
            weights = (1, 0, 0, 0)
        if not regions:
            weights = (0, 0, 0, 1)
        kinds = (Verdict.FAIL, Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.NO_DATA)
        return Look(self._look_chance.choices(kinds, weights=weights)[0], gate.url)

    # -- what is done

    def _act(self) -> None:
        if self._stopped:
            return
        world, chance = self._fleet.world, self._chance
        world.after(round(chance.expovariate(1 / ACT_EVERY_MS)), self._act)
        name = chance.choice(DOCUMENTS)
        match chance.choices(("edit", "again", "order"), weights=(5, 1, 4))[0]:
            case "edit":
                content, is_bad = self._content(name), chance.random() < 0.3
                self._send(lambda service: self._edited(service, name, content, is_bad))
            case "again":
                back = chance.randrange(1, 4)
                self._send(lambda service: self._again(service, name, back))
            case _:
                orders = (Order.PAUSE, Order.RESUME, Order.RESUME, Order.PROMOTE, Order.ABORT)
                order, at = chance.choice(orders), chance.random()
                self._send(lambda service: self._order(service, order, at))

    def _tidy(self) -> None:
        """Everything that waits for a person goes on, or is aborted."""
        self._fleet.world.after(TIDY_EVERY_MS, self._tidy)
        order = Order.ABORT if self._chance.random() < 0.2 else Order.RESUME
        self._send(lambda service: self._order(service, order, 0.0, paused=True))

    def _send(self, work: Work) -> None:
        """Have a process that takes itself for the global leader do this, if there is one."""
        found = []
        for process in self._fleet.processes.values():
            service = service_of(self._fleet, process)
            if not process.paused and service.gathered() is not None:
                found.append((process, service))
        if found:
            process, service = self._chance.choice(found)
            Errand(self._fleet.world, process, work(service), lambda _: None)

    def _content(self, name: str) -> dict[str, Any]:
        self._count += 1
        if name == "schema.s":
            return {"type": "object", "description": f"number {self._count}"}
        bulk = BULK_BYTES if name == "b" and self._chance.random() < 0.3 else 0
        return {"number": self._count, "bulk": "x" * bulk}

    # -- carried out at a node

    async def _edited(
        self, service: Service, name: str, content: dict[str, Any], is_bad: bool
    ) -> None:
        """Make a revision, and have it rolled out."""
        if len(_unfinished(service)) >= UNFINISHED_MAX:
            return
        revision = await _written(service, name, content, self._fleet.world.now_ms)
        if revision is not None:
            if is_bad:
                self.bad.add(revision.digest)
            await self._begin(service, revision)

    async def _again(self, service: Service, name: str, back: int) -> None:
        """Roll out an older version."""
        book = RolloutBook(service)
        newest = await book.revision(name, None)
        if newest is None or len(_unfinished(service)) >= UNFINISHED_MAX:
            return
        revision = await book.revision(name, max(1, newest.version - back))
        if revision is not None:
            await self._begin(service, revision)

    async def _begin(self, service: Service, revision: Revision) -> None:
        gathered, chance = service.gathered(), self._chance
        if gathered is None:
            return
        is_bad = revision.digest in self.bad
        gates = [Gate("outside", GateKind.HTTP, url="bad" if is_bad else "good")]
        if chance.random() < 0.2:
            gates.append(replace(FLEET_GATE, samples_min=0))
        queues = chance.random() < 0.5
        wish = Wish(
            _strategy(chance), NAME, "", self._fleet.world.now_ms, tuple(gates), queues,
            not queues and chance.random() < 0.6,
        )  # fmt: skip
        await Beginnings(service, gathered).begin(revision, wish)

    async def _order(
        self, service: Service, order: Order, at: float, *, paused: bool = False
    ) -> None:
        """Have an unfinished rollout do something; `at` is where in the list it is."""
        gathered = service.gathered()
        known = [each for each in _unfinished(service) if each.pause is not None or not paused]
        if not known or gathered is None:
            return
        book = RolloutBook(service)
        found = await book.rollout(known[int(at * len(known))].id)
        if found is None or (order is Order.PROMOTE and found[0].digest in self.bad):
            return
        until_ms = self._fleet.world.now_ms + 3_000 if order is Order.PAUSE and at < 0.5 else 0
        after = ordered(found[0], order, NAME, "", until_ms)
        if isinstance(after, Rollout):
            after = ended(after, self._fleet.world.now_ms)
            await book.step(found[0], after, found[1], gathered.epoch, Ordered(NAME))


def _unfinished(service: Service) -> list[Rollout]:
    return [each for each, _ in service.rollouts() if not each.is_over]


async def _written(
    service: Service, name: str, content: dict[str, Any], wall_ms: int
) -> Revision | None:
    """A new revision, if it was accepted and written."""
    keys = (EDITION_KEY, *(head_key(each) for each in DOCUMENTS))
    outcome = await service.submit(Read(SYSTEM, keys))
    if not isinstance(outcome, Found):
        return None
    edition, *heads = outcome.values
    feed = service.documents().copy(read_revision(head.data) for head in heads if head is not None)
    number = 1 if edition is None else int(edition.data) + 1
    edit = Edit(name, content, SCHEMAS.get(name, ""), NAME, "", wall_ms)
    revision = decide(edit, feed, number)
    if not isinstance(revision, Revision):
        return None  # what it names is not there yet
    puts = [
        Put(PARTITION, key, revision.packed())
        for key in (head_key(name), version_key(name, revision.version))
    ]
    puts.append(Put(PARTITION, EDITION_KEY, str(number).encode()))
    compare = Compare(EDITION_KEY, 0 if edition is None else edition.version)
    written = await service.submit(Write(SYSTEM, tuple(puts), (compare,)))
    return revision if isinstance(written, Written) else None


def _strategy(chance: Random) -> Strategy:
    return replace(
        DEFAULTS[chance.choice(STRATEGIES)],
        bake_ms=chance.choice(BAKES_MS),
        final_bake_ms=chance.choice(BAKES_MS),
        step_deadline_ms=chance.choice(DEADLINES_MS),
        unavailable_max=chance.randrange(2),
        parallel_max=chance.randrange(3),
        failure_limit=chance.randrange(2),
        error_limit=chance.randrange(3),
        on_failure=chance.choice(tuple(OnFailure)),
        on_unreachable=chance.choice(tuple(OnUnreachable)),
        approvals=(1,) if chance.random() < 0.1 else (),
    )
