"""What the global leader knows becomes a question of placement, and nothing of it is lost."""

from __future__ import annotations

from array import array
from base64 import b64decode
from collections.abc import Sequence
from typing import Any

import pytest

from config.revision import Revision
from controlplane.planning.errors import HoleInMatrix, NoPlacement
from controlplane.planning.question import ALL, LEADERS, Outlook, Question, Seat, ShardFacts
from shards.load import Rates
from tests.config.sample_fleet import REGIONS, feed, put, region

DISTANCES = {(a, b): 10.0 * (1 + abs(i - j)) for i, a in enumerate(REGIONS)
             for j, b in enumerate(REGIONS) if a != b}  # fmt: skip
NODES = {"eu-n1": "eu", "us-n1": "us", "ap-n1": "ap"}
SEATS = (Seat("eu-n1", "eu", "a"), Seat("us-n1", "us", ""))
WIDE = region("eu") | {
    "zones": ["a", "b", "c"],
    "stores": [{"id": f"eu-{n}", "zone": zone} for n, zone in enumerate("abc", 1)],
}
CODES = {"float64": "d", "float32": "f", "int16": "h", "int32": "i", "uint8": "B", "uint64": "Q"}


def facts(shard: str = "s0", **other: Any) -> ShardFacts:
    known: dict[str, Any] = {
        "goal": "region", "voters": 3, "leader": "eu", "present": REGIONS, "size_bytes": None,
        "loads": {"us": Rates(30.0, 10.0, 3_000.0, 2_000.0)},
    }  # fmt: skip
    return ShardFacts(shard, **(known | other))


def question(
    documents: dict[str, Any] | None = None,
    outlook: Outlook | None = None,
    alive: frozenset[str] = frozenset(REGIONS),
    distances: dict[tuple[str, str], float] = DISTANCES,
    seats: Sequence[Seat] = (),
) -> Question:
    known = feed()
    for name, content in (documents or {}).items():
        assert isinstance(put(known, name, content), Revision)
    return Question(known, distances, NODES, alive, outlook or Outlook(), seats)


def asked(*shards: ShardFacts, scope: str = LEADERS, **how: Any) -> dict[str, Any]:
    made = question(**how)
    for each in shards:
        made.add(each)
    return made.document(scope)


def column(document: dict[str, Any], name: str) -> list[Any]:
    packed = document["shards"][name]
    return list(array(CODES[packed["dtype"]], b64decode(packed["base64"])))


def spread(shards: str = "*", **least: int) -> list[dict[str, Any]]:
    return [{"name": f"of-{shards.replace('*', 'all')}", "shards": shards, **least}]


def constraints(**rules: Any) -> dict[str, Any]:
    return {"documents": {"constraints": rules}}


def test_loads_stand_in_the_column_of_the_region_they_come_from() -> None:
    document = asked(facts(), facts("s1", loads={}))
    assert document["regions"] == ["ap", "eu", "us"]
    assert column(document, "writes_per_s") == [0, 0, 10, 0, 0, 0]
    assert column(document, "reads_per_s") == [0, 0, 30, 0, 0, 0]
    assert column(document, "write_bytes") == [200, 0]
    assert column(document, "read_bytes") == [100, 0]


def test_where_a_shard_is_stands_by_number_and_by_mask() -> None:
    zonal = facts("s1", goal="zone", present=("eu",), leader=None)
    document = asked(facts(), zonal)
    assert column(document, "leader") == [1, -1]
    assert column(document, "present") == [0b111, 0b010]
    assert column(document, "survival") == [1, 0]


def test_a_zonal_shard_goes_only_where_there_are_zones_enough() -> None:
    document = asked(facts(goal="zone"), documents={"region.eu": WIDE})
    assert column(document, "allowed") == [0b010]


def test_the_leaders_alone_move_no_bytes() -> None:
    small, large = facts(size_bytes=1_000), facts("s1", size_bytes=9_000)
    assert asked(small, large)["budget"]["moved_bytes"] == 0
    assert asked(small, large, scope=ALL)["budget"]["moved_bytes"] == pytest.approx(300)


def test_a_size_that_nobody_has_told_is_assumed() -> None:
    assert column(asked(facts(), facts("s1", size_bytes=5)), "size_bytes") == [1_000_000, 5]


