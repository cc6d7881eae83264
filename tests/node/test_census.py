"""Nodes that no topology names: known by what they keep in stores, or say of themselves."""

from __future__ import annotations

from controlplane.machine import Tell, Told
from controlplane.node.census import FORGET_AFTER_MS
from controlplane.node_plan import PeerPlan
from tests.node.rig import Rig, Seat

FAR = ["far", "ap", "http://far", 0]


def told(seat: Seat, kind: str) -> set[str]:
    """To whom a node said something of this kind."""
    tells = [effect for effect in seat.effects if isinstance(effect, Tell)]
    return {tell.node for tell in tells if tell.message["kind"] == kind}


def strangers() -> Rig:
    """Two nodes of one group, of which the first does not know the second by its topology."""
    rig = Rig(nodes=("n1", "n2"))
    rig.start("n1", ("n1",), life=2)
    return rig


def test_a_node_is_known_by_its_sessions_as_long_as_they_live() -> None:
    rig = strangers()
    one = rig.seats["n1"]
    rig.until(lambda: one.node.census.peers(rig.now_ms) == (PeerPlan("n2", "eu", "//n2"),))
    one.effects.clear()
    rig.run(2_000)
    assert told(one, "stores") == {"n2"}
    rig.untold.add("n1")
    rig.seats["n2"].asleep = True
    rig.until(lambda: one.node.census.peers(rig.now_ms) == (), 4 * FORGET_AFTER_MS)


def test_a_node_that_stands_nowhere_says_where_it_is_and_is_measured() -> None:
    rig = Rig()
    seat = rig.seats["n1"]
    rig.until(lambda: seat.serves("a"))
    for _ in range(3):
        seat.inbox.append(Told("far", {"kind": "stores", "nodes": [FAR]}))
        rig.run(1_000)
    assert told(seat, "stores") == told(seat, "ping") == {"far"}
    (far,) = (node for node in seat.node.fleet(rig.now_ms).nodes if node.node == "far")
    assert (far.region, far.url, far.alive) == ("ap", "http://far", True)
    rig.run(FORGET_AFTER_MS + 2_000)
    assert [node.node for node in seat.node.fleet(rig.now_ms).nodes] == ["n1"]
    seat.effects.clear()
    rig.run(3_000)
    assert told(seat, "ping") == set()


def test_a_node_is_passed_on_with_its_age_and_never_made_younger() -> None:
    rig = Rig()
    seat = rig.seats["n1"]
    rig.run(10)
    own = ["n1", "eu", "//n1", 0]
    seat.node.census.heard([["far", "ap", "http://far", 3_000]], rig.now_ms)
    seat.node.census.heard([["far", "ap", "http://old", 4_000], ["n1", "x", "y", 0]], rig.now_ms)
    rig.run(1_500)
    rows = seat.node.census.told_of(rig.now_ms)
    assert rows == [own, ["far", "ap", "http://far", 4_500]]
    rig.run(FORGET_AFTER_MS)
    assert seat.node.census.told_of(rig.now_ms) == [own]


def test_what_is_no_place_of_a_node_is_ignored() -> None:
    rig = Rig()
    census = rig.seats["n1"].node.census
    for rows in (None, "ap", [["far"]], [["far", "ap", "", 0]], [["far", "ap", "x" * 1_000, 0]],
                 [["far", "ap", "http://far", -1]]):  # fmt: skip
        census.heard(rows, rig.now_ms)
    rig.run(2_000)
    assert census.peers(rig.now_ms) == ()
