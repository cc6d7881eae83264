"""The global leader orders what the load asks for, once, and says which partitions stay hot."""

from __future__ import annotations

from typing import Any

import pytest

from config.builtin import builtin_content
from config.document import Kind
from config.revision import Revision
from controlplane.node.load_reports import Gathered
from controlplane.planning.mover import Mover
from controlplane.planning.planner import Planner
from controlplane.planning.resharder import LOOK_MS
from controlplane.requests import Problem, Refused, Reshard
from regions.latency_matrix import LatencyMatrix
from shards.heat import Cut, Heat
from shards.load_table import LoadTable
from tests.api.fake_service import FakeFleet, FakeService
from tests.config.sample_fleet import put

POLICY = {"requests_per_s": 100, "after_ms": 10_000, "cool_down_ms": 60_000}
LOOK_S = LOOK_MS / 1_000


@pytest.fixture
def leader() -> FakeService:
    """The global leader of a fleet in which everybody has reported."""
    fleet = FakeFleet()
    service = fleet.add("n1", "eu")
    fleet.lead("n1")
    table = LoadTable()
    table.take("n1", "eu", [], 0, 0)
    service.reported = Gathered(1, 0, 0, table, LatencyMatrix({}))
    service.reshards = ()  # no resharding is known
    return service


def want(service: FakeService, **policy: Any) -> None:
    content = builtin_content(Kind.PLACEMENT) | {"split_by_load": POLICY | policy}
    assert isinstance(put(service.feed, "placement", content), Revision)


def hot(service: FakeService, shard: str, larger_share: float = 0.5) -> None:
    row = service.map_row(shard)
    assert row is not None
    service.heats[shard] = Heat(150.0, 0.0, 0, Cut(row.first_slot + 9, larger_share, "p", 0.9))


async def turns(service: FakeService, count: int) -> tuple[Mover, list[Reshard]]:
    mover = Mover(service, Planner(service))
    for _ in range(count):
        await mover.turn(LOOK_S)
    return mover, [each for each in service.asked if isinstance(each, Reshard)]


async def test_nothing_is_ordered_unless_a_document_wants_it(leader: FakeService) -> None:
    hot(leader, "s1")
    _, orders = await turns(leader, 20)
    assert orders == []


async def test_a_shard_that_stays_hot_is_split_once_where_its_leader_says(
    leader: FakeService,
) -> None:
    want(leader)
    hot(leader, "s1")
    _, orders = await turns(leader, 20)
    row = leader.map_row("s1")
    assert row is not None
    assert [(each.of, each.at, each.principal) for each in orders] == [
        ("s1", row.first_slot + 9, "load")
    ]


async def test_a_refused_order_is_not_given_again_before_its_cool_down(leader: FakeService) -> None:
    want(leader)
    hot(leader, "s1")
    leader.answer = lambda request: (
        Refused(Problem.NOT_RESHARDED, "no") if isinstance(request, Reshard) else None
    )
    _, orders = await turns(leader, 12)
    assert len(orders) == 1
    _, orders = await turns(leader, 20)
    assert len(orders) == 3, "of another loop two: one, and one after the cool-down"


async def test_orders_wait_as_moves_do_while_people_hold_them_up(leader: FakeService) -> None:
    want(leader)
    hot(leader, "s1")
    content = builtin_content(Kind.PLACEMENT)
    moves = content["moves"] | {"per_minute_max": {"node": 0.001, "region": 600, "group": 600}}
    content = content | {"split_by_load": POLICY, "moves": moves}
    assert isinstance(put(leader.feed, "placement", content), Revision)
    _, orders = await turns(leader, 20)
    assert orders == []


async def test_a_hot_partition_is_reported_and_counted_and_not_split(leader: FakeService) -> None:
    want(leader)
    hot(leader, "s1", 0.97)
    mover, orders = await turns(leader, 20)
    assert orders == []
    assert [(each.kind, each.shard, each.detail) for each in leader.reports] == [
        ("hot-partition", "s1", {"partition": "p", "share": 0.9, "by": "requests"}),
        ("hot-partitions", "system", {"total": 1}),
    ]
    leader.reported, leader.known["system"] = None, (2, "n2")
    await mover.turn(LOOK_S)
    assert leader.reports[-1].detail == {"total": 0}, "another node leads: nothing is known here"
