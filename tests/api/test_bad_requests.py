"""Bad input: refused with a 4xx that says what is wrong and where, and never reaches the node."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from zlib import crc32

import pytest

from shards.position import encode
from tests.api.listening import Node, document, kind
from tests.api.raw_peer import say

FULL = encode({f"t{number:03}": 1 for number in range(256)})
BODY = b"\x01\x00\x81\x02" + b"".join(b"\x03t%02x\x07" % at for at in range(256)) + b"\x02s2\x07"
OVERFULL = urlsafe_b64encode(BODY + crc32(BODY).to_bytes(4, "big")).rstrip(b"=").decode()
"""A token of 257 shards, that of the key `a` among them: no server makes one, a client can."""
JSON = {"Content_Type": "application/json"}


@dataclass(frozen=True)
class Bad:
    """One bad request: what is sent, and what it must be answered."""

    method: str
    path: str
    kind: str
    status: int
    place: str = ""  # where the error is: parameter, pointer or header
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Its name in the list of tests."""
        sent = f"{self.method} {self.path[:60]} {self.body[:20]!r} {self.headers}"
        return f"{sent[:100]} -> {self.kind}"


NAMED = "Leadplane-Named-Epoch"


def invalid(method: str, path: str, place: str, body: bytes = b"", **headers: str) -> Bad:
    """A request that is not valid, at one place."""
    return Bad(method, path, "invalid", 400, place, body, headers)


