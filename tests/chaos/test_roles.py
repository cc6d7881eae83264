"""Roles become sites at the moment at which a fault comes."""

from __future__ import annotations

import pytest

from controlplane.chaos.faults import pairs_of
from controlplane.chaos.roles import Kind, NobodyThere, ShardNow, Site, parts, resolve, shard_in
from controlplane.chaos.scenario import Cut
from controlplane.errors import ChaosImpossible
from tests.chaos.paper_fleet import PaperFleet

SITES = (
    Site("n1", Kind.NODE, "eu", "a"),
    Site("n2", Kind.NODE, "eu", "b"),
    Site("n3", Kind.NODE, "us", "c"),
    Site("s1", Kind.STORE, "eu", "a"),
    Site("s2", Kind.STORE, "eu", "b"),
    Site("s3", Kind.STORE, "us", "c"),
)
SHARDS = {"s00": ShardNow("n2", ("s1", "s2", "s3"))}


@pytest.mark.parametrize(
    ("role", "sites"),
    [
        ("leader of s00", ("n2",)),
        ("others of s00", ("n1", "n3")),
        ("voter of s00", ("s2",)),
        ("majority of s00", ("s1", "s2")),
        ("node n1", ("n1",)),
        ("store s3", ("s3",)),
        ("region us", ("n3", "s3")),
        ("zone a", ("n1", "s1")),
        ("all nodes", ("n1", "n2", "n3")),
        ("all stores", ("s1", "s2", "s3")),
    ],
)
def test_a_role_is_somebodys(role: str, sites: tuple[str, ...]) -> None:
    assert resolve(role, SITES, SHARDS) == sites


def test_a_voter_is_near_its_leader_where_possible() -> None:
    far = {"s00": ShardNow("n1", ("s3", "s2"))}
    assert resolve("voter of s00", SITES, far) == ("s2",)
    farther = {"s00": ShardNow("n1", ("s3",))}
    assert resolve("voter of s00", SITES, farther) == ("s3",)


@pytest.mark.parametrize("role", ["node n9", "store n1", "region mars", "leader of s00"])
def test_a_role_that_is_nobodys_is_named(role: str) -> None:
    with pytest.raises(NobodyThere, match=role):
        resolve(role, SITES, {"s00": ShardNow(None, ())})


def test_only_roles_around_a_shard_ask_for_it() -> None:
    assert shard_in("leader of s07") == "s07"
    assert shard_in("all nodes") is None


def test_sites_stand_in_regions_or_in_zones_of_the_only_one() -> None:
    assert parts(SITES) == [("n1", "n2", "s1", "s2"), ("n3", "s3")]
    assert parts(SITES[:2]) == [("n1",), ("n2",)]


def test_a_cut_goes_the_ways_that_are_asked_for() -> None:
    fleet = PaperFleet(SITES[3:])
    out = {("s1", "s2"), ("s1", "s3")}
    back = {("s2", "s1"), ("s3", "s1")}
    ways = {
        way: pairs_of(Cut(at_s=1, do="cut", for_s=1, away="store s1", way=way), ("s1",), fleet)
        for way in ("out", "in", "both")
    }
    assert ways == {"out": out, "in": back, "both": out | back}


def test_a_bridge_is_seen_by_both_sides() -> None:
    zones = [Site(f"s{z}", Kind.STORE, "eu", z) for z in "abc"]
    cut = Cut(at_s=1, do="cut", for_s=1, sides="bridge")
    assert pairs_of(cut, (), PaperFleet(zones)) == {("sa", "sc"), ("sc", "sa")}
    halves = cut.model_copy(update={"sides": "halves"})
    assert len(pairs_of(halves, (), PaperFleet(zones))) == 4
    with pytest.raises(ChaosImpossible, match="1 places have no bridge"):
        pairs_of(cut, (), PaperFleet(zones[:1]))
