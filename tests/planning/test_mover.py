"""Orders are carried out once, at the pace allowed, and never on a world that has changed."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from config.builtin import builtin_content
from config.document import Kind
from config.revision import Revision
from controlplane.machine import HomeWish
from controlplane.node.directory import MAP, MAP_PREFIX
from controlplane.node.load_reports import Gathered
from controlplane.planning.mover import Mover
from controlplane.planning.moving import ON_WAY_KEY
from controlplane.planning.order_book import OrderBook
from controlplane.planning.orders import Order, OrderState, Pause, ShardMove
from controlplane.planning.planner import Planner
from controlplane.planning.reasons import Hindrance
from controlplane.problems import RequestRefused
from controlplane.requests import Outcome, Problem, Put, Refused, Request, Write
from regions.latency_matrix import LatencyMatrix
from shards.load_table import LoadTable
from tests.api.fake_service import SHARDS, FakeService
from tests.config.sample_fleet import put
from tests.planning.mover_stage import (
    FINISH_S,
    LATER_MS,
    begun,
    mover_of,
    moves,
    order_of,
    preferred,
    set_moves,
    set_pace,
)


async def test_a_move_is_a_row_of_the_map_that_prefers_another_region(leader: FakeService) -> None:
    await begun(leader, "s1")
    mover = mover_of(leader)
    await mover.turn(1.0)
    assert preferred(leader) == {"s0": "eu", "s1": "us", "s2": "eu", "s3": "eu"}
    order = await order_of(leader)
    assert (order.state, order.moved) == (OrderState.CARRYING, 1), "it is not led there yet"
    leader.fleet_of.lead("n2", "s1")
    await mover.turn(1.0)
    assert (await order_of(leader)).state is OrderState.DONE


async def test_a_shard_that_does_not_get_there_in_time_is_preferred_where_it_was(
    leader: FakeService,
) -> None:
    await begun(leader, "s1")
    mover = mover_of(leader)
    await mover.turn(1.0)
    successor = mover_of(leader)
    await successor.turn(1.0)
    await successor.turn(FINISH_S)
    assert preferred(leader)["s1"] == "eu"
    await successor.turn(1.0)
    order = await order_of(leader)
    assert (order.state, order.moved) == (OrderState.DONE, 0)
    assert order.skipped == (("s1", Hindrance.NOT_FINISHED),)
    assert [(each.kind, each.detail["why"]) for each in leader.reports] == [
        ("move-given-up", "not-finished")
    ]


def lost_once(service: FakeService, *, done: bool) -> None:
    """The next step of an order is answered with an unknown outcome; it was made, or was not."""

    def answer(request: Request) -> Outcome | None:
        if not isinstance(request, Write) or ON_WAY_KEY not in {m.key for m in request.mutations}:
            return None
        service.answer = None
        if done:
            service._write(request)
        return Refused(Problem.UNKNOWN_OUTCOME, "no majority answered in time")

    service.answer = answer


async def test_a_move_that_was_made_though_nobody_said_so_is_waited_for(
    leader: FakeService,
) -> None:
    await begun(leader, "s1")
    mover = mover_of(leader)
    lost_once(leader, done=True)
    for _ in range(3):
        await mover.turn(1.0)
    assert preferred(leader)["s1"] == "us"
    assert (await order_of(leader)).state is OrderState.CARRYING, "it is not led there yet"
    leader.fleet_of.lead("n2", "s1")
    await mover.turn(1.0)
    assert (await order_of(leader)).state is OrderState.DONE


async def test_a_move_that_was_not_made_is_made_again(leader: FakeService) -> None:
    await begun(leader, "s1")
    mover = mover_of(leader)
    lost_once(leader, done=False)
    for _ in range(3):
        await mover.turn(1.0)
    order = await order_of(leader)
    assert (preferred(leader)["s1"], order.moved, order.skipped) == ("us", 1, ())


@pytest.mark.parametrize("done", [True, False])
async def test_a_move_is_taken_back_once_though_nobody_said_that_it_was(
    leader: FakeService, done: bool
) -> None:
    await begun(leader, "s1")
    mover = mover_of(leader)
    await mover.turn(1.0)
    lost_once(leader, done=done)
    await mover.turn(FINISH_S)
    for _ in range(3):
        await mover.turn(1.0)
    assert preferred(leader)["s1"] == "eu"
    order = await order_of(leader)
    assert (order.state, order.moved) == (OrderState.DONE, 0)
    assert order.skipped == (("s1", Hindrance.NOT_FINISHED),)


async def test_a_move_that_came_to_nothing_while_nobody_answered_is_taken_back_later(
    leader: FakeService,
) -> None:
    await begun(leader, "s1")
    mover = mover_of(leader)
    await mover.turn(1.0)
    leader.answer = lambda _: Refused(Problem.NO_QUORUM, "1 of 3 stores reachable, 2 needed")
    for passed_s in (FINISH_S, 1.0):
        with pytest.raises(RequestRefused):
            await mover.turn(passed_s)
    leader.answer = None
    for _ in range(3):
        await mover.turn(1.0)
    assert preferred(leader)["s1"] == "eu"
    assert (await order_of(leader)).skipped == (("s1", Hindrance.NOT_FINISHED),)


async def test_a_shard_that_nobody_leads_for_a_moment_is_waited_for(leader: FakeService) -> None:
    await begun(leader, "s1")
    mover = mover_of(leader)
    leader.fleet_of.shards["s1"].leader = None
    leader.catch_up()
    await mover.turn(1.0)
    assert (await order_of(leader)).next == 0
    leader.fleet_of.lead("n1", "s1")
    await mover.turn(1.0)
    assert preferred(leader)["s1"] == "us"


async def test_a_move_is_given_up_in_time_however_often_the_global_leader_changes(
    leader: FakeService,
) -> None:
    await begun(leader, "s1")
    await mover_of(leader).turn(1.0)
    passed_s = 0.0

    def wall_s() -> float:
        return time.time() + passed_s

    for _ in range(3):
        successor = Mover(leader, Planner(leader), wall_s)
        for _ in range(3):
            passed_s += FINISH_S / 8
            await successor.turn(FINISH_S / 8)
    assert preferred(leader)["s1"] == "eu"
    assert (await order_of(leader)).skipped == (("s1", Hindrance.NOT_FINISHED),)


async def test_an_order_is_not_hindered_by_the_leaders_that_carry_it_out(
    leader: FakeService,
) -> None:
    """The shard is to be preferred in us: its leader asks to hand it there."""
    await begun(leader, "s1")
    mover = mover_of(leader)
    await mover.turn(1.0)
    wish, other = HomeWish("n1", "s1", "n2"), HomeWish("n1", "s1", "n1")
    for each, admitted in ((wish, (wish,)), (other, ())):
        leader.wishes = (each,)
        await mover.turn(1.0)
        assert leader.let_home.pop() == ((each,), admitted)
    leader.fleet_of.lead("n2", "s1")
    await mover.turn(1.0)
    await mover.turn(1.0)
    assert (await order_of(leader)).skipped == ()


async def test_a_move_that_has_to_wait_for_too_long_is_given_up(leader: FakeService) -> None:
    set_moves(leader, begin_ms_max=5_000, suspect_ms=60_000)
    mover = mover_of(leader)
    leader.fleet_of.nodes["n2"].alive = False
    await mover.turn(1.0)
    leader.fleet_of.nodes["n2"].alive = True  # and suspect, for a minute
    await begun(leader, "s1")
    await mover.turn(1.0)
    assert (await order_of(leader)).next == 0
    await mover.turn(6.0)
    assert (await order_of(leader)).skipped == (("s1", Hindrance.NOT_BEGUN),)


async def test_a_shard_stays_where_it_was_moved_to_whoever_leads_by_then(
    leader: FakeService,
) -> None:
    await begun(leader, "s1")
    mover = mover_of(leader)
    await mover.turn(1.0)
    leader.fleet_of.lead("n2", "s1")
    await mover.turn(1.0)
    book = OrderBook(leader)
    row = leader.map_row("s1")
    assert row is not None
    back = [ShardMove("s1", "us", "eu", row.revision)]
    order = Order(2, "back", "ada", "", 17, OrderState.CARRYING, 1)
    assert await book.begin(order, back, await book.read()) is None
    await mover_of(leader).turn(1.0)  # it has nothing in memory
    assert (await order_of(leader)).skipped == (("s1", Hindrance.RESIDENCE),)


async def test_a_new_global_leader_moves_nothing_before_it_knows_the_fleet(
    leader: FakeService,
) -> None:
    leader.reported = Gathered(1, 0, 0, LoadTable(), LatencyMatrix({}))
    await begun(leader, "s1")
    mover = mover_of(leader)
    await mover.turn(10.0)
    assert (await order_of(leader)).next == 0
    await mover.turn(25.0)
    assert (await order_of(leader)).next == 1, "after a while it does with what it knows"


async def test_a_move_may_prefer_a_node_and_the_next_one_may_prefer_none(
    leader: FakeService,
) -> None:
    content = builtin_content(Kind.PLACEMENT) | {"hysteresis": {"residence_min_ms": 0}}
    assert isinstance(put(leader.feed, "placement", content), Revision)
    book, mover = OrderBook(leader), mover_of(leader)
    for number, node in enumerate(("n1", ""), 1):
        row = leader.map_row("s1")
        assert row is not None
        wanted = [ShardMove("s1", "eu", "eu", row.revision, node)]
        order = Order(number, "hash", "ada", "", 17, OrderState.CARRYING, 1)
        assert await book.begin(order, wanted, await book.read()) is None
        await mover.turn(1.0)
        row = leader.map_row("s1")
        assert row is not None
        assert (row.regions, row.node) == (("eu", "us"), node)
    assert (await order_of(leader)).moved == 1


async def test_a_node_that_does_not_live_in_the_region_is_no_candidate(
    leader: FakeService,
) -> None:
    row = leader.map_row("s1")
    assert row is not None
    order = Order(1, "hash", "ada", "", 17, OrderState.CARRYING, 1)
    move = ShardMove("s1", "eu", "us", row.revision, "n1")
    assert await OrderBook(leader).begin(order, [move], await OrderBook(leader).read()) is None
    await mover_of(leader).turn(1.0)
    assert (await order_of(leader)).skipped == (("s1", Hindrance.NO_CANDIDATE),)


async def test_moves_come_at_the_pace_of_the_document(leader: FakeService) -> None:
    set_pace(leader, 30)
    await begun(leader, *SHARDS)
    mover = mover_of(leader)
    progress = []
    for _ in range(4):
        await mover.turn(1.0)
        progress.append((await order_of(leader)).next)
    assert progress == [0, 1, 1, 2]


async def test_another_node_that_leads_later_goes_on_with_the_next_move(
    leader: FakeService,
) -> None:
    set_pace(leader, 60)
    await begun(leader, "s0", "s1")
    await mover_of(leader).turn(1.0)
    successor = mover_of(leader)  # it has nothing in memory
    await successor.turn(2.0)  # what is on its way counts
    leader.fleet_of.lead("n2", "s0", "s1")
    await successor.turn(1.0)
    order = await order_of(leader)
    assert (order.state, order.moved, order.skipped) == (OrderState.DONE, 2, ())


async def test_a_node_that_does_not_lead_moves_nothing(leader: FakeService) -> None:
    await begun(leader, "s1")
    await mover_of(leader.fleet_of.nodes["n2"]).turn(60.0)
    assert (await order_of(leader)).next == 0


async def test_a_row_that_was_changed_since_is_left_alone(leader: FakeService) -> None:
    await begun(leader, "s1", "s2")
    row = leader.map_row("s1")
    assert row is not None
    other = replace(row, regions=("eu",))
    await leader.submit(Write("system", (Put(MAP, MAP_PREFIX + "s1", other.packed()),)))
    set_pace(leader, 600)
    mover = mover_of(leader)
    await mover.turn(1.0)
    leader.fleet_of.lead("n2", "s2")
    await mover.turn(1.0)
    found = leader.map_row("s1")
    assert found is not None
    assert found.regions == ("eu",)
    assert (await order_of(leader)).skipped == (("s1", Hindrance.CHANGED),)
    assert preferred(leader)["s2"] == "us"


async def test_a_shard_that_is_led_from_elsewhere_by_now_is_left_alone(leader: FakeService) -> None:
    await begun(leader, "s1")
    leader.fleet_of.lead("n2", "s1")
    await mover_of(leader).turn(1.0)
    assert preferred(leader)["s1"] == "eu"
    assert (await order_of(leader)).skipped == (("s1", Hindrance.CHANGED),)


async def test_nothing_moves_to_where_no_node_is_alive(leader: FakeService) -> None:
    del leader.fleet_of.nodes["n2"]
    await begun(leader, "s1")
    await mover_of(leader).turn(1.0)
    assert (await order_of(leader)).skipped == (("s1", Hindrance.NO_CANDIDATE),)


async def test_what_is_held_up_waits_until_it_is_not(leader: FakeService) -> None:
    await begun(leader, "s1")
    book, mover = OrderBook(leader), mover_of(leader)
    assert await book.pause(Pause(LATER_MS, "ada", "")) is None
    await mover.turn(60.0)
    assert (await order_of(leader)).next == 0
    assert await book.pause(None) is None
    await mover.turn(1.0)
    assert (await order_of(leader)).moved == 1


async def test_of_two_orders_begun_at_the_same_moment_one_counts(leader: FakeService) -> None:
    book = OrderBook(leader)
    known, wanted = await book.read(), moves(leader, "s1")
    order = Order(1, "hash", "ada", "", 17, OrderState.CARRYING, 1)
    assert await book.begin(order, wanted, known) is None
    assert isinstance(await book.begin(replace(order, plan="other"), wanted, known), Refused)
    assert (await order_of(leader)).plan == "hash"
