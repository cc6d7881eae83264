"""The default fleet, made from published figures of real regions."""

from __future__ import annotations

from itertools import combinations

import pytest

from regions.errors import UnknownRegion
from regions.findings import has_errors
from regions.reference import (
    DEFAULT_REGIONS,
    default_topology,
    egress_usd_per_gb,
    region_names,
    round_trips_ms,
)
from regions.settings import LeaseSettings
from regions.topology_check import check_topology


def test_the_figures_are_complete() -> None:
    names = region_names()
    assert len(names) == 21
    for matrix in (round_trips_ms(names), egress_usd_per_gb(names)):
        assert sum(len(row) for row in matrix.values()) == 21 * 20


def test_figures_are_those_of_their_sources() -> None:
    assert round_trips_ms(("af-south-1", "ap-east-1"))["af-south-1"]["ap-east-1"] == 248.78
    prices = egress_usd_per_gb(region_names())
    assert prices["us-east-1"]["us-east-2"] == 0.01
    assert prices["us-east-1"]["eu-central-1"] == 0.02
    assert prices["ap-southeast-3"]["sa-east-1"] == 0.1, "blank at the source: the row's usual"


def test_the_default_fleet() -> None:
    fleet = default_topology()
    assert tuple(region.name for region in fleet.regions) == DEFAULT_REGIONS
    assert len(fleet.stores) == 9
    assert len(fleet.nodes) == 6
    assert len({site.port for site in (*fleet.stores, *fleet.nodes)}) == 15
    everywhere = fleet.group("global")
    assert [fleet.store(voter).region for voter in everywhere.stores] == list(DEFAULT_REGIONS)
    assert (everywhere.quorum, everywhere.ttl_ms, everywhere.followers) == (2, 6_000, ())
    home = fleet.group("region/us-east-1")
    assert {fleet.store(voter).zone for voter in home.stores} == set(
        fleet.region("us-east-1").zones
    )
    assert home.ttl_ms == 2_000
    assert [fleet.store(one).region for one in home.followers] == ["eu-central-1", "ap-southeast-1"]


@pytest.mark.parametrize("count", range(1, 22))
def test_any_number_of_regions_makes_a_sound_fleet(count: int) -> None:
    fleet = default_topology(region_names()[:count])
    findings = check_topology(fleet)
    assert not has_errors(findings), findings
    assert (findings == []) == (count >= 3), "one or two regions cannot survive a region's loss"
    everywhere = fleet.group("global")
    assert len(everywhere.stores) == (3 if count <= 4 else 5)
    if count >= 3:
        reached = {fleet.store(one).region for one in everywhere.stores + everywhere.followers}
        assert len(reached) == count


def test_any_three_regions_make_a_sound_fleet() -> None:
    for regions in combinations(region_names()[::2], 3):
        assert check_topology(default_topology(regions)) == []


@pytest.mark.parametrize("zones", [1, 2, 4, 5])
def test_other_numbers_of_zones_make_odd_groups(zones: int) -> None:
    fleet = default_topology(zones=zones, nodes_per_region=1)
    assert not has_errors(check_topology(fleet))
    voters = {1: 1, 2: 1, 4: 3, 5: 5}[zones]
    assert len(fleet.group("region/eu-central-1").stores) == voters


def test_a_distant_group_gets_the_lease_it_needs() -> None:
    far = ("af-south-1", "ap-southeast-2", "sa-east-1")
    quick = LeaseSettings(global_ttl_ms=1_000)
    fleet = default_topology(far, settings=quick)
    assert fleet.group("global").ttl_ms == 3_351, "ten times 335.056 ms"


def test_ports_can_be_chosen() -> None:
    fleet = default_topology(zones=1, nodes_per_region=1, ports=[11, 12, 13, 21, 22, 23])
    assert [node.port for node in fleet.nodes] == [11, 12, 13]
    assert [store.port for store in fleet.stores] == [21, 22, 23]
    assert default_topology(base_port=9_000).nodes[0].url == "http://127.0.0.1:9000"


def test_an_unknown_region_is_named_with_the_choice() -> None:
    with pytest.raises(UnknownRegion, match="mars-1") as failure:
        default_topology(("eu-central-1", "mars-1"))
    assert "us-east-1" in failure.value.hint
