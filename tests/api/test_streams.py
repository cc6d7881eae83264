"""Event streams: a snapshot, then changes; interrupted and resumed; limited and let go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from controlplane.api.journal import Journal
from controlplane.api.settings import ApiSettings
from controlplane.problems import RequestRefused
from tests.api.listening import Fleet, Node, document, kind, until

QUICK = ApiSettings(table_interval_ms=0, heartbeat_ms=50)


@dataclass(frozen=True)
class Event:
    """One event as a client sees it; a comment has kind `:`."""

    kind: str
    revision: int
    data: Any


class Stream:
    """The client's end of an event stream."""

    def __init__(self, reader: asyncio.StreamReader, head: str) -> None:
        self._reader = reader
        self.status = int(head.split()[1])
        self.head = head
        self._text = b""

    async def next(self) -> Event:
        """The next event or comment. Raises EOFError at the end of the stream."""
        async with asyncio.timeout(5):
            while b"\n\n" not in self._text:
                self._text += await self._chunk()
        raw, _, self._text = self._text.partition(b"\n\n")
        fields = dict(line.split(b": ", 1) for line in raw.split(b"\n"))
        if b"data" not in fields:
            return Event(":", 0, raw.decode())
        revision = int(fields.get(b"id", b"0"))
        return Event(fields[b"event"].decode(), revision, orjson.loads(fields[b"data"]))

    async def event(self) -> Event:
        """The next event that is no comment."""
        while (found := await self.next()).kind == ":":
            pass
        return found

    async def _chunk(self) -> bytes:
        size = int((await self._reader.readline()) or b"0", 16)
        if size == 0:
            raise EOFError
        chunk = await self._reader.readexactly(size)
        await self._reader.readline()
        return chunk