KEYS = (
    invalid("GET", "/v1/kv/", "key"),
    invalid("PUT", "/v1/kv/", "key", b"x"),
    invalid("DELETE", "/v1/kv/", "key"),
    invalid("GET", "/v1/kv/%FF", "key"),
    invalid("GET", "/v1/kv/a%00b", "key"),
    invalid("PUT", "/v1/kv/100%", "key", b"x"),
    invalid("GET", "/v1/kv/a%zzb", "key"),
    invalid("PUT", "/v1/kv/a%0Ab", "key", b"x"),
    invalid("GET", "/v1/kv/a%C2%85", "key"),
    invalid("GET", "/v1/kv/" + "k" * 65, "key"),
    invalid("GET", "/v1/kv/" + "%C3%A4" * 33, "key"),
    invalid("GET", "/v1/route?key=", "key"),
    invalid("GET", "/v1/route?key=%FF", "key"),
    invalid("GET", "/v1/route?key=%zz", "key"),
    invalid("GET", "/v1/route?key=a%", "key"),
    invalid("GET", "/v1/route?key=%00", "key"),
    invalid("GET", "/v1/route?key=" + "k" * 65, "key"),
    invalid("GET", "/v1/kv?partition=", "partition"),
    invalid("GET", "/v1/kv?partition=a%01", "partition"),
    invalid("GET", "/v1/kv?partition=a&prefix=%01", "prefix"),
)
PARAMETERS = (
    invalid("GET", "/v1/route", "key"),
    invalid("GET", "/v1/kv", "partition"),
    invalid("GET", "/v1/kv/a?consistency=eventual", "consistency"),
    invalid("GET", "/v1/kv/a?consistency=", "consistency"),
    invalid("GET", "/v1/kv/a?consistency=STRONG", "consistency"),
    invalid("GET", "/v1/kv/a?max_staleness_ms=-1", "max_staleness_ms"),
    invalid("GET", "/v1/kv/a?max_staleness_ms=1.5", "max_staleness_ms"),
    invalid("GET", "/v1/kv/a?max_staleness_ms=%2B1", "max_staleness_ms"),
    invalid("GET", "/v1/kv/a?max_staleness_ms=1_0", "max_staleness_ms"),
    invalid("GET", "/v1/kv/a?max_staleness_ms=%D9%A1", "max_staleness_ms"),
    invalid("GET", "/v1/kv/a?max_staleness_ms=" + "9" * 16, "max_staleness_ms"),
    invalid("GET", "/v1/kv/a?max_staleness_ms=" + "9" * 400, "max_staleness_ms"),
    invalid("GET", "/v1/kv/a?consistency=strong&max_staleness_ms=5", "max_staleness_ms"),
    invalid("GET", "/v1/kv/a?consistency=any&max_staleness_ms=5", "max_staleness_ms"),
    invalid("GET", "/v1/kv/a?quorum=yes", "quorum"),
    invalid("GET", "/v1/kv/a?consistency=session&quorum=true", "quorum"),
    invalid("GET", "/v1/kv?partition=a&max_staleness_ms=5&quorum=true", "quorum"),
    invalid("GET", "/v1/kv/a?proxy=no", "proxy"),
    invalid("GET", "/v1/kv/a?proxy", "proxy"),
    invalid("GET", "/v1/kv/a?proxy=true&proxy=true", "proxy"),
    invalid("GET", "/v1/kv/a?max_stalenes_ms=5", "max_stalenes_ms"),
    invalid("GET", "/v1/kv/a?x", "x"),
    invalid("GET", "/v1/kv/a?%E4=1", "%E4"),
    invalid("PUT", "/v1/kv/a?consistency=strong", "consistency", b"x"),
    invalid("DELETE", "/v1/kv/a?ttl_ms=5", "ttl_ms"),
    invalid("GET", "/v1/route?key=a&intent=delete", "intent"),
    invalid("GET", "/v1/route?key=a&max_staleness_ms=soon", "max_staleness_ms"),
    invalid("GET", "/v1/kv?partition=a&limit=0", "limit"),
    invalid("GET", "/v1/kv?partition=a&limit=1001", "limit"),
    invalid("GET", "/v1/shards?limit=x", "limit"),
    invalid("GET", "/v1/shards?continue=x", "continue"),
    invalid("GET", "/v1/shards?continue=", "continue"),
    invalid("GET", "/v1/nodes?continue=%C3%A4", "continue"),
    invalid("GET", "/v1/regions?continue=AAAAAAAA", "continue"),
    invalid("GET", "/v1/routes?from=1", "from"),
    invalid("GET", "/v1/events?from=now", "from"),
    invalid("GET", "/v1/status?verbose", "verbose"),
    invalid("GET", "/v1/shards/s0?x=1", "x"),
    invalid("GET", "/v1/shards/s0/history?limit=0", "limit"),
    invalid("GET", "/v1/shards/s0/role/leader?x=1", "x"),
    invalid("GET", "/v1/nodes/n1?x=1", "x"),
    invalid("GET", "/v1/regions/eu?x=1", "x"),
    invalid("GET", "/v1/leader?x=1", "x"),
    invalid("GET", "/livez?x=1", "x"),
    invalid("GET", "/readyz?verbose=maybe", "verbose"),
    invalid("GET", "/metrics?x=1", "x"),
    invalid("GET", "/openapi.json?x=1", "x"),
    invalid("POST", "/internal/v1/peer?x=1", "x", b"{}", **JSON),
)
POSITIONS = (
    invalid("GET", "/v1/kv/a?position=hello", "position"),
    invalid("GET", "/v1/kv/a?position=17", "position"),
    invalid("GET", "/v1/kv/a?position=" + encode({"s0": 1})[:-1], "position"),
    invalid("PUT", "/v1/kv/a?position=%C3%A4", "position", b"x"),
    invalid("GET", "/v1/route?key=a&position=x", "position"),
    invalid("GET", "/v1/route?key=a&intent=write&position=x", "position"),
    invalid("GET", "/v1/kv?partition=a&position=x", "position"),
    invalid("GET", "/v1/kv/a?position=" + FULL, "position"),
    invalid("GET", "/v1/kv/a?position=" + OVERFULL, "position"),
    invalid("PUT", "/v1/kv/a?position=" + OVERFULL, "position", b"x"),
    invalid("PUT", "/v1/kv/a?position=" + FULL, "position", b"x"),
)
HEADERS = (
    invalid("PUT", "/v1/kv/a", "If-Match", b"x", If_Match="17"),
    invalid("PUT", "/v1/kv/a", "If-Match", b"x", If_Match='W/"17"'),
    invalid("PUT", "/v1/kv/a", "If-Match", b"x", If_Match='"17", "18"'),
    invalid("PUT", "/v1/kv/a", "If-Match", b"x", If_Match='"0"'),
    invalid("PUT", "/v1/kv/a", "If-Match", b"x", If_Match='"-1"'),
    invalid("PUT", "/v1/kv/a", "If-Match", b"x", If_Match='"' + "9" * 17 + '"'),
    invalid("PUT", "/v1/kv/a", "If-Match", b"x", If_Match=""),
    invalid("DELETE", "/v1/kv/a", "If-Match", If_Match='"x"'),
    invalid("PUT", "/v1/kv/a", "If-None-Match", b"x", If_None_Match='"1"'),
    invalid("DELETE", "/v1/kv/a", "If-None-Match", If_None_Match="*"),
    invalid("PUT", "/v1/kv/a", "If-None-Match", b"x", If_None_Match="*", If_Match="*"),
    invalid("PUT", "/v1/kv/a", "Idempotency-Key", b"x", Idempotency_Key=""),
    invalid("PUT", "/v1/kv/a", "Idempotency-Key", b"x", Idempotency_Key="k" * 256),
    invalid("PUT", "/v1/kv/a", "Idempotency-Key", b"x", Idempotency_Key="ä"),
    invalid("PUT", "/v1/kv/a", "Idempotency-Key", b"x", Idempotency_Key="a\tb"),
    invalid("GET", "/v1/kv/a", "Leadplane-Hop", Leadplane_Hop="-1"),
    invalid("GET", "/v1/kv/a", "Leadplane-Hop", Leadplane_Hop="many"),
    invalid("GET", "/v1/kv/a", "Leadplane-Hop", Leadplane_Hop="1000"),
    invalid("GET", "/v1/kv/a", NAMED, Leadplane_Hop="1", Leadplane_Named_Epoch="x"),
    invalid("GET", "/v1/events", "Last-Event-ID", Last_Event_ID="x"),
)
TRANSFER, EVICT, PEER = "/v1/shards/s0/transfer", "/v1/shards/s0/evict", "/internal/v1/peer"
BODIES = (
    invalid("POST", TRANSFER, "#", b"{", **JSON),
    invalid("POST", TRANSFER, "#", b"\xff", **JSON),
    invalid("POST", TRANSFER, "#", b"[1]", **JSON),
    invalid("POST", TRANSFER, "#", b"null", **JSON),
    invalid("POST", TRANSFER, "#", b'{"to_node": NaN}', **JSON),
    invalid("POST", TRANSFER, "#/to_node", b'{"to_node": 5}', **JSON),
    invalid("POST", TRANSFER, "#/to_node", b'{"to_node": ""}', **JSON),
    invalid("POST", TRANSFER, "#/to_node", b'{"to_node": "n1", "to_region": "eu"}', **JSON),
    invalid("POST", TRANSFER, "#/to_zone", b'{"to_zone": "a"}', **JSON),
    invalid("POST", TRANSFER, "#/a~1b~0", b'{"a/b~": 1}', **JSON),
    invalid("POST", TRANSFER, "#", b"[" * 5_000, **JSON),
    invalid("POST", TRANSFER + "?dry_run=1", "dry_run"),
    invalid("POST", TRANSFER + "?reason=" + "x" * 501, "reason"),
    invalid("POST", TRANSFER, "Idempotency-Key", Idempotency_Key="ä"),
    invalid("POST", EVICT, "#/to_node", b'{"to_node": "n1"}', **JSON),
    invalid("POST", EVICT + "?force=true", "force"),
    invalid("POST", PEER, "#/sender", b"", **JSON),
    invalid("POST", PEER, "#/message", b'{"sender": "n2"}', **JSON),
    invalid("POST", PEER, "#/message", b'{"sender": "n2", "message": []}', **JSON),
    invalid("POST", PEER, "#/more", b'{"sender": "n2", "message": {}, "more": 1}', **JSON),
)
OTHERS = (
    Bad("POST", TRANSFER, "unsupported-media-type", 415, body=b"{}"),
    Bad("POST", TRANSFER, "unsupported-media-type", 415, "", b"{}", {"Content_Type": "text/plain"}),
    Bad("PUT", "/v1/kv/a", "unsupported-media-type", 415, "", b"x", {"Content_Encoding": "gzip"}),
    Bad("PUT", "/v1/kv/a", "too-large", 413, body=b"x" * 1_025),
    Bad("DELETE", "/v1/kv/a", "too-large", 413, body=b"x"),
    Bad("POST", TRANSFER, "too-large", 413, "", b" " * (256 * 1024 + 1), JSON),
    Bad("POST", "/v1/shards/s9/transfer", "unknown-shard", 404),
    Bad("POST", TRANSFER, "unknown-node", 404, "", b'{"to_node": "n9"}', JSON),
    Bad("POST", TRANSFER, "unknown-region", 404, "", b'{"to_region": "moon"}', JSON),
    Bad("POST", TRANSFER, "no-candidate", 409, "", b'{"to_node": "n1"}', JSON),
    Bad("POST", TRANSFER, "no-candidate", 409, "", b'{"to_region": "eu"}', JSON),
    Bad("POST", TRANSFER, "no-candidate", 409),
    Bad("GET", "/v1/shards/s9", "unknown-shard", 404),
    Bad("GET", "/v1/shards/%00", "unknown-shard", 404),
    Bad("GET", "/v1/shards/s9/history", "unknown-shard", 404),
    Bad("GET", "/v1/shards/s9/role/leader", "unknown-shard", 404),
    Bad("GET", "/v1/shards/s0/role/boss", "no-such-route", 404),
    Bad("GET", "/v1/nodes/n9", "unknown-node", 404),
    Bad("GET", "/v1/regions/moon", "unknown-region", 404),
    Bad("GET", "/", "no-such-route", 404),
    Bad("GET", "/v1", "no-such-route", 404),
    Bad("GET", "/v1/kvx", "no-such-route", 404),
    Bad("GET", "/v1/status/", "no-such-route", 404),
    Bad("GET", "//v1/status", "no-such-route", 404),
    Bad("POST", "/v1/kv/a", "method-not-allowed", 405),
    Bad("PATCH", "/v1/kv/a", "method-not-allowed", 405),
    Bad("DELETE", "/v1/shards/s0", "method-not-allowed", 405),
    Bad("GET", EVICT, "method-not-allowed", 405),
    Bad("OPTIONS", "/v1/status", "method-not-allowed", 405),
    Bad("BREW", "/v1/status", "malformed", 400),
    Bad("GET", "/v1/events?from=1", "compacted", 410),
    Bad("GET", "/v1/status", "expectation-failed", 417, "", b"", {"Expect": "more"}),
    Bad("GET", "/v1/status", "header-too-large", 431, "", b"", {"X_Long": "x" * 8_200}),
    Bad("GET", "/v1/kv/" + "k" * 8_200, "header-too-large", 431),
)


