"""Moves leaders on purpose, at the global leader: drains, orders to carry out a plan, coming home.

Theory of operation. It runs at every node and acts at the global leader alone. It shows the
admission (controlplane/planning/admission) the fleet, asks it before every step, and tells it what
came of it; what drains and orders decide is an entry of the system shard each time, so that a
successor goes on with the next one. What follows from an entry is the business of the shard's own
nodes: candidates stand in another order, and the leader hands over when the better one is there
(controlplane/node/rebalance). Nothing waits for this loop: failover goes its own way.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from config.document import Kind
from controlplane.api.service import Service
from controlplane.machine import Happened
from controlplane.node.following import SYSTEM
from controlplane.node.load_reports import Gathered
from controlplane.planning.admission import Admission
from controlplane.planning.carrying import Carrying
from controlplane.planning.gathering import is_whole, nodes_seen, rolled_out
from controlplane.planning.homing import let_home
from controlplane.planning.limits import limits_of
from controlplane.planning.moving import BrakeMemory
from controlplane.planning.order_book import OrderBook
from controlplane.planning.planner import Planner
from controlplane.planning.proceedings import Held, Remembered, Reported
from controlplane.planning.reasons import MoveKind
from controlplane.planning.regrouping import given_up
from controlplane.problems import RequestRefused
from controlplane.views import FleetView

EVERY_S: Final = 0.25
BOOK_EVERY_MS: Final = 1_000
"""Between looks at orders, which are read at a store; drains are known from the local copy."""
REMEMBERED_AT_ONCE: Final = 50
REMEMBER_EVERY_MS: Final = 10_000
"""Between entries that say who was given shards; that a node crashed is written at once."""
LOGGER: Final = logging.getLogger(__name__)


class Mover:
    """The loop of one node."""

    def __init__(
        self, service: Service, planner: Planner, wall_s: Callable[[], float] = time.time
    ) -> None:
        self._wall_s = wall_s
        self._service = service
        self._planner = planner
        self._book = OrderBook(service)
        self._carrying = Carrying(service, self._book, planner.moved_ms)
        self._now_ms = 0  # time that has passed in turns
        self._book_ms: int | None = None  # when the book was last looked at
        self._epoch: int | None = None
        self._is_braked = False
        self._kept = BrakeMemory()  # as written, by the clock of this loop
        self._kept_ms = 0

    async def run(self) -> None:
        """Look every quarter of a second, until cancelled."""
        loop = asyncio.get_running_loop()
        at_s = loop.time()
        while True:
            await asyncio.sleep(EVERY_S)
            passed_s, at_s = loop.time() - at_s, loop.time()
            try:
                await self.turn(passed_s)
            except RequestRefused as refused:
                LOGGER.info("moves wait: %s", refused.detail)
            except ValueError as complaint:
                LOGGER.warning("moves wait for a node of a newer release: %s", complaint)

    async def turn(self, passed_s: float) -> None:
        """Make what moves are due after so much time. Raises RequestRefused, ValueError."""
        began_ms = self._now_ms
        self._now_ms += round(passed_s * 1_000)
        self._planner.now_ms = self._now_ms
        gathered = self._service.gathered()
        if gathered is None:
            if self._epoch is not None:
                self._planner.resharder.forget()
                self._planner.followers.forget()
            self._epoch = None
            return
        wall_ms = int(self._wall_s() * 1_000)
        if self._epoch != gathered.epoch:
            await self._stand(began_ms, wall_ms)
            self._epoch = gathered.epoch
        admission = self._planner.admission
        admission.limits = limits_of(self._service.documents().content(Kind.PLACEMENT))
        fleet = self._service.fleet()  # once: it takes time where there are many shards
        self._look(admission, gathered, fleet)
        admission.advance(self._now_ms)
        self._tell_of_brake(admission)
        await self._remember(admission, wall_ms)
        let_home(self._service, admission, fleet, self._now_ms)
        await self._planner.draining.turn(gathered, fleet, admission, self._now_ms, wall_ms)
        if self._book_ms is None or self._now_ms - self._book_ms >= BOOK_EVERY_MS:
            self._book_ms = self._now_ms
            await self._look_at_orders(admission, wall_ms)
        await self._planner.resharder.turn(admission, self._now_ms, wall_ms)
        await self._planner.followers.turn(gathered, admission, self._now_ms, wall_ms)

    async def _look_at_orders(self, admission: Admission, wall_ms: int) -> None:
        book = await self._book.read()
        held_ms = book.pause.until_wall_ms - wall_ms if book.pause is not None else 0
        admission.step(Held(self._now_ms + held_ms if held_ms > 0 else None), self._now_ms)
        for ended in admission.take():
            if ended.wanted.kind is not MoveKind.BULK:  # these go on, perhaps
                self._service.report(given_up(ended.wanted.shard, ended.wanted.kind, ended.why))
            self._carrying.give_up(ended.wanted.shard, ended.why)
        await self._carrying.turn(book, admission, self._now_ms, wall_ms)
        self._planner.waits_for = self._carrying.waits_for

    async def _stand(self, now_ms: int, wall_ms: int) -> None:
        """Begin as the global leader, with what the one before wrote down."""
        limits = limits_of(self._service.documents().content(Kind.PLACEMENT))
        admission = Admission(limits, now_ms, self._planner.moves)
        moved, legs = await self._book.moved(), await self._book.legs()
        self._kept = (await self._book.brake()).at(now_ms - wall_ms)
        gathered = self._service.gathered()
        if gathered is not None:
            self._look(admission, gathered, self._service.fleet())
        for crash in self._kept.crashes:
            admission.step(crash, now_ms)
        for gift in self._kept.given:
            admission.step(gift, now_ms)
        self._planner.moved_ms.clear()
        for each in moved:
            self._planner.moved_ms[each.shard] = each.wall_ms
            view = self._service.shard_view(each.shard)
            leader = view.leader if view is not None else None
            node = leader.node if leader is not None and leader.region == each.region else ""
            at_ms = now_ms - max(0, wall_ms - each.wall_ms)
            admission.step(Remembered(each.shard, each.region, node, at_ms), now_ms)
        self._planner.admission = admission
        self._planner.draining.forget()
        self._planner.resharder.forget()
        self._planner.followers.forget()
        self._carrying.stand(legs, admission, now_ms, wall_ms)
        self._book_ms = None

    async def _remember(self, admission: Admission, wall_ms: int) -> None:
        """Write down what the brake of a successor has to know, and what people moved."""
        known = BrakeMemory(admission.crashes, admission.given)
        crashed = known.crashes != self._kept.crashes
        is_due = self._now_ms - self._kept_ms >= REMEMBER_EVERY_MS
        people = self._planner.to_remember[:REMEMBERED_AT_ONCE]  # there may be more of them soon
        puts = [moved.put() for moved in people]
        if crashed or (is_due and known != self._kept):
            puts.append(known.at(wall_ms - self._now_ms).put())
        if not puts or await self._book.remember(*puts) is not None:
            return
        for moved in people:
            self._planner.moved_ms[moved.shard] = moved.wall_ms
        del self._planner.to_remember[: len(people)]
        if crashed or is_due:
            self._kept, self._kept_ms = known, self._now_ms

    def _tell_of_brake(self, admission: Admission) -> None:
        """Say when the brake is pulled, and when it is let go."""
        if admission.is_braked is not self._is_braked:
            self._is_braked = admission.is_braked
            kind = "brake-pulled" if self._is_braked else "brake-released"
            crashes = admission.standing(self._now_ms).crashes
            self._service.report(Happened(kind, SYSTEM, 0, {"crashes": crashes}))

    def _look(self, admission: Admission, gathered: Gathered, fleet: FleetView) -> None:
        admission.step(nodes_seen(self._service, fleet), self._now_ms)
        admission.step(rolled_out(self._service), self._now_ms)
        if is_whole(gathered, fleet):
            admission.step(Reported(), self._now_ms)
