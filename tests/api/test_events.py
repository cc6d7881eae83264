"""Life-cycle events over HTTP: pages of the record, filters, what is left of old ones."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from controlplane.api import event_pages
from controlplane.node.event_records import (
    EARLIER,
    HEAD_KEY,
    HOUR_MS,
    PARTITION,
    EventHead,
    EventRecord,
    hour_key,
    packed_counts,
    record_key,
)
from controlplane.requests import Problem, Refused, Scan, Tenures, Value
from tests.api.listening import Fleet, Node, document, kind

EVENTS = [
    EventRecord(
        n, ("elected", "fenced", "transferred")[n % 3], f"s{n % 2}", "global", n, f"n{n % 2}", "eu",
        1_000 * n, 1_000 * n + 5, "n1-1", n, {"why": "a test"},
    )
    for n in range(4, 14)
]  # fmt: skip


@pytest.fixture
def kept(node: Node) -> Node:
    """A node whose system shard keeps events 4 to 13, and counts of those before."""
    keep(node)
    return node


def keep(node: Node) -> None:
    shard = node.service.fleet_of.shards["system"]
    for record in EVENTS:
        shard.values[record.key] = (PARTITION, Value(9, record.packed()))
    head = EventHead(13, 4, 3_005, "aa")
    shard.values[HEAD_KEY] = (PARTITION, Value(9, head.packed()))


async def numbers(node: Node, query: str = "") -> list[int]:
    page = document(await node.get(f"/v1/events/kept{query}"))
    return [item["sequence"] for item in page["items"]]


async def test_a_page_says_all_of_each_event_and_what_it_does_not_know(kept: Node) -> None:
    page = document(await kept.get("/v1/events/kept?limit=1"))
    assert page["items"] == [
        {
            "sequence": 4, "kind": "fenced", "shard": "s0", "group": "global", "epoch": 4,
            "node": "n0", "region": "eu", "wall_ms": 4_000, "recorded_ms": 4_005,
            "process": "n1-1", "number": 4, "detail": {"why": "a test"},
        }
    ]  # fmt: skip
    assert page["summarised_before"] == {"sequence": 4, "wall_ms": 3_005}
    assert page["staleness_ms"] == 0


async def test_without_events_there_is_an_empty_page(node: Node) -> None:
    page = document(await node.get("/v1/events/kept"))
    assert page == {
        "items": [], "staleness_ms": 0, "summarised_before": {"sequence": 1, "wall_ms": None}
    }  # fmt: skip


async def test_events_come_in_pages_oldest_first(kept: Node) -> None:
    page = document(await kept.get("/v1/events/kept?limit=3"))
    found = [item["sequence"] for item in page["items"]]
    while "continue" in page:
        page = document(await kept.get(f"/v1/events/kept?limit=3&continue={page['continue']}"))
        found += [item["sequence"] for item in page["items"]]
    assert found == list(range(4, 14))
    page = document(await kept.get("/v1/events/kept?limit=3"))
    other = await kept.get(f"/v1/events/kept?limit=3&kind=fenced&continue={page['continue']}")
    assert kind(other) == "invalid"


async def test_events_are_found_by_shard_kind_node_and_time(kept: Node) -> None:
    assert await numbers(kept, "?shard=s1") == [5, 7, 9, 11, 13]
    assert await numbers(kept, "?kind=elected") == [6, 9, 12]
    assert await numbers(kept, "?node=n0&kind=elected") == [6, 12]
    assert await numbers(kept, "?since=7000&until=9000") == [7, 8]
    assert await numbers(kept, "?shard=s9") == []
    first = document(await kept.get("/v1/events/kept?shard=s1&limit=2"))
    rest = f"?shard=s1&limit=9&continue={first['continue']}"
    assert await numbers(kept, rest) == [9, 11, 13]


async def test_reading_begins_near_the_time_asked_for(
    kept: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = document(await kept.get("/v1/events/kept"))["items"]
    monkeypatch.setattr(event_pages, "SCANNED_AT_ONCE", 2)
    monkeypatch.setattr(event_pages, "CLOCKS_MS_MAX", 0)
    for since_ms in range(1, 15_000, 500):
        wanted = [each["sequence"] for each in everything if each["wall_ms"] >= since_ms]
        assert await numbers(kept, f"?since={since_ms}") == wanted, since_ms
    kept.service.asked.clear()
    assert await numbers(kept, "?since=13000") == [13]
    behind = [ask.after for ask in kept.service.asked if isinstance(ask, Scan) and ask.limit > 1]
    assert min(behind) >= record_key(10), "the oldest events are not looked at"


async def test_an_event_of_a_clock_that_is_ahead_is_found(
    kept: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_pages, "SCANNED_AT_ONCE", 2)
    monkeypatch.setattr(event_pages, "CLOCKS_MS_MAX", 6_000)
    ahead = replace(EVENTS[3], wall_ms=EVENTS[3].recorded_ms + 5_990)  # record 7
    shard = kept.service.fleet_of.shards["system"]
    shard.values[ahead.key] = (PARTITION, Value(9, ahead.packed()))
    assert await numbers(kept, "?since=12990") == [7, 13]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("since=1h", "since"), ("until=-1", "until"), ("kind=burned", "kind"), ("limit=0", "limit"),
        ("continue=x", "continue"), ("colour=red", "colour"),
    ],
)  # fmt: skip
async def test_what_is_asked_badly_is_refused_by_name(
    kept: Node, query: str, parameter: str
) -> None:
    refused = await kept.get(f"/v1/events/kept?{query}")
    assert (refused.status, kind(refused)) == (400, "invalid")
    assert [error["parameter"] for error in document(refused)["errors"]] == [parameter]


async def test_any_node_answers_from_its_own_copy_and_says_how_old_that_is(fleet: Fleet) -> None:
    leads, other = await fleet.node("n1", "eu"), await fleet.node("n2", "us")
    fleet.fake.lead("n1")
    keep(leads)
    page = document(await other.get("/v1/events/kept"))
    assert len(page["items"]) == 10
    assert page["staleness_ms"] == other.service.staleness_ms
    other.service.staleness_ms = None
    assert document(await other.get("/v1/events/kept"))["staleness_ms"] is None
    assert leads.service.asked == []


async def test_a_copy_that_cannot_be_read_is_said(kept: Node) -> None:
    kept.service.answer = lambda request: Refused(Problem.NO_QUORUM, "no store answers")
    refused = await kept.get("/v1/events/kept")
    assert (refused.status, kind(refused)) == (503, "no-quorum")
    kept.service.answer = None
    shard = kept.service.fleet_of.shards["system"]
    shard.values[EVENTS[3].key] = (PARTITION, Value(9, b"\xc1"))
    assert kind(await kept.get("/v1/events/kept")) == "not-ready"


async def test_what_is_not_kept_any_more_is_counted_by_the_hour(kept: Node) -> None:
    assert document(await kept.get("/v1/events/summary")) == {"items": []}
    shard = kept.service.fleet_of.shards["system"]
    hours = {
        EARLIER: Counter({("fenced", "global"): 5}),
        7: Counter({("elected", "global"): 2, ("stuck", ""): 1}),
        8: Counter({("elected", "global"): 1}),
    }
    for hour, counts in hours.items():
        shard.values[hour_key(hour)] = (PARTITION, Value(9, packed_counts(counts)))
    items: list[dict[str, Any]] = []
    page = document(await kept.get("/v1/events/summary?limit=2"))
    items += page["items"]
    page = document(await kept.get(f"/v1/events/summary?limit=2&continue={page['continue']}"))
    items += page["items"]
    assert [(hour["since_ms"], hour["until_ms"]) for hour in items] == [
        (None, 7 * HOUR_MS), (7 * HOUR_MS, 8 * HOUR_MS), (8 * HOUR_MS, 9 * HOUR_MS),
    ]  # fmt: skip
    assert items[1]["counts"] == [
        {"kind": "elected", "group": "global", "count": 2},
        {"kind": "stuck", "group": "", "count": 1},
    ]


async def test_tenures_that_overlap_are_said_with_the_history(node: Node) -> None:
    def line(epoch: int, sequence: int, goes_on: int) -> dict[str, Any]:
        return {"shard": "s1", "epoch": epoch, "node": "n1", "previous": [sequence, goes_on, 7]}

    good = (line(1, 0, 0), line(2, 5, 1), line(4, 9, 2))
    node.service.answer = lambda request: Tenures("s1", good)
    page = document(await node.get("/v1/shards/s1/history?limit=1"))
    assert (page["overlap_free"], page["problems"]) == (True, [])
    bad = (*good[:2], line(4, 5, 1))
    node.service.answer = lambda request: Tenures("s1", bad)
    page = document(await node.get("/v1/shards/s1/history?limit=1"))
    assert not page["overlap_free"]
    assert "epoch 4 goes on behind an entry of epoch 1" in page["problems"][0]
