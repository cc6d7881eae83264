"""An order of placement, carried out at the global leader: move after move, in the plan's order.

Theory of operation. A move is a row of the shard map that prefers another region or node, written
together with the order's own progress, with what is on its way and with when the shard was moved,
on the condition that none of it was changed: so it happens once, whoever does it, and never on a
world that is not the plan's. Whether it may be made now is the admission's to say; one that may
never be made, or has waited for too long, is passed over, and the order says why. A shard that does
not get there in time is preferred where it was before. The order is done when nothing of it is on
its way.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from controlplane.api.service import Service
from controlplane.machine import Happened
from controlplane.node.directory import MapRow
from controlplane.planning.admission import Admission
from controlplane.planning.moving import (
    FORGOTTEN_AT_ONCE,
    ON_WAY_KEY,
    Leg,
    MovedOf,
    forget,
    packed_legs,
)
from controlplane.planning.order_book import Book, OrderBook, is_outdated
from controlplane.planning.orders import (
    PAGE_MOVES,
    PARTITION,
    LeaderMove,
    Order,
    OrderState,
)
from controlplane.planning.proceedings import Arrived, Began, Withdrawn
from controlplane.planning.reasons import FOR_GOOD, Hindrance, MoveKind, Wanted
from controlplane.requests import Delete, LeaderHint, Put, Refused

LOGGER: Final = logging.getLogger(__name__)
STEPS_AT_ONCE: Final = 60


def given_up(shard: str, kind: MoveKind, why: Hindrance) -> Happened:
    """The event of a move that is not made, or came to nothing."""
    return Happened("move-given-up", shard, 0, {"kind": kind.value, "why": why.value})


class Carrying:
    """The orders of one global leader."""

    def __init__(self, service: Service, book: OrderBook, moved_ms: dict[str, int]) -> None:
        """`moved_ms`: when shards were moved, by the wall clock; kept up to date."""
        self._service = service
        self._book = book
        self._moved_ms = moved_ms
        self._legs: dict[str, Leg] = {}
        self._unsure: Leg | None = None  # it may have begun
        self._failed: dict[str, Hindrance] = {}  # legs that are to be taken back
        self._asked_ms: tuple[int, int, int] | None = None  # of which move, since when it waits
        self.waits_for: Hindrance | None = None
        """What holds the next move up."""

    def stand(self, legs: Iterable[Leg], admission: Admission, now_ms: int) -> None:
        """Take up what another global leader began."""
        self._legs = {leg.shard: leg for leg in legs}
        self._unsure, self._failed = None, {}
        self._asked_ms = None
        for leg in self._legs.values():
            admission.step(Began(self._wanted(leg)), now_ms)

    async def turn(self, book: Book, admission: Admission, now_ms: int, wall_ms: int) -> None:
        """Make the moves that may be made now. Raises RequestRefused, ValueError."""
        await self._find_out(admission, now_ms, wall_ms)
        self._arrivals(admission, now_ms)
        book = await self._take_back(book)
        self.waits_for = None
        for _ in range(STEPS_AT_ONCE):
            order = book.order
            if order is None or order.state is not OrderState.CARRYING:
                return
            if order.next < order.total:
                went = await self._next(order, book, admission, now_ms, wall_ms)
            else:
                went = not self._legs and await self._end(order, book)
            if not went:
                return
            book = await self._book.read()

    def give_up(self, shard: str, why: Hindrance) -> None:
        """A shard will not get there: the next turns see to it that this is written down."""
        if shard in self._legs:
            self._failed[shard] = why

    async def _find_out(self, admission: Admission, now_ms: int, wall_ms: int) -> None:
        """Whether the last move began of which nobody said so."""
        leg = self._unsure
        if leg is None:
            return
        if leg in await self._book.legs():
            self._legs[leg.shard] = leg
            self._moved_ms[leg.shard] = wall_ms
            admission.step(Began(self._wanted(leg)), now_ms)
        self._unsure = None

    async def _take_back(self, book: Book) -> Book:
        """Let shards that did not get there be preferred where they were; the book after that."""
        if not self._failed:
            return book
        kept = await self._book.legs()
        for shard, why in list(self._failed.items()):
            leg, order = self._legs[shard], book.order
            if leg in kept and order is not None and order.number == leg.order:
                refused = await self._fall_back(leg, order, book, why)
                if refused is not None:
                    LOGGER.info("%s is still preferred in %s: %s", shard, leg.to_region, refused)
                    break
            self._forget(shard)
            book = await self._book.read()
        return book

    async def _fall_back(
        self, leg: Leg, order: Order, book: Book, why: Hindrance
    ) -> Refused | None:
        """Write down that a move came to nothing, with the row as it was before."""
        row = self._service.map_row(leg.shard)
        before, version = None, 0
        if row is not None and (row.regions[:1], row.node) == ((leg.to_region,), leg.to_node):
            before = replace(row, regions=leg.before, node=leg.node_before)
            version = row.revision
        others = [each for each in self._legs.values() if each is not leg]
        legs = Put(PARTITION, ON_WAY_KEY, packed_legs(others))
        return await self._book.carried(
            order.failed(leg.shard, why), book, before, version, (legs,)
        )

    def _forget(self, shard: str) -> None:
        del self._legs[shard]
        self._failed.pop(shard, None)

    def _arrivals(self, admission: Admission, now_ms: int) -> None:
        for leg in list(self._legs.values()):
            view = self._service.shard_view(leg.shard)
            if view is None:
                admission.step(Withdrawn(leg.shard), now_ms)
            elif view.leader is None or not _is_there(leg, view.leader):
                continue
            else:
                admission.step(Arrived(leg.shard, view.leader.node), now_ms)
            self._forget(leg.shard)

    async def _next(
        self, order: Order, book: Book, admission: Admission, now_ms: int, wall_ms: int
    ) -> bool:
        """Make the next move of an order, or pass it over; False when it has to wait."""
        move = await self._move_of(order)
        row = self._service.map_row(move.shard)
        wanted = self._wanted(move)
        why = self._unfit(move, row) or admission.judge(wanted, now_ms)
        if why is not None and why not in FOR_GOOD:
            if not self._has_waited(order, admission, why, now_ms):
                self.waits_for = why
                return False
            why = Hindrance.NOT_BEGUN
        if why is not None or row is None:
            return await self._pass_over(order, book, move.shard, why or Hindrance.GONE)
        others = tuple(region for region in row.regions if region != move.to_region)
        change = replace(row, regions=(move.to_region, *others), node=move.to_node)
        leg = Leg(
            order.number, move.shard, move.from_region, move.to_region, move.to_node, row.regions,
            row.node,
        )  # fmt: skip
        self._legs[move.shard] = leg
        admission.step(Began(wanted), now_ms)
        moved = MovedOf(move.shard, wall_ms, move.to_region)
        also: list[Put | Delete] = [self._put_legs(), moved.put()]
        also += self._forgotten(admission, wall_ms)
        after = self._still_on(order.after(move.shard, None))
        refused = await self._book.carried(after, book, change, move.version, also)
        if refused is None:
            self._moved_ms[move.shard] = wall_ms
            return True
        del self._legs[move.shard]
        self._unsure = leg
        admission.step(Withdrawn(move.shard), now_ms)
        if is_outdated(refused):
            return await self._pass_over(order, book, move.shard, Hindrance.CHANGED)
        LOGGER.info("a move of %s waits: %s", move.shard, refused.detail)
        return False

    async def _pass_over(self, order: Order, book: Book, shard: str, why: Hindrance) -> bool:
        after = self._still_on(order.after(shard, why))
        refused = await self._book.carried(after, book, None, 0)
        if refused is not None:
            return False
        self._service.report(given_up(shard, MoveKind.COST, why))
        return True

    async def _end(self, order: Order, book: Book) -> bool:
        ended = replace(order, state=OrderState.DONE)
        return await self._book.carried(ended, book, None, 0, (self._put_legs(),)) is None

    async def _move_of(self, order: Order) -> LeaderMove:
        page: Sequence[LeaderMove] = await self._book.moves(order, order.next // PAGE_MOVES)
        if order.next % PAGE_MOVES >= len(page):
            raise ValueError(f"order {order.number} has no move {order.next}")
        return page[order.next % PAGE_MOVES]

    def _still_on(self, order: Order) -> Order:
        """An order whose last shards are on their way is not done."""
        return replace(order, state=OrderState.CARRYING) if self._legs else order

    def _has_waited(self, order: Order, admission: Admission, why: Hindrance, now_ms: int) -> bool:
        """Whether its next move has waited for too long; while people hold it up, it does not."""
        at = (order.number, order.next)
        if self._asked_ms is None or self._asked_ms[:2] != at or why is Hindrance.PAUSED:
            self._asked_ms = (*at, now_ms)
        return now_ms - self._asked_ms[2] >= admission.limits.begin_ms_max

    def _forgotten(self, admission: Admission, wall_ms: int) -> list[Delete]:
        limits = admission.limits
        longest_ms = max(limits.residence_ms, limits.brake_window_ms)
        old = [shard for shard, at in self._moved_ms.items() if wall_ms - at >= longest_ms]
        old = old[:FORGOTTEN_AT_ONCE]
        for shard in old:
            del self._moved_ms[shard]
        return forget(old)

    def _put_legs(self) -> Put:
        return Put(PARTITION, ON_WAY_KEY, packed_legs(self._legs.values()))

    def _wanted(self, move: LeaderMove | Leg) -> Wanted:
        view = self._service.shard_view(move.shard)
        leader = view.leader if view is not None else None
        node = leader.node if leader is not None else ""
        group = view.group if view is not None else ""
        return Wanted(
            move.shard, group, MoveKind.COST, node, move.from_region, move.to_region, move.to_node
        )

    def _unfit(self, move: LeaderMove, row: MapRow | None) -> Hindrance | None:
        """Whether the world is not any more as the plan has it."""
        view = self._service.shard_view(move.shard)
        if view is None or row is None:
            return Hindrance.GONE
        leader = view.leader.region if view.leader is not None else None
        return Hindrance.CHANGED if leader != move.from_region else None


def _is_there(leg: Leg, leader: LeaderHint) -> bool:
    return leader.region == leg.to_region and leg.to_node in ("", leader.node)
