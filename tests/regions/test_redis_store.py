"""Lanes to real servers: what they refuse, how they end, that calls keep their order."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from controlplane.store_config import find_store_binary
from regions.codec import FORMAT, Code, Reply
from regions.conversation import conversation
from regions.errors import (
    RegionsError,
    StoreOutcomeUnknown,
    StoreReplyMalformed,
    StoreUnavailable,
    StoreUnsuitable,
)
from regions.redis_store import RedisStore
from regions.store import ByteCount, OnLost, StoreAddress, StoreIdentity, StoreStatus
from regions.store_errors import (
    AccessDenied,
    ForeignData,
    LibraryDiffers,
    ServerClustered,
    ServerMisconfigured,
    ServerReplicated,
    StoreForgot,
    WrongStore,
)
from shards.scripts.library import leadplane_library
from tests.servers import RIGHT_SETTINGS, Server, free_port, running

GROUP = "region/eu"
WAIT_S = 20


@pytest.fixture(scope="module", params=["valkey", "redis"])
def server(request: pytest.FixtureRequest, needs_binary: Callable[[str], Path]) -> Iterator[Server]:
    """A server with the right settings; the tests put back what they change."""
    kind: str = request.param
    binary = find_store_binary() if kind == "valkey" else needs_binary("redis-server")
    with running(kind, binary, RIGHT_SETTINGS) as found:
        yield found


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    """A client of an empty server that knows no functions."""
    with server.client() as found:
        found.flushall()
        found.function_flush()
        yield found


def address(server: Server) -> StoreAddress:
    return StoreAddress("127.0.0.1", server.port)


def lane_to(server: Server, on_lost: OnLost = lambda why: None, **options: Any) -> RedisStore:
    return RedisStore(address(server), on_lost, leadplane_library(), **options)


@asynccontextmanager
async def opened(server: Server, **options: Any) -> AsyncIterator[StoreStatus]:
    async with conversation(lambda lost: lane_to(server, lost, **options)) as talk:
        yield talk.status


async def refusal(server: Server, kind: type[RegionsError], **options: Any) -> str:
    """What a lane says when it refuses to open, which it must, with this kind of error."""
    with pytest.raises(kind) as caught:
        async with opened(server, **options):
            pass
    assert caught.value.hint
    assert str(server.port) in str(caught.value)
    return str(caught.value)


async def mint(server: Server, store_id: str = "a") -> StoreIdentity:
    """Give the server's store an identity and one group."""
    async with conversation(lambda lost: lane_to(server, lost, may_be_empty=True)) as talk:
        reply = await talk.call([FORMAT, "", "", 0], [["mint", "", 0, store_id, "nonce"]])
        header = [FORMAT, reply.incarnation, "", 0]
        reply = await talk.call(header, [["install", GROUP, 1, b"description"]])
        assert reply.results[0][0] == Code.OK
        return StoreIdentity(reply.store_id, reply.incarnation)


@contextmanager
def changed(client: redis.Redis, **settings: str) -> Iterator[None]:
    """Settings of a server, changed for the time of the block."""
    names = {name: name.replace("_", "-") for name in settings}
    before = {names[n]: client.config_get(names[n])[names[n]] for n in settings}
    for name, value in settings.items():
        client.config_set(names[name], value)
    try:
        yield
    finally:
        for name, value in before.items():
            client.config_set(name, value)


# ---------------------------------------------------------------- opening


async def test_an_open_lane_says_who_the_store_is(server: Server, client: redis.Redis) -> None:
    identity = await mint(server)
    async with opened(server, expected=identity) as status:
        assert status.identity == identity
        assert status.run_id == client.info("server")["run_id"]
        assert status.opseq == 2
        assert status.server.startswith(f"{server.name} ")
        assert status.groups == ((GROUP, 1, "open"),)


async def test_a_store_without_identity_is_refused(server: Server, client: redis.Redis) -> None:
    assert "empty" in await refusal(server, StoreForgot)
    async with opened(server, may_be_empty=True) as status:
        assert status.identity == StoreIdentity("", "")


async def test_a_store_that_forgot_is_refused(server: Server, client: redis.Redis) -> None:
    await mint(server)
    client.flushall()
    await refusal(server, StoreForgot)


