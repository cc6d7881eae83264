"""Drains gone on with by the global leader: once, in order, and by whoever leads."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from controlplane.node.drains import Drain, DrainState, Scope
from controlplane.planning.drain_book import DrainBook
from controlplane.planning.mover import Mover
from controlplane.planning.order_book import OrderBook
from controlplane.planning.orders import Pause
from controlplane.planning.pace import (
    TAIL_MS,
    allowed_per_minute,
    needed_per_minute,
    quorum_ms,
    soonest_ms,
)
from controlplane.planning.planner import Planner
from controlplane.planning.reasons import Hindrance
from controlplane.requests import Write
from tests.api.fake_service import SHARDS, FakeService
from tests.planning.test_admission import LIMITS
from tests.planning.test_mover import FINISH_S, LATER_MS, mover_of

DRAIN = Drain(Scope.NODE, "n2", "", DrainState.DRAINING, "ada", "", 1, None, None, 4)


@pytest.fixture
async def drained(leader: FakeService) -> FakeService:
    """n2 leads all shards but the system shard, and is to be drained."""
    leader.fleet_of.lead("n2", *SHARDS)
    assert await DrainBook(leader).put(DRAIN, 0) is None
    return leader


def record(service: FakeService) -> Drain:
    ((drain, _),) = service.drains()
    return drain


def hand_over(service: FakeService) -> list[str]:
    """As the drained node does: what is released goes to the other one."""
    released = [s for s in sorted(service.led_by({"n2"})) if record(service).releases(s)]
    for shard in released:
        service.fleet_of.lead("n1", shard)
    return released


async def to_the_end(service: FakeService, mover: Mover) -> list[str]:
    left: list[str] = []
    for _ in range(100):
        await mover.turn(0.5)
        left += hand_over(service)
        if record(service).state is DrainState.DRAINED:
            return left
    raise AssertionError("it does not end")


async def test_shards_leave_in_order_each_of_them_once_and_the_place_stays_drained(
    drained: FakeService,
) -> None:
    mover = mover_of(drained)
    assert await to_the_end(drained, mover) == list(SHARDS)
    drained.fleet_of.lead("n2", "s1")  # nobody else could, for a while
    assert hand_over(drained) == ["s1"], "what comes later goes at once"


async def test_a_successor_goes_on_at_every_step(drained: FakeService) -> None:
    left: list[str] = []
    for _ in range(100):
        mover = mover_of(drained)  # it has nothing in memory
        await mover.turn(0.1)
        await mover.turn(0.1)
        left += hand_over(drained)
        if record(drained).state is DrainState.DRAINED:
            break
    assert left == list(SHARDS)
    assert record(drained).is_whole


async def test_a_step_on_a_record_that_was_changed_is_no_step(drained: FakeService) -> None:
    mover = mover_of(drained)
    await mover.turn(0.01)
    kept, version = drained.drains()[0]
    over = Drain(Scope.NODE, "n2", "", DrainState.OVER, "ada", "", 1, None, None, 4)
    drained.drains = lambda: ((kept, version),)  # type: ignore[method-assign]
    assert await DrainBook(drained).put(over, version) is None
    await mover.turn(5.0)
    del drained.drains  # type: ignore[method-assign]
    assert record(drained) == over


async def test_a_shard_that_does_not_get_away_does_not_hold_the_others_up(
    drained: FakeService,
) -> None:
    mover = mover_of(drained)
    for _ in range(20):
        await mover.turn(1.0)
        for shard in set(hand_over_all_but(drained, "s1")):
            drained.fleet_of.lead("n1", shard)
    assert record(drained).state is DrainState.DRAINING
    await mover.turn(FINISH_S)
    for _ in range(4):
        await mover.turn(1.0)
    assert record(drained).state is DrainState.DRAINED
    assert drained.led_by({"n2"}) == {"s1"}


def hand_over_all_but(service: FakeService, stays: str) -> list[str]:
    return [s for s in service.led_by({"n2"}) if record(service).releases(s) and s != stays]


async def test_while_people_hold_moves_up_nothing_is_released(drained: FakeService) -> None:
    book, planner = OrderBook(drained), Planner(drained)
    mover = Mover(drained, planner)
    assert await book.pause(Pause(LATER_MS, "ada", "")) is None
    for _ in range(5):
        await mover.turn(1.0)
    assert record(drained).cursor == ""
    assert planner.draining.waits_for(record(drained)) is Hindrance.PAUSED
    assert await book.pause(None) is None
    assert await to_the_end(drained, mover) == list(SHARDS)


async def test_a_new_global_leader_waits_with_plans_and_not_with_drains(
    drained: FakeService,
) -> None:
    assert drained.reported is not None
    drained.reported.load.forget_silent(LATER_MS)  # nobody has told anything
    assert await to_the_end(drained, mover_of(drained)) == list(SHARDS)


async def test_it_writes_one_entry_for_several_shards(drained: FakeService) -> None:
    mover = mover_of(drained)
    drained.asked.clear()
    await to_the_end(drained, mover)
    writes = [each for each in drained.asked if isinstance(each, Write)]
    assert len(writes) < 2 * len(SHARDS)
    assert time.time() * 1_000 - (record(drained).ended_wall_ms or 0) < 60_000


async def test_what_was_leaving_when_a_drain_was_taken_back_is_not_waited_for(
    drained: FakeService,
) -> None:
    mover = mover_of(drained)
    while not any(record(drained).releases(shard) for shard in SHARDS):
        await mover.turn(0.5)
    admission = mover._planner.admission
    assert admission.on_way
    ((drain, version),) = drained.drains()
    assert await DrainBook(drained).put(replace(drain, state=DrainState.OVER), version) is None
    await mover.turn(0.5)
    assert admission.on_way == ()


def test_pace_is_as_slow_as_the_deadline_permits_and_no_faster_than_is_allowed() -> None:
    assert needed_per_minute(100, 60_000 + TAIL_MS, 6_000) == pytest.approx(100)
    assert needed_per_minute(100, 1_000, 500) == 500
    assert needed_per_minute(100, None, 500) == 500
    assert soonest_ms(1_000, 6_000) == 12_500 + TAIL_MS


def test_a_bound_below_the_pause_keeps_the_share_of_waiting_writes_out_of_the_percentile() -> None:
    free = allowed_per_minute(LIMITS, "node", 1_000, 200.0, None)
    assert free == LIMITS.in_flight_max["node"] * 60
    assert allowed_per_minute(LIMITS, "node", 1_000, 200.0, 250) == free
    bound = allowed_per_minute(LIMITS, "node", 10, 200.0, 100)
    assert bound / 60_000 * 200.0 / 10 == pytest.approx(0.01)


def test_a_region_is_drained_no_faster_than_its_nodes_may_hand_over() -> None:
    limits = replace(LIMITS, in_flight_max={"node": 2, "region": 100, "kind": 100})
    rates = [allowed_per_minute(limits, "region", 1_000, 200.0, None, n) for n in (1, 3, 80)]
    assert rates == [2 * 60, 6 * 60, 100 * 60]


def test_a_quorum_is_as_far_as_its_farthest_voter() -> None:
    assert quorum_ms([90.0, 0.5, 200.0], 2) == 90.0
