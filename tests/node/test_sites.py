"""Stores that a node learns of while it runs: by documents, by other nodes, and until when."""

from __future__ import annotations

import json
from typing import Any

from config.revision import Revision
from controlplane.machine import Locate
from controlplane.node.sites import FORGET_AFTER_MS
from controlplane.node_plan import Place
from controlplane.requests import ChangeStores, Problem, Refused, StoreAction, StoresWanted
from regions.store import StoreAddress
from tests.node.rig import GROUP, Rig, Seat

AT = StoreAddress("10.0.0.9", 7_000)
ROW = ["spare1", "eu", "b", AT.host, AT.port, False]


def documented(seat: Seat, *stores: str, version: int = 1, host: str = AT.host) -> None:
    """A document of region eu is in force that gives these stores an address."""
    listed = [{"id": store, "zone": "b", "host": host, "port": AT.port} for store in stores]
    content = json.dumps({"stores": listed}).encode()
    seat.node.sites.documented(Revision("region.eu", version, content))


def located(seat: Seat) -> list[tuple[str, StoreAddress | None]]:
    """What the driver was told of where stores are, in its order."""
    return [(e.store, e.address) for e in seat.effects if isinstance(e, Locate)]


def rig_without(*stores: str, **how: Any) -> Rig:
    """Nodes whose topology lacks stores that are there."""
    rig = Rig(**how)
    for seat in rig.seats.values():
        for store in stores:
            del seat.node.sites.places[store]
    return rig


def test_a_store_is_known_by_a_document_until_no_document_has_it() -> None:
    rig = rig_without("spare1", spares=1)
    seat = rig.seats["n1"]
    documented(seat, "spare1")
    assert seat.node.places["spare1"] == Place("eu", "b", AT, learned=True)
    documented(seat, "spare1", version=2, host="10.0.0.8")
    documented(seat, version=3)
    rig.run(10)
    moved = StoreAddress("10.0.0.8", AT.port)
    assert located(seat) == [("spare1", AT), ("spare1", moved), ("spare1", None)]
    assert "spare1" not in seat.node.places


def test_a_document_that_is_deleted_or_forgotten_says_nothing_any_more() -> None:
    rig = rig_without("spare1", spares=1)
    seat = rig.seats["n1"]
    documented(seat, "spare1")
    seat.node.sites.documented(Revision("region.eu", 2, b"", deleted=True))
    documented(seat, "spare1", version=3)
    seat.node.sites.forgotten("region.us")
    assert "spare1" in seat.node.places
    seat.node.sites.forgotten("region.eu")
    rig.run(10)
    assert [address for _, address in located(seat)] == [AT, None, AT, None]


def test_a_store_of_the_topology_stays_where_it_is() -> None:
    rig = Rig()
    seat = rig.seats["n1"]
    before = dict(seat.node.places)
    documented(seat, "s1")
    seat.node.sites.heard([["s1", *ROW[1:]]], rig.now_ms)
    documented(seat, version=2)
    rig.run(2 * FORGET_AFTER_MS)
    assert (dict(seat.node.places), located(seat)) == (before, [])


def test_a_store_that_a_document_names_takes_the_place_of_another_one_everywhere() -> None:
    rig = rig_without("spare1", nodes=("n1", "n2"), spares=1)
    one, two = rig.seats.values()
    rig.until(lambda: one.serves("a"))
    order = ChangeStores(GROUP, StoreAction.REPLACE, "s3", "spare1")
    refused = one.node.change_stores(order, rig.now_ms, begin=True)
    assert isinstance(refused, Refused)
    assert refused.problem is Problem.UNKNOWN_STORE
    documented(one, "spare1")
    assert isinstance(one.node.change_stores(order, rig.now_ms, begin=True), StoresWanted)
    # The other node has no document yet: the first one tells it.
    rig.until(lambda: all(seat.group.version == 2 for seat in rig.seats.values()))
    assert [lane.store for lane in two.group.lanes] == ["s1", "s2", "spare1"]
    rig.until(lambda: all(lane.is_up for lane in two.group.lanes))
    assert located(two) == [("spare1", AT)]
    documented(one, version=2)
    rig.run(2 * FORGET_AFTER_MS)
    assert all("spare1" in seat.node.places for seat in rig.seats.values()), "it is in use"


def test_what_nodes_tell_is_forgotten_and_a_document_counts_for_more() -> None:
    rig = rig_without("spare1", spares=1)
    seat = rig.seats["n1"]
    seat.node.sites.heard([ROW, ["x", 1], "nonsense", ["b/d", *ROW[1:]]], rig.now_ms)
    assert set(seat.node.places) == {"s1", "s2", "s3", "spare1"}
    rig.run(FORGET_AFTER_MS + 2_000)
    assert "spare1" not in seat.node.places
    documented(seat, "spare1")
    seat.node.sites.heard([[*ROW[:3], "10.0.0.8", *ROW[4:]]], rig.now_ms)
    assert seat.node.places["spare1"].address == AT
