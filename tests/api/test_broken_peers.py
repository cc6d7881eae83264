"""Peers that break, keep silent or cannot be reached: what a node then tells its client."""

from __future__ import annotations

import pytest

from controlplane.api.settings import ApiSettings
from tests.api.listening import Fleet, document, kind
from tests.api.raw_peer import raw_peer
from tests.api.test_dispatch import PATH, Pair, lead_elsewhere


async def test_nothing_is_sent_to_a_node_that_cannot_be_reached(fleet: Fleet) -> None:
    settings = ApiSettings(peer_pause_ms=60_000)
    node = await fleet.node("n1", "eu", settings)
    dead = await fleet.node("n2", "us")
    fleet.fake.lead("n2")
    await dead.server.stop()
    for _ in range(2):
        reply = await node.send("PUT", PATH, b"x")
        assert (reply.status, kind(reply)) == (503, "leader-unreachable")
        assert document(reply)["leader"]["node"] == "n2"
        assert document(reply)["retry_after_ms"] == 250
    assert (await node.get(PATH + "?consistency=any")).status == 404
    fleet.fake.lead("n1")
    assert (await node.send("PUT", PATH, b"x")).status == 200


async def test_after_a_pause_the_node_is_tried_again(fleet: Fleet) -> None:
    node = await fleet.node("n1", "eu", ApiSettings(peer_pause_ms=0))
    service = fleet.fake.add("n2", "us")
    service.url = "http://127.0.0.1:1"
    fleet.fake.lead("n2")
    assert (await node.get(PATH)).status == 503
    fine = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    async with raw_peer(lambda number: fine) as peer:
        service.url = peer.url
        assert (await node.get(PATH)).status == 200


@pytest.mark.parametrize(
    ("method", "status", "name"),
    [
        ("PUT", 504, "unknown-outcome"),
        ("DELETE", 504, "unknown-outcome"),
        ("GET", 503, "leader-unreachable"),
    ],
)
async def test_what_was_sent_and_not_answered_is_unknown_for_a_write(
    fleet: Fleet, pair: Pair, method: str, status: int, name: str
) -> None:
    _, follower = pair
    async with raw_peer(lambda number: None) as peer:
        lead_elsewhere(fleet, follower, peer.url)
        reply = await follower.send(method, PATH, b"x" if method == "PUT" else b"")
        assert (reply.status, kind(reply)) == (status, name)
        assert len(peer.requests) == 1
    assert ("retry_after_ms" in document(reply)) == (method == "GET")


async def test_a_write_is_never_sent_twice_on_a_connection_that_breaks(
    fleet: Fleet, pair: Pair
) -> None:
    _, follower = pair
    fine = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    async with raw_peer(lambda number: fine if number == 1 else None) as peer:
        lead_elsewhere(fleet, follower, peer.url)
        assert (await follower.send("PUT", PATH, b"1")).status == 200
        reply = await follower.send("PUT", PATH, b"2")
        assert (reply.status, kind(reply)) == (504, "unknown-outcome")
        assert len(peer.requests) == 2


async def test_a_silent_peer_is_given_up(fleet: Fleet) -> None:
    node = await fleet.node("n1", "eu", ApiSettings(request_timeout_ms=100))
    async with raw_peer(lambda number: b"") as peer:
        fleet.fake.add("n2", "us").url = peer.url
        fleet.fake.lead("n2")
        write, read = await node.send("PUT", PATH, b"x"), await node.get(PATH)
    assert (write.status, kind(write)) == (504, "unknown-outcome")
    assert (read.status, kind(read)) == (503, "leader-unreachable")
