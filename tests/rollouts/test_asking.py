"""What a Prometheus, or a page, answers, and what becomes of it: everything that can be wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from config.gate import Gate, GateKind, Look, NoData, Verdict
from controlplane.http_client import HttpClient
from controlplane.rollouts import asking
from controlplane.rollouts.asking import OutsideAsker
from tests.api.raw_peer import raw_peer
from tests.servers import free_port

PASS, FAIL, NO_DATA = Verdict.PASS, Verdict.FAIL, Verdict.NO_DATA
EU = frozenset({"eu"})


def reply(body: bytes | str, status: int = 200, *headers: str) -> bytes:
    """An answer, as it goes over the wire."""
    data = body.encode() if isinstance(body, str) else body
    head = [f"HTTP/1.1 {status} X", f"Content-Length: {len(data)}", *headers]
    return "\r\n".join([*head, "", ""]).encode() + data


def success(kind: str, result: Any) -> str:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}})


def vector(*values: Any) -> str:
    return success("vector", [{"metric": {"i": str(i)}, "value": [1.5, v]}
                              for i, v in enumerate(values)])  # fmt: skip


def prometheus(url: str, **more: Any) -> Gate:
    named = {"query": "errors", "passes": "< 0.01", "timeout_ms": 10_000, **more}
    return Gate("errors", GateKind.PROMETHEUS, url=url, **named)


def page(url: str, **more: Any) -> Gate:
    return Gate("page", GateKind.HTTP, url=url, **{"timeout_ms": 10_000, **more})


@pytest.fixture
async def asker() -> AsyncIterator[OutsideAsker]:
    async with HttpClient(connect_timeout_ms=300) as client:
        yield OutsideAsker(client)


async def said(asker: OutsideAsker, wire: bytes | None, **more: Any) -> Look:
    """What a Prometheus that answers so comes to."""
    async with raw_peer(lambda _: wire) as peer:
        (found,) = await asker.ask([prometheus(peer.url, **more)], EU)
    return found


ERROR = json.dumps({"status": "error", "errorType": "bad_data", "error": "parse error"})
HISTOGRAM = success("vector", [{"metric": {}, "histogram": [1.5, {"count": "9"}]}])

ANSWERS = [
    (reply(vector("0.005")), PASS, "errors: 0.005"),
    (reply(vector("0", "0.009")), PASS, "errors: 0"),
    (reply(vector("0", "0.5")), FAIL, "errors: 0.5 is not < 0.01"),
    (reply(success("scalar", [1.5, "0"])), PASS, "errors: 0"),
    (reply(success("scalar", [1.5, "1e-3"])), PASS, "errors: 0.001"),
    (reply(success("scalar", [1.5, "7"])), FAIL, "errors: 7 is not < 0.01"),
    (reply(vector("NaN", "3")), FAIL, "errors: 3 is not < 0.01"),
    (reply(vector("NaN")), NO_DATA, "errors: an answer that is no number"),
    (reply(vector("0", "NaN")), NO_DATA, "errors: an answer that is no number"),
    (reply(vector("+Inf")), NO_DATA, "errors: an answer that is no number"),
    (reply(vector("-Inf")), NO_DATA, "errors: an answer that is no number"),
    (reply(success("scalar", [1.5, "NaN"])), NO_DATA, "errors: an answer that is no number"),
    (reply(vector()), NO_DATA, "errors: an empty answer"),
    (reply(vector("many")), NO_DATA, "errors: 'many' where a number should be"),
    (reply(vector(0.005)), NO_DATA, "errors: a sample that is no number"),
    (reply(HISTOGRAM), NO_DATA, "errors: a sample that is no number"),
    (reply(success("vector", {})), NO_DATA,
     "errors: a vector: the query must give a scalar or a vector of numbers"),
    (reply(success("matrix", [{"metric": {}, "values": [[1.5, "0"]]}])), NO_DATA,
     "errors: a matrix: the query must give a scalar or a vector of numbers"),
    (reply(success("string", [1.5, "0"])), NO_DATA,
     "errors: a string: the query must give a scalar or a vector of numbers"),
    (reply(ERROR, 400), NO_DATA, "errors: an error: parse error"),
    (reply(ERROR), NO_DATA, "errors: an error: parse error"),
    (reply('{"status": "error"}', 422), NO_DATA, "errors: an error: without a word"),
    (reply("{", 200), NO_DATA, "errors: an answer that is no JSON, with status 200"),
    (reply("[" * 100_000), NO_DATA, "errors: an answer that is no JSON, with status 200"),
    (reply("", 200), NO_DATA, "errors: an answer that is no JSON, with status 200"),
    (reply(b"\xff\xfe\x00", 200), NO_DATA, "errors: an answer that is no JSON, with status 200"),
    (reply("Service Unavailable", 503), NO_DATA,
     "errors: an answer that is no JSON, with status 503"),
    (reply("[]", 200), NO_DATA, "errors: not the answer of a Prometheus, with status 200"),
    (reply("[1]", 401), NO_DATA, "errors: not the answer of a Prometheus, with status 401"),
    (reply(vector("0"), 500), NO_DATA, "errors: status 500"),
    (reply("", 302, "Location: http://elsewhere/"), NO_DATA,
     "errors: redirected to http://elsewhere/: not followed"),
]  # fmt: skip


@pytest.mark.parametrize(("wire", "verdict", "detail"), ANSWERS)
async def test_an_answer_of_a_prometheus_is_a_verdict_only_if_it_is_a_number(
    asker: OutsideAsker, wire: bytes, verdict: Verdict, detail: str
) -> None:
    assert await said(asker, wire) == Look(verdict, detail)


@pytest.mark.parametrize(("wire", "verdict", "_"), [each for each in ANSWERS if each[1] is NO_DATA])
@pytest.mark.parametrize(("no_data", "counts_as"), [(NoData.PASS, PASS), (NoData.FAIL, FAIL)])
async def test_what_no_data_counts_as_is_for_the_gate_to_say(
    asker: OutsideAsker, wire: bytes, verdict: Verdict, _: str, no_data: NoData, counts_as: Verdict
) -> None:
    assert (await said(asker, wire, no_data=no_data)).verdict is counts_as


@pytest.mark.parametrize(
    ("wire", "word"),
    [
        (b"", "no answer within 200 ms"),
        (b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\n{", "no answer within 200 ms"),
        (None, "http://127.0.0.1"),
        (b"this is no HTTP\r\n\r\n", "http://127.0.0.1"),
    ],
)
async def test_one_that_is_slow_or_breaks_off_has_no_data(
    asker: OutsideAsker, wire: bytes | None, word: str
) -> None:
    found = await said(asker, wire, timeout_ms=200)
    assert found.verdict is NO_DATA
    assert word in found.detail


@pytest.mark.parametrize("gate", [prometheus, page])
async def test_where_nobody_listens_there_is_no_data(asker: OutsideAsker, gate: Any) -> None:
    port = free_port()
    for url in (
        f"http://127.0.0.1:{port}",
        f"https://127.0.0.1:{port}/",
        f"http://user:word@127.0.0.1:{port}/",
        f"http://127.0.0.1:{port}/\u00e4?\u00fc=\u20ac",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:x",
        "http://[::",
        "http://",
        "http://.",
        "http://\u00e4.invalid/",
        f"http://{'a' * 70}.invalid/",
    ):
        (found,) = await asker.ask([gate(url)], EU)
        assert found.verdict is NO_DATA, found


async def test_an_answer_that_is_too_large_is_not_read_to_its_end(
    asker: OutsideAsker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "ANSWER_BYTES_MAX", 1_000)
    assert (await said(asker, reply(vector("0").ljust(1_000)))).verdict is PASS
    found = await said(asker, reply(vector("0").ljust(1_001)))
    assert found.verdict is NO_DATA
    assert "larger than 1000 bytes" in found.detail


async def test_a_page_that_speaks_no_tls_has_no_data(asker: OutsideAsker) -> None:
    async with raw_peer(lambda _: reply("")) as peer:
        (found,) = await asker.ask([page(peer.url.replace("http:", "https:"))], EU)
    assert found.verdict is NO_DATA


async def test_a_query_that_cannot_be_written_down_is_asked_as_far_as_it_can(
    asker: OutsideAsker,
) -> None:
    assert (await said(asker, reply(ERROR, 400), query="\ud800")).verdict is NO_DATA


async def test_the_query_names_the_regions_of_the_wave(asker: OutsideAsker) -> None:
    query = 'sum(rate(errors{region=~"{regions}"}[1m])) / {not_a_place} & x=1 #'
    async with raw_peer(lambda _: reply(vector("0"))) as peer:
        gate = prometheus(f"{peer.url}/prefix/", query=query, timeout_ms=1_500)
        await asker.ask([gate], {"us-east-1", "eu"})
    method, target, _ = peer.requests[0].split(b"\r\n")[0].decode().split(" ")
    parts = urlsplit(target)
    assert (method, parts.path) == ("GET", "/prefix/api/v1/query")
    assert parse_qs(parts.query) == {
        "query": ['sum(rate(errors{region=~"eu|us-east-1"}[1m])) / {not_a_place} & x=1 #'],
        "timeout": ["1500ms"],
    }


@pytest.mark.parametrize(
    ("status", "wanted", "verdict", "detail"),
    [
        (200, 200, PASS, "page: 200"),
        (204, 204, PASS, "page: 204"),
        (204, 200, FAIL, "page: 204 is not 200"),
        (500, 200, FAIL, "page: 500 is not 200"),
        (404, 404, PASS, "page: 404"),
        (301, 200, FAIL, "page: 301 is not 200"),
        (301, 301, PASS, "page: 301"),
    ],
)
async def test_of_a_page_the_status_counts_and_redirects_are_not_followed(
    asker: OutsideAsker, status: int, wanted: int, verdict: Verdict, detail: str
) -> None:
    async with raw_peer(lambda _: reply("", status, "Location: /other")) as peer:
        (found,) = await asker.ask([page(f"{peer.url}/ready?deep=1", status=wanted)], EU)
    assert found == Look(verdict, detail)
    assert [r.split(b"\r\n")[0] for r in peer.requests] == [b"GET /ready?deep=1 HTTP/1.1"]


async def test_a_page_that_does_not_answer_in_time_has_no_data(asker: OutsideAsker) -> None:
    async with raw_peer(lambda _: b"") as peer:
        gates = [page(peer.url, timeout_ms=150, no_data=each) for each in NoData]
        found = await asker.ask(gates, EU)
    assert [look.verdict for look in found] == [NO_DATA, PASS, FAIL]


async def test_all_gates_are_asked_at_once_and_answered_in_their_order(asker: OutsideAsker) -> None:
    together = asyncio.Barrier(2)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await together.wait()  # one alone would wait until its time is up
        writer.write(reply("", 200, "Connection: close"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server:
        found = await asker.ask([page(url, status=204), page(url)], EU)
    assert [look.verdict for look in found] == [FAIL, PASS]
