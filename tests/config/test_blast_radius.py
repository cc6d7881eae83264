"""What an edit would do to shards and groups is told before it is made."""

from __future__ import annotations

from config.blast_radius import (
    BlastRadius,
    FleetFacts,
    GroupFacts,
    StoreFacts,
    blast_radius,
    stores_given_up,
)
from config.document import canonical, region_name
from config.feed import Feed
from config.revision import Revision
from tests.config.sample_fleet import REGIONS, feed, put, region

STORES = tuple(
    StoreFacts(f"{name}-{number}", name, zone, groups)
    for name in REGIONS
    for number, zone, groups in ((1, "a", ("global", f"region/{name}")), (2, "b", ()))
)
FACTS = FleetFacts(
    STORES,
    (
        GroupFacts("global", ("ap-1", "eu-1", "us-1"), ("s1", "s2")),
        GroupFacts("region/eu", ("eu-1",), ("s3",)),
    ),
    {"eu": 3},
)


def gone(name: str) -> Feed:
    """The documents without one region."""
    return feed().with_one(Revision(region_name(name), 1, b"", deleted=True))


def test_a_region_that_goes_takes_survival_and_spread_along() -> None:
    assert blast_radius(feed(), gone("eu"), FACTS) == BlastRadius(
        (
            "2 shards lose region survival: s1, s2",
            "1 shard would have no leader region: s3",
            "1 group loses its quorum: region/eu",
            "2 groups lose quorum spread: global, region/eu",
        ),
        ("s1", "s2"),
        ("s3",),
        ("region/eu",),
        ("global", "region/eu"),
    )


def test_nothing_is_lost_by_what_is_added() -> None:
    wider = feed().with_one(Revision(region_name("sa"), 1, canonical(region("sa"))))
    assert blast_radius(feed(), wider, FACTS).summary == ()


def test_a_residency_that_forbids_a_shards_only_region_is_told() -> None:
    documents = feed()
    put(documents, "constraints", {"residency": [{"name": "r", "shards": "s3", "deny": ["eu"]}]})
    assert blast_radius(feed(), documents, FACTS).shards_without_leader_region == ("s3",)


def test_a_capacity_below_what_is_led_is_told() -> None:
    documents = feed()
    put(documents, "region.eu", region("eu") | {"capacity": {"leaders": 2}})
    told = blast_radius(feed(), documents, FACTS).summary
    assert told == ("eu leads 3 shards, 1 more than it then may",)


def test_stores_of_a_group_are_not_given_up() -> None:
    whole = [f.pointer for f in stores_given_up(feed(), gone("eu"), "region.eu", FACTS)]
    assert whole == [""]
    documents = feed()
    put(documents, "region.eu", region("eu") | {"stores": [{"id": "eu-2", "zone": "b"}]})
    (finding,) = stores_given_up(feed(), documents, "region.eu", FACTS)
    assert finding.pointer == "/stores"
    assert finding.message == "store eu-1 stands there and belongs to global, region/eu"
    put(documents, "region.ap", region("ap") | {"zones": ["a"], "stores": []})
    pointers = [f.pointer for f in stores_given_up(feed(), documents, "region.ap", FACTS)]
    assert pointers == ["/stores"]


def test_a_store_without_a_group_may_go() -> None:
    documents = feed()
    put(documents, "region.eu", region("eu") | {"stores": [{"id": "eu-1", "zone": "a"}]})
    assert list(stores_given_up(feed(), documents, "region.eu", FACTS)) == []
