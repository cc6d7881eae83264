"""An order of placement, carried out at the global leader: move after move, in the plan's order.

Theory of operation. A move is a row of the shard map that prefers another region or node, written
together with the order's own progress, with what is on its way and with when the shard was moved,
on the condition that none of it was changed: so it happens once, whoever does it, and never on a
world that is not the plan's. Whether it may be made now is the admission's to say; one that may
never be made, or has waited for too long, is passed over, and the order says why. A shard that does
not get there in time is preferred where it was before. One that is to be held by other stores goes
there by a resharding (controlplane/planning/regrouping). The order is done when nothing of it is on
its way.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from config.document import Kind
from controlplane.api.service import Service
from controlplane.node.directory import MapRow
from controlplane.planning import regrouping
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
    Order,
    OrderState,
    ShardMove,
)
from controlplane.planning.proceedings import (
    Arrived,
    Began,
    Event,
    Failed,
    Remembered,
    Withdrawn,
)
from controlplane.planning.reasons import FOR_GOOD, Hindrance, MoveKind, Wanted
from controlplane.requests import Delete, Put, Refused

LOGGER: Final = logging.getLogger(__name__)
STEPS_AT_ONCE: Final = 60


@dataclass(frozen=True, slots=True)
class End:
    """How a move to other stores ended: for the admission, for the book, and what came between."""

    events: tuple[Event, ...]
    also: tuple[Put, ...]
    why: Hindrance | None


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

    def stand(self, legs: Iterable[Leg], admission: Admission, now_ms: int, wall_ms: int) -> None:
        """Take up what another global leader began, and when it did."""
        self._legs = {leg.shard: leg for leg in legs}
        self._unsure, self._failed = None, {}
        self._asked_ms = None
        for leg in self._legs.values():
            age_ms = max(0, wall_ms - self._moved_ms.get(leg.shard, wall_ms))
            admission.step(Began(self._wanted(leg)), now_ms - age_ms)
        self._arrivals(admission, now_ms)

    async def turn(self, book: Book, admission: Admission, now_ms: int, wall_ms: int) -> None:
        """Make the moves that may be made now. Raises RequestRefused, ValueError."""
        await self._find_out(admission, now_ms, wall_ms)
        self._arrivals(admission, now_ms)
        book = await self._take_back(book, admission, now_ms)
        book = await self._bulk_ends(book, admission, now_ms, wall_ms)
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
            if not leg.to_group:
                self._moved_ms[leg.shard] = wall_ms
            admission.step(Began(self._wanted(leg)), now_ms)
        self._unsure = None

    async def _take_back(self, book: Book, admission: Admission, now_ms: int) -> Book:
        """Let shards that did not get there be preferred where they were; the book after that."""
        if not self._failed:
            return book
        kept = await self._book.legs()
        for shard, why in list(self._failed.items()):
            leg, order = self._legs[shard], book.order
            if leg.to_group:
                await self._give_up_bulk(leg, why, book, admission, now_ms)
                self._failed.pop(shard, None)
                book = await self._book.read()
                continue
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
        for leg in [leg for leg in self._legs.values() if not leg.to_group]:
            view = self._service.shard_view(leg.shard)
            if view is None:
                admission.step(Withdrawn(leg.shard), now_ms)
            elif view.leader is None or not regrouping.is_there(leg, view.leader):
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
            return await self._pass_over(order, book, move, why or Hindrance.GONE)
        if move.to_group:
            return await self._begin_bulk(order, book, admission, move, row, now_ms, wall_ms)
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
            return await self._pass_over(order, book, move, Hindrance.CHANGED)
        LOGGER.info("a move of %s waits: %s", move.shard, refused.detail)
        return False

    async def _pass_over(self, order: Order, book: Book, move: ShardMove, why: Hindrance) -> bool:
        after = self._still_on(order.after(move.shard, why))
        refused = await self._book.carried(after, book, None, 0)
        if refused is not None:
            return False
        kind = MoveKind.BULK if move.to_group else MoveKind.COST
        self._service.report(regrouping.given_up(move.shard, kind, why))
        return True

    async def _begin_bulk(
        self, order: Order, book: Book, admission: Admission, move: ShardMove, row: MapRow,
        now_ms: int, wall_ms: int,
    ) -> bool:  # fmt: skip
        """Have a shard copied to other stores; False when it has to wait."""
        self._legs[move.shard] = Leg(
            order.number, move.shard, move.from_region, move.to_region, move.to_node, row.regions,
            row.node, move.to_group, regrouping.latest(self._service),
        )  # fmt: skip
        also: list[Put | Delete] = [self._put_legs(), *self._forgotten(admission, wall_ms)]
        after = self._still_on(order.after(move.shard, None))
        why = await regrouping.begin(self._service, after, book, move, also)
        if why is None:
            admission.step(Began(self._wanted(move)), now_ms)
            return True
        self._unsure = self._legs.pop(move.shard)  # it may have been written down all the same
        if why in FOR_GOOD:
            return await self._pass_over(order, book, move, why)
        if self._has_waited(order, admission, why, now_ms):
            return await self._pass_over(order, book, move, Hindrance.NOT_BEGUN)
        self.waits_for = why
        return False

    async def _bulk_ends(self, book: Book, admission: Admission, now_ms: int, wall_ms: int) -> Book:
        """Write down what has arrived at other stores, and what will not."""
        for leg in [leg for leg in self._legs.values() if leg.to_group]:
            order = book.order
            if order is None or order.number != leg.order:
                continue
            end = self._end_of(leg, now_ms, wall_ms)
            if end is None:
                continue
            self._forget(leg.shard)
            after = order if end.why is None else order.failed(leg.shard, end.why)
            also = (self._put_legs(), *end.also)
            if await self._book.carried(after, book, None, 0, also) is not None:
                self._legs[leg.shard] = leg
                continue
            for event in (*end.events, Withdrawn(leg.shard)):
                admission.step(event, now_ms)
            if end.why is not None:
                self._service.report(regrouping.given_up(leg.shard, MoveKind.BULK, end.why))
            book = await self._book.read()
        return book

    def _end_of(self, leg: Leg, now_ms: int, wall_ms: int) -> End | None:
        """What became of a shard that goes to other stores; None while it is on its way."""
        there = regrouping.leader_of_child(self._service, leg)
        if there is None:
            is_cancelled = regrouping.is_cancelled(self._service, leg)
            return End((Failed(leg.shard),), (), Hindrance.CANCELLED) if is_cancelled else None
        child, leader = there
        self._moved_ms[child] = wall_ms
        events = (
            Arrived(leg.shard, leader.node),
            Remembered(child, leader.region, leader.node, now_ms),
        )
        return End(events, (MovedOf(child, wall_ms, leader.region).put(),), None)

    async def _give_up_bulk(
        self, leg: Leg, why: Hindrance, book: Book, admission: Admission, now_ms: int
    ) -> None:
        """What takes too long is dropped, unless there is no way back. A drain that takes its
        leader elsewhere meanwhile does not end it."""
        if why is not Hindrance.NOT_FINISHED:
            return
        if not await regrouping.drop(self._service, leg):
            admission.step(Began(self._wanted(leg)), now_ms)
            return
        del self._legs[leg.shard]
        self._service.report(regrouping.given_up(leg.shard, MoveKind.BULK, why))
        if book.order is not None and book.order.number == leg.order:
            after = book.order.failed(leg.shard, why)
            await self._book.carried(after, book, None, 0, (self._put_legs(),))

    async def _end(self, order: Order, book: Book) -> bool:
        ended = replace(order, state=OrderState.DONE)
        return await self._book.carried(ended, book, None, 0, (self._put_legs(),)) is None

    async def _move_of(self, order: Order) -> ShardMove:
        page: Sequence[ShardMove] = await self._book.moves(order, order.next // PAGE_MOVES)
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

    def _wanted(self, move: ShardMove | Leg) -> Wanted:
        view = self._service.shard_view(move.shard)
        leader = view.leader if view is not None else None
        node = leader.node if leader is not None else ""
        group = view.group if view is not None else ""
        wanted = Wanted(
            move.shard, group, MoveKind.COST, node, move.from_region, move.to_region, move.to_node
        )
        if not move.to_group:
            return wanted
        size = view.size_bytes if view is not None else None
        if size is None:
            size = self._service.documents().content(Kind.PLACEMENT)["assumptions"]["shard_bytes"]
        return replace(wanted, kind=MoveKind.BULK, to_group=move.to_group, size_bytes=size)

    def _unfit(self, move: ShardMove, row: MapRow | None) -> Hindrance | None:
        """Whether the world is not as the plan has it, any more or for a moment."""
        view = self._service.shard_view(move.shard)
        if view is None or row is None:
            return Hindrance.GONE
        if move.to_group:  # whoever leads it meanwhile
            return Hindrance.CHANGED if row.revision != move.version else None
        if view.leader is None:
            return Hindrance.UNLED
        return Hindrance.CHANGED if view.leader.region != move.from_region else None
