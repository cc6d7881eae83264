"""Carries orders out: one leader after the other, at the pace that the documents allow.

Theory of operation. It runs at every node and acts at the global leader alone. A move is a row of
the shard map that prefers another region or node, written together with the order's own progress,
on the condition that neither was changed: so it happens once, whoever does it, and never on a world
that is not the plan's. What follows from a row is the business of the shard's own nodes: candidates
stand in another order, and the leader hands over when the better one is there
(controlplane/node/rebalance). Nothing waits for this loop: failover goes its own way.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import Final

from config.document import Kind
from controlplane.api.service import Service
from controlplane.node.directory import MapRow
from controlplane.planning.order_book import Book, OrderBook, is_outdated
from controlplane.planning.orders import PAGE_MOVES, LeaderMove, Order, OrderState, Skip
from controlplane.planning.planner import Planner
from controlplane.problems import RequestRefused
from controlplane.views import FleetView

EVERY_S: Final = 1.0
BURST_MAX: Final = 60.0
"""Moves made in one turn, at most."""
LOGGER: Final = logging.getLogger(__name__)


class Mover:
    """The loop of one node."""

    def __init__(self, service: Service, planner: Planner) -> None:
        self._service = service
        self._planner = planner
        self._book = OrderBook(service)
        self._allowed = 0.0

    async def run(self) -> None:
        """Look every second, until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.turn(EVERY_S)
            except RequestRefused as refused:
                LOGGER.info("moves wait: %s", refused.detail)
            except ValueError as complaint:
                LOGGER.warning("moves wait for a node of a newer release: %s", complaint)

    async def turn(self, passed_s: float) -> None:
        """Make what moves are due after so much time. Raises RequestRefused."""
        if self._service.gathered() is None:
            self._allowed = 0.0
            return
        book = await self._book.read()
        if _under_way(book) is None:
            self._allowed = 0.0
            return
        rate = self._service.documents().content(Kind.PLACEMENT).get("move_rate", {})
        per_minute = rate.get("leaders_per_minute_max", 60)
        self._allowed = min(BURST_MAX, self._allowed + passed_s * per_minute / 60)
        while self._allowed >= 1.0 and (order := _under_way(book)) is not None:
            if not await self._step(order, book):
                return
            self._allowed -= 1.0
            book = await self._book.read()

    async def _step(self, order: Order, book: Book) -> bool:
        """Make the next move of an order, or skip it; False when it has to wait."""
        page = await self._book.moves(order, order.next // PAGE_MOVES)
        if order.next % PAGE_MOVES >= len(page):
            raise ValueError(f"order {order.number} has no move {order.next}")
        move = page[order.next % PAGE_MOVES]
        row = self._service.map_row(move.shard)
        skip = self._why_not(move, row)
        after = order.after(move.shard, skip)
        change = None
        if skip is None and row is not None:
            others = tuple(region for region in row.regions if region != move.to_region)
            regions = (move.to_region, *others)
            change = replace(row, regions=regions, node=move.to_node)
        refused = await self._book.carried(after, book, change, move.version)
        if refused is not None and change is not None and is_outdated(refused):
            after = order.after(move.shard, Skip.CHANGED)
            refused = await self._book.carried(after, book, None, 0)
        if refused is not None:
            LOGGER.info("a move of %s waits: %s", move.shard, refused.detail)
            return False
        if change is not None:
            self._planner.moved_ms[move.shard] = int(time.time() * 1000)
        return True

    def _why_not(self, move: LeaderMove, row: MapRow | None) -> Skip | None:
        view = self._service.shard_view(move.shard)
        if view is None or row is None:
            return Skip.GONE
        leader = view.leader.region if view.leader is not None else None
        if leader != move.from_region:
            return Skip.CHANGED
        if not _is_alive(self._service.fleet(), move):
            return Skip.NO_CANDIDATE
        return None


def _is_alive(fleet: FleetView, move: LeaderMove) -> bool:
    return any(
        node.alive and node.region == move.to_region and move.to_node in ("", node.node)
        for node in fleet.nodes
    )


def _under_way(book: Book) -> Order | None:
    """The order that has moves to go, unless it is held up."""
    order, pause = book.order, book.pause
    if order is None or order.state is not OrderState.CARRYING:
        return None
    is_held_up = pause is not None and time.time() * 1000 < pause.until_wall_ms
    return None if is_held_up else order
