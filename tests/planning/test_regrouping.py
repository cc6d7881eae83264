"""Moves to other stores: begun once with the order, followed to their end, dropped if too late."""

from __future__ import annotations

from dataclasses import replace

import pytest

from config.builtin import builtin_content
from config.document import Kind as DocumentKind
from controlplane.node.directory import MAP, MAP_PREFIX
from controlplane.planning.mover import Mover
from controlplane.planning.order_book import OrderBook
from controlplane.planning.orders import Order, OrderState, ShardMove
from controlplane.planning.planner import Planner
from controlplane.planning.reasons import Hindrance
from controlplane.requests import (
    CancelResharding,
    MakeGroup,
    Outcome,
    Problem,
    Put,
    Refused,
    Request,
    Reshard,
    Resharded,
    Write,
)
from controlplane.views import GroupView, ReshardingView
from shards.resharding import Kind, Part, Phase
from tests.api.fake_service import SHARDS, FakeService
from tests.api.fake_shard import FakeShard

GROUP = "region/us"
FINISH_S = builtin_content(DocumentKind.PLACEMENT)["moves"]["bulk_finish_ms_max"] / 1_000


class Reshardings:
    """What the global leader's node does with orders to move shards, in memory."""

    def __init__(self, service: FakeService) -> None:
        self._service = service
        self.begun: list[Reshard] = []
        self.refuses: Refused | None = None
        service.answer = self.answer
        service.reshards = ()
        service.more_groups = (GroupView(GROUP, ("us-1",), (), 1, 1, 0, 2_000, 0, 0),)

    def answer(self, request: Request) -> Outcome | None:
        """Write an order down with what it has beside; anything else is not answered here."""
        match request:
            case Reshard(Kind.MOVE, shard):
                return self.refuses or self._begin(request, shard)
            case CancelResharding(number):
                self.comes_to(number, Phase.CANCELLED)
                view = self._view(number)
                return Resharded(
                    number, view.kind, view.parents, view.children, view.phase, begun=True
                )
        return None

    def comes_to(self, number: int, phase: Phase) -> None:
        """Let one of them be so far."""
        self._service.reshards = tuple(
            replace(view, phase=phase) if view.number == number else view
            for view in self._service.reshards
        )

    def is_led(self, shard: str, child: str, node: str) -> None:
        """Let a child take a shard's place in the map, led by a node."""
        shards = self._service.fleet_of.shards
        parent = shards.pop(shard)
        shards[child] = FakeShard(child, parent.first_slot, parent.end_slot)
        self._service.fleet_of.lead(node, child)

    def _begin(self, order: Reshard, shard: str) -> Outcome:
        written = self._service._write(Write("system", order.also, order.compares))
        if isinstance(written, Refused):
            return Refused(Problem.NOT_RESHARDED, "something has changed", retry_after_ms=200)
        self.begun.append(order)
        number = len(self._service.reshards) + 1
        parent = Part(shard, "global", 0, 10, ("eu", "us"))
        child = Part(f"s{6 + number}", order.to_group, 0, 10, (order.to_region,))
        view = ReshardingView(
            number, Kind.MOVE, Phase.DRAFTING, (parent,), (child,), "ada", "", 17, False, None, ""
        )
        self._service.reshards = (*self._service.reshards, view)
        return Resharded(number, Kind.MOVE, (parent,), (child,), Phase.DRAFTING, begun=True)

    def _view(self, number: int) -> ReshardingView:
        return next(view for view in self._service.reshards if view.number == number)


@pytest.fixture
def reshardings(leader: FakeService) -> Reshardings:
    """What becomes of the orders that this leader's mover gives."""
    return Reshardings(leader)


async def begun(service: FakeService, *shards: str, group: str = GROUP) -> None:
    rows = [service.map_row(shard) for shard in shards]
    wanted = [ShardMove(r.shard, "eu", "us", r.revision, "", group) for r in rows if r is not None]
    order = Order(1, "hash", "ada", "", 17, OrderState.CARRYING, len(wanted))
    book = OrderBook(service)
    assert await book.begin(order, wanted, await book.read()) is None


