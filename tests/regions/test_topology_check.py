"""What makes no sense in a topology, and what is merely unwise."""

from __future__ import annotations

from typing import Any

import pytest

from regions.findings import Severity
from regions.reference import default_topology
from regions.settings import LeaseSettings
from regions.topology import Group, Topology
from regions.topology_check import check_topology

EU, US, AP = "eu-central-1", "us-east-1", "ap-southeast-1"


def document(*regions: str) -> dict[str, Any]:
    """Give the default fleet as plain data without its groups, ready to be spoilt."""
    plain: dict[str, Any] = default_topology(regions or (EU, US, AP)).model_dump(mode="json")
    plain["groups"] = []
    return plain


def doubts(plain: dict[str, Any], settings: LeaseSettings | None = None) -> list[str]:
    """Give `severity pointer: message` of everything the check says."""
    topology = Topology.model_validate(plain)
    findings = check_topology(topology, settings)
    assert all(item.hint for item in findings)
    return [f"{item.severity.value} {item.pointer}: {item.message}" for item in findings]


def group(name: str, *stores: str, ttl_ms: int = 6_000, followers: tuple[str, ...] = ()) -> Any:
    """Give a group as plain data."""
    made = Group(name=name, stores=stores, followers=followers, ttl_ms=ttl_ms)
    return made.model_dump(mode="json")


def test_the_default_fleet_raises_no_doubt() -> None:
    assert doubts(document()) == []
    assert check_topology(default_topology()) == []


def test_names_and_addresses_are_unique() -> None:
    plain = document()
    plain["regions"].append(dict(plain["regions"][0]))
    plain["regions"][1]["zones"][2] = "us-east-1a"
    plain["stores"][4]["id"] = plain["stores"][3]["id"]
    plain["stores"][5]["zone"] = "us-east-1a"
    plain["nodes"][1]["id"] = plain["nodes"][0]["id"]
    plain["nodes"][2] |= {"host": "localhost", "port": plain["stores"][0]["port"]}
    assert doubts(plain) == [
        "error /regions/3/name: 'eu-central-1' is given twice",
        "error /regions/1/zones/2: 'us-east-1a' is given twice",
        "error /stores/4/id: 'us-east-1-s1' is given twice",
        "error /nodes/1/id: 'eu-central-1-n1' is given twice",
        "error /nodes/2/port: 127.0.0.1:7406 is the address of eu-central-1-s1 already",
    ]


def test_names_that_lead_nowhere_are_all_named() -> None:
    plain = document()
    plain["stores"][0]["region"] = "mars-1"
    plain["stores"][1]["zone"] = "us-east-1a"
    plain["nodes"][0]["zone"] = "b"
    plain["groups"] = [
        group("pair", "eu-central-1-s2", "nobody", followers=("eu-central-1-s2", "no-one")),
        group("region/venus-1", "us-east-1-s1", "us-east-1-s2", "us-east-1-s3"),
    ]
    plain["rtt_ms"]["mars-1"] = {}
    plain["rtt_ms"][US]["mars-1"] = 1.0
    plain["egress_usd_per_gb"][AP]["venus-1"] = 0.02
    assert doubts(plain) == [
        "error /stores/0/region: there is no region 'mars-1'",
        "error /stores/1/zone: eu-central-1 has no zone 'us-east-1a'",
        "error /nodes/0/zone: eu-central-1 has no zone 'b'",
        "error /groups/0/stores/1: there is no store 'nobody'",
        "error /groups/0/followers/0: 'eu-central-1-s2' is in this group already",
        "error /groups/0/followers/1: there is no store 'no-one'",
        "error /groups/1/name: there is no region 'venus-1'",
        "error /rtt_ms/us-east-1/mars-1: there is no region 'mars-1'",
        "error /rtt_ms/mars-1: there is no region 'mars-1'",
        "error /egress_usd_per_gb/ap-southeast-1/venus-1: there is no region 'venus-1'",
    ]


def test_places_without_stores_or_nodes_are_doubtful() -> None:
    plain = document()
    plain["stores"] = [store for store in plain["stores"] if store["region"] != AP]
    plain["nodes"] = [node for node in plain["nodes"] if node["region"] != US]
    said = doubts(plain)
    assert "warning /regions/2: ap-southeast-1 has no store: it reads from afar" in said
    assert "warning /regions/1: us-east-1 has no node: nobody serves it" in said


@pytest.mark.parametrize("count", [2, 4])
def test_an_even_number_of_voters_is_an_error(count: int) -> None:
    plain = document(EU, US, AP, "sa-east-1")
    voters = [f"{region}-s1" for region in (EU, US, AP, "sa-east-1")][:count]
    plain["groups"] = [group("global", *voters)]
    said = [line for line in doubts(plain) if line.startswith("error")]
    reason = f"{count} voters survive no more losses than {count - 1}, and need one more answer"
    assert said == [f"error /groups/0/stores: global: {reason}"]


def test_a_single_voter_is_for_development_only() -> None:
    plain = document()
    plain["groups"] = [group("alone", "eu-central-1-s1")]
    assert doubts(plain) == [
        "warning /groups/0/stores: alone: a single store votes, and its loss stops the group"
    ]


def test_a_global_group_in_one_region_is_an_error_where_there_are_others() -> None:
    voters = tuple(f"{EU}-s{number}" for number in (1, 2, 3))
    plain = document()
    plain["groups"] = [group("global", *voters)]
    message = "/groups/0/stores: global: every voter stands in region eu-central-1, and its loss "
    assert doubts(plain) == [f"error {message}stops the group"]
    plain = document(EU)
    plain["groups"] = [group("global", *voters)]
    assert doubts(plain) == [f"warning {message}stops the group"]


