"""What the busy paths answer, to the byte, and that short ways lead where the long one does."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import pytest

from controlplane.api.application import SHORTCUTS, create_app
from controlplane.api.reply import header_lines
from controlplane.api.route_table import ROUTES
from tests.api.fake_service import FakeFleet
from tests.api.listening import Node
from tests.api.raw_peer import say

BUSY = ("GET /v1/route?key=a", "GET /v1/kv/a", "PUT /v1/kv/a")


def request(what: str, version: str, *fields: str) -> bytes:
    """A request as bytes; a PUT has a body of one character."""
    body = "x" if what.startswith("PUT") else ""
    lines = [f"{what} HTTP/{version}", "Host: a", f"Content-Length: {len(body)}", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def parsed(answer: bytes) -> tuple[str, dict[str, str], bytes]:
    """Status line, headers and body of the only answer in these bytes."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert len(headers) == len(lines), "a header is there twice"
    assert int(headers["Content-Length"]) == len(body)
    return status, headers, body


@pytest.mark.parametrize("what", BUSY)
async def test_an_answer_has_what_every_answer_has(node: Node, what: str) -> None:
    await node.send("PUT", "/v1/kv/a", b"x")
    sent = request(what, "1.1", "Connection: close", "X-Request-Id: r-1")
    status, headers, _ = parsed(await say(node.server.port, sent))
    assert status == "HTTP/1.1 200 OK"
    assert (headers["Connection"], headers["X-Request-Id"]) == ("close", "r-1")
    assert headers["Server"] == "leadplane"
    assert headers["Content-Type"].startswith("application/")
    plain = await node.get("/livez")
    apart = parsedate_to_datetime(plain.headers["Date"]) - parsedate_to_datetime(headers["Date"])
    assert abs(apart.total_seconds()) <= 5


@pytest.mark.parametrize("what", BUSY)
async def test_an_old_client_is_answered_in_its_own_version(node: Node, what: str) -> None:
    await node.send("PUT", "/v1/kv/a", b"x")
    status, headers, _ = parsed(await say(node.server.port, request(what, "1.0")))
    assert status == "HTTP/1.0 200 OK"
    assert "Connection" not in headers
    kept = request(what, "1.0", "Connection: keep-alive")
    first, _, second = (
        (await say(node.server.port, kept + request(what, "1.0"))).partition(b"HTTP/1.0 200 OK")[2]
    ).partition(b"HTTP/1.0 200 OK")
    assert b"Connection: keep-alive\r\n" in first
    assert second


@pytest.mark.parametrize("version", ["0.9", "2.0"])
async def test_another_version_is_refused_in_our_own(node: Node, version: str) -> None:
    await node.send("PUT", "/v1/kv/a", b"x")
    for what in BUSY:
        status, _, _ = parsed(
            await say(node.server.port, request(what, version, "Connection: close"))
        )
        assert status == "HTTP/1.1 400 Bad Request"


@pytest.mark.parametrize("what", BUSY)
async def test_requests_sent_at_once_are_answered_in_order(node: Node, what: str) -> None:
    await node.send("PUT", "/v1/kv/a", b"x")
    sent = b"".join(request(what, "1.1", f"X-Request-Id: r-{number}") for number in range(40))
    answer = await say(node.server.port, sent + request(what, "1.1", "Connection: close"))
    names = [line for line in answer.split(b"\r\n") if line.startswith(b"X-Request-Id: r-")]
    assert names == [b"X-Request-Id: r-%d" % number for number in range(40)]


@pytest.mark.parametrize(
    "path",
    ["/v1/route?key=a", "http://a/v1/route?key=a", "/v1/rout%65?key=a", "/%76%31/route?key=a"],
)
async def test_a_path_may_be_written_in_many_ways(node: Node, path: str) -> None:
    status, _, body = parsed(
        await say(node.server.port, request(f"GET {path}", "1.1", "Connection: close"))
    )
    assert status == "HTTP/1.1 200 OK"
    assert b'"leader":{"node":"n1"' in body


def test_a_shortcut_leads_to_a_route_of_the_table() -> None:
    shortcuts = create_app(FakeFleet().add("n1", "eu"))[SHORTCUTS]
    for endpoint in ROUTES:
        fixed = endpoint.path.replace("{key}", "a/b")
        found = shortcuts.find(endpoint.method, fixed)
        assert (found is None) == ("{" in fixed), endpoint.path
        assert shortcuts.find("PATCH", fixed) is None
    for path in ("/v1/kv", "/v1/kvx", "/V1/kv/a", "//v1/kv/a", "/v1/route/"):
        assert shortcuts.find("PUT", path) is None
    put, get = shortcuts.find("PUT", "/v1/kv/a"), shortcuts.find("GET", "/v1/kv/a")
    assert put is not None
    assert put is not get
    assert shortcuts.find("PUT", "/v1/kv/") is put


@pytest.mark.parametrize("text", ["a\r\nSet-Cookie: b", "a\nb", "\0", "\x7f"])
def test_a_header_line_cannot_be_broken(text: str) -> None:
    with pytest.raises(ValueError, match="cannot hold"):
        header_lines(("Leadplane-Shard", text))
