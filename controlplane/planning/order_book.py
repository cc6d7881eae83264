"""Orders and the pause in the system shard: read and written at the node that leads it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from config.audit import SYSTEM_PRINCIPAL, Note
from controlplane.api.service import Service
from controlplane.node.directory import MAP, MAP_PREFIX, MapRow
from controlplane.node.following import SYSTEM
from controlplane.planning.moving import (
    BRAKE_KEY,
    MOVED_PREFIX,
    ON_WAY_KEY,
    BrakeMemory,
    Leg,
    MovedOf,
    read_brake,
    read_legs,
    read_moved,
)
from controlplane.planning.order_notes import order_notes, pause_note, release_note
from controlplane.planning.orders import (
    HEAD_KEY,
    KEPT_MAX,
    ORDERS_PREFIX,
    PAGE_MOVES,
    PARTITION,
    PAUSE_KEY,
    Order,
    Pause,
    ShardMove,
    page_key,
    pages_of,
    read_order,
    read_page,
    read_pause,
)
from controlplane.planning.system_shard import scan_all, values_of
from controlplane.problems import from_refusal
from controlplane.requests import (
    Compare,
    Delete,
    Problem,
    Put,
    Refused,
    Scan,
    Scanned,
    Write,
)


@dataclass(frozen=True, slots=True)
class Book:
    """The newest order and the pause, with the versions of both."""

    order: Order | None
    order_version: int
    pause: Pause | None


class OrderBook:
    """What is kept of orders, as the leader of the system shard sees it."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def read(self) -> Book:
        """The newest order and the pause. Raises RequestRefused."""
        head, pause = await values_of(self._service, HEAD_KEY, PAUSE_KEY)
        return Book(
            read_order(head.data) if head is not None else None,
            head.version if head is not None else 0,
            read_pause(pause.data) if pause is not None else None,
        )

    async def orders(self) -> tuple[Order, ...]:
        """Every order that is remembered, the newest first. Raises RequestRefused."""
        outcome = await self._service.submit(
            Scan(SYSTEM, PARTITION, ORDERS_PREFIX, "", KEPT_MAX * 2)
        )
        if isinstance(outcome, Refused):
            raise from_refusal(outcome)
        assert isinstance(outcome, Scanned), outcome
        return tuple(read_order(value.data) for _, value in reversed(outcome.items))

    async def moves(self, order: Order, page: int) -> Sequence[ShardMove]:
        """One page of an order's moves. Raises RequestRefused."""
        (value,) = await values_of(self._service, page_key(order.number, page))
        return read_page(value.data) if value is not None else ()

    async def begin(self, order: Order, moves: Sequence[ShardMove], book: Book) -> Refused | None:
        """Write an order down; what it says counts from here on."""
        pages = pages_of(moves)
        for number, page in enumerate(pages):
            refused = await self._write(Put(PARTITION, page_key(order.number, number), page))
            if refused is not None:
                return refused
        return await self._write(
            *put_order(order),
            *await self._forgotten(order),
            compares=(Compare(HEAD_KEY, book.order_version),),
            notes=order_notes(None, order),
        )

    async def _forgotten(self, order: Order) -> list[Delete]:
        """What the order that is no longer remembered leaves behind."""
        old = [each for each in await self.orders() if each.number <= order.number - KEPT_MAX]
        keys = [each.key for each in old]
        for each in old:
            keys += [page_key(each.number, n) for n in range(-(-each.total // PAGE_MOVES))]
        return [Delete(PARTITION, key) for key in keys]

    async def carried(
        self,
        order: Order,
        book: Book,
        row: MapRow | None,
        version: int,
        also: Iterable[Put | Delete] = (),
    ) -> Refused | None:
        """One step of an order, with the row of the map that it changes, and what else it says."""
        rows = [] if row is None else [Put(MAP, MAP_PREFIX + row.shard, row.packed())]
        compares = [Compare(HEAD_KEY, book.order_version)]
        was = None if row is None else self._service.map_row(row.shard)
        if row is not None:
            compares.append(Compare(MAP_PREFIX + row.shard, version))
        return await self._write(
            *rows,
            *put_order(order),
            *also,
            compares=tuple(compares),
            notes=order_notes(book.order, order, was, row),
        )

    async def legs(self) -> tuple[Leg, ...]:
        """Moves of orders that are on their way. Raises RequestRefused."""
        (value,) = await values_of(self._service, ON_WAY_KEY)
        return read_legs(value.data) if value is not None else ()

    async def brake(self) -> BrakeMemory:
        """What the brake remembers. Raises RequestRefused."""
        (value,) = await values_of(self._service, BRAKE_KEY)
        return read_brake(value.data) if value is not None else BrakeMemory()

    async def release(self, known: BrakeMemory, principal: str, reason: str) -> Refused | None:
        """Count no crash of `known` any more; its times are of the wall clock."""
        note = release_note(known.crashes, principal, reason)
        down = {crash.node for crash in known.crashes}
        given = tuple(gift for gift in known.given if gift.node not in down)
        return await self._write(BrakeMemory(given=given).put(), notes=(note,))

    async def remember(self, *puts: Put) -> Refused | None:
        """Write down what a successor has to know, whatever else changed."""
        return await self._write(*puts)

    async def moved(self) -> tuple[MovedOf, ...]:
        """What was moved of late. Raises RequestRefused."""
        items = await scan_all(self._service, PARTITION, MOVED_PREFIX)
        return tuple(read_moved(key, value.data) for key, value in items)

    async def pause(
        self, pause: Pause | None, principal: str = SYSTEM_PRINCIPAL, reason: str = ""
    ) -> Refused | None:
        """Hold up all moves until a time, or no longer: then for `reason`, by `principal`."""
        change: Put | Delete = Delete(PARTITION, PAUSE_KEY)
        if pause is not None:
            change = Put(PARTITION, PAUSE_KEY, pause.packed())
        return await self._write(change, notes=(pause_note(pause, principal, reason),))

    async def _write(
        self,
        *mutations: Put | Delete,
        compares: tuple[Compare, ...] = (),
        notes: tuple[Note, ...] = (),
    ) -> Refused | None:
        outcome = await self._service.submit(Write(SYSTEM, mutations, compares, notes=notes))
        return outcome if isinstance(outcome, Refused) else None


def put_order(order: Order) -> tuple[Put, Put]:
    """How an order is kept: as the newest, and for good."""
    return Put(PARTITION, HEAD_KEY, order.packed()), Put(PARTITION, order.key, order.packed())


def is_outdated(refused: Refused) -> bool:
    """Whether something else was written in between."""
    return refused.problem is Problem.PRECONDITION_FAILED
