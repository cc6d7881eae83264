"""`leadplane placement`: who asks for what, and how far regions are apart."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cli.stub_fleet import StubFleet, leadplane


def origin(region: str, reads: float, writes: float) -> dict[str, Any]:
    return {
        "region": region, "reads_per_s": reads, "writes_per_s": writes,
        "read_bytes_per_s": 0.0, "write_bytes_per_s": 0.0,
    }  # fmt: skip


LOAD: dict[str, Any] = {
    "items": [
        {
            "shard": "s007",
            "requests_per_s": 40.0,
            "bytes_per_s": 12_345.6,
            "origins": [origin("ap-southeast-1", 20, 10), origin("eu-central-1", 10, 0)],
        }
    ],
    "node": "eu-central-1-n1",
    "whole": True,
    "reporters": [{"node": "us-east-1-n1", "behind": 3_000}],
}
LATENCY = {
    "items": [
        {
            "from_region": "ap-southeast-1", "to_region": "eu-central-1", "round_trip_ms": 310.5,
            "source": "measured", "samples": 64, "p50_ms": 310.5, "p99_ms": 340.0,
            "prior_ms": 160.0, "override_ms": None,
        },
        {
            "from_region": "eu-central-1", "to_region": "ap-southeast-1", "round_trip_ms": 160.0,
            "source": "prior", "samples": 0, "p50_ms": None, "p99_ms": None,
            "prior_ms": 160.0, "override_ms": None,
        },
    ]
}  # fmt: skip


@pytest.mark.parametrize("columns", [80, 120])
def test_the_busiest_shards_and_where_their_clients_are(fleet: StubFleet, columns: int) -> None:
    fleet.document("/v1/placement/load", LOAD)
    result = leadplane("placement", "load", "--by", "bytes", "--top", "5", columns=columns)
    assert result.exit_code == 0, result.output
    assert fleet.asked[-1].query == {"busiest_by": "bytes", "limit": "5"}
    assert "ap-southeast-1 75%, eu-central-1 25%" in result.stdout
    assert max(len(line) for line in result.stdout.splitlines()) <= columns
    assert "Not every node" not in result.stdout


def test_a_table_that_is_not_whole_says_who_goes_on(fleet: StubFleet) -> None:
    fleet.document("/v1/placement/load", LOAD | {"whole": False})
    assert "us-east-1-n1 go on." in leadplane("placement", "load").stdout


@pytest.mark.parametrize("columns", [80, 120])
def test_distances_with_their_source(fleet: StubFleet, columns: int) -> None:
    fleet.document("/v1/placement/latency", LATENCY)
    result = leadplane("placement", "latency", columns=columns)
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert "measured" in lines[1]
    assert lines[2][-4:] == ["prior", "-", "-", "0"]
    assert max(len(line) for line in result.stdout.splitlines()) <= columns
    assert json.loads(leadplane("placement", "latency", "-o", "json").stdout) == LATENCY
