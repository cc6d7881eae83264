"""Edits are checked as a whole against all documents: what is wrong is told, nothing is changed."""

from __future__ import annotations

from typing import Any

import pytest

from config.builtin import builtin_content
from config.check import DOCUMENTS_MAX, Unfit, Why, longest_gone
from config.document import CONTENT_BYTES_MAX, Kind
from config.revision import Revision
from tests.config.sample_fleet import feed, put, refused, region

NAMES: dict[str, Any] = {
    "type": "object",
    "properties": {"next": {"type": "string", "x-leadplane-names": "document"}},
}


def why(outcome: Revision | Unfit) -> Why:
    """Why an edit was refused."""
    assert isinstance(outcome, Unfit), outcome
    return outcome.why


def test_versions_count_on_and_name_what_came_before() -> None:
    documents = feed()
    first, second = put(documents, "flags", {"a": 1}), put(documents, "flags", {"a": 2})
    gone = put(documents, "flags", None, deletes=True)
    third = put(documents, "flags", {"a": 3})
    chain = [each for each in (first, second, gone, third) if isinstance(each, Revision)]
    assert [each.version for each in chain] == [1, 2, 3, 4]
    assert [each.previous for each in chain[1:]] == [each.record_digest() for each in chain[:-1]]
    assert [each.before for each in chain] == ["", chain[0].digest, chain[1].digest, ""]
    assert documents.get("flags") == third


def test_the_first_edit_of_a_default_document_names_its_content() -> None:
    documents = feed()
    default = documents.get("placement")
    assert default is not None
    content = documents.content(Kind.PLACEMENT) | {"churn_budget": {"bytes_share_max": 0.5}}
    edited = put(documents, "placement", content)
    assert isinstance(edited, Revision)
    assert (edited.version, edited.before) == (1, default.digest)
    assert documents.content(Kind.PLACEMENT) == content


@pytest.mark.parametrize(
    ("name", "content", "places"),
    [
        ("region.eu", {}, ["/egress_elsewhere_usd_per_gb", "/egress_usd_per_gb"]),
        ("region.eu", {"storage_usd_per_gb_month": -1}, ["/storage_usd_per_gb_month"]),
        ("region.eu", {"capacity": {"leaders": 0}}, ["/capacity/leaders"]),
        ("region.eu", {"egress_usd_per_gb": {"mars": 1}}, ["/egress_usd_per_gb/mars"]),
        ("region.eu", {"egress_usd_per_gb": {"eu": 1}}, ["/egress_usd_per_gb/eu"]),
        ("region.eu", {"zones": ["a"]}, ["/stores/1/zone"]),
        ("latency", {"round_trip_ms": {"eu": {"us": 80}}}, ["/round_trip_ms/eu/us"]),
        ("latency", {"round_trip_ms": {"eu": {"us": 0}}}, ["/round_trip_ms/eu/us"]),
        ("timeouts", {"lease_ttl_floor_ms": {"global": 499, "multi": 500, "region": 500}},
         ["/lease_ttl_floor_ms/global"]),
        ("constraints", {"residency": [{"name": "r", "shards": "*", "allow": ["eu"],
                                        "deny": ["eu"]}]}, ["/residency/0"]),
        ("constraints", {"residency": [{"name": "r", "shards": "*", "deny": ["us"]}],
                         "leader_preferences": [{"name": "p", "shards": "s1",
                                                 "regions": ["eu", "us"]}]},
         ["/leader_preferences/0/regions/1"]),
        ("constraints", {"survival": [{"name": "a", "shards": "s*", "goal": "zone"},
                                      {"name": "b", "shards": "s*", "goal": "region"}]},
         ["/survival/1/goal"]),
        ("constraints", {"spread": [{"name": "a", "shards": "*", "regions_min": 4}]},
         ["/spread/0/regions_min"]),
        ("region.eu", {"stores": [{"id": "us-1", "zone": "a"}]}, ["/stores/0/id"]),
        ("constraints", {"residency": [{"name": "r", "shards": "*", "allow": ["eu"]},
                                       {"name": "q", "shards": "s*", "deny": ["eu"]}]},
         ["/residency/1"]),
        ("constraints", {"survival": [{"name": "a", "shards": "s1", "goal": "region"}],
                         "residency": [{"name": "r", "shards": "s*", "deny": ["ap"]}]},
         ["/survival/0/goal"]),
        ("constraints", {"pins": [{"shard": "s1", "node": "n"}, {"shard": "s2", "node": "n"}],
                         "anti_affinity": [{"name": "a", "shards": ["s1", "s2"],
                                            "scope": "zone"}]},
         ["/anti_affinity/0/shards/1"]),
        ("constraints", {"leader_preferences": [{"name": "p", "shards": "*",
                                                 "regions": ["mars"]}]},
         ["/leader_preferences/0/regions/0"]),
        ("region.eu", {"stores": [{"id": "n", "zone": "a", "host": "h"}]}, ["/stores/0"]),
        ("region.eu", {"stores": [{"id": "n", "zone": "a", "tls": True}]}, ["/stores/0"]),
        ("region.eu", {"stores": [{"id": "n", "zone": "a", "host": "a..b", "port": 1}]},
         ["/stores/0/host"]),
        ("region.eu", {"stores": [{"id": "n", "zone": "a", "host": "h", "port": 0}]},
         ["/stores/0/port"]),
        ("region.eu", {"stores": [
            {"id": "n", "zone": "a", "host": "localhost", "port": 1},
            {"id": "m", "zone": "b", "host": "127.0.0.1", "port": 1}]}, ["/stores/1/port"]),
    ],
)  # fmt: skip
def test_bad_fleet_documents_are_refused_by_place(
    name: str, content: dict[str, Any], places: list[str]
) -> None:
    documents = feed()
    if name == "region.eu":
        content = region("eu") | content if content else {"latitude": 0}
    found = refused(documents, name, content)
    assert found[: len(places)] == places
    latest = documents.latest(name)
    assert latest is not None
    assert latest.version == 0


