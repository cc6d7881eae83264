"""The proxy between regions, over real sockets."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager

import pytest
import uvloop

from controlplane import proxy as proxy_module
from controlplane.latency_pipe import HELD_BYTES_MAX, Way
from controlplane.proxy import LatencyProxy
from controlplane.proxy_connection import ProxyConnection
from controlplane.proxy_links import Link, Rule, links_of, way_under
from regions.reference import default_topology

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

TO_US = Rule(from_region="eu", to_region="us", cut=True)
TO_EU = Rule(from_region="us", to_region="eu", cut=True)


def on_both_loops(test: Callable[[], Coroutine[None, None, None]]) -> Callable[..., None]:
    """Run a test on asyncio's loop and on uvloop's: transports differ in undocumented places."""

    @pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
    def run(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(test())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes in, until it ends."""
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        return
    finally:
        writer.close()


@asynccontextmanager
async def link_to(
    handler: Handler = echo, delay_ms: float = 0.0
) -> AsyncIterator[tuple[LatencyProxy, int]]:
    """Give a running proxy with one link, `eu>us`, to a server; and the port of the link."""
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    target_port = server.sockets[0].getsockname()[1]
    link = Link("eu>us", 0, "127.0.0.1", target_port, "eu", "us", delay_ms)
    async with asyncio.TaskGroup() as tasks:
        proxy = LatencyProxy([link], tasks)
        ports = await proxy.start()
        try:
            yield proxy, ports["eu>us"]
        finally:
            await proxy.stop()
            server.close()
            await server.wait_closed()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Streams]:
    """Give a connection to a port."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        try:
            await writer.wait_closed()
        except ConnectionError:
            assert writer.is_closing()


async def answer(streams: Streams, data: bytes, within_s: float = 5.0) -> bytes:
    """Send data and read as much back."""
    reader, writer = streams
    writer.write(data)
    return await asyncio.wait_for(reader.readexactly(len(data)), within_s)


async def silent(streams: Streams, for_s: float = 0.15) -> bool:
    """Say whether nothing comes in for a while."""
    try:
        await asyncio.wait_for(streams[0].readexactly(1), for_s)
    except TimeoutError:
        return True
    return False


async def until(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    """Wait for a condition; fail the test when it does not come true in time."""
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up, "the condition did not come true"
        await asyncio.sleep(0.005)


@on_both_loops
async def test_each_direction_takes_half_a_round_trip() -> None:
    arrived_at: list[float] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        arrived_at.append(time.monotonic())
        writer.write(b"!")
        await reader.read()
        writer.close()

    async with link_to(note, delay_ms=60) as (_, port), connected(port) as streams:
        sent_at = time.monotonic()
        await answer(streams, b"?")
        answered_at = time.monotonic()
    # 1 ms off: a loop may round a timer down to its own resolution.
    assert arrived_at[0] - sent_at >= 0.059
    assert answered_at - arrived_at[0] >= 0.059
    assert answered_at - sent_at < 0.5


@on_both_loops
async def test_what_is_pipelined_overlaps_and_keeps_its_order() -> None:
    async with link_to(delay_ms=50) as (_, port), connected(port) as (reader, writer):
        words = [b"%06d" % number for number in range(200)]
        started_at = time.monotonic()
        for word in words:
            writer.write(word)
            await asyncio.sleep(0)
        back = await asyncio.wait_for(reader.readexactly(6 * len(words)), 5)
    assert back == b"".join(words)
    assert time.monotonic() - started_at < 2.0, "200 round trips in sequence would take 20 s"


@on_both_loops
async def test_a_megabyte_crosses_unchanged_whatever_the_pieces() -> None:
    data = os.urandom(3_000_000)
    async with link_to(delay_ms=5) as (_, port), connected(port) as streams:
        assert await answer(streams, data, within_s=20) == data


@on_both_loops
async def test_more_delay_does_not_let_later_bytes_overtake() -> None:
    async with link_to(delay_ms=0) as (proxy, port), connected(port) as (reader, writer):
        proxy.impose("slow", Rule(from_region="eu", extra_ms=150))
        writer.write(b"first")
        await asyncio.sleep(0.02)
        proxy.lift("slow")
        writer.write(b"second")
        assert await asyncio.wait_for(reader.readexactly(11), 5) == b"firstsecond"


@on_both_loops
async def test_half_a_close_leaves_the_other_direction_open() -> None:
    async def answer_at_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"got " + await reader.read())
        writer.close()

    async with link_to(answer_at_the_end, delay_ms=10) as (proxy, port):
        async with connected(port) as (reader, writer):
            writer.write(b"all")
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(), 5) == b"got all"
        await until(lambda: proxy.connections("eu>us") == 0)


@on_both_loops
async def test_a_cut_there_stops_requests_and_mending_delivers_them() -> None:
    async with link_to() as (proxy, port), connected(port) as streams:
        assert await answer(streams, b"a") == b"a"
        proxy.impose("cut", TO_US)
        streams[1].write(b"b")
        assert await silent(streams)
        proxy.lift("cut")
        assert await asyncio.wait_for(streams[0].readexactly(1), 5) == b"b"


@on_both_loops
async def test_a_cut_back_lets_requests_through_and_holds_the_answers() -> None:
    heard = bytearray()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            heard.extend(data)
            writer.write(data)
        writer.close()

    async with link_to(listen) as (proxy, port), connected(port) as streams:
        assert await answer(streams, b"a") == b"a"
        proxy.impose("cut", TO_EU)
        streams[1].write(b"b")
        await until(lambda: heard == b"ab")
        assert await silent(streams)
        proxy.lift("cut")
        assert await asyncio.wait_for(streams[0].readexactly(1), 5) == b"b"


@on_both_loops
async def test_no_connection_is_made_through_a_cut() -> None:
    calls: list[int] = []

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append(1)
        await echo(reader, writer)

    async with link_to(count) as (proxy, port):
        proxy.impose("cut", TO_EU)
        async with connected(port) as (_, writer):
            writer.write(b"gone before the way was mended")
        await until(lambda: proxy.connections("eu>us") == 0)
        async with connected(port) as streams:
            streams[1].write(b"x")
            assert await silent(streams)
            assert calls == []
            proxy.lift("cut")
            assert await asyncio.wait_for(streams[0].readexactly(1), 5) == b"x"
        assert calls == [1], "the client that gave up never reached the target"


def test_a_region_can_be_taken_off_the_map_by_its_name() -> None:
    link = Link("eu>us", 1, "127.0.0.1", 1, "eu", "us", 10.0)
    others = [Rule(from_region="ap", cut=True), Rule(link_id="eu>ap", cut=True)]
    assert not way_under(others, link, forward=True).cut
    off = [Rule(from_region="us", cut=True), Rule(to_region="us", cut=True)]
    assert way_under(off, link, forward=True).cut
    assert way_under(off, link, forward=False).cut
    slow = [Rule(to_region="us", extra_ms=5), Rule(extra_ms=2), *others]
    assert way_under(slow, link, forward=True).delay_ms == 17.0
    assert way_under(slow, link, forward=False).delay_ms == 12.0


@on_both_loops
async def test_a_reset_breaks_connections_off_and_new_ones_work() -> None:
    async with link_to() as (proxy, port):
        async with connected(port) as streams:
            assert await answer(streams, b"a") == b"a"
            proxy.reset(Rule(from_region="ap"))
            assert await answer(streams, b"b") == b"b", "the rule touched nothing"
            proxy.reset(Rule(from_region="us"))
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(streams[0].readexactly(1), 5)
        async with connected(port) as streams:
            assert await answer(streams, b"c") == b"c"


@on_both_loops
async def test_a_target_that_breaks_off_is_seen_as_such() -> None:
    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        linger_zero = struct.pack("ii", 1, 0)
        end: socket.socket = writer.get_extra_info("socket")
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_zero)
        writer.transport.abort()

    async with link_to(break_off, delay_ms=5) as (proxy, port), connected(port) as streams:
        with pytest.raises(ConnectionResetError):
            await answer(streams, b"x")
        await until(lambda: proxy.connections("eu>us") == 0)


@on_both_loops
async def test_a_target_that_refuses_breaks_the_connection_off_a_round_trip_later() -> None:
    async with link_to(delay_ms=30) as (proxy, _):
        refusing = Link("dead", 0, "127.0.0.1", 1, "eu", "us", 30.0)
        async with asyncio.TaskGroup() as tasks:
            dead = LatencyProxy([refusing], tasks)
            ports = await dead.start()
            started_at = time.monotonic()
            async with connected(ports["dead"]) as (reader, _writer):
                with pytest.raises(ConnectionResetError):
                    await asyncio.wait_for(reader.readexactly(1), 5)
            assert time.monotonic() - started_at >= 0.059
            await dead.stop()
        assert proxy.connections("eu>us") == 0


async def sent_within(writer: asyncio.StreamWriter, seconds: float) -> int:
    """Send as much as the other side takes in some time, at most 20 pipes full; give the bytes."""
    sent = 0
    try:
        async with asyncio.timeout(seconds):
            while sent < 20 * HELD_BYTES_MAX:
                writer.write(bytes(65_536))
                sent += 65_536
                await writer.drain()
    except TimeoutError:
        return sent
    return sent


@on_both_loops
async def test_a_cut_way_holds_little_and_makes_the_sender_wait() -> None:
    async with link_to() as (proxy, port), connected(port) as (_, writer):
        proxy.impose("cut", TO_US)
        writer.transport.set_write_buffer_limits(high=65_536)
        sent = await sent_within(writer, seconds=1.0)
        # The pipe, and what two sockets' buffers of a few megabytes take.
        assert sent < 5 * HELD_BYTES_MAX
        proxy.reset(Rule())


async def test_the_oldest_connection_makes_room_for_the_newest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(proxy_module, "CONNECTIONS_MAX", 2)
    async with (
        link_to() as (proxy, port),
        connected(port) as first,
        connected(port) as second,
    ):
        assert await answer(first, b"1") == b"1"
        assert await answer(second, b"2") == b"2"
        async with connected(port) as third:
            assert await answer(third, b"3") == b"3"
            assert proxy.connections("eu>us") == 2
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(first[0].readexactly(1), 5)
            assert await answer(second, b"2") == b"2"


@on_both_loops
async def test_a_port_in_use_leaves_nothing_listening() -> None:
    async with link_to() as (_, taken):
        links = [
            Link(f"l{n}", port, "127.0.0.1", 1, "eu", "us", 0) for n, port in enumerate((0, taken))
        ]
        async with asyncio.TaskGroup() as tasks:
            second = LatencyProxy(links, tasks)
            with pytest.raises(OSError, match="address already in use"):
                await second.start()
            assert second._servers == []


def test_every_region_gets_a_link_to_every_process_of_every_other() -> None:
    topology = default_topology()
    links = links_of(topology, scale=0.5)
    assert len(links) == 3 * (6 + 4)
    there = next(link for link in links if link.id == "eu-central-1>us-east-1-s1")
    rtt_ms = topology.rtt_ms["eu-central-1"]["us-east-1"]
    assert there.delay_ms == pytest.approx(rtt_ms / 4)
    assert there.target_port == topology.store("us-east-1-s1").port


@on_both_loops
async def test_a_connection_that_is_broken_off_while_it_is_accepted_leaves_nothing_behind() -> None:
    link, cut = Link("eu>us", 0, "127.0.0.1", 1, "eu", "us", 0.0), Way(0.0, cut=True)
    async with asyncio.TaskGroup() as tasks:

        def accept() -> asyncio.Protocol:
            connection = ProxyConnection(link, (cut, cut), tasks, lambda _: None)
            connection.abort()
            return connection.client

        server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
        async with connected(server.sockets[0].getsockname()[1]) as (reader, _):
            with pytest.raises(ConnectionError):
                await asyncio.wait_for(reader.readexactly(1), 5)
        server.close()
