"""Limits of the edge: slow bodies, gone clients, large messages, names of requests, health."""

from __future__ import annotations

import asyncio
import time

import pytest

from controlplane.api.service import Check
from controlplane.api.settings import ApiSettings
from controlplane.http_client import HttpClient, PeerLost, PeerUnreachable
from regions.store import ByteCount
from tests.api.listening import Fleet, Node, document, kind, until
from tests.api.raw_peer import raw_peer, say

SLOW_BODIES = (
    b"PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf",
    b"PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    b"POST /v1/shards/s0/evict HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{",
    b"POST /internal/v1/peer HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{",
)


@pytest.mark.parametrize("sent", SLOW_BODIES)
async def test_a_body_that_does_not_come_is_given_up(fleet: Fleet, sent: bytes) -> None:
    node = await fleet.node("n1", "eu", ApiSettings(body_timeout_ms=50))
    fleet.fake.lead("n1")
    answer = await say(node.server.port, sent)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"/problems/request-timeout" in answer
    assert node.service.asked == []


@pytest.mark.parametrize("sent", [b"", b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Slow: "])
async def test_a_connection_without_a_request_is_closed(fleet: Fleet, sent: bytes) -> None:
    node = await fleet.node("n1", "eu", ApiSettings(first_request_ms=50))
    assert await say(node.server.port, sent) == b""
    node.service.gate = asyncio.Event()
    asking = asyncio.create_task(node.get("/v1/kv/a?consistency=any"))
    # The request is longer under way than a silent connection may last.
    assert await say(node.server.port, sent) == b""
    node.service.gate.set()
    assert (await asking).status == 404


async def test_a_body_in_chunks_is_limited_as_it_comes(node: Node) -> None:
    chunk = b"400\r\n" + b"x" * 1_024 + b"\r\n"
    head = b"PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
    fits = await say(node.server.port, head + b"Connection: close\r\n\r\n" + chunk + b"0\r\n\r\n")
    assert fits.startswith(b"HTTP/1.1 200 ")
    answer = await say(node.server.port, head + b"\r\n" + chunk * 3)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"limit_bytes":1024' in answer
    assert len(node.service.asked) == 1


async def test_a_body_that_is_announced_too_large_is_not_waited_for(node: Node) -> None:
    head = b"PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n"
    began = time.monotonic()
    for expect in (b"", b"Expect: 100-continue\r\n"):
        answer = await say(node.server.port, head + expect + b"\r\n")
        assert b"HTTP/1.1 413 " in answer
    assert time.monotonic() - began < 5


async def test_a_body_is_sent_when_it_is_waited_for(node: Node) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", node.server.port)
    writer.write(
        b"PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
        b"Expect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"ok")
    assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
    writer.close()
    assert (await node.get("/v1/kv/a")).body == b"ok"


@pytest.mark.parametrize("path", ["/v1/kv/a", "/v1/kv/a?consistency=any"])
async def test_a_client_that_goes_away_leaves_nothing_behind(node: Node, path: str) -> None:
    node.service.gate = asyncio.Event()
    _, writer = await asyncio.open_connection("127.0.0.1", node.server.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    await until(lambda: node.service.asked)
    writer.transport.abort()
    await until(lambda: node.service.cancelled)
    assert (await node.get("/livez")).status == 200


async def test_a_client_that_goes_away_midway_through_its_body_wrote_nothing(node: Node) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", node.server.port)
    writer.write(b"PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf")
    await writer.drain()
    assert (await node.get("/livez")).status == 200
    writer.transport.abort()
    assert (await node.get("/v1/kv/a")).status == 404
    assert len(node.service.asked) == 1


async def test_a_message_of_a_peer_is_limited(fleet: Fleet) -> None:
    node = await fleet.node("n1", "eu", ApiSettings(peer_bytes_max=1_024))
    large = {"sender": "n2", "message": {"x": "y" * 2_000}}
    reply = await node.send("POST", "/internal/v1/peer", large)
    assert (reply.status, kind(reply)) == (413, "too-large")
    assert document(reply)["limit_bytes"] == 1_024


@pytest.mark.parametrize(
    ("offered", "kept"),
    [("r-1", True), ("x" * 128, True), ("x" * 129, False), ("a\tb", False), ("ä", False)],
)
async def test_every_answer_has_the_name_of_its_request(
    node: Node, offered: str, kept: bool
) -> None:
    for path in ("/livez", "/v1/kv/a", "/nowhere", "/v1/kv/a?x=1"):
        reply = await node.get(path, X_Request_Id=offered)
        assert (reply.headers["X-Request-Id"] == offered) == kept
    names = {(await node.get("/livez")).headers["X-Request-Id"] for _ in range(3)}
    assert len(names) == 3


async def test_readiness_says_what_is_missing(node: Node) -> None:
    ready = await node.get("/readyz")
    assert document(ready) == {"status": "ready", "node": "n1", "checks": None}
    verbose = document(await node.get("/readyz?verbose"))
    assert verbose["checks"] == [
        {"name": "quorum", "ok": True, "why": ""},
        {"name": "shard-map", "ok": True, "why": ""},
    ]
    node.service.checks = (Check("quorum", False, "1 of 3 stores"), Check("shard-map", True))
    failing = {"name": "quorum", "ok": False, "why": "1 of 3 stores"}
    fine = {"name": "shard-map", "ok": True, "why": ""}
    for query, checks in (("", [failing]), ("?verbose=true", [failing, fine])):
        reply = await node.get("/readyz" + query)
        assert (reply.status, kind(reply)) == (503, "not-ready")
        assert document(reply)["checks"] == checks
        assert "1 of 3 stores" in document(reply)["detail"]
    assert (await node.get("/livez")).status == 200
    assert (await node.send("HEAD", "/readyz")).status == 503


async def test_metrics_are_text(node: Node) -> None:
    reply = await node.get("/metrics")
    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert reply.body == node.service.metrics()


@pytest.mark.parametrize(
    ("accept", "is_open"),
    [
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;version=1.0.0;q=0.6, text/plain;version=0.0.4;q=0.4", True),
        ("Application/OpenMetrics-Text; q=0.001", True),
        ("application/openmetrics-text; version=what", True),
        ("application/openmetrics-text; q=0", False),
        ("application/openmetrics-text;q=0.00, */*", False),
        ("text/plain, */*", False),
        ("application/openmetrics-text-or-so", False),
        ("", False),
    ],
)
async def test_metrics_are_open_metrics_for_whoever_takes_them(
    node: Node, accept: str, is_open: bool
) -> None:
    reply = await node.get("/metrics", Accept=accept)
    assert reply.body.endswith(b"# EOF\n") is is_open
    kind_of_text = "application/openmetrics-text; version=1.0.0" if is_open else "text/plain"
    assert reply.headers["Content-Type"].startswith(kind_of_text)


async def test_a_stopping_server_lets_requests_finish(fleet: Fleet) -> None:
    node = await fleet.node("n1", "eu")
    fleet.fake.lead("n1")
    node.service.gate = asyncio.Event()
    asked = asyncio.create_task(node.send("PUT", "/v1/kv/a", b"x"))
    await until(lambda: node.service.asked)
    stopping = asyncio.create_task(node.server.stop())
    await asyncio.sleep(0)
    node.service.gate.set()
    assert (await asked).status == 200
    await stopping
    with pytest.raises(PeerUnreachable):
        await node.get("/livez")


# ---------------------------------------------------------------- the client


async def test_the_client_tells_unreachable_from_lost() -> None:
    async with HttpClient(connect_timeout_ms=500) as client:
        for url in ("http://127.0.0.1:1/x", "http://no-such-host.invalid/x", "nonsense"):
            with pytest.raises(PeerUnreachable):
                await client.send("GET", url, timeout_ms=2_000)
        cut = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
        for answers in ({1: None}, {1: b"not http\r\n\r\n"}, {1: b"", 2: None}):
            async with raw_peer(lambda number, a=answers: a.get(number)) as peer:  # type: ignore[misc]
                with pytest.raises(PeerLost):
                    await client.send("PUT", peer.url + "/x", body=b"x", timeout_ms=200)
                assert len(peer.requests) == 1
        async with raw_peer(lambda number: cut) as peer:
            with pytest.raises(PeerLost):
                await client.send("GET", peer.url + "/x", timeout_ms=200)


async def test_the_client_counts_the_bytes_of_what_was_answered() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Named: so\r\n\r\nbytes"
    byte_count = ByteCount()
    async with HttpClient() as client, raw_peer(lambda number: answer) as peer:
        for _ in range(2):
            await client.send(
                "PUT", peer.url + "/a?b=c", headers={"Z": "z"}, body=b"body",
                timeout_ms=2_000, byte_count=byte_count,
            )  # fmt: skip
        assert byte_count == ByteCount(sum(map(len, peer.requests)), 2 * len(answer))
    with pytest.raises(PeerUnreachable):
        async with HttpClient() as client:
            await client.send(
                "GET", "http://127.0.0.1:1/x", timeout_ms=2_000, byte_count=byte_count
            )
    assert byte_count.received == 2 * len(answer)


async def test_the_client_follows_nothing_by_itself() -> None:
    away = b"HTTP/1.1 307 Away\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    async with HttpClient() as client, raw_peer(lambda number: away) as peer:
        reply = await client.send("GET", peer.url + "/a%2Fb?c=%20", timeout_ms=2_000)
        assert (reply.status, reply.headers["Location"]) == (307, "http://127.0.0.1:1/")
        assert peer.requests[0].startswith(b"GET /a%2Fb?c=%20 HTTP/1.1\r\n")