@pytest.mark.parametrize("bad", KEYS + PARAMETERS + POSITIONS + HEADERS + BODIES + OTHERS, ids=str)
async def test_bad_input_is_refused_by_name(node: Node, bad: Bad) -> None:
    reply = await node.send(bad.method, bad.path, bad.body, **bad.headers)
    assert (reply.status, kind(reply)) == (bad.status, bad.kind), reply.body
    told = document(reply)
    assert told["title"]
    assert told["detail"]
    assert node.service.asked == []
    assert node.service.messages == []
    if bad.place:
        places = [
            error.get("parameter") or error.get("pointer") or error.get("header")
            for error in told["errors"]
        ]
        assert bad.place in places
        assert all(error["detail"] for error in told["errors"])
    # The connection, or a new one, is as good as before.
    assert (await node.get("/livez")).status == 200


async def test_all_complaints_come_at_once(node: Node) -> None:
    reply = await node.get("/v1/route?intent=x&region=eu&region=us&colour=red")
    assert document(reply)["errors"] == [
        {"detail": "must be one of read, write", "parameter": "intent"},
        {"detail": "is given more than once", "parameter": "region"},
        {
            "detail": "is not a parameter of this path; it takes key, intent, region, "
            "max_staleness_ms, position",
            "parameter": "colour",
        },
        {"detail": "is required", "parameter": "key"},
    ]
    assert document(reply)["detail"] == "intent: must be one of read, write (and 3 more)"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/v1/kv/a", "DELETE, GET, PUT"), ("/livez", "GET, HEAD"), (EVICT, "POST")],
)
async def test_a_wrong_method_is_told_the_right_ones(node: Node, path: str, allowed: str) -> None:
    reply = await node.send("PATCH", path)
    assert reply.headers["Allow"] == allowed


