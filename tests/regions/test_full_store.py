"""A store whose memory is full: what is refused there, and what goes on all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controlplane.store_config import find_store_binary
from regions.codec import FORMAT, Reply
from regions.redis_store import RedisStore
from regions.store import StoreAddress, StoreRoom
from shards.entry import Entry, write_entry
from shards.scripts.library import leadplane_library
from tests.servers import RIGHT_SETTINGS, Server, running

GROUP = "g"
SID = "p/1"
SMALL = b"v" * 100
LARGE = b"v" * 100_000
WAIT_S = 20


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running("full", find_store_binary(), RIGHT_SETTINGS, tmp_path) as found:
        yield found


class Talk:
    """An open lane, one call after the other."""

    def __init__(self, server: Server) -> None:
        self.lost = asyncio.get_running_loop().create_future()
        address = StoreAddress("127.0.0.1", server.port)
        self.lane = RedisStore(
            address, self.lost.set_result, leadplane_library(), may_be_empty=True
        )
        self.header: list[Any] = [FORMAT, "", "", 0]

    async def call(self, *commands: list[Any]) -> Reply:
        answer = asyncio.get_running_loop().create_future()
        self.lane.send(self.header, list(commands), answer.set_result)
        return await asyncio.wait_for(answer, WAIT_S)

    async def codes(self, *commands: list[Any]) -> list[str]:
        """The code of each command, or that of the whole call when it was refused."""
        reply = await self.call(*commands)
        return [result[0] for result in reply.results] if reply.code == "OK" else [reply.code]

    async def room(self) -> StoreRoom:
        answer = asyncio.get_running_loop().create_future()
        self.lane.look(answer.set_result)
        return await asyncio.wait_for(answer, WAIT_S)

    async def become_leader(self) -> None:
        await self.lane.open()
        minted = await self.call(["mint", "", 0, "s1", "nonce"])
        self.header = [FORMAT, minted.incarnation, "p", 1]
        prepare = ["prepare", GROUP, 1, "a", "1", SID, ["free"]]
        register = ["register", GROUP, 1, SID, "n", "eu", "u"]
        assert await self.codes(["install", GROUP, 1, b"d"], register, prepare) == ["OK"] * 3


def append(before: Entry, *entries: Entry) -> list[Any]:
    blobs = [entry.blob for entry in entries]
    place = [before.sequence, str(before.epoch), before.chain]
    return ["append", GROUP, 1, "a", "1", SID, *place, blobs, before.sequence, 0]


def entry_after(before: Entry, value: bytes) -> Entry:
    sequence = before.sequence + 1
    effects = [["p", "p", f"k{sequence}", value, sequence]]
    return write_entry(before.sequence, before.chain, 1, effects)


NOTHING = Entry(0, 0, 0, b"")


async def test_a_full_store_takes_what_was_admitted_and_no_copies(server: Server) -> None:
    talk = Talk(server)
    await talk.become_leader()
    first = entry_after(NOTHING, LARGE)
    with server.client() as admin:
        admin.config_set("maxmemory", 1)
    renew = ["renew", GROUP, 1, SID, 1, 0, 0, []]
    assert await talk.codes(append(NOTHING, first), renew) == ["OK", "OK"]
    page = [["p\0k", b"1 " + LARGE]]
    assert await talk.codes(["stage", GROUP, 1, "a", "1", SID, 1, "kv", page]) == ["OOM"]
    assert await talk.codes(append(first)) == ["OK"]
    trim = ["trim", GROUP, 1, "a", "1", SID, 1]
    release = ["release", GROUP, 1, "a", "1", SID]
    assert await talk.codes(trim, release) == ["OK", "OK"]
    assert not talk.lost.done()
    talk.lane.close()


async def test_a_full_store_is_sealed_read_out_and_switched_but_takes_no_merge(
    server: Server,
) -> None:
    talk = Talk(server)
    await talk.become_leader()
    with server.client() as admin:
        admin.config_set("maxmemory", 1)
    ballot, accept = ["ballot", GROUP, 1, 1, "p"], ["accept", GROUP, 1, 1, "p", b"next"]
    assert await talk.codes(ballot, accept, ["seal", GROUP, 1, b"next", 2]) == ["OK"] * 3
    dump, log = ["dump", GROUP, 1, "", 9_999, 1], ["range", GROUP, 1, "a", 0, 9_999]
    assert await talk.codes(dump, log) == ["OK", "OK"]
    nothing = ["0", "0", "0", "", 0, 0, 0, b"", 1, [], "0", 0, 0, 0]
    assert await talk.codes(["merge", GROUP, 2, "a", "1/p", *nothing]) == ["OOM"]
    assert await talk.codes(["finish_install", GROUP, 2, "1/p", 1, b"next"]) == ["GAP"]
    assert await talk.codes(["finish_install", GROUP, 2, "1/p", 0, b"next"]) == ["OK"]
    talk.lane.close()


async def test_a_call_that_was_refused_leaves_nothing_to_vouch_for(server: Server) -> None:
    """The append behind a refused one is a gap, and with it goes the mark of freshness."""
    talk = Talk(server)
    await talk.become_leader()
    first = entry_after(NOTHING, SMALL)
    vouched = [*append(NOTHING, first)[:-2], 1, 1]
    assert await talk.codes(vouched) == ["OK"]
    read = ["read", GROUP, 1, "a", "", 0, [], []]
    assert (await talk.call(read)).results[0][7] == 1
    with server.client() as admin:
        admin.config_set("maxmemory", 1)
    second = entry_after(first, SMALL)
    assert await talk.codes(append(first, second), ["admit", GROUP, 1, "run"]) == ["OOM"]
    assert await talk.codes(append(second)) == ["GAP"]
    assert (await talk.call(read)).results[0][7] == 0
    talk.lane.close()


async def test_a_lane_says_how_much_room_its_store_has(server: Server, tmp_path: Path) -> None:
    talk = Talk(server)
    await talk.become_leader()
    unlimited = await talk.room()
    with server.client() as admin:
        admin.config_set("maxmemory", 64 << 20)
        machine = admin.info("memory")["total_system_memory"]
    limited = await talk.room()
    assert (unlimited.memory_max_bytes, limited.memory_max_bytes) == (machine, 64 << 20)
    assert 0 < limited.memory_used_bytes < 64 << 20
    assert limited.disk_free_bytes is not None
    assert limited.disk_size_bytes is not None
    assert 0 < limited.disk_free_bytes < limited.disk_size_bytes
    order = ["renew", GROUP, 1, SID, 1, 0, 0, []]
    looks, calls = talk.room(), talk.codes(order)
    assert (await asyncio.gather(looks, calls))[1] == ["OK"]
    talk.lane.close()


async def test_without_the_files_of_the_store_nothing_is_said_of_its_disk(tmp_path: Path) -> None:
    """A folder of that name may be here by chance, while the store is in a container."""
    settings = RIGHT_SETTINGS | {"appendonly": "no"}
    with running("no files", find_store_binary(), settings, tmp_path) as server:
        heard: asyncio.Future[StoreRoom] = asyncio.get_running_loop().create_future()
        lane = RedisStore(
            StoreAddress("127.0.0.1", server.port),
            lambda why: None,
            leadplane_library(),
            ephemeral=True,
            may_be_empty=True,
        )
        await lane.open()
        lane.look(heard.set_result)
        assert (await asyncio.wait_for(heard, WAIT_S)).disk_free_bytes is None
        lane.close()
