"""What can be done to the ways through the proxy besides cutting them: uneven, narrow, one way."""

from __future__ import annotations

import asyncio
import time

from controlplane.proxy_links import Link, Rule, way_under
from tests.controlplane.test_proxy import answer, connected, link_to, on_both_loops, silent

LINK = Link("a>b", 0, "127.0.0.1", 1, "eu", "eu", 5.0)


def test_a_rule_can_be_for_one_direction_of_a_link_within_a_region() -> None:
    there = Rule(link_id="a>b", forward=True, cut=True)
    assert way_under([there], LINK, forward=True).cut
    assert not way_under([there], LINK, forward=False).cut


def test_several_rules_add_up_and_the_narrowest_counts() -> None:
    rules = [
        Rule(extra_ms=10, jitter_ms=3, bytes_per_s=500.0),
        Rule(jitter_ms=4, bytes_per_s=200.0),
        Rule(link_id="another", extra_ms=1_000),
    ]
    way = way_under(rules, LINK, forward=True)
    assert (way.delay_ms, way.jitter_ms, way.bytes_per_s, way.cut) == (15.0, 7.0, 200.0, False)


@on_both_loops
async def test_one_way_of_a_connection_can_be_cut() -> None:
    async with link_to() as (proxy, port), connected(port) as streams:
        assert await answer(streams, b"?") == b"?"
        proxy.impose("back", Rule(link_id="eu>us", forward=False, cut=True))
        streams[1].write(b"!")
        assert await silent(streams)
        proxy.lift("back")
        assert await asyncio.wait_for(streams[0].readexactly(1), 5) == b"!"


@on_both_loops
async def test_an_uneven_way_keeps_the_order() -> None:
    async with link_to() as (proxy, port), connected(port) as (reader, writer):
        proxy.impose("uneven", Rule(jitter_ms=30))
        words = [b"%06d" % number for number in range(100)]
        for word in words:
            writer.write(word)
            await asyncio.sleep(0.001)
        back = await asyncio.wait_for(reader.readexactly(600), 10)
    assert back == b"".join(words)


@on_both_loops
async def test_a_narrow_way_takes_as_long_as_the_data_needs() -> None:
    async with link_to() as (proxy, port), connected(port) as streams:
        proxy.impose("narrow", Rule(link_id="eu>us", forward=True, bytes_per_s=100_000))
        began_s = time.monotonic()
        await answer(streams, bytes(30_000))
        assert time.monotonic() - began_s >= 0.29
