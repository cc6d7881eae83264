"""What a successor has to know: who crashed, whom people moved; and who may come home."""

from __future__ import annotations

import time

import pytest

from controlplane.machine import HomeWish
from controlplane.node.drains import Drain, DrainState, Scope
from controlplane.planning.drain_book import DrainBook
from controlplane.planning.mover import Mover
from controlplane.planning.moving import MovedOf
from controlplane.planning.order_book import OrderBook
from controlplane.planning.orders import Pause
from controlplane.planning.planner import Planner
from controlplane.planning.proceedings import Given, Released
from tests.api.fake_service import FakeService
from tests.planning.mover_stage import (
    LATER_MS,
    begun,
    crashed_under,
    mover_of,
    set_moves,
)


async def test_the_brake_is_told_when_it_is_pulled_and_holds_up_what_was_moved(
    leader: FakeService,
) -> None:
    await begun(leader, "s1")
    mover = mover_of(leader)
    await mover.turn(1.0)
    leader.fleet_of.lead("n2", "s1")
    await mover.turn(1.0)
    leader.fleet_of.nodes["n2"].alive = False
    await mover.turn(1.0)
    await mover.turn(1.0)
    assert [(each.kind, each.detail) for each in leader.reports] == [
        ("brake-pulled", {"crashes": 1})
    ]


async def test_the_brake_stays_pulled_when_another_node_becomes_the_global_leader(
    leader: FakeService,
) -> None:
    await crashed_under(leader, "s1")
    leader.fleet_of.lead("n1", "s1")
    leader.fleet_of.nodes["n2"].alive = True
    planner = Planner(leader)
    await Mover(leader, planner).turn(1.0)
    assert planner.admission.is_braked
    assert [crash.shards for crash in planner.admission.crashes] == [("s1",)]
    later = Planner(leader)
    await Mover(leader, later, lambda: time.time() + 3_600).turn(1.0)
    assert not later.admission.is_braked, "it is forgotten in its time"


async def test_a_brake_that_was_let_go_counts_what_goes_down_afterwards(
    leader: FakeService,
) -> None:
    await crashed_under(leader, "s1")
    leader.fleet_of.lead("n1", "s1")
    planner = Planner(leader)
    successor = Mover(leader, planner)
    await successor.turn(1.0)
    assert planner.admission.is_braked
    book = OrderBook(leader)
    assert await book.release(await book.brake(), "ada", "rack 4 lost its power") is None
    planner.admission.step(Released(), planner.now_ms)
    await successor.turn(1.0)
    later = Planner(leader)
    await Mover(leader, later).turn(1.0)
    assert not later.admission.is_braked, "a successor knows that it was let go"
    leader.fleet_of.nodes["n2"].alive = True
    planner.admission.step(Given("n2", planner.now_ms), planner.now_ms)
    await successor.turn(1.0)
    leader.fleet_of.nodes["n2"].alive = False
    await successor.turn(1.0)
    assert planner.admission.is_braked


async def test_who_was_given_shards_is_known_to_a_successor_though_nothing_crashed_yet(
    leader: FakeService,
) -> None:
    await begun(leader, "s1")
    mover = mover_of(leader)
    await mover.turn(1.0)
    leader.fleet_of.lead("n2", "s1")
    await mover.turn(20.0)
    await mover.turn(20.0)
    leader.fleet_of.lead("n1", "s1")
    leader.fleet_of.nodes["n2"].alive = False  # with the global leader
    planner = Planner(leader)
    await Mover(leader, planner).turn(1.0)
    assert [crash.node for crash in planner.admission.crashes] == ["n2"]


async def test_what_a_person_moved_is_written_down_for_a_successor(leader: FakeService) -> None:
    planner = Planner(leader)
    planner.to_remember.append(MovedOf("s1", int(time.time() * 1_000), "us"))
    await Mover(leader, planner).turn(1.0)
    assert planner.to_remember == []
    leader.fleet_of.lead("n2", "s1")
    await begun(leader, "s2")  # an order that would take it back is another one
    book = OrderBook(leader)
    assert [(each.shard, each.region) for each in await book.moved()] == [("s1", "us")]


async def test_who_asks_to_hand_a_shard_home_is_let_do_so_within_the_limits(
    leader: FakeService,
) -> None:
    set_moves(leader, in_flight_max={"node": 2})
    mover = mover_of(leader)
    await mover.turn(1.0)
    leader.fleet_of.lead("n2", "s0", "s1", "s2")
    wishes = tuple(HomeWish("n2", shard, "n1") for shard in ("s0", "s1", "s2"))
    leader.wishes = wishes
    await mover.turn(5.0)
    leader.fleet_of.lead("n1", "s0")
    leader.wishes = wishes[2:]
    await mover.turn(5.0)
    assert leader.let_home == [(wishes, wishes[:2]), (wishes[2:], wishes[2:])]


@pytest.mark.parametrize("why", ["drained", "gone", "elsewhere", "leave ran out"])
async def test_what_will_not_come_home_any_more_takes_nobodys_room(
    leader: FakeService, why: str
) -> None:
    planner = Planner(leader)
    mover = Mover(leader, planner)
    third = leader.fleet_of.add("n3", "eu")
    leader.fleet_of.lead("n2", "s0")
    await mover.turn(40.0)
    leader.wishes = (HomeWish("n2", "s0", "n3"),)
    await mover.turn(1.0)
    assert [move.wanted.shard for move in planner.admission.on_way] == ["s0"]
    match why:
        case "drained":
            drain = Drain(
                Scope.NODE, "n3", "", DrainState.DRAINED, "ada", "", 1, None, None, 0, is_whole=True
            )
            assert await DrainBook(leader).put(drain, 0) is None
        case "gone":
            third.alive = False
        case "elsewhere":
            leader.fleet_of.lead("n1", "s0")
    await mover.turn(20.0 if why == "leave ran out" else 1.0)
    assert planner.admission.on_way == ()


async def test_nothing_comes_home_while_people_hold_moves_up_or_to_where_it_is_drained(
    leader: FakeService,
) -> None:
    leader.fleet_of.lead("n2", "s0")
    mover, book = mover_of(leader), OrderBook(leader)
    await mover.turn(5.0)
    assert await book.pause(Pause(LATER_MS, "ada", "")) is None
    await mover.turn(5.0)
    leader.wishes = (wish,) = (HomeWish("n2", "s0", "n1"),)
    await mover.turn(5.0)
    assert leader.let_home == [((wish,), ())]
