"""`leadplane topology`: the places of a fleet as a tree."""

from __future__ import annotations

import json

import pytest

from tests.cli.stub_fleet import StubFleet, leadplane


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_the_tree_fits_the_terminal(fleet: StubFleet, columns: int) -> None:
    result = leadplane("topology", columns=columns)
    assert result.exit_code == 0, result.output
    assert max(len(line) for line in result.stdout.splitlines()) <= columns
    assert "\x1b" not in result.stdout


def test_regions_hold_zones_and_zones_hold_nodes_and_stores(fleet: StubFleet) -> None:
    lines = leadplane("topology").stdout.splitlines()
    assert lines[0] == "At risk: region/ap-southeast-1 cannot lose another store."
    assert lines[1] == "13 of 13 shards are led; the global leader is eu-central-1-n1."
    assert "eu-central-1  2/2 nodes, 3/3 stores, leads 4" in lines
    assert "├── zone a" in lines
    assert "│   └── store eu-central-1-a  up" in lines
    assert "│   └── store ap-southeast-1-c  down: connection refused" in lines
    silent = next(line for line in lines if "ap-southeast-1-n2" in line)
    assert "silent for 9.0 s, leads 2" in silent


def test_a_node_stands_in_its_zone_if_there_is_one_known(fleet: StubFleet) -> None:
    status = json.loads(fleet.answers["GET", "/v1/status"][2])
    status["nodes"][0] |= {"zone": "b", "draining": True}
    fleet.document("/v1/status", status)
    (_, region, _) = json.loads(leadplane("topology", "-o", "json").stdout)["regions"]
    zones = {zone["zone"]: zone for zone in region["zones"]}
    assert list(zones) == ["a", "b", "c", ""]
    assert [node["node"] for node in zones["b"]["nodes"]] == ["eu-central-1-n1"]
    assert [store["store"] for store in zones["b"]["stores"]] == ["eu-central-1-b"]
    assert [node["node"] for node in zones[""]["nodes"]] == ["eu-central-1-n2"]
    assert "alive, leads 2, draining, global leader" in leadplane("topology").stdout


def test_the_document_counts_what_is_up(fleet: StubFleet) -> None:
    document = json.loads(leadplane("topology", "-o", "json").stdout)
    assert document["verdict"].startswith("At risk")
    assert [(r["region"], r["stores"], r["stores_up"]) for r in document["regions"]] == [
        ("ap-southeast-1", 3, 2),
        ("eu-central-1", 3, 3),
        ("us-east-1", 3, 3),
    ]


def test_wide_says_where_and_of_which_groups(fleet: StubFleet) -> None:
    shown = leadplane("topology", "-o", "wide").stdout
    assert "eu-central-1 (Somewhere in eu)" in shown
    assert "store eu-central-1-a  up, 1 ms away, global, region/eu-central-1" in shown


def test_the_help_has_an_example() -> None:
    assert "leadplane topology -o json" in leadplane("topology", "--help").stdout