async def test_a_size_limit_is_told(node: Node) -> None:
    reply = await node.send("PUT", "/v1/kv/a", b"x" * 1_025)
    assert document(reply)["limit_bytes"] == 1_024
    assert (await node.send("PUT", "/v1/kv/a", b"x" * 1_024)).status == 200


NOT_HTTP = (
    b"hello\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET /livez HTTP/9.9\r\n\r\n",
    b"GET /livez HTTP/2.0\r\nHost: a\r\n\r\n",
    b"GET /livez HTTP/0.9\r\nHost: a\r\n\r\n",
    b"PUT /v1/kv/ab\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",  # its end was lost
    b"DELETE /v1/kv/a#b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET /v1/route?key=a#b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: a\r\nno colon here\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    b"PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnot-a-size\r\n",
    b"GET /livez HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX-Nul: \x00\r\n\r\n",
)


@pytest.mark.parametrize("sent", NOT_HTTP)
async def test_what_is_not_http_is_refused_as_a_problem(node: Node, sent: bytes) -> None:
    answer = await say(node.server.port, sent)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 ")), answer
    assert b"application/problem+json" in head
    assert b"/problems/malformed" in body
    assert b"Python" not in head
    assert node.service.asked == []
    assert (await node.get("/livez")).status == 200


