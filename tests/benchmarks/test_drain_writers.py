"""Clients that write while a region is drained: they follow, and note pauses and failures."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from controlplane.bench import drain_writers
from controlplane.bench.drain import Drained, _figures
from controlplane.bench.drain_writers import DrainWriters, Target
from controlplane.http_client import HttpClient
from tests.api.listening import until

MOVES_AFTER = 5


class Moving(BaseHTTPRequestHandler):
    """Leads every key at epoch 1; after some writes of a key refuses one, and sends to `/there`."""

    protocol_version = "HTTP/1.1"
    seen: dict[str, int]
    ids: dict[str, set[str]]
    broken: bool

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        key = self.path.split("/")[-1].split("?")[0]
        number = self.seen[key] = self.seen.get(key, 0) + 1
        self.ids.setdefault(key, set()).add(self.headers["Idempotency-Key"])
        moved = number > MOVES_AFTER
        if self.broken or number == MOVES_AFTER:
            self._answer(503)
        elif moved and not self.path.startswith("/there"):
            here = f"http://127.0.0.1:{self.server.server_address[1]}"
            self._answer(307, ("Location", f"{here}/there{self.path}"))
        else:
            self._answer(200, ("Leadplane-Epoch", "2" if moved else "1"))

    def _answer(self, status: int, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", "0")):
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    Moving.seen, Moving.ids, Moving.broken = {}, {}, False
    found = ThreadingHTTPServer(("127.0.0.1", 0), Moving)
    thread = threading.Thread(target=found.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{found.server_address[1]}"
    found.shutdown()
    thread.join()
    found.server_close()


async def written(url: str, *keys: str) -> DrainWriters:
    async with HttpClient() as client:
        writers = DrainWriters(client, (url,), [Target(key, key, 1) for key in keys])
        task = asyncio.create_task(writers.work(0, 1))
        await until(lambda: len(writers.pauses_ms) == len(keys) or writers.failed)
        writers.stop.set()
        await task
        return writers


async def test_a_shard_that_moves_is_one_pause_and_no_failure(server: str) -> None:
    writers = await written(server, "a", "b")
    assert (len(writers.pauses_ms), writers.failed) == (2, [])
    assert writers.redirected >= 2
    assert all(pause > 1_000 * drain_writers.AGAIN_S for pause in writers.pauses_ms)


async def test_what_is_never_acknowledged_has_failed_and_is_not_written_twice(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain_writers, "PATIENCE_S", 0.1)
    Moving.broken = True
    writers = await written(server, "a")
    assert writers.failed[0].startswith("a: 503")
    assert writers.written == 0
    assert Moving.seen["a"] > len(Moving.ids["a"]), "a write is repeated under its own key"


def test_a_promise_is_kept_only_where_something_was_measured() -> None:
    good = Drained(300, 10_000, 10_900, 500, 7, [], [20.0] * 9)
    kept = [figure.reached for figure in _figures([good], 1.0, 2.0)]
    assert kept == [True, True, None, True, True]
    bad = Drained(300, 10_000, 11_100, 500, 7, ["s1: 503"], [])
    assert [figure.reached for figure in _figures([bad], 1.0, 2.0)] == [
        False, False, None, False, False,
    ]  # fmt: skip
