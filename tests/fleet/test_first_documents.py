"""The documents that a new fleet begins with are what its topology says, and pass every check."""

from __future__ import annotations

from config.check import check
from config.feed import Feed
from controlplane.first_documents import first_documents
from regions.reference import default_topology, region_names


def test_every_document_of_a_new_fleet_passes_every_check() -> None:
    feed = Feed(first_documents(default_topology(region_names())))
    assert {each.name: check(each, feed) for each in feed.all()} == {
        each.name: () for each in feed.all()
    }


def test_regions_have_the_places_stores_and_prices_of_the_topology() -> None:
    topology = default_topology()
    regions = Feed(first_documents(topology)).regions()
    assert sorted(regions) == sorted(region.name for region in topology.regions)
    for region in topology.regions:
        content = regions[region.name]
        assert content["zones"] == list(region.zones)
        assert [store["id"] for store in content["stores"]] == [
            store.id for store in topology.stores_in(region.name)
        ]
        assert content["egress_usd_per_gb"] == topology.egress_usd_per_gb[region.name]


def test_where_the_topology_has_no_price_traffic_is_free() -> None:
    topology = default_topology().model_copy(update={"egress_usd_per_gb": {}})
    (content, *_) = Feed(first_documents(topology)).regions().values()
    assert (content["egress_usd_per_gb"], content["egress_elsewhere_usd_per_gb"]) == ({}, 0.0)
