"""A mover, what it is ordered, and what came of it, for tests."""

from __future__ import annotations

from typing import Any

from config.builtin import builtin_content
from config.document import Kind
from config.revision import Revision
from controlplane.planning.mover import Mover
from controlplane.planning.order_book import OrderBook
from controlplane.planning.orders import Order, OrderState, ShardMove
from controlplane.planning.planner import Planner
from tests.api.fake_service import SHARDS, FakeService
from tests.config.sample_fleet import put

LATER_MS = 1 << 50
FINISH_S = builtin_content(Kind.PLACEMENT)["moves"]["finish_ms_max"] / 1_000


def moves(service: FakeService, *shards: str) -> list[ShardMove]:
    found = [service.map_row(shard) for shard in shards]
    return [ShardMove(row.shard, "eu", "us", row.revision) for row in found if row is not None]


async def begun(service: FakeService, *shards: str) -> None:
    book = OrderBook(service)
    wanted = moves(service, *shards)
    order = Order(1, "hash", "ada", "", 17, OrderState.CARRYING, len(wanted))
    assert await book.begin(order, wanted, await book.read()) is None


def mover_of(service: FakeService) -> Mover:
    return Mover(service, Planner(service))


async def crashed_under(service: FakeService, shard: str) -> None:
    """The node n2 is given a shard by a plan, and goes down."""
    await begun(service, shard)
    mover = mover_of(service)
    await mover.turn(1.0)
    service.fleet_of.lead("n2", shard)
    await mover.turn(1.0)
    service.fleet_of.nodes["n2"].alive = False
    await mover.turn(1.0)


async def order_of(service: FakeService) -> Order:
    order = (await OrderBook(service).read()).order
    assert order is not None
    return order


def preferred(service: FakeService) -> dict[str, str]:
    rows = [service.map_row(shard) for shard in SHARDS]
    return {row.shard: row.regions[0] for row in rows if row is not None}


def set_moves(service: FakeService, **moves: Any) -> None:
    content = builtin_content(Kind.PLACEMENT)
    content = content | {"moves": content["moves"] | moves}
    assert isinstance(put(service.feed, "placement", content), Revision)


def set_pace(service: FakeService, per_minute: float) -> None:
    content = builtin_content(Kind.PLACEMENT) | {
        "move_rate": {"leaders_per_minute_max": per_minute}
    }
    assert isinstance(put(service.feed, "placement", content), Revision)
