"""Another lease is another version of a group: nobody leads beside somebody who still may."""

from __future__ import annotations

import pytest

from controlplane.node_plan import description_of
from controlplane.requests import ChangeLease, Problem, Refused, StoresWanted, Written
from regions.membership import GroupDescription
from shards.leadership import State
from tests.node.rig import Rig

LONG_MS, SHORT_MS = 4_000, 1_000
STORES = ("s1", "s2", "s3")


def led_rig(ttl_ms: int, *nodes: str) -> Rig:
    """The first node leads shard "a"; every node has seen out whatever lease there was before."""
    rig = Rig(nodes or ("n1", "n2"), ttl_ms=ttl_ms)
    rig.until(lambda: rig.seats["n1"].serves("a"))
    rig.run(2 * ttl_ms)
    return rig


def order(rig: Rig, node: str, ttl_ms: int) -> StoresWanted | Refused:
    change = ChangeLease("g", ttl_ms, reason="a test")
    return rig.seats[node].node.change_stores(change, rig.now_ms, begin=True)


def change(rig: Rig, node: str, ttl_ms: int, version: int) -> None:
    """Order another lease at a node, and wait until it has come to that version."""
    assert isinstance(order(rig, node, ttl_ms), StoresWanted)
    rig.until(lambda: rig.seats[node].group.version == version)


def cut_off(rig: Rig, node: str) -> None:
    """Nothing gets from a node to a store or back, nor from another node to it."""
    rig.hold(node, *STORES)
    rig.mute(node, *STORES)
    rig.untold.add(node)


def claimants(rig: Rig) -> list[str]:
    return [name for name, seat in rig.seats.items() if seat.serves("a")]


def alone_until(rig: Rig, node: str, ms_max: int) -> int:
    """Let time pass until a node leads; nobody else may then. How long that took."""
    began_ms = rig.now_ms
    while claimants(rig) != [node]:
        assert len(claimants(rig)) <= 1, f"{claimants(rig)} at once"
        assert rig.now_ms - began_ms < ms_max, "it never led"
        rig.run(rig.step_ms)
    return rig.now_ms - began_ms


def described(rig: Rig, node: str) -> GroupDescription:
    return description_of(rig.seats[node].group.plan)


def test_a_longer_lease_is_used_by_everybody_at_once_and_writes_go_on() -> None:
    rig = led_rig(SHORT_MS)
    change(rig, "n2", LONG_MS, 2)
    rig.until(lambda: rig.seats["n1"].group.version == 2)
    assert [seat.group.times.ttl_ms for seat in rig.seats.values()] == [LONG_MS, LONG_MS]
    number = rig.seats["n1"].put("a", "x")
    rig.until(lambda: number in rig.seats["n1"].answers, ms_max=1_000)
    assert isinstance(rig.seats["n1"].answers[number], Written)
    assert [lane.shortest_ttl_ms for lane in rig.seats["n1"].group.lanes] == [LONG_MS] * 3


def test_whoever_does_not_know_of_the_longer_lease_takes_nothing_over() -> None:
    """n2 believes in the short lease, and has heard nothing of the holder for longer than that."""
    rig = led_rig(SHORT_MS)
    cut_off(rig, "n2")
    change(rig, "n1", LONG_MS, 2)
    rig.until(lambda: rig.seats["n1"].serves("a"))
    rig.run(500)
    cut_off(rig, "n1")  # its lease holds for almost four seconds more
    rig.run(2 * SHORT_MS)
    rig.let("n2", *STORES)
    rig.untold.discard("n2")
    assert claimants(rig) == ["n1"]
    assert alone_until(rig, "n2", 4 * LONG_MS) > 0


def test_a_lease_of_the_version_before_that_is_longer_is_waited_for() -> None:
    rig = led_rig(LONG_MS)
    cut_off(rig, "n1")  # it was renewed just now, and learns nothing of what comes
    change(rig, "n2", SHORT_MS, 2)
    assert claimants(rig) == ["n1"]
    assert alone_until(rig, "n2", 3 * LONG_MS) > LONG_MS // 2
    assert rig.seats["n2"].serves("a")


def test_it_is_waited_for_through_one_more_version_too() -> None:
    rig = led_rig(LONG_MS)
    cut_off(rig, "n1")
    change(rig, "n2", SHORT_MS, 2)
    change(rig, "n2", SHORT_MS + 200, 3)
    assert described(rig, "n2").earlier_ttl_ms == LONG_MS
    assert claimants(rig) == ["n1"]
    alone_until(rig, "n2", 3 * LONG_MS)


def test_a_holder_that_came_over_answers_nothing_under_its_longer_lease() -> None:
    """Else the shorter silence of its session in the new version would not be enough."""
    rig = led_rig(LONG_MS)
    n1 = rig.seats["n1"]
    assert isinstance(order(rig, "n2", SHORT_MS), StoresWanted)
    rig.until(lambda: n1.group.version == 2)
    rig.step_until(n1, lambda: "a" in n1.group.led and n1.led("a").state is State.STANDING)
    assert claimants(rig) == []
    rig.carry(n1)  # its grants in the new version arrive, and nothing after them
    cut_off(rig, "n1")
    alone_until(rig, "n2", 3 * LONG_MS)


def test_what_has_been_waited_for_is_not_waited_for_again() -> None:
    rig = led_rig(LONG_MS)
    change(rig, "n2", SHORT_MS, 2)
    assert described(rig, "n2").earlier_ttl_ms == LONG_MS
    rig.run(2 * LONG_MS)
    change(rig, "n2", SHORT_MS + 100, 3)
    assert described(rig, "n2").earlier_ttl_ms == 0
    rig.run(LONG_MS)
    cut_off(rig, "n1")
    assert alone_until(rig, "n2", 2 * LONG_MS) < 2 * SHORT_MS


@pytest.mark.parametrize(
    ("ttl_ms", "why"),
    [
        (499, "a lease lasts 500 to 60000 ms"),
        (60_001, "a lease lasts 500 to 60000 ms"),
        (LONG_MS, "leases of g last 4000 ms"),
    ],
)
def test_what_is_no_lease_is_refused(ttl_ms: int, why: str) -> None:
    rig = led_rig(LONG_MS)
    refused = order(rig, "n1", ttl_ms)
    assert isinstance(refused, Refused)
    assert (refused.problem, refused.detail) == (Problem.NOT_CHANGED, why)


def test_a_lease_that_measured_round_trips_do_not_allow_is_refused() -> None:
    rig = led_rig(LONG_MS)
    for lane in rig.seats["n1"].group.lanes:
        for _ in range(100):
            lane.answers.add(180.0)
    refused = order(rig, "n1", SHORT_MS)
    assert isinstance(refused, Refused)
    assert refused.detail == "a lease of 1000 ms is unsafe: measured round trips need 1800 ms"