@asynccontextmanager
async def watch(node: Node, path: str, **headers: str) -> AsyncIterator[Stream]:
    """Open a stream; the connection is cut at the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", node.server.port)
    fields = {"Host": "n", "Accept": "text/event-stream"}
    fields |= {name.replace("_", "-"): text for name, text in headers.items()}
    head = "".join(f"{name}: {text}\r\n" for name, text in fields.items())
    try:
        writer.write(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        yield Stream(reader, answer.decode())
    finally:
        writer.transport.abort()


async def until_ended(stream: Stream) -> None:
    """Read whatever still comes."""
    with suppress(EOFError):
        while (await stream.next()).kind == ":":
            continue
        raise AssertionError("an event came where the end was expected")


@pytest.fixture
async def quick(fleet: Fleet) -> Node:
    """A node that tells its watchers at once."""
    node = await fleet.node("n1", "eu", QUICK)
    fleet.fake.lead("n1")
    return node


# ---------------------------------------------------------------- the routing table


async def test_the_table_comes_whole_and_then_as_it_changes(quick: Node) -> None:
    async with watch(quick, "/v1/routes") as stream:
        assert stream.status == 200
        assert "Content-Type: text/event-stream" in stream.head
        assert "X-Request-Id: n1-process-1" in stream.head
        first = await stream.event()
        assert first.kind == "snapshot"
        assert first.data == document(await quick.get("/v1/routes"))
        assert first.data["revision"] == first.revision
        shards = {row["shard"]: row for row in first.data["shards"]}
        assert shards.keys() == {"s0", "s1", "s2", "s3", "system"}
        quick.service.fleet_of.lead("n1", "s1", "s3")
        change = await stream.event()
        assert change.kind == "change"
        assert change.revision == first.revision + 1
        assert change.data == {
            "revision": change.revision,
            "map_version": 1,
            "leadership_revision": quick.service.leadership_revision,
            "shards": [shards["s1"] | _epoch(shards["s1"]), shards["s3"] | _epoch(shards["s3"])],
            "removed": [],
        }
        del quick.service.known["s2"]
        quick.service.map_version += 1
        quick.service.changed({"s2"})
        removal = await stream.event()
        assert (removal.data["shards"], removal.data["removed"]) == ([], ["s2"])
        assert removal.data["map_version"] == 2


def _epoch(row: dict[str, Any]) -> dict[str, Any]:
    return {"epoch": 3, "leader": row["leader"] | {"epoch": 3}}


async def test_a_stream_goes_on_where_it_was_left(quick: Node) -> None:
    async with watch(quick, "/v1/routes") as stream:
        first = await stream.event()
        quick.service.fleet_of.lead("n1", "s0")
        seen = await stream.event()
    quick.service.fleet_of.lead("n1", "s1")
    quick.service.fleet_of.lead("n1", "s2")
    for path, headers in (
        (f"/v1/routes?from={seen.revision}", {}),
        ("/v1/routes", {"Last_Event_ID": str(seen.revision)}),
        (f"/v1/routes?from={seen.revision}", {"Last_Event_ID": "1"}),
    ):
        async with watch(quick, path, **headers) as stream:
            # Nobody watched in between, so both changes are one.
            change = await stream.event()
            assert change.revision == seen.revision + 1
            assert [row["shard"] for row in change.data["shards"]] == ["s1", "s2"]
    async with watch(quick, f"/v1/routes?from={first.revision}") as stream:
        again = [await stream.event() for _ in range(2)]
        assert [event.revision for event in again] == [seen.revision, seen.revision + 1]
        assert again[0] == seen


async def test_what_was_compacted_is_gone(fleet: Fleet) -> None:
    settings = ApiSettings(table_interval_ms=0, table_changes_max=2)
    node = await fleet.node("n1", "eu", settings)
    fleet.fake.lead("n1")
    revisions = [document(await node.get("/v1/routes"))["revision"]]
    for _ in range(4):
        fleet.fake.lead("n1", "s0")
        revisions.append(document(await node.get("/v1/routes"))["revision"])
    for gone in (revisions[0], revisions[1], revisions[-1] + 1):
        reply = await node.get(f"/v1/routes?from={gone}", Accept="text/event-stream")
        assert (reply.status, kind(reply)) == (410, "compacted")
        assert document(reply)["oldest"] == revisions[3]
        assert document(reply)["newest"] == revisions[4]
    async with watch(node, f"/v1/routes?from={revisions[2]}") as stream:
        assert (await stream.event()).revision == revisions[3]


async def test_revisions_of_another_node_are_not_taken_for_ours(fleet: Fleet) -> None:
    one, other = await fleet.node("n1", "eu"), await fleet.node("n2", "us")
    for giver, taker in ((one, other), (other, one)):
        revision = document(await giver.get("/v1/routes"))["revision"]
        reply = await taker.get(f"/v1/routes?from={revision}", Accept="text/event-stream")
        assert reply.status == 410


async def test_a_table_that_is_still_the_same_is_not_sent_again(quick: Node) -> None:
    first = await quick.get("/v1/routes")
    tag = first.headers["ETag"]
    assert (
        tag == f'"1.{quick.service.leadership_revision}.{document(first)["revision"]}.n1-process"'
    )
    same = await quick.get("/v1/routes", If_None_Match=tag)
    assert (same.status, same.body, same.headers["ETag"]) == (304, b"", tag)
    quick.service.fleet_of.lead("n1", "s0")
    other = await quick.get("/v1/routes", If_None_Match=tag)
    assert other.status == 200
    assert other.headers["ETag"] != tag


async def test_a_change_that_is_none_is_not_told(quick: Node) -> None:
    async with watch(quick, "/v1/routes") as stream:
        first = await stream.event()
        quick.service.changed({"s1"})
        quick.service.fleet_of.lead("n1", "s0")
        assert (await stream.event()).revision == first.revision + 1


async def test_many_changes_in_a_moment_become_one(fleet: Fleet) -> None:
    node = await fleet.node("n1", "eu", ApiSettings(table_interval_ms=200))
    fleet.fake.lead("n1")
    async with watch(node, "/v1/routes") as stream:
        await stream.event()
        for _ in range(5):
            fleet.fake.lead("n1", "s0")
            await node.get("/livez")
        change = await stream.event()
        assert change.data["shards"][0]["epoch"] == 7


# ---------------------------------------------------------------- life-cycle events


async def test_events_come_as_they_happen(quick: Node) -> None:
    quick.service.happen("elected", "s0", 1)
    async with watch(quick, "/v1/events") as stream:
        await until(lambda: quick.edge.streams == 1)
        quick.service.happen("fenced", "s2", 7)
        told = await stream.event()
        assert told.kind == "fenced"
        wall_ms = told.data.pop("wall_ms")
        assert abs(wall_ms * 1_000 - told.revision) < 60_000_000
        assert told.data == {
            "revision": told.revision,
            "kind": "fenced",
            "shard": "s2",
            "epoch": 7,
            "detail": {"why": "a test"},
        }
    quick.service.happen("resigned")
    async with watch(quick, "/v1/events", Last_Event_ID=str(told.revision)) as stream:
        assert (await stream.event()).kind == "resigned"
    async with watch(quick, "/v1/events?from=0") as stream:
        kinds = [(await stream.event()).kind for _ in range(3)]
        assert kinds == ["elected", "fenced", "resigned"]


async def test_silence_is_broken_by_a_sign_of_life(quick: Node) -> None:
    for path in ("/v1/events", "/v1/routes?from=0"):
        async with watch(quick, path) as stream:
            signs = [await stream.next() for _ in range(3)]
            assert [sign.kind for sign in signs] == [":", ":", ":"]


# ---------------------------------------------------------------- limits


async def test_streams_are_limited_and_places_come_back(fleet: Fleet) -> None:
    node = await fleet.node("n1", "eu", ApiSettings(streams_max=1, heartbeat_ms=20))
    async with watch(node, "/v1/events"):
        await until(lambda: node.edge.streams == 1)
        refused = await node.get("/v1/routes", Accept="text/event-stream")
        assert (refused.status, kind(refused)) == (503, "too-many-streams")
        assert document(refused)["limit"] == 1
        assert (await node.get("/v1/routes")).status == 200
    # The client cut the connection: its place is free again.
    await until(lambda: node.edge.streams == 0)
    async with watch(node, "/v1/events") as stream:
        assert stream.status == 200


async def test_streams_end_when_the_server_stops(fleet: Fleet) -> None:
    node = await fleet.node("n1", "eu")
    async with watch(node, "/v1/events") as events, watch(node, "/v1/routes") as routes:
        await until(lambda: node.edge.streams == 2)
        await routes.event()
        async with asyncio.timeout(3):
            await node.server.stop()
        for stream in (events, routes):
            await until_ended(stream)
    assert node.service.subscriptions == []


async def test_a_client_that_does_not_read_is_let_go(fleet: Fleet) -> None:
    node = await fleet.node("n1", "eu", ApiSettings(stall_ms=50, heartbeat_ms=50))
    async with watch(node, "/v1/events"):
        await until(lambda: node.edge.streams == 1)
        for _ in range(1_000):
            node.service.happen("x" * 20_000)
        await until(lambda: node.edge.streams == 0)


async def test_a_watcher_that_falls_behind_is_told(fleet: Fleet) -> None:
    node = await fleet.node("n1", "eu", ApiSettings(events_max=3))
    async with watch(node, "/v1/events") as stream:
        await until(lambda: node.edge.streams == 1)
        for _ in range(5):
            node.service.happen("elected")
        told = await stream.event()
        assert (told.kind, told.data["status"]) == ("compacted", 410)
        with pytest.raises(EOFError):
            await stream.event()


# ---------------------------------------------------------------- the journal


async def test_a_journal_keeps_the_last_events() -> None:
    journal = Journal(3, clock_us=lambda: 100)
    assert (journal.oldest, journal.newest) == (101, 100)
    assert journal.after(100) == []
    for number in range(5):
        assert journal.append("k", {"n": number}) == 101 + number
    assert (journal.oldest, journal.newest) == (103, 105)
    assert journal.after(105) == []
    assert journal.after(104) == [b'id: 105\nevent: k\ndata: {"revision":105,"n":4}\n\n']
    assert len(journal.after(102)) == 3
    for gone in (101, 106, 0):
        with pytest.raises(RequestRefused, match="begin anew"):
            journal.after(gone)