def mover_of(service: FakeService) -> Mover:
    return Mover(service, Planner(service))


async def order_of(service: FakeService) -> Order:
    order = (await OrderBook(service).read()).order
    assert order is not None
    return order


async def test_a_move_is_a_resharding_and_is_done_when_the_child_is_led_there(
    leader: FakeService, reshardings: Reshardings
) -> None:
    await begun(leader, "s1")
    planner = Planner(leader)
    mover = Mover(leader, planner)
    await mover.turn(1.0)
    (order,) = reshardings.begun
    assert (order.of, order.to_group, order.to_region) == ("s1", GROUP, "us")
    assert ((await order_of(leader)).next, (await order_of(leader)).state) == (1, "carrying")
    reshardings.comes_to(1, Phase.DONE)
    reshardings.is_led("s1", "s7", "n1")
    await mover.turn(1.0)
    assert (await order_of(leader)).state is OrderState.CARRYING, "it is not led from there yet"
    leader.fleet_of.lead("n2", "s7")
    await mover.turn(1.0)
    done = await order_of(leader)
    assert (done.state, done.moved, done.skipped) == (OrderState.DONE, 1, ())
    assert [each.shard for each in await OrderBook(leader).moved()] == ["s7"]
    assert planner.admission.standing(0).in_flight == 0


async def test_a_successor_follows_what_was_begun_and_begins_it_no_second_time(
    leader: FakeService, reshardings: Reshardings
) -> None:
    await begun(leader, "s1")
    await mover_of(leader).turn(1.0)
    successor = mover_of(leader)  # it has nothing in memory
    await successor.turn(1.0)
    await successor.turn(1.0)
    assert len(reshardings.begun) == 1
    reshardings.comes_to(1, Phase.DONE)
    reshardings.is_led("s1", "s7", "n2")
    await successor.turn(1.0)
    assert (await order_of(leader)).state is OrderState.DONE


async def test_an_outcome_that_nobody_knows_is_looked_up_and_the_move_is_followed(
    leader: FakeService, reshardings: Reshardings
) -> None:
    await begun(leader, "s1")
    begin = reshardings.answer

    def loses(request: Request) -> Outcome | None:
        outcome = begin(request)
        lost = isinstance(outcome, Resharded)
        return Refused(Problem.UNKNOWN_OUTCOME, "the answer is lost") if lost else outcome

    leader.answer = loses
    mover = mover_of(leader)
    await mover.turn(1.0)
    leader.answer = begin
    await mover.turn(1.0)
    assert len(reshardings.begun) == 1
    reshardings.comes_to(1, Phase.DONE)
    reshardings.is_led("s1", "s7", "n2")
    await mover.turn(1.0)
    assert ((await order_of(leader)).state, (await order_of(leader)).moved) == ("done", 1)


async def test_a_move_that_somebody_cancels_is_told_to_be(
    leader: FakeService, reshardings: Reshardings
) -> None:
    await begun(leader, "s1")
    mover = mover_of(leader)
    await mover.turn(1.0)
    reshardings.comes_to(1, Phase.CANCELLED)
    await mover.turn(1.0)
    order = await order_of(leader)
    assert (order.state, order.moved) == (OrderState.DONE, 0)
    assert order.skipped == (("s1", Hindrance.CANCELLED),)
    assert [each.detail for each in leader.reports] == [{"kind": "bulk", "why": "cancelled"}]


async def test_what_takes_too_long_is_cancelled_before_its_shard_is_closed(
    leader: FakeService, reshardings: Reshardings
) -> None:
    await begun(leader, "s1")
    mover = mover_of(leader)
    await mover.turn(1.0)
    await mover.turn(FINISH_S)
    assert [view.phase for view in leader.reshards] == [Phase.CANCELLED]
    await mover.turn(1.0)
    assert (await order_of(leader)).skipped == (("s1", Hindrance.NOT_FINISHED),)


