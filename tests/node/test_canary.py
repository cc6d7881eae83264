"""A node that leads a few shards first hands them back by itself when it does not lead steadily."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controlplane.machine import Happened, Tell
from controlplane.node.canary import LOOK_EVERY_MS, SIGNS_MAX, WINDOW_MS, Sign
from controlplane.node.drains import Drain, DrainState, Scope, read_drain
from controlplane.node.trust import STABLE_MS
from tests.node.rig import Rig, Seat

SHARDS = ("a", "b", "c")
FEW = Drain(
    Scope.NODE, "n1", "", DrainState.DRAINED, "ada", "", 17, None, None, 3, is_whole=True,
    canaries=("b",),
)  # fmt: skip


def canary_rig() -> tuple[Rig, Seat]:
    """Three nodes; the first is drained, and led everything before."""
    rig = Rig(("n1", "n2", "n3"), shards=SHARDS)
    seat = rig.seats["n1"]
    rig.until(lambda: all(seat.serves(shard) for shard in SHARDS))
    rig.step_ms = 50
    rig.run(STABLE_MS + 2_000)
    tell(rig, replace(FEW, canaries=()), 2)
    rig.until(lambda: not seat.group.led, ms_max=30_000)
    return rig, seat


def tell(rig: Rig, drain: Drain, version: int) -> None:
    for seat in rig.seats.values():
        seat.node.drains.put(drain.key, drain.packed(), version)


def happened(seat: Seat, kind: str) -> list[Happened]:
    return [event for event in seat.happened if event.kind == kind]


def test_what_is_kept_of_canaries_is_read_again_and_without_them_as_ever() -> None:
    assert read_drain(FEW.key, FEW.packed()) == FEW
    none = replace(FEW, canaries=())
    assert read_drain(none.key, none.packed()) == none
    assert len(none.packed()) < len(FEW.packed())


def test_a_drained_node_leads_its_canaries_and_nothing_else() -> None:
    rig, n1 = canary_rig()
    tell(rig, FEW, 3)
    rig.until(lambda: n1.serves("b"), ms_max=30_000)
    rig.run(2 * STABLE_MS)
    assert [shard for shard in SHARDS if n1.serves(shard)] == ["b"]


@pytest.mark.parametrize("sign", [*Sign])
def test_one_that_is_not_steady_hands_back_by_itself_and_says_why(sign: Sign) -> None:
    rig, n1 = canary_rig()
    tell(rig, FEW, 3)
    rig.until(lambda: n1.serves("b"), ms_max=30_000)
    rig.run(1_000)
    for _ in range(SIGNS_MAX[sign]):
        n1.node.canary._saw(sign, rig.now_ms)
    rig.run(5_000)
    assert n1.serves("b"), "so much is borne"
    n1.node.canary._saw(sign, rig.now_ms)
    rig.until(lambda: not n1.serves("b"), ms_max=5_000)
    (event,) = happened(n1, "canary-unsteady")
    assert event.detail == {"why": sign.value}
    tell(rig, replace(FEW, canaries=()), 4)  # as the global leader does
    rig.run(3 * STABLE_MS)
    assert not n1.group.led


def test_what_is_long_past_does_not_count() -> None:
    rig, n1 = canary_rig()
    tell(rig, FEW, 3)
    rig.run(1_000)
    for _ in range(4):
        n1.node.canary.lost("expired", rig.now_ms)
        rig.run(WINDOW_MS)
    assert n1.node.canary.unsteady is None


def test_shards_that_were_asked_for_are_not_lost() -> None:
    rig, n1 = canary_rig()
    tell(rig, FEW, 3)
    rig.run(1_000)
    for why in ("transferred", "evicted", "resigned", "group-changed"):
        for _ in range(5):
            n1.node.canary.lost(why, rig.now_ms)
    assert n1.node.canary.unsteady is None
    for _ in range(2):
        n1.node.canary.lost("fenced", rig.now_ms)
    assert n1.node.canary.unsteady is Sign.LOSSES


def test_a_node_that_is_no_canary_watches_nothing() -> None:
    rig, n1 = canary_rig()
    for _ in range(20):
        n1.node.canary.lost("fenced", rig.now_ms)
        n1.node.canary.late(1_000, rig.now_ms)
    assert (n1.node.canary.unsteady, happened(n1, "canary-unsteady")) == (None, [])


def test_let_lead_anew_it_begins_anew() -> None:
    rig, n1 = canary_rig()
    tell(rig, FEW, 3)
    rig.run(1_000)
    for _ in range(2):
        n1.node.canary.lost("fenced", rig.now_ms)
    assert n1.node.canary.unsteady is Sign.LOSSES
    tell(rig, FEW, 4)
    rig.until(lambda: n1.serves("b"), ms_max=60_000)
    rig.until(lambda: n1.node.canary.unsteady is None, ms_max=LOOK_EVERY_MS)


def test_the_global_leader_is_told_until_the_record_says_so() -> None:
    rig, n1 = canary_rig()
    tell(rig, FEW, 3)
    rig.run(1_000)
    for _ in range(2):
        n1.node.canary.lost("fenced", rig.now_ms)
    n2 = rig.seats["n2"]
    n2.node.canary.heard("n1", {"why": "losses"})
    n2.node.canary.heard("n3", {"why": 7})
    assert (n2.node.canary.take(), n2.node.canary.take()) == ({"n1": "losses"}, {})
    assert not [e for e in n1.effects if isinstance(e, Tell) and "canary" in str(e.message)], (
        "nobody leads the system shard here"
    )