async def test_another_store_or_incarnation_is_refused(server: Server, client: redis.Redis) -> None:
    identity = await mint(server)
    other = StoreIdentity("b", identity.incarnation)
    assert "'a'" in await refusal(server, WrongStore, expected=other)
    reborn = StoreIdentity("a", "0" * 16)
    assert "0" * 16 in await refusal(server, WrongStore, expected=reborn)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("appendonly", "no"),
        ("appendfsync", "everysec"),
        ("no-appendfsync-on-rewrite", "yes"),
        ("aof-load-truncated", "yes"),
        ("maxmemory-policy", "allkeys-lru"),
    ],
)
async def test_a_setting_that_forgets_is_refused_by_name(
    server: Server, client: redis.Redis, setting: str, value: str
) -> None:
    await mint(server)
    with changed(client, **{setting.replace("-", "_"): value}):
        message = await refusal(server, ServerMisconfigured)
    assert f"{setting} is {value}, must be {RIGHT_SETTINGS[setting]}" in message


async def test_an_ephemeral_store_may_forget_but_not_evict(
    server: Server, client: redis.Redis
) -> None:
    await mint(server)
    with changed(client, appendonly="no", appendfsync="no"):
        async with opened(server, ephemeral=True):
            pass
    with changed(client, maxmemory_policy="volatile-ttl"):
        await refusal(server, ServerMisconfigured, ephemeral=True)


async def test_keys_of_somebody_else_are_refused(server: Server, client: redis.Redis) -> None:
    await mint(server)
    client.set("session:17", "x")
    assert "'session:17'" in await refusal(server, ForeignData)


async def test_keys_in_another_database_are_refused(server: Server, client: redis.Redis) -> None:
    await mint(server)
    client.execute_command("SELECT", 3)
    client.set("lp:x", "x")
    assert "db3" in await refusal(server, ForeignData)


async def test_a_missing_library_is_loaded(server: Server, client: redis.Redis) -> None:
    await mint(server)
    client.function_flush()
    async with opened(server):
        pass
    assert len(client.function_list("leadplane")) == 1


async def test_a_library_of_another_release_is_refused(server: Server, client: redis.Redis) -> None:
    await mint(server)
    ours = leadplane_library()
    other = ours.code.replace(ours.digest, "0123456789abcdef")
    client.function_load(other, replace=True)
    assert "release 0123456789abcdef" in await refusal(server, LibraryDiffers)


async def test_a_library_of_somebody_else_is_refused(server: Server, client: redis.Redis) -> None:
    await mint(server)
    code = "#!lua name=leadplane\nredis.register_function('f', function() return 1 end)"
    client.function_load(code, replace=True)
    assert "somebody else" in await refusal(server, LibraryDiffers)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - anything may be waited for
            await asyncio.sleep(0.01)


async def test_a_replica_and_its_master_are_refused(server: Server, client: redis.Redis) -> None:
    def replicas() -> int:
        return int(client.info("replication")["connected_slaves"])

    with running("replica", server.binary, RIGHT_SETTINGS) as other, other.client() as replica:
        replica.replicaof("127.0.0.1", server.port)
        assert f"replica of 127.0.0.1:{server.port}" in await refusal(other, ServerReplicated)
        await until(lambda: replicas() == 1)
        assert "1 replica" in await refusal(server, ServerReplicated, may_be_empty=True)
    await until(lambda: replicas() == 0)


async def test_cluster_mode_is_refused(server: Server) -> None:
    clustered = {"cluster-enabled": "yes", "cluster-port": str(free_port())}
    with running("cluster", server.binary, RIGHT_SETTINGS | clustered) as other:
        assert "cluster" in await refusal(other, ServerClustered)


async def test_a_wrong_password_is_refused(server: Server) -> None:
    with ExitStack() as stack:
        other = stack.enter_context(running("locked", server.binary, RIGHT_SETTINGS))
        with other.client() as admin:
            admin.config_set("requirepass", "secret")
        await refusal(other, AccessDenied)
        with pytest.raises(AccessDenied):
            await RedisStore(
                StoreAddress("127.0.0.1", other.port, password="wrong"),
                lambda why: None,
                leadplane_library(),
            ).open()
        lane = RedisStore(
            StoreAddress("127.0.0.1", other.port, password="secret"),
            lambda why: None,
            leadplane_library(),
            may_be_empty=True,
        )
        await lane.open()
        lane.close()