@pytest.mark.parametrize(
    ("rules", "name", "expected"),
    [
        ({"residency": [{"name": "r", "shards": "s*", "deny": ["us"]}]}, "allowed", 0b011),
        ({"residency": [{"name": "r", "shards": "s0", "allow": ["eu"]}]}, "allowed", 0b010),
        ({"residency": [{"name": "r", "shards": "x*", "allow": ["eu"]}]}, "allowed", 0b111),
        ({"pins": [{"shard": "s0", "node": "us-n1"}]}, "pin", 2),
        ({"survival": [{"name": "g", "shards": "*", "goal": "zone"}]}, "survival", 0),
        (
            {"leader_preferences": [{"name": "p", "shards": "s*", "regions": ["us", "eu"]}]},
            "preference",
            0,
        ),
    ],
)
def test_a_constraint_holds_for_the_shards_it_names(
    rules: dict[str, Any], name: str, expected: int
) -> None:
    assert column(asked(facts(), **constraints(**rules)), name) == [expected]


def test_shards_of_a_set_are_named_with_those_that_are_there() -> None:
    rules = {"anti_affinity": [{"name": "a", "shards": ["s0", "s1", "gone"], "scope": "region"}]}
    document = asked(facts(), facts("s1"), **constraints(**rules))
    assert document["anti_affinity"] == [{"name": "a", "shards": ["s0", "s1"]}]


def test_rules_of_nodes_and_zones_come_with_the_nodes_that_may_lead() -> None:
    apart = [
        {"name": "a", "shards": ["s0", "s1", "gone"], "scope": "node"},
        {"name": "b", "shards": ["s0", "s1"], "scope": "zone"},
        {"name": "c", "shards": ["s0", "s1"], "scope": "region"},
    ]
    capacity = {"node": {"leaders": 3, "bytes": 7}, "zone": {"writes_per_s": 9.5}}
    pins = [{"shard": "s0", "node": "us-n1"}, {"shard": "s1", "node": "eu-n9"}]
    rules = {"anti_affinity": apart, "capacity": capacity, "pins": pins}
    document = asked(
        facts(node="us-n1"), facts("s1", node="eu-n9"), seats=SEATS, **constraints(**rules)
    )
    assert document["nodes"] == {
        "names": ["eu-n1", "us-n1"],
        "region": ["eu", "us"],
        "zone": ["a", ""],
        "limits": {"leaders": 3, "writes_per_s": None, "size_bytes": 7},
        "zone_limits": {"leaders": None, "writes_per_s": 9.5, "size_bytes": None},
        "apart": [
            {"name": "a", "shards": ["s0", "s1"], "scope": "node"},
            {"name": "b", "shards": ["s0", "s1"], "scope": "zone"},
        ],
        "pins": {"s0": "us-n1"},
        "wishes": {"s0": "us-n1"},
    }
    assert document["anti_affinity"] == [{"name": "c", "shards": ["s0", "s1"]}]


def test_where_no_rule_speaks_of_nodes_a_plan_does_not() -> None:
    rules = constraints(capacity={"region": {"leaders": 3}}, spread=spread(regions_min=3))
    assert asked(facts(node="us-n1"), seats=SEATS, **rules)["nodes"] is None


def test_nodes_of_a_lost_region_lead_nothing() -> None:
    rules = constraints(capacity={"node": {"leaders": 3}})
    document = asked(facts(), seats=SEATS, outlook=Outlook(frozenset({"us"})), **rules)
    assert document["nodes"]["names"] == ["eu-n1"]


def test_to_be_spread_over_regions_each_voter_needs_one_of_its_own() -> None:
    zonal = facts(goal="zone", present=("eu",), zones=3)
    rules = constraints(spread=spread(regions_min=2))
    document = asked(zonal, documents={"region.eu": WIDE} | rules["documents"])
    assert column(document, "survival") == [1]
    assert column(document, "allowed") == [0b111]


@pytest.mark.parametrize(
    ("zones_min", "zones", "allowed"), [(1, 1, 0b010), (3, 3, 0b010), (3, 2, 0), (2, None, 0b010)]
)
def test_to_be_spread_over_zones_a_region_needs_them_and_voters_must_be_in_them(
    zones_min: int, zones: int | None, allowed: int
) -> None:
    zonal = facts(goal="zone", present=("eu",), zones=zones)
    rules = constraints(spread=spread(zones_min=zones_min))
    document = asked(zonal, documents={"region.eu": WIDE} | rules["documents"])
    assert column(document, "allowed") == [allowed]


@pytest.mark.parametrize("least", [{"regions_min": 2}, {"zones_min": 2}])
def test_voters_are_not_spread_over_more_places_than_there_are_of_them(
    least: dict[str, int],
) -> None:
    with pytest.raises(NoPlacement) as caught:
        asked(facts(voters=1), **constraints(spread=[*spread("x*"), *spread(**least)]))
    assert caught.value.conflict["constraints"] == ["/constraints/spread/1"]
    assert "s0 has 1" in caught.value.conflict["message"]


