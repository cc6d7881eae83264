"""Looks at the routing table: at what changed, at a few rows in turn, at all of it seldom."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from controlplane.api import table_feed
from controlplane.api.settings import ApiSettings
from controlplane.api.table_feed import IN_TURN, TableFeed
from controlplane.views import ShardView
from tests.api.fake_service import FakeFleet, FakeService
from tests.api.fake_shard import FakeShard

MANY = 4 * IN_TURN


class CountingService(FakeService):
    """Counts what it is asked of rows."""

    def __init__(self, fleet: FakeFleet) -> None:
        self.rows_asked: list[str] = []
        super().__init__(fleet, "n1", "eu")

    def shard_view(self, shard: str) -> ShardView | None:
        self.rows_asked.append(shard)
        return super().shard_view(shard)


@pytest.fixture
def service() -> CountingService:
    """A node that knows very many shards."""
    fleet = FakeFleet()
    fleet.shards |= {f"m{n}": FakeShard(f"m{n}", 0, 4) for n in range(MANY)}
    found = CountingService(fleet)
    fleet.nodes["n1"] = found
    fleet.lead("n1")
    return found


def feed_of(service: FakeService, interval_ms: int = 0) -> TableFeed:
    return TableFeed(service, ApiSettings(table_interval_ms=interval_ms))


def told(feed: TableFeed, since: int) -> list[dict[str, Any]]:
    """The changes behind a revision."""
    frames = feed.journal.after(since)
    return [orjson.loads(frame.split(b"data: ")[1]) for frame in frames]


async def test_a_look_takes_what_changed_and_a_few_rows_in_turn(service: CountingService) -> None:
    feed = feed_of(service)
    feed.look_at_all()
    since = feed.journal.newest
    for shard in ("m7", "m3"):
        service.fleet_of.shards[shard].epoch += 1
        service.known[shard] = (service.fleet_of.shards[shard].epoch, "n1")
    service.rows_asked.clear()
    feed.on_table({"m7", "m3"})
    await feed.settle()
    assert len(service.rows_asked) <= IN_TURN + 2
    (change,) = told(feed, since)
    assert [row["shard"] for row in change["shards"]] == ["m3", "m7"]
    assert {row["epoch"] for row in change["shards"]} == {3}


async def test_every_row_has_its_turn(
    service: CountingService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_feed, "TURN_S", 0)
    feed = feed_of(service)
    feed.look_at_all()
    service.rows_asked.clear()
    for _ in range(MANY // IN_TURN + 2):
        feed.look()
    assert set(service.rows_asked) == service.known.keys()


async def test_a_change_that_nobody_spoke_of_is_found(
    service: CountingService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_feed, "TURN_S", 0.001)
    feed = feed_of(service)
    feed.look_at_all()
    since = feed.journal.newest
    service.known["m1999"] = (9, None)  # its leader has fallen silent
    async with asyncio.timeout(10):
        while not told(feed, since):
            await feed.settle()
            await feed.journal.changed()  # nobody wakes us but the feed itself
    assert [row["shard"] for row in told(feed, since)[0]["shards"]] == ["m1999"]
    feed.close()


async def test_the_whole_table_is_compared_seldom(service: CountingService) -> None:
    feed = feed_of(service, interval_ms=60_000)
    _, first = feed.table()
    service.rows_asked.clear()
    service.known["m5"] = (9, None)
    service.changed({"m5"})
    feed.on_table({"m5"})
    body, tag = feed.table()
    assert tag != first
    rows = {row["shard"]: row for row in orjson.loads(body)["shards"]}
    assert (rows["m5"]["epoch"], len(rows)) == (9, len(service.known))
    assert len(service.rows_asked) <= IN_TURN + 1


async def test_rows_stand_by_slot_and_the_system_last(service: CountingService) -> None:
    feed = feed_of(service)
    feed.look_at_all()
    service.fleet_of.shards["new"] = FakeShard("new", 1, 2)
    service.known["new"] = (1, None)
    feed.on_table({"new"})
    feed.look()
    rows = orjson.loads(feed.table()[0])["shards"]
    slots = [row["first_slot"] for row in rows[:-1]]
    assert slots == sorted(slots)
    assert rows[-1]["shard"] == "system"
    assert "new" in {row["shard"] for row in rows}
