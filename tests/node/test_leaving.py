"""What a drained place hands over goes one after the other, evenly, and not all at once."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from controlplane.node.drains import DrainState
from controlplane.node.leaving import SPREAD_MS
from shards.leadership import State
from tests.node.rig import Rig, Seat
from tests.node.test_drains import DRAIN, leader, led_rig, tell

SHARDS = tuple(f"a{number:02}" for number in range(20))


def kept(seat: Seat) -> list[str]:
    """Shards that a node leads and has not begun to hand over."""
    led = seat.group.led.items()
    return sorted(shard for shard, each in led if each.state is State.LEADING)


def drained_rig() -> tuple[Rig, Seat]:
    rig, n1 = led_rig(*SHARDS)
    rig.step_ms = 5
    tell(rig, DRAIN, 1)
    return rig, n1


def test_shards_are_handed_over_by_name_spread_over_the_time_until_more_are_released() -> None:
    rig, n1 = drained_rig()
    left = []
    for _ in range(5):
        left.append(len(kept(n1)))
        assert kept(n1) == list(SHARDS[len(SHARDS) - left[-1] :])
        rig.run(SPREAD_MS // 5)
    most = max(before - after for before, after in pairwise(left))
    assert most <= len(SHARDS) // 3, "no more at a time than an even share, and a little"
    rig.run(SPREAD_MS // 5)
    assert kept(n1) == []
    rig.until(lambda: all(leader(rig, shard) in ("n2", "n3") for shard in SHARDS))


def test_what_has_not_been_begun_stays_when_the_place_may_lead_again() -> None:
    rig, n1 = drained_rig()
    rig.run(SPREAD_MS // 2)
    tell(rig, replace(DRAIN, state=DrainState.OVER), 2)
    rig.run(5)
    stays = kept(n1)
    assert 0 < len(stays) < len(SHARDS)
    rig.run(4 * SPREAD_MS)
    assert set(stays) <= set(kept(n1))


def test_the_releases_are_looked_for_more_often_by_a_node_of_the_place_alone() -> None:
    rig, n1 = drained_rig()
    assert n1.node.drains.is_leaving
    assert not rig.seats["n2"].node.drains.is_leaving
    tell(rig, replace(DRAIN, state=DrainState.DRAINED), 2)
    assert not n1.node.drains.is_leaving