def test_the_smaller_of_two_capacities_holds() -> None:
    rules = {"capacity": {"region": {"leaders": 5}}}
    eu = region("eu") | {"capacity": {"leaders": 3, "bytes": 10}}
    document = asked(facts(), documents={"constraints": rules, "region.eu": eu})
    assert document["capacities"]["leaders"] == [5, 3, 5]
    assert document["capacities"]["size_bytes"] == [None, 10, None]


def test_a_region_without_a_living_node_takes_nothing_more() -> None:
    document = asked(facts(), alive=frozenset({"eu", "us"}))
    assert document["quarantined"] == ["ap"]
    assert document["drained"] == []


def test_what_is_supposed_changes_the_question_and_no_document() -> None:
    outlook = Outlook(frozenset({"us"}), (("s0", "us", 2.0), ("*", "*", 3.0)))
    document = asked(facts(), facts("s1"), outlook=outlook, scope=ALL)
    assert document["drained"] == ["us"]
    assert column(document, "writes_per_s") == [0, 0, 60, 0, 0, 30]


def test_a_shard_that_was_moved_a_while_ago_stays_and_one_that_is_pinned_goes() -> None:
    pinned = constraints(pins=[{"shard": "s1", "node": "us-n1"}])
    document = asked(facts(stays=True), facts("s1", stays=True), **pinned)
    assert column(document, "pin") == [1, 2]


def test_prices_come_from_the_regions_and_what_is_not_named_costs_as_elsewhere() -> None:
    eu = region("eu") | {"egress_usd_per_gb": {"us": 0.01}, "storage_usd_per_gb_month": 0.5}
    document = asked(facts(), documents={"region.eu": eu})
    assert document["egress_usd_per_gb"][1] == [0.09, 0.0, 0.01]
    assert document["storage_usd_per_gb_month"] == [0.1, 0.5, 0.1]


def test_a_way_that_nobody_knows_is_named() -> None:
    known = {pair: ms for pair, ms in DISTANCES.items() if pair != ("eu", "us")}
    with pytest.raises(HoleInMatrix, match=r"from eu to us.*round_trip_ms\.eu\.us"):
        asked(facts(), distances=known)


def test_a_lost_region_leads_nothing_and_keeps_its_votes_when_only_leaders_move() -> None:
    document = asked(facts(), outlook=Outlook(frozenset({"us"})))
    assert document["drained"] == []
    assert document["capacities"]["leaders"] == [None, None, 0.5]
    assert document["budget"]["moved_leaders"] is None, "what is lost is not spared"


def test_what_loses_its_majority_is_not_placed_and_is_said() -> None:
    made = question(outlook=Outlook(frozenset({"us"})))
    made.add(facts())
    made.add(facts("s1", goal="zone", present=("us",)))
    assert made.document(LEADERS)["shards"]["ids"] == ["s0"]
    assert made.unavailable == ["s1"]


def test_what_documents_say_of_a_shard_holds_for_whoever_continues_it() -> None:
    rules = {
        "residency": [{"name": "r", "shards": "s0", "allow": ["eu", "us", "ap"], "deny": ["us"]}],
        "anti_affinity": [{"name": "a", "shards": ["s0", "s1"], "scope": "region"}],
        "pins": [{"shard": "s0", "node": "eu-n1"}],
    }
    made = question({"constraints": rules}, seats=SEATS)
    made.add(facts("s7", ancestors=("s0",)))
    made.add(facts("s1"))
    document = made.document(LEADERS)
    eu, us = (document["regions"].index(name) for name in ("eu", "us"))
    allowed = column(document, "allowed")[0]
    assert (allowed >> eu & 1, allowed >> us & 1) == (1, 0)
    assert [each["shards"] for each in document["anti_affinity"]] == [["s7", "s1"]]
    assert column(document, "pin")[0] == eu
    assert document["nodes"]["pins"] == {"s7": "eu-n1"}


def test_a_shard_that_continues_another_is_held_to_the_rules_of_that_one() -> None:
    rules = constraints(
        survival=[
            {"name": "old", "shards": "s0", "goal": "region"},
            {"name": "all", "shards": "*", "goal": "zone"},
        ],
        leader_preferences=[{"name": "old", "shards": "s0", "regions": ["us"]}],
        pins=[{"shard": "s0", "node": "us-n1"}],
    )
    child = facts("s7", ancestors=("s5", "s0"))
    found = asked(child, facts("s8"), **rules)
    alike = asked(facts("s0"), facts("s8"), **rules)
    for name in ("survival", "pin", "preference"):
        assert column(found, name) == column(alike, name)
    assert column(found, "pin")[0] != column(found, "pin")[1]
