"""Pinned shards: led by their node while it lives, by others only as the pin lets them."""

from __future__ import annotations

import pytest

from config.revision import Revision
from controlplane.node.pins import FAILURES_MIN, PROBE_EVERY_MS
from controlplane.requests import Transfer, Transferred
from tests.config.sample_fleet import put as put_document
from tests.node.resharding_rig import SHARD, fleet, rows, split
from tests.node.rig import Rig, Seat

TTL_MS = 1_000
LONG_MS = 30_000


def pin(rig: Rig, node: str, failover: str | None = None) -> None:
    """Every node knows the pin."""
    more = {} if failover is None else {"failover": failover}
    for seat in rig.seats.values():
        content = {"pins": [{"shard": "a", "node": node, **more}]}
        assert isinstance(put_document(seat.node.feed, "constraints", content), Revision)


def leader(rig: Rig) -> str | None:
    return next((name for name, seat in rig.seats.items() if seat.serves("a")), None)


def led_by_its_node(failover: str | None) -> tuple[Rig, Seat]:
    rig = Rig(("n1", "n2", "n3"), ttl_ms=TTL_MS)
    pin(rig, "n3", failover)
    rig.until(lambda: leader(rig) == "n3", LONG_MS)
    rig.run(TTL_MS)
    return rig, rig.seats["n3"]


def cut_off(rig: Rig, node: str) -> None:
    for store in rig.stores:
        rig.disconnect(node, store)


@pytest.mark.parametrize("failover", [None, "lease", "probe", "operator"])
def test_a_pinned_shard_is_led_by_its_node(failover: str | None) -> None:
    led_by_its_node(failover)


@pytest.mark.parametrize("failover", [None, "lease"])
def test_others_take_over_when_the_lease_has_run_out(failover: str | None) -> None:
    rig, n3 = led_by_its_node(failover)
    cut_off(rig, "n3")
    rig.until(lambda: leader(rig) not in (None, "n3"), 5 * TTL_MS)
    assert not n3.serves("a")


def test_where_an_operator_decides_nobody_else_stands_and_the_reason_is_told() -> None:
    rig, n3 = led_by_its_node("operator")
    cut_off(rig, "n3")
    rig.run(LONG_MS)
    assert leader(rig) is None
    view = rig.seats["n1"].node.standing[rig.group].why["a"]
    assert view == "it is pinned to n3, and only an operator lets another node lead it"
    pin(rig, "n2", "operator")
    rig.until(lambda: leader(rig) == "n2", 5 * TTL_MS)
    assert not n3.serves("a")


def test_the_pinned_node_takes_it_again_when_it_is_back() -> None:
    rig, n3 = led_by_its_node("operator")
    cut_off(rig, "n3")
    rig.run(5 * TTL_MS)
    for store in rig.stores:
        rig.connect("n3", store)
    rig.until(lambda: n3.serves("a"), 10 * TTL_MS)


def test_probes_that_are_answered_keep_others_back_though_the_lease_has_run_out() -> None:
    rig, _ = led_by_its_node("probe")
    cut_off(rig, "n3")
    rig.run(LONG_MS)
    assert leader(rig) is None
    assert "0 of 4 probes failed" in rig.seats["n1"].node.standing[rig.group].why["a"]


def test_probes_that_fail_let_others_stand_after_so_many() -> None:
    rig, _ = led_by_its_node("probe")
    cut_off(rig, "n3")
    rig.deaf.add("n3")
    began_ms = rig.now_ms
    rig.until(lambda: leader(rig) not in (None, "n3"), LONG_MS)
    assert rig.now_ms - began_ms > TTL_MS + (FAILURES_MIN - 1) * PROBE_EVERY_MS


def test_an_operator_hands_a_pinned_shard_over() -> None:
    rig, n3 = led_by_its_node("operator")
    number = n3.ask(Transfer("a", "n1"))
    rig.until(lambda: number in n3.answers)
    assert isinstance(n3.answers[number], Transferred)
    rig.until(lambda: leader(rig) == "n1", 5 * TTL_MS)


def test_what_is_said_of_a_shard_holds_for_those_that_continue_it() -> None:
    rig = fleet("n1")
    seat = rig.seats["n1"]
    content = {
        "pins": [{"shard": SHARD, "node": "n1", "failover": "operator"}],
        "on_quorum_loss": [{"shards": SHARD, "then": "stop"}],
    }
    assert isinstance(put_document(seat.node.feed, "constraints", content), Revision)
    split(rig)
    rig.until(lambda: rows(seat) == {"s01", "s02"})
    pins = [seat.node.pins.of(shard) for shard in ("s01", "s02", "s99")]
    assert [pin is not None and pin.node for pin in pins] == ["n1", "n1", False]
    assert [seat.node.quorum_loss.stops(shard) for shard in ("s02", "s99")] == [True, False]