async def test_a_killed_store_comes_back_as_who_it_was(server: Server, tmp_path: Path) -> None:
    with running("first", server.binary, RIGHT_SETTINGS, tmp_path) as first:
        identity = await mint(first)
        async with opened(first) as before:
            pass
    with running("second", server.binary, RIGHT_SETTINGS, tmp_path) as second:
        async with opened(second, expected=identity) as after:
            pass
    assert (after.opseq, after.groups) == (before.opseq, before.groups)
    assert after.run_id != before.run_id


async def test_nobody_listening_is_unavailable() -> None:
    nowhere = StoreAddress("127.0.0.1", free_port())
    with pytest.raises(StoreUnavailable) as caught:
        await RedisStore(nowhere, lambda why: None, leadplane_library()).open()
    assert caught.value.retryable
    assert not isinstance(caught.value, StoreUnsuitable)


async def test_a_silent_server_is_unavailable_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:  # accepts, and never says a word
        lane = RedisStore(
            StoreAddress("127.0.0.1", listening.getsockname()[1]),
            lambda why: None,
            leadplane_library(),
            open_ms_max=50,
        )
        with pytest.raises(StoreUnavailable, match="50 ms"):
            await lane.open()


# ---------------------------------------------------------------- calls


class Listener:
    """Keeps what a lane reports."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.lost: list[Exception] = []
        self.ended = asyncio.Event()
        self.enough = asyncio.Event()
        self.wanted = 1

    def on_reply(self, reply: Reply) -> None:
        self.replies.append(reply)
        if len(self.replies) >= self.wanted:
            self.enough.set()

    def on_lost(self, why: Exception) -> None:
        self.lost.append(why)
        self.ended.set()


@asynccontextmanager
async def lane(server: Server) -> AsyncIterator[tuple[RedisStore, Listener, list[Any]]]:
    """An open lane to a new store, with a header for it."""
    identity = await mint(server)
    listener = Listener()
    found = lane_to(server, listener.on_lost)
    await found.open()
    try:
        yield found, listener, [FORMAT, identity.incarnation, "p", 1]
    finally:
        found.close()


async def test_replies_come_in_the_order_of_the_calls(server: Server, client: redis.Redis) -> None:
    async with lane(server) as (ours, heard, header), asyncio.timeout(WAIT_S):
        heard.wanted = 201
        ours.send(header, [["register", GROUP, 1, "p/1", "n", "eu", "u"]], heard.on_reply)
        for number in range(200):
            counter = number // 2 + 1  # each counter twice: the second time it is stale
            ours.send(header, [["renew", GROUP, 1, "p/1", counter, 0, 0, []]], heard.on_reply)
        await heard.enough.wait()
    codes = [reply.results[0][0] for reply in heard.replies]
    assert codes == ["OK"] + ["OK", "STALE"] * 100
    opseqs = [reply.opseq for reply in heard.replies]
    assert opseqs == sorted(opseqs)


async def test_the_bytes_of_calls_and_replies_are_counted(
    server: Server, client: redis.Redis
) -> None:
    identity, heard, byte_count = await mint(server), Listener(), ByteCount()
    ours = lane_to(server, heard.on_lost, byte_count=byte_count)
    await ours.open()
    assert byte_count == ByteCount(), "what is asked before is not of a call"
    header, value = [FORMAT, identity.incarnation, "p", 1], b"x" * 200_000
    async with asyncio.timeout(WAIT_S):
        taken = client.info("stats")["total_net_input_bytes"]
        ours.send(header, [["place", GROUP, 1, "s", 1, value]], heard.on_reply)
        await heard.enough.wait()
        sent = byte_count.sent
        of_stats = client.info("stats")["total_net_input_bytes"] - taken - sent
        assert 0 < of_stats < 100, "the server got what was counted, and one INFO"
        heard.enough.clear()
        heard.wanted = 2
        few = byte_count.received
        ours.send(header, [["observe", GROUP, 1, 0, 10]], heard.on_reply)
        await heard.enough.wait()
    ours.close()
    assert 0 < few < 500
    assert len(value) < byte_count.received - few < len(value) + 500
    assert 0 < byte_count.sent - sent < 500


async def test_large_binary_values_pass_unharmed(server: Server, client: redis.Redis) -> None:
    async with lane(server) as (ours, heard, header), asyncio.timeout(WAIT_S):
        value = bytes(range(256)) * 4_096
        ours.send(header, [["place", GROUP, 1, "s", 1, value]], heard.on_reply)
        await heard.enough.wait()
        heard.enough.clear()
        heard.wanted = 2
        ours.send(header, [["observe", GROUP, 1, 0, 10]], heard.on_reply)
        await heard.enough.wait()
    (shard,) = heard.replies[1].results[0][6]
    assert shard[9].encode("utf-8", "surrogateescape") == value


async def test_a_lost_connection_is_reported_once_and_pending_calls_stay_unanswered(
    server: Server,
) -> None:
    with running("doomed", server.binary, RIGHT_SETTINGS) as doomed:
        async with lane(doomed) as (ours, heard, header), asyncio.timeout(WAIT_S):
            os.kill(doomed.pid, signal.SIGSTOP)  # so that it answers nothing before its end
            for _ in range(3):
                ours.send(header, [["observe", GROUP, 1, 0, 9]], heard.on_reply)
            os.kill(doomed.pid, signal.SIGKILL)
            await heard.ended.wait()
            ours.send(header, [["observe", GROUP, 1, 0, 9]], heard.on_reply)
            ours.lose(StoreOutcomeUnknown("again"))
    assert heard.replies == []
    assert len(heard.lost) == 1
    assert isinstance(heard.lost[0], StoreOutcomeUnknown)


async def test_closing_is_silent_and_final(server: Server, client: redis.Redis) -> None:
    async with lane(server) as (ours, heard, header):
        ours.send(header, [["observe", GROUP, 1, 0, 9]], heard.on_reply)
        ours.close()
        ours.close()
        ours.send(header, [["observe", GROUP, 1, 0, 9]], heard.on_reply)
        async with opened(server):
            pass  # a whole conversation later
    assert (heard.replies, heard.lost) == ([], [])


async def test_a_full_store_refuses_writes_and_answers_reads(
    server: Server, client: redis.Redis
) -> None:
    async with lane(server) as (ours, heard, header), asyncio.timeout(WAIT_S):
        heard.wanted = 6
        observe, admit = ["observe", GROUP, 1, 0, 9], ["admit", GROUP, 1, "run"]
        follower_read = ["read", GROUP, 1, "s", "", 0, ["k"], []]
        ours.send(header, [admit], heard.on_reply)
        await until(lambda: len(heard.replies) == 1)
        with changed(client, maxmemory="1"):
            ours.send(header, [admit], heard.on_reply)
            ours.send(header, [observe], heard.on_reply)
            ours.send(header, [follower_read, ["history", GROUP, 1, "s"]], heard.on_reply)
            ours.send(header, [observe, admit], heard.on_reply)
            ours.send(header, [observe], heard.on_reply)
            await heard.enough.wait()
    codes = [reply.code for reply in heard.replies]
    assert codes == ["OK", "OOM", "OK", "OK", "OOM", "OK"]
    assert heard.lost == []


async def test_a_new_generation_is_announced_before_anything_is_only_read(
    server: Server, client: redis.Redis
) -> None:
    async with lane(server) as (ours, heard, header), asyncio.timeout(WAIT_S):
        ours.send(header, [["observe", GROUP, 1, 0, 9]], heard.on_reply)
        await heard.enough.wait()
        assert client.hgetall("lp:proc") == {b"p": b"1"}


async def test_an_error_of_the_function_ends_the_lane(server: Server, client: redis.Redis) -> None:
    async with lane(server) as (ours, heard, header), asyncio.timeout(WAIT_S):
        client.function_flush()
        ours.send(header, [["observe", GROUP, 1, 0, 9]], heard.on_reply)
        await heard.ended.wait()
    assert isinstance(heard.lost[0], StoreReplyMalformed)
    assert heard.replies == []