async def test_what_is_closed_goes_on_however_long_it_takes(
    leader: FakeService, reshardings: Reshardings
) -> None:
    await begun(leader, "s1")
    mover = mover_of(leader)
    await mover.turn(1.0)
    reshardings.comes_to(1, Phase.CLOSING)
    await mover.turn(FINISH_S)
    assert [view.phase for view in leader.reshards] == [Phase.CLOSING]
    reshardings.comes_to(1, Phase.DONE)
    reshardings.is_led("s1", "s7", "n2")
    await mover.turn(1.0)
    assert ((await order_of(leader)).state, (await order_of(leader)).moved) == ("done", 1)


async def test_where_no_stores_decide_together_nothing_is_moved(
    leader: FakeService, reshardings: Reshardings
) -> None:
    await begun(leader, "s1", group="region/ap")
    mover = mover_of(leader)
    await mover.turn(1.0)
    order = await order_of(leader)
    assert (order.state, order.skipped) == (OrderState.DONE, (("s1", Hindrance.NO_GROUP),))


async def test_a_shard_whose_row_was_changed_is_left_where_it_is(
    leader: FakeService, reshardings: Reshardings
) -> None:
    await begun(leader, "s1")
    row = leader.map_row("s1")
    assert row is not None
    other = replace(row, regions=("eu",))
    await leader.submit(Write("system", (Put(MAP, MAP_PREFIX + "s1", other.packed()),)))
    await mover_of(leader).turn(1.0)
    assert reshardings.begun == []
    assert (await order_of(leader)).skipped == (("s1", Hindrance.CHANGED),)


async def test_so_many_are_copied_at_once_and_no_more(
    leader: FakeService, reshardings: Reshardings
) -> None:
    await begun(leader, *SHARDS)
    mover = mover_of(leader)
    for _ in range(5):
        await mover.turn(1.0)
    assert [order.of for order in reshardings.begun] == ["s0", "s1"], "n1 gives two at a time"


async def test_a_group_of_several_regions_is_made_before_shards_go_there(
    leader: FakeService, reshardings: Reshardings
) -> None:
    group = "multi/ap+eu+us"
    await begun(leader, "s1", group=group)
    planner = Planner(leader)
    mover = Mover(leader, planner)
    await mover.turn(1.0)
    made = [request for request in leader.asked if isinstance(request, MakeGroup)]
    assert [request.regions for request in made] == [("ap", "eu", "us")]
    assert (planner.waits_for, reshardings.begun) == (Hindrance.GROUP_MAKING, [])
    leader.more_groups = (GroupView(group, ("us-1",), (), 1, 1, 0, 2_000, 0, 0),)
    await mover.turn(1.0)
    assert [order.to_group for order in reshardings.begun] == [group]


async def test_a_group_that_was_made_again_after_it_was_dropped_is_found(
    leader: FakeService, reshardings: Reshardings
) -> None:
    group = "multi/ap+eu+us"
    await begun(leader, "s1", group=group)
    again = GroupView(f"{group}~2", ("us-1",), (), 1, 1, 0, 2_000, 0, 0)
    leader.more_groups = (replace(again, group="multi/ap+eu+sa~2"), again)
    await mover_of(leader).turn(1.0)
    assert [order.to_group for order in reshardings.begun] == [f"{group}~2"]


async def test_a_group_that_was_dropped_is_made_again_of_the_same_regions(
    leader: FakeService,
) -> None:
    await begun(leader, "s1", group="multi/ap+eu+us~2")
    await mover_of(leader).turn(1.0)
    made = [request for request in leader.asked if isinstance(request, MakeGroup)]
    assert [request.regions for request in made] == [("ap", "eu", "us")]


async def test_where_no_group_can_be_made_nothing_is_moved(
    leader: FakeService, reshardings: Reshardings
) -> None:
    refused = Refused(Problem.GROUP_NOT_MADE, "two regions are too few")
    leader.answer = lambda request: refused if isinstance(request, MakeGroup) else None
    await begun(leader, "s1", group="multi/eu+us")
    await mover_of(leader).turn(1.0)
    assert (await order_of(leader)).skipped == (("s1", Hindrance.NO_GROUP),)