def test_a_majority_in_one_region_is_doubtful() -> None:
    plain = document()
    plain["groups"] = [group("global", f"{EU}-s1", f"{EU}-s2", f"{US}-s1")]
    assert doubts(plain) == [
        (
            "warning /groups/0/stores: global: 2 of 3 voters stand in region eu-central-1, and its "
            "loss stops the group"
        )
    ]


def test_a_regions_group_stands_in_its_region_and_in_more_than_one_zone() -> None:
    plain = document()
    for number in (1, 2):
        extra = plain["stores"][0] | {"id": f"eu-x{number}", "port": 9_000 + number}
        plain["stores"].append(extra)
    plain["groups"] = [
        group("region/eu-central-1", f"{EU}-s1", "eu-x1", "eu-x2"),
        group("region/us-east-1", f"{US}-s1", f"{US}-s2", f"{EU}-s3"),
    ]
    assert doubts(plain) == [
        (
            "error /groups/0/stores: region/eu-central-1: every voter stands in zone "
            "eu-central-1a, and its loss stops the group"
        ),
        "error /groups/1/stores: region/us-east-1: eu-central-1-s3 stands elsewhere",
    ]


def test_a_group_of_several_regions_keeps_to_them() -> None:
    plain = document()
    plain["groups"] = [group(f"multi/{EU}+{US}", f"{EU}-s1", f"{US}-s1", f"{AP}-s1")]
    assert doubts(plain) == [
        f"error /groups/0/stores: multi/{EU}+{US}: ap-southeast-1-s1 stands elsewhere"
    ]


def test_a_group_given_twice_is_an_error() -> None:
    plain = document()
    same = group("global", f"{EU}-s1", f"{US}-s1", f"{AP}-s1")
    plain["groups"] = [same, same]
    assert doubts(plain) == ["error /groups/1/name: 'global' is given twice"]


def test_a_lease_is_as_long_as_the_round_trips_and_the_floor_demand() -> None:
    plain = document()
    needed_ms = 10 * max(plain["rtt_ms"][AP][EU], plain["rtt_ms"][EU][US])
    assert 500 < needed_ms < 6_000
    across = (f"{EU}-s1", f"{US}-s1", f"{AP}-s1")
    plain["groups"] = [
        group("global", *across, ttl_ms=1_000),
        group("region/eu-central-1", *(f"{EU}-s{n}" for n in (1, 2, 3)), ttl_ms=499),
        group("region/us-east-1", *(f"{US}-s{n}" for n in (1, 2, 3)), ttl_ms=500),
        group("slow", *across, ttl_ms=60_001),
    ]
    said = doubts(plain)
    assert [line.partition(":")[0] for line in said] == [
        "error /groups/0/ttl_ms",
        "error /groups/1/ttl_ms",
        "warning /groups/3/ttl_ms",
    ]
    assert "a majority takes" in said[0]
    raised = LeaseSettings(ttl_floor_ms=1_500)
    assert any(line.startswith("error /groups/2/ttl_ms") for line in doubts(plain, raised))


def test_the_needed_lease_is_exactly_enough() -> None:
    plain = document()
    topology = Topology.model_validate(plain)
    voters = (f"{EU}-s1", f"{US}-s1", f"{AP}-s1")
    worst_ms = topology.quorum_round_trip_ms(voters)
    rtt = plain["rtt_ms"]
    assert worst_ms == max(min(rtt[a][b] for b in (EU, US, AP) if b != a) for a in (EU, US, AP))
    enough_ms = int(10 * worst_ms) + 1
    plain["groups"] = [group("global", *voters, ttl_ms=enough_ms)]
    assert doubts(plain) == []
    plain["groups"] = [group("global", *voters, ttl_ms=enough_ms - 1)]
    (error,) = check_topology(Topology.model_validate(plain))
    assert error.severity is Severity.ERROR
    assert error.hint == f"write {enough_ms} or more"


def test_holes_and_impossible_figures_in_the_matrix() -> None:
    plain = document()
    del plain["rtt_ms"][EU][US]
    del plain["rtt_ms"][AP]
    plain["rtt_ms"][US] = {EU: -1.0, AP: 0.2}
    plain["rtt_ms"][EU][AP] = 160_000.0
    plain["egress_usd_per_gb"][US][EU] = -0.02
    del plain["egress_usd_per_gb"][EU][US]
    assert doubts(plain) == [
        "warning /rtt_ms/eu-central-1/ap-southeast-1: 160000.0 ms is longer than any way on Earth",
        "error /rtt_ms/us-east-1/eu-central-1: -1.0 ms is no round trip",
        (
            "warning /rtt_ms/us-east-1/ap-southeast-1: 0.2 ms is faster than light in fibre, which "
            "takes 155.2 ms"
        ),
        "error /rtt_ms/eu-central-1: no round trip to us-east-1",
        "error /rtt_ms/ap-southeast-1: no round trip to eu-central-1, us-east-1",
        "error /egress_usd_per_gb/us-east-1/eu-central-1: -0.02 USD is no price",
        "warning /egress_usd_per_gb/eu-central-1: no price to us-east-1",
    ]


def test_no_prices_at_all_is_one_doubt() -> None:
    plain = document()
    plain["egress_usd_per_gb"] = {}
    assert doubts(plain) == [
        "warning /egress_usd_per_gb: no prices: cost plays no part in placement"
    ]
