"""Plans of the fleet's placement, made where everything they rest on is known.

A plan is computed by the worker and kept here under its hash for a while: to carry it out means
exactly that one. It rests on the fleet as it was; whether that is still so is looked at again
before anything moves, and with each move.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

from config.check import Edit, Unfit, decide
from config.document import Kind
from config.feed import Feed
from controlplane.api.service import Service
from controlplane.node.load_reports import Gathered
from controlplane.planning.admission import Admission
from controlplane.planning.draining import Draining
from controlplane.planning.errors import NothingToPlan, PlanningError, QuestionRefused
from controlplane.planning.followers import Followers
from controlplane.planning.forecaster import Forecaster
from controlplane.planning.gathering import group_of, question_about, voters_of
from controlplane.planning.limits import limits_of
from controlplane.planning.moving import MovedOf
from controlplane.planning.orders import MOVES_MAX, ShardMove
from controlplane.planning.question import LEADERS, Outlook, Question
from controlplane.planning.reasons import Hindrance
from controlplane.planning.resharder import Resharder
from controlplane.planning.worker import PlanningWorker

KEPT_MAX: Final = 16
TIME_LIMIT_S: Final = 120.0
MOVES_SHOWN: Final = 1_000
PARTS: Final = ("before", "after", "after_losing", "moved_bytes", "moved_leaders")


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be planned: for which documents and which outlook, and what may change.

    `contents` are documents as they would be, by name.
    """

    scope: str = LEADERS
    contents: dict[str, Any] = field(default_factory=dict)
    outlook: Outlook = field(default_factory=Outlook)
    time_limit_s: float = TIME_LIMIT_S

    @property
    def is_real(self) -> bool:
        """Whether it is of the fleet as it is."""
        return not self.contents and self.outlook == Outlook()


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, and what it rests on."""

    hash: str
    document: dict[str, Any]
    moves: tuple[ShardMove, ...]
    is_real: bool
    position: int
    """Of the newest document it knows."""
    made_s: float = 0.0
    """By the wall clock."""


class Planner:
    """Makes plans for the node that is the global leader."""

    def __init__(self, service: Service, worker: PlanningWorker | None = None) -> None:
        self._service = service
        self.forecaster = Forecaster(service)
        self._worker = worker or PlanningWorker()
        self._kept: OrderedDict[str, Planned] = OrderedDict()
        self.moved_ms: dict[str, int] = {}  # wall clock: when a shard was last moved by an order
        self.to_remember: list[MovedOf] = []  # moved by people, and not written down yet
        self.moves: Counter[tuple[str, ...]] = Counter()
        """Since this process began: by what they were for, and what came of them."""
        self.failures: Counter[str] = Counter()
        """Plans that could not be made, by the reason."""
        self.latest: Planned | None = None
        """The last plan of the fleet as it is."""
        limits = limits_of(service.documents().content(Kind.PLACEMENT))
        self.admission = Admission(limits, 0, self.moves)
        self.draining = Draining(service)
        self.resharder = Resharder(service)
        self.followers = Followers(service)
        self.ordering = asyncio.Lock()
        """Held from the look at what was ordered before to the entry that orders something: of
        orders that come at the same moment the second sees the first."""
        self.now_ms = 0  # of the clock by which moves are admitted
        self.waits_for: Hindrance | None = None  # ... the next move of an order

    def kept(self, plan: str) -> Planned | None:
        """A plan that was made here, by its hash."""
        return self._kept.get(plan)

    async def plan(self, wish: Wish, gathered: Gathered) -> Planned:
        """Make a plan. Raises PlanningError."""
        feed = self._feed(wish)
        try:
            question = await self._question(wish, gathered, feed)
            answer = await self._worker.ask(wish.time_limit_s, _plan(question, wish))
        except PlanningError as error:
            self.failures[error.code] += wish.is_real
            raise
        planned = self._planned(wish, feed, question, answer)
        if wish.is_real:
            self._kept[planned.hash] = self.latest = planned
            while len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
        return planned

    async def explain(self, shard: str, wish: Wish, gathered: Gathered) -> dict[str, Any]:
        """Why a shard is to be where a plan has it. Raises PlanningError."""
        question = await self._question(wish, gathered, self._feed(wish))
        if shard in question.not_planned:
            raise NothingToPlan(
                f"{shard} is left where it is",
                hint="a plan speaks of groups in one region, or with one voter in each of several",
            )
        explain = {"op": "explain", "shard": shard}
        answer: dict[str, Any] = await self._worker.ask(
            wish.time_limit_s, _plan(question, wish), explain
        )
        return answer

    async def picture(self, what: str, wish: Wish, gathered: Gathered) -> str:
        """A picture of a plan, as SVG. Raises PlanningError."""
        feed = self._feed(wish)
        question = await self._question(wish, gathered, feed)
        positions = {
            name: [content["latitude"], content["longitude"]]
            for name, content in feed.regions().items()
        }
        plot = {"op": "plot", "what": what, "positions": positions}
        answer: str = await self._worker.ask(wish.time_limit_s, _plan(question, wish), plot)
        return answer

    async def close(self) -> None:
        """End the worker."""
        await self._worker.close()

    async def _question(self, wish: Wish, gathered: Gathered, feed: Feed) -> Question:
        now_ms = int(time.time() * 1000)
        residence_ms = feed_residence_ms(feed)
        moved = {s for s, at in self.moved_ms.items() if now_ms - at < residence_ms}
        forecast = self.forecaster.factors(feed)
        outlook = wish.outlook.with_factors(forecast)
        question = await question_about(self._service, gathered, feed, outlook, moved)
        question.forecast = forecast
        if question.shards == 0:
            raise NothingToPlan(
                "there is no shard that a plan can speak of",
                hint="see groups with `leadplane regions groups`",
            )
        return question

    def _feed(self, wish: Wish) -> Feed:
        """The documents in force, with those of the wish in their place: checked like an edit."""
        feed = self._service.documents()
        for name, content in sorted(wish.contents.items()):
            edit = Edit(name, content, "", "what-if", "", 0, deletes=content is None)
            outcome = decide(edit, feed, 1)
            if isinstance(outcome, Unfit):
                raise QuestionRefused(
                    f"{name}: {outcome.findings[0].message}",
                    outcome.findings[0].hint,
                    [
                        {
                            "pointer": f"/what_if/documents/{name}{finding.pointer}",
                            "message": finding.message,
                            "hint": finding.hint,
                        }
                        for finding in outcome.findings
                    ],
                )
            feed = feed.with_one(outcome)
        return feed

    def _planned(
        self, wish: Wish, feed: Feed, question: Question, answer: dict[str, Any]
    ) -> Planned:
        plan = answer["plan"]
        moves, voters = [], voters_of(self._service.fleet())
        for move in plan["moves"]:
            row = self._service.map_row(move["shard"])
            if row is None or row.group not in voters or move["from_leader"] is None:
                continue
            here, there, node = move["from_leader"], move["to_leader"], move["to_node"] or ""
            wanted = {*voters[row.group].regions, *move["add"]} - {*move["remove"]}
            is_bulk = bool(move["add"] or move["remove"])
            group = group_of(wanted, voters) if is_bulk else ""
            moves.append(ShardMove(move["shard"], here, there, row.revision, node, group))
        document = {
            "plan": plan["hash"],
            "scope": wish.scope,
            "hypothetical": not wish.is_real,
            "moves": plan["moves"][:MOVES_SHOWN],
            "moves_count": answer["moves_count"],
            **{name: plan[name] for name in PARTS},
            "gap": answer["gap"],
            "voters_gap": answer["voters_gap"],
            "bound_usd_per_month": answer["bound_usd_per_month"],
            "complete": answer["complete"],
            "seconds": answer["seconds"],
            "forecast": question.forecast,
            "not_planned": question.not_planned[:MOVES_SHOWN],
            "unavailable": question.unavailable[:MOVES_SHOWN],
        }
        made_s = time.time()
        return Planned(plan["hash"], document, tuple(moves), wish.is_real, feed.position, made_s)


def _plan(question: Question, wish: Wish) -> dict[str, Any]:
    return {"op": "plan", "problem": question.document(wish.scope), "moves_max": MOVES_MAX}


def feed_residence_ms(feed: Feed) -> int:
    """How long a shard stays where an order moved it."""
    hysteresis: dict[str, int] = feed.content(Kind.PLACEMENT).get("hysteresis", {})
    return hysteresis.get("residence_min_ms", 0)
