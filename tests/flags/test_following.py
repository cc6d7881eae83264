"""An application's copy of the flags: taken as a whole, kept while nobody answers, and told of."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import pytest

from controlplane.flags.following import Follower, LocalCopy, News, Source, Told, Unusable

WAIT_S = 20.0
STALE_S = 2.0


def answer(region: str = "eu", version: int = 1, **flags: Any) -> dict[str, Any]:
    """What a node says is in force."""
    document = {"name": "flags.web", "version": version, "digest": "d", "content": {"flags": flags}}
    return {"node": "n1", "region": region, "documents": [document]}


def value(copy: LocalCopy, flag: str = "f") -> Any:
    """What a flag comes to by this copy."""
    assert copy.flags is not None
    return copy.flags.evaluate(flag, "ada", {}).value


class PaperNode:
    """A server that answers what it is told to; `None` cuts the connection."""

    def __init__(self) -> None:
        self.status = 200
        self.body: bytes | None = orjson.dumps(answer(f={"default": "on"}))
        self.tag = "one"
        self.asked: list[tuple[str, str | None]] = []
        self.url = ""

    def says(self, document: Any, tag: str, status: int = 200) -> None:
        """Answer this from now on."""
        self.status, self.tag, self.body = status, tag, orjson.dumps(document)


def handler_of(node: PaperNode) -> type[BaseHTTPRequestHandler]:
    """A handler that answers as this node; it does not put answers off."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            named = self.headers.get("If-None-Match")
            node.asked.append((self.path, named))
            if node.body is None:
                return
            is_same = named == f'"{node.tag}"' and node.status == 200
            self.send_response(304 if is_same else node.status)
            self.send_header("ETag", f'"{node.tag}"')
            body = b"" if is_same else node.body
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            del format, args

    return Handler


@contextmanager
def serving(node: PaperNode) -> Iterator[PaperNode]:
    """Listen for a while."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(node))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    node.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield node
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def node() -> Iterator[PaperNode]:
    with serving(PaperNode()) as served:
        yield served


class Following:
    """A follower with its copy and what it told."""

    def __init__(self, *urls: str, region: str | None = None) -> None:
        self.copy = LocalCopy(region)
        self.told: queue.Queue[Told] = queue.Queue()
        source = Source(urls, region, token="word", stale_after_s=STALE_S)
        self.follower = Follower(source, self.copy, self.told.put)

    def next(self) -> Told:
        """The next news."""
        return self.told.get(timeout=WAIT_S)


@contextmanager
def following(*urls: str, region: str | None = None) -> Iterator[Following]:
    """Follow these nodes for a while; the first copy has come."""
    found = Following(*urls, region=region)
    assert found.follower.start(WAIT_S)
    try:
        yield found
    finally:
        found.follower.stop()


def test_an_answer_is_taken_as_a_whole_and_tells_what_changed() -> None:
    copy = LocalCopy()
    assert copy.take(answer(f={"default": "on"}, g={"default": "on"}), "one") == ("f", "g")
    assert (copy.region, copy.tag, value(copy)) == ("eu", "one", True)
    assert copy.take(answer(version=2, f={"default": "off"}, g={"default": "on"}), "two") == ("f",)
    assert copy.take({"node": "n1", "region": "eu", "documents": []}, "three") == ("f", "g")


@pytest.mark.parametrize("bad", [{}, [], None, {"region": "eu", "documents": [{}]}, "text"])
def test_an_answer_that_is_none_leaves_the_copy_as_it_was(bad: Any) -> None:
    copy = LocalCopy()
    copy.take(answer(f={"default": "on"}), "one")
    with pytest.raises(Unusable):
        copy.take(bad, "two")
    assert (copy.tag, value(copy)) == ("one", True)


def test_an_answer_of_another_region_is_not_taken() -> None:
    copy = LocalCopy()
    copy.take(answer("eu", f={"default": "on"}), "one")
    with pytest.raises(Unusable, match="n1 stands in us, not in eu"):
        copy.take(answer("us", version=2, f={"default": "off"}), "two")
    assert value(copy) is True
    with pytest.raises(Unusable):
        LocalCopy("us").take(answer("eu"), "one")


def test_a_change_is_taken_up_and_told(node: PaperNode) -> None:
    with following(node.url) as found:
        assert value(found.copy) is True
        node.says(answer(version=2, f={"default": "off"}), "two")
        assert found.next() == Told(News.CHANGED, ("f",))
        assert value(found.copy) is False
    path, named = node.asked[-1]
    assert path == f"/v1/flags?wait_ms={int(STALE_S / 3 * 1000)}"
    assert named in ('"one"', '"two"')
    assert found.told.empty()


@pytest.mark.parametrize("status", [None, 503])
def test_a_copy_stays_when_nobody_answers_and_is_stale_after_a_while(
    node: PaperNode, status: int | None
) -> None:
    with following(node.url) as found:
        if status is None:
            node.body = None
        else:
            node.says({}, "none", status)
        assert found.next().news is News.STALE
        assert value(found.copy) is True
        node.says(answer(version=2, f={"default": "off"}), "two")
        assert [found.next(), found.next()] == [Told(News.READY), Told(News.CHANGED, ("f",))]
        assert value(found.copy) is False


def test_what_is_no_node_of_this_region_is_told_at_once(node: PaperNode) -> None:
    with following(node.url) as found:
        node.says(answer("us", version=2, f={"default": "off"}), "two")
        told = found.next()
        assert (told.news, told.why) == (News.ERROR, "n1 stands in us, not in eu")
        assert value(found.copy) is True
        node.says(answer(version=2, f={"default": "on"}), "three")
        assert found.next() == Told(News.READY)


def test_the_next_node_is_asked_when_one_is_gone(node: PaperNode) -> None:
    with serving(PaperNode()) as first, following(first.url, node.url) as found:
        assert node.asked == []
        first.body = None
        node.says(answer(version=2, f={"default": "off"}), "two")
        assert found.next() == Told(News.CHANGED, ("f",))
    assert first.asked


def test_a_node_where_too_many_wait_is_asked_without_waiting(node: PaperNode) -> None:
    with following(node.url) as found:
        node.says({}, "none", 503)
        found.next()
        assert any(path == "/v1/flags?wait_ms=0" for path, _ in node.asked)


def test_the_first_copy_may_come_late(node: PaperNode) -> None:
    good, node.body = node.body, None
    found = Following(node.url)
    try:
        assert not found.follower.start(0.05)
        assert found.copy.flags is None
        node.body = good
        told = found.next()
        while told.news is News.STALE:
            told = found.next()
        assert told == Told(News.READY)
        assert value(found.copy) is True
    finally:
        found.follower.stop()