def test_the_last_region_and_one_that_is_named_stay() -> None:
    documents = feed()
    priced = region("eu") | {"egress_usd_per_gb": {"us": 0.02}}
    assert isinstance(put(documents, "region.eu", priced), Revision)
    named = put(documents, "region.us", None, deletes=True)
    assert why(named) is Why.IN_USE
    assert isinstance(named, Unfit)
    assert [f.message for f in named.findings] == ["region.eu names it at /egress_usd_per_gb/us"]
    assert isinstance(put(documents, "region.ap", None, deletes=True), Revision)
    assert isinstance(put(documents, "region.eu", None, deletes=True), Revision)
    assert why(put(documents, "region.us", None, deletes=True)) is Why.IN_USE
    assert documents.region("us") is not None


def test_a_region_without_which_constraints_cannot_be_kept_stays() -> None:
    documents = feed()
    put(documents, "constraints", {"spread": [{"name": "a", "shards": "*", "regions_min": 3}]})
    unfit = put(documents, "region.ap", None, deletes=True)
    assert isinstance(unfit, Unfit)
    assert unfit.findings[0].message.startswith("constraints/spread/0/regions_min could not be")


def test_what_belongs_to_every_fleet_is_neither_deleted_nor_given_another_schema() -> None:
    assert why(put(feed(), "placement", None, deletes=True)) is Why.BUILT_IN
    assert why(put(feed(), "schema.region", {})) is Why.BUILT_IN


def test_documents_are_held_to_their_schema_and_a_new_schema_to_its_documents() -> None:
    documents = feed()
    assert refused(documents, "flags", {"share": 1}, "flag") == [""]
    schema = {"properties": {"share": {"maximum": 1}}}
    assert isinstance(put(documents, "schema.flag", schema), Revision)
    assert refused(documents, "flags", {"share": 2}, "flag") == ["/share"]
    assert isinstance(put(documents, "flags", {"share": 1}, "flag"), Revision)
    narrower = put(documents, "schema.flag", {"properties": {"share": {"maximum": 0.5}}})
    assert why(narrower) is Why.INVALID
    assert isinstance(narrower, Unfit)
    assert narrower.findings[0].message == "flags/share: 1 is more than 0.5"
    wider = {"properties": {"share": {"maximum": 2}}}
    assert isinstance(put(documents, "schema.flag", wider), Revision)
    assert why(put(documents, "schema.flag", None, deletes=True)) is Why.IN_USE


def test_names_of_documents_resolve_and_close_no_circle() -> None:
    documents = feed()
    put(documents, "schema.chain", NAMES)
    assert refused(documents, "a", {"next": "b"}, "chain") == ["/next"]
    for name, following in (("a", None), ("b", "a"), ("c", "b")):
        content = {"next": following} if following else {}
        assert isinstance(put(documents, name, content, "chain"), Revision)
    circle = put(documents, "a", {"next": "c"}, "chain")
    assert isinstance(circle, Unfit)
    assert circle.findings[0].message == "it leads back to itself: a -> c -> b -> a"
    assert refused(documents, "a", {"next": "a"}, "chain") == ["/next"]
    assert why(put(documents, "b", None, deletes=True)) is Why.IN_USE


def test_a_field_that_is_for_a_secret_takes_no_value() -> None:
    documents = feed()
    put(documents, "schema.login", {"properties": {"word": {"writeOnly": True}}})
    unfit = put(documents, "login", {"word": "open sesame"}, "login")
    assert why(unfit) is Why.INVALID
    assert "sesame" not in repr(unfit)
    assert isinstance(put(documents, "login", {"word": None}, "login"), Revision)


def test_size_depth_and_number_are_limited() -> None:
    documents = feed()
    assert why(put(documents, "big", "x" * CONTENT_BYTES_MAX)) is Why.TOO_LARGE
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    assert why(put(documents, "deep", deep)) is Why.INVALID
    for number in range(DOCUMENTS_MAX):
        documents.apply(Revision(f"d{number}", 1, b"1"))
    assert why(put(documents, "one-more", 1)) is Why.TOO_MANY
    assert isinstance(put(documents, "d7", 2), Revision)
    for number in (8, 9):
        documents.apply(Revision(f"d{number}", 2, b"", deleted=True, edition=number))
    assert isinstance(put(documents, "one-more", 1), Revision)
    gone = longest_gone(documents)
    assert gone is not None
    assert gone.name == "d8"


def test_what_would_take_too_long_to_check_is_refused() -> None:
    documents = feed()
    many = {"items": {"anyOf": [{"enum": [n]} for n in range(900)]}}
    put(documents, "schema.many", many)
    assert refused(documents, "list", [0] * 20_000, "many") == [""]


def test_shards_are_not_merged_up_to_what_would_soon_be_split_again() -> None:
    content = builtin_content(Kind.PLACEMENT)
    policy = {"requests_per_s": 400, "after_ms": 60_000, "cool_down_ms": 600_000}
    merge = {"requests_per_s": 101, "after_ms": 600_000, "shards_min": 3}
    far = content | {"split_by_load": policy | {"merge": merge}}
    assert refused(feed(), "placement", far) == ["/split_by_load/merge/requests_per_s"]
    near = content | {"split_by_load": policy | {"merge": merge | {"requests_per_s": 100}}}
    assert isinstance(put(feed(), "placement", near), Revision)
