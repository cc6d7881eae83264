"""Orders to carry out a plan, as they are kept in the system shard.

The newest order is under `HEAD_KEY`, every one under its number as well; the moves of an order lie
in pages that never change. Each step of an order is one entry of the system shard, together with
what it does to the shard map: so a step is done once, and the next global leader goes on with the
one after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from controlplane.planning.reasons import Hindrance
from regions.codec import as_bytes, pack, unpack

PARTITION: Final = "placement"
HEAD_KEY: Final = "{placement}/order"
PAUSE_KEY: Final = "{placement}/pause"
ORDERS_PREFIX: Final = "{placement}/orders/"
PAGE_MOVES: Final = 500
MOVES_MAX: Final = 100_000
KEPT_MAX: Final = 64
"""Orders that are remembered."""
SKIPPED_SHOWN_MAX: Final = 100


class OrderState(StrEnum):
    """How far an order is."""

    CARRYING = "carrying"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class ShardMove:
    """A shard is to be led from another region, or by another node of its own.

    `version` is that of its row in the map; `to_node` is preferred there, "" for none. `to_group`
    is whose stores are to hold it, "" for those that do.
    """

    shard: str
    from_region: str
    to_region: str
    version: int
    to_node: str = ""
    to_group: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """A plan that somebody had carried out."""

    number: int
    plan: str
    principal: str
    reason: str
    wall_ms: int
    state: OrderState
    total: int
    next: int = 0
    moved: int = 0
    skipped: tuple[tuple[str, Hindrance], ...] = ()
    """The first of them; all others are counted."""

    def after(self, shard: str, skip: Hindrance | None) -> Order:
        """The order when its next move was made, or skipped."""
        state = OrderState.DONE if self.next + 1 == self.total else self.state
        skipped = self.skipped
        if skip is not None and len(skipped) < SKIPPED_SHOWN_MAX:
            skipped = (*skipped, (shard, skip))
        moved = self.moved + (skip is None)
        return replace(self, state=state, next=self.next + 1, moved=moved, skipped=skipped)

    def failed(self, shard: str, why: Hindrance) -> Order:
        """The order when a move that was made came to nothing."""
        skipped = self.skipped
        if len(skipped) < SKIPPED_SHOWN_MAX:
            skipped = (*skipped, (shard, why))
        return replace(self, moved=self.moved - 1, skipped=skipped)

    def packed(self) -> bytes:
        """As kept in the system shard."""
        return pack(
            [
                self.number, self.plan, self.principal, self.reason, self.wall_ms,
                self.state.value, self.total, self.next, self.moved,
                [[shard, why.value] for shard, why in self.skipped],
            ]
        )  # fmt: skip

    @property
    def key(self) -> str:
        """Where it is kept for good."""
        return f"{ORDERS_PREFIX}{self.number:08d}"


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is moved until then, by the wall clock."""

    until_wall_ms: int
    principal: str
    reason: str

    def packed(self) -> bytes:
        """As kept in the system shard."""
        return pack([self.until_wall_ms, self.principal, self.reason])


def read_order(value: bytes | str) -> Order:
    """From the system shard; raises ValueError when it is no order."""
    match unpack(as_bytes(value)):
        case [
            int() as number, str() as plan, str() as principal, str() as reason, int() as wall_ms,
            str() as state, int() as total, int() as following, int() as moved, list() as skipped,
        ]:  # fmt: skip
            passed = tuple((str(shard), Hindrance(why)) for shard, why in skipped)
            return Order(
                number, plan, principal, reason, wall_ms, OrderState(state), total, following,
                moved, passed,
            )  # fmt: skip
    raise ValueError("this is no order of placement")


def read_pause(value: bytes | str) -> Pause:
    """From the system shard; raises ValueError when it is no pause."""
    match unpack(as_bytes(value)):
        case [int() as until_ms, str() as principal, str() as reason]:
            return Pause(until_ms, principal, reason)
    raise ValueError("this is no pause of placement")


def page_key(order: int, page: int) -> str:
    """Where a page of an order's moves lies."""
    return f"{{placement}}/moves/{order:08d}/{page:04d}"


def pages_of(moves: Iterable[ShardMove]) -> list[bytes]:
    """The moves of an order in pages. What names no node and no group, older nodes read as well."""
    rows = [[m.shard, m.from_region, m.to_region, m.version, *_wished(m)] for m in moves]
    return [pack(rows[at : at + PAGE_MOVES]) for at in range(0, len(rows), PAGE_MOVES)]


def _wished(move: ShardMove) -> list[str]:
    if move.to_group:
        return [move.to_node, move.to_group]
    return [move.to_node] if move.to_node else []


def read_page(value: bytes | str) -> Sequence[ShardMove]:
    """A page of moves; raises ValueError when it is none."""
    rows: Any = unpack(as_bytes(value))
    if not isinstance(rows, list):
        raise ValueError("this is no page of moves")
    return [
        ShardMove(str(shard), str(here), str(there), int(version), *map(str, wished))
        for shard, here, there, version, *wished in rows
    ]
