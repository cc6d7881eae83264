"""A small real HTTP server that answers as a fleet does, with the API's own records."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
from click.testing import CliRunner, Result

from controlplane.cli.main import cli
from tests.cli import sample_fleet

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class StubFleet:
    """What the server answers, by method and path, and what it was asked."""

    url: str = ""
    answers: dict[tuple[str, str], Answer] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    later: dict[tuple[str, str], list[Answer]] = field(default_factory=dict)

    def document(self, path: str, document: object, method: str = "GET", status: int = 200) -> None:
        """Answer a JSON document."""
        kind = "application/problem+json" if status >= 400 else "application/json"
        self.answers[method, path] = (status, {"Content-Type": kind}, orjson.dumps(document))

    def one_after_the_other(self, path: str, *documents: dict[str, Any]) -> None:
        """Answer each request with the next document, or problem; the last one stays."""
        found = []
        for each in documents:
            is_problem = str(each.get("type", "")).startswith("/problems/")
            self.document(path, each, status=each["status"] if is_problem else 200)
            found.append(self.answers["GET", path])
        self.later["GET", path] = found

    def raw(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> None:
        """Answer bytes with headers."""
        self.answers[method, path] = (200, headers, body)

    def pages(self, path: str, pages: list[list[object]]) -> None:
        """Answer a list in pages: each but the last names the next."""
        for number, items in enumerate(pages):
            document: dict[str, object] = {"items": items}
            if number + 1 < len(pages):
                document["continue"] = f"page{number + 1}"
            self.document(f"{path}#{number or ''}", document)
        self.answers["GET", path] = self.answers["GET", f"{path}#"]

    def last(self, method: str, path: str) -> Asked:
        """The last request for this path; fails when there was none."""
        return next(a for a in reversed(self.asked) if (a.method, a.path) == (method, path))


def _handler(stub: StubFleet) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_any(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            stub.asked.append(Asked(self.command, parts.path, query, headers, body))
            page = query.get("continue", "").removeprefix("page")
            path = f"{parts.path}#{page}" if page else parts.path
            if len(waiting := stub.later.get((self.command, path), [])) > 1:
                stub.answers[self.command, path] = waiting.pop(0)
            elif waiting:
                stub.answers[self.command, path] = waiting[0]
            status, more, answer = stub.answers.get(
                (self.command, path), (599, {}, b"the stub knows no answer")
            )
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_any  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            del format, args

    return Handler


@contextmanager
def serving() -> Iterator[StubFleet]:
    """A stub that serves the documents of the sample fleet."""
    stub = StubFleet()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(stub))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    for path, document in sample_fleet.documents(stub.url).items():
        stub.document(path, document)
    try:
        yield stub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def leadplane(*arguments: str, columns: int = 120, stdin: bytes = b"") -> Result:
    """Type a command, as wide a terminal as given."""
    runner = CliRunner()
    return runner.invoke(cli, list(arguments), input=stdin, env={"COLUMNS": str(columns)})
