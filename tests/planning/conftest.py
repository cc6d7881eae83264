"""A fleet in memory whose global leader carries orders out."""

from __future__ import annotations

import pytest

from controlplane.node.directory import MAP, MAP_PREFIX
from controlplane.node.load_reports import Gathered
from controlplane.requests import Put, Write, Written
from regions.latency_matrix import LatencyMatrix
from shards.load_table import LoadTable
from tests.api.fake_service import SHARDS, FakeFleet, FakeService


@pytest.fixture
async def leader() -> FakeService:
    """The node that leads the system shard, and all others, whose map is written down."""
    fleet = FakeFleet()
    service = fleet.add("n1", "eu")
    fleet.add("n2", "us")
    fleet.lead("n1")
    table = LoadTable()
    for node, region in (("n1", "eu"), ("n2", "us")):
        table.take(node, region, [], 0, 0)  # everybody has reported
    service.reported = Gathered(1, 0, 0, table, LatencyMatrix({}))
    for shard in SHARDS:
        row = service.map_row(shard)
        assert row is not None
        outcome = await service.submit(
            Write("system", (Put(MAP, MAP_PREFIX + shard, row.packed()),))
        )
        assert isinstance(outcome, Written)
    return service