@pytest.mark.parametrize("line", [b"CONNECT a:1", b"OPTIONS *", b"GET *"])
async def test_what_names_no_path_is_refused_as_a_problem(node: Node, line: bytes) -> None:
    sent = line + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    head, _, body = (await say(node.server.port, sent)).partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 404 ", b"HTTP/1.0 404 ", b"HTTP/1.0 400 ")), head
    assert b"application/problem+json" in head
    assert b"/problems/" in body
    assert b"Python" not in head


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nConnection: close\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ],
)
async def test_even_what_no_handler_sees_gets_a_name(node: Node, sent: bytes) -> None:
    heads = [(await say(node.server.port, sent)).partition(b"\r\n\r\n")[0] for _ in range(2)]
    names = {line for head in heads for line in head.split(b"\r\n") if b"X-Request-Id" in line}
    assert len(names) == 2


@pytest.mark.parametrize(
    "target", [b"/v1/kv/\xff", b"/v1/route?key=\xff", b"/v1/kv/a?\xff=1", b"/\xff"]
)
async def test_bytes_that_no_url_holds_are_refused(node: Node, target: bytes) -> None:
    sent = b"GET " + target + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    answer = await say(node.server.port, sent)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 404 ", b"HTTP/1.0 400 ")), answer
    assert b"application/problem+json" in answer
    assert node.service.asked == []


async def test_a_defect_is_told_without_its_inside(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    def defect(request: object) -> None:
        raise ZeroDivisionError("the secret inside")

    node.service.answer = defect
    reply = await node.get("/v1/kv/a", X_Request_Id="r-17")
    assert (reply.status, kind(reply)) == (500, "internal")
    assert b"secret" not in reply.body
    assert b"r-17" in reply.body
    assert "the secret inside" in caplog.text
    assert "r-17" in caplog.text
