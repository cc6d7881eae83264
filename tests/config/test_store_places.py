"""Where a store is may be said by a document, unless something else is known to be true."""

from __future__ import annotations

from typing import Any

from config.feed import Feed
from config.revision import Revision
from config.store_places import KnownStore, contradicted, moved, stores_placed
from regions.store import StoreAddress
from tests.config.sample_fleet import feed, put, refused, region

HERE, THERE = StoreAddress("10.0.0.1", 6_001), StoreAddress("10.0.0.2", 6_001)
KNOWN = {
    "eu-1": KnownStore(HERE, True, ("global",)),
    "eu-3": KnownStore(THERE, False, ("global", "region/eu")),
    "eu-4": KnownStore(THERE, False, ()),
}


def at(store: str, address: StoreAddress, **more: Any) -> dict[str, Any]:
    """A store as a document has it."""
    return {"id": store, "zone": "a", "host": address.host, "port": address.port, **more}


def documents_with(*stores: dict[str, Any]) -> Feed:
    """The sample fleet with these stores in eu."""
    documents = feed()
    outcome = put(documents, "region.eu", region("eu") | {"stores": list(stores)})
    assert isinstance(outcome, Revision), outcome
    return documents


def test_only_stores_with_an_address_have_a_place() -> None:
    content = {"stores": [{"id": "eu-1", "zone": "a"}, at("eu-3", THERE, tls=True)]}
    secured = StoreAddress(THERE.host, THERE.port, tls=True)
    assert list(stores_placed(content)) == [("eu-3", "a", secured)]
    assert list(stores_placed({})) == []


def test_two_stores_of_different_regions_have_different_addresses() -> None:
    documents = documents_with(at("eu-3", THERE))
    content = region("us") | {"stores": [{"id": "us-1", "zone": "a"}, at("us-3", THERE)]}
    assert refused(documents, "region.us", content) == ["/stores/1/port"]


def test_what_the_topology_says_of_a_store_stands() -> None:
    same, other = at("eu-1", HERE), at("eu-1", THERE)
    assert list(contradicted("region.eu", documents_with(same), KNOWN)) == []
    (found,) = contradicted("region.eu", documents_with(other), KNOWN)
    assert (found.pointer, found.message) == (
        "/stores/0/host", "the topology has eu-1 at 10.0.0.1:6001",
    )  # fmt: skip
    (found,) = contradicted("region.eu", documents_with(at("eu-1", HERE, tls=True)), KNOWN)
    assert found.pointer == "/stores/0/host"
    taken = documents_with({"id": "eu-1", "zone": "a"}, at("eu-4", HERE))
    (found,) = contradicted("region.eu", taken, KNOWN)
    assert (found.pointer, found.message) == (
        "/stores/1/port", "10.0.0.1:6001 is the address of eu-1 in the topology",
    )  # fmt: skip


def test_a_store_in_use_keeps_its_address_and_a_spare_may_get_another() -> None:
    assert list(moved("region.eu", documents_with(at("eu-3", THERE)), KNOWN)) == []
    assert list(moved("region.eu", documents_with(at("eu-4", HERE)), KNOWN)) == []
    elsewhere = StoreAddress("10.0.0.3", 6_001)
    (found,) = moved("region.eu", documents_with(at("eu-3", elsewhere)), KNOWN)
    assert (found.pointer, found.message) == (
        "/stores/0/host", "store eu-3 belongs to global, region/eu and is at 10.0.0.2:6001",
    )  # fmt: skip
    (found,) = moved("region.eu", documents_with({"id": "eu-3", "zone": "a"}), KNOWN)
    assert found.pointer == "/stores/0"
