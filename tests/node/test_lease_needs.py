"""A group's lease follows the round trips that its quorum takes, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from config.revision import Revision
from controlplane.node import lease_needs
from controlplane.node.group import Group
from controlplane.node.lease_needs import LENGTHEN_AFTER_MS, LOOK_EVERY_MS, SHORTEN_AFTER_MS
from controlplane.node.pins import Pins
from controlplane.node_plan import description_of
from controlplane.requests import ChangeLease, Refused, StoresWanted
from tests.node.rig import Rig

TTL_MS = 1_000
ROUND_TRIP_MS = 300
FOLLOWING_MS = 3_800
"""Ten round trips, a quarter more, in steps of a hundred."""


def led_rig(nodes: tuple[str, ...] = ("n1", "n2")) -> Rig:
    rig = Rig(nodes, ttl_ms=TTL_MS)
    rig.step_ms = 20
    rig.until(lambda: rig.seats["n1"].serves("a"))
    rig.run(2 * TTL_MS)
    return rig


def far_apart(rig: Rig, node: str, ms: int, stores: int = 3) -> None:
    """For so long, answers of so many stores take a node a third of a second."""
    for _ in range(ms // 100):
        for lane in rig.seats[node].group.lanes[:stores]:
            for _ in range(8):
                lane.answers.add(float(ROUND_TRIP_MS))
        rig.run(100)


def leases(rig: Rig) -> set[tuple[int, int]]:
    """What every node believes in: version and lease."""
    return {(seat.group.version, seat.group.times.ttl_ms) for seat in rig.seats.values()}


def test_a_need_of_any_node_that_lasts_makes_the_lease_longer_for_all() -> None:
    rig = led_rig()
    far_apart(rig, "n2", LENGTHEN_AFTER_MS + 2 * LOOK_EVERY_MS)
    rig.until(lambda: leases(rig) == {(2, FOLLOWING_MS)})
    assert description_of(rig.seats["n1"].group.plan).least_ttl_ms == TTL_MS
    rig.until(lambda: rig.seats["n1"].serves("a"))
    assert [lane.shortest_ttl_ms for lane in rig.seats["n2"].group.lanes] == [FOLLOWING_MS] * 3
    wanted = [e.detail["why"] for e in rig.seats["n1"].happened if e.kind == "stores-wanted"]
    assert wanted == ["measured round trips need 3000 ms"]


def test_while_many_are_elected_round_trips_are_not_believed_so_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lease_needs, "OPEN_MAX", -1)
    monkeypatch.setattr(lease_needs, "UNSETTLED_AFTER_MS", 3 * LENGTHEN_AFTER_MS)
    rig = led_rig()
    far_apart(rig, "n2", 2 * LENGTHEN_AFTER_MS)
    assert leases(rig) == {(1, TTL_MS)}
    far_apart(rig, "n2", LENGTHEN_AFTER_MS + 2 * LOOK_EVERY_MS)
    rig.until(lambda: leases(rig) == {(2, FOLLOWING_MS)})


def test_while_a_dead_node_is_being_succeeded_round_trips_are_not_believed_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lease_needs, "OPEN_MAX", 0)
    rig = led_rig()
    with monkeypatch.context() as nobody:
        nobody.setattr(Pins, "holds_back", lambda *_: "for as long as this lasts")
        del rig.seats["n1"]
        far_apart(rig, "n2", 2 * LENGTHEN_AFTER_MS)
        assert leases(rig) == {(1, TTL_MS)}
    rig.until(lambda: rig.seats["n2"].serves("a"))
    far_apart(rig, "n2", LENGTHEN_AFTER_MS + 2 * LOOK_EVERY_MS)
    rig.until(lambda: leases(rig) == {(2, FOLLOWING_MS)})


def test_while_renewals_come_late_round_trips_are_not_believed_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = led_rig()
    with monkeypatch.context() as late:
        late.setattr(Group, "is_short", True)
        far_apart(rig, "n2", 2 * LENGTHEN_AFTER_MS)
        assert leases(rig) == {(1, TTL_MS)}
    far_apart(rig, "n2", LENGTHEN_AFTER_MS + 2 * LOOK_EVERY_MS)
    rig.until(lambda: leases(rig) == {(2, FOLLOWING_MS)})


def test_trouble_that_passes_changes_nothing() -> None:
    rig = led_rig()
    for _ in range(4):
        far_apart(rig, "n2", LENGTHEN_AFTER_MS // 2)
        rig.run(LENGTHEN_AFTER_MS)
    assert leases(rig) == {(1, TTL_MS)}


def test_one_store_that_is_far_is_not_what_a_quorum_takes() -> None:
    rig = led_rig()
    far_apart(rig, "n1", 3 * LENGTHEN_AFTER_MS, stores=1)
    assert leases(rig) == {(1, TTL_MS)}


def test_stores_that_do_not_answer_say_nothing_of_the_way() -> None:
    rig = led_rig()
    for _ in range(60):
        rig.mute("n2", "s1", "s2")
        rig.run(700)
        for store in ("s1", "s2"):
            rig.disconnect("n2", store)
            rig.let("n2", store)
            rig.connect("n2", store)
        rig.run(100)
    rig.run(LENGTHEN_AFTER_MS)
    assert leases(rig) == {(1, TTL_MS)}


def test_it_is_made_shorter_again_long_after_and_never_shorter_than_people_set() -> None:
    rig = led_rig()
    far_apart(rig, "n1", LENGTHEN_AFTER_MS + 2 * LOOK_EVERY_MS)
    rig.until(lambda: leases(rig) == {(2, FOLLOWING_MS)})
    rig.step_ms = 50
    rig.run(SHORTEN_AFTER_MS // 2)
    assert leases(rig) == {(2, FOLLOWING_MS)}
    rig.until(lambda: leases(rig) == {(3, TTL_MS)}, ms_max=SHORTEN_AFTER_MS)
    rig.run(SHORTEN_AFTER_MS + 2 * LENGTHEN_AFTER_MS)
    assert leases(rig) == {(3, TTL_MS)}
    assert rig.seats["n1"].serves("a")


def test_what_an_operator_sets_stays() -> None:
    rig = led_rig()
    order = ChangeLease("g", 2_500)
    wanted = rig.seats["n2"].node.change_stores(order, rig.now_ms, begin=True)
    assert isinstance(wanted, StoresWanted)
    rig.until(lambda: leases(rig) == {(2, 2_500)})
    rig.step_ms = 50
    rig.run(SHORTEN_AFTER_MS + 2 * LENGTHEN_AFTER_MS)
    assert leases(rig) == {(2, 2_500)}


def test_the_document_of_time_outs_is_a_floor_once_it_was_edited() -> None:
    rig = Rig(("n1", "n2"), ttl_ms=TTL_MS, group="region/eu")
    rig.step_ms = 20
    rig.run(3 * LOOK_EVERY_MS)
    assert leases(rig) == {(1, TTL_MS)}  # the default of the document asks for more
    floors = {"region": 2_400, "multi": 6_000, "global": 6_000}
    edited = Revision("timeouts", 1, orjson.dumps({"lease_ttl_floor_ms": floors}))
    for seat in rig.seats.values():
        seat.node.feed.apply(edited)
    rig.until(lambda: leases(rig) == {(2, 2_400)})
    wanted = [e.detail["why"] for e in rig.seats["n1"].happened if e.kind == "stores-wanted"]
    assert wanted == ["the document timeouts wants 2400 ms or more"]
    refused = rig.seats["n1"].node.change_stores(
        ChangeLease("region/eu", 1_500), rig.now_ms, begin=True
    )
    assert isinstance(refused, Refused)
    assert "the document timeouts wants leases of 2400 ms or more" in refused.detail
    rig.run(3 * LENGTHEN_AFTER_MS)
    assert leases(rig) == {(2, 2_400)}


def test_people_can_keep_it_to_themselves() -> None:
    rig = led_rig()
    for seat in rig.seats.values():
        limits = replace(seat.node.plan.limits, lease_follows=False)
        seat.node.plan = replace(seat.node.plan, limits=limits)
    far_apart(rig, "n1", 3 * LENGTHEN_AFTER_MS)
    assert leases(rig) == {(1, TTL_MS)}
    assert "unsafe-ttl" not in [event.kind for event in rig.seats["n1"].happened]
    assert rig.seats["n1"].node.lease_needs.need_ms(rig.seats["n1"].group) == 3_000
