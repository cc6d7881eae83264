"""The client that writes numbers: nothing acknowledged is skipped, nothing refused is counted."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from controlplane.bench.mass_failover import TableWatch
from controlplane.bench.numbered_writes import NumberedWrites

PATIENCE_S = 10.0


class Fickle(BaseHTTPRequestHandler):
    """Refuses every third write; leads at epoch 1, from the tenth write on at epoch 2."""

    protocol_version = "HTTP/1.1"
    seen: list[bytes]

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append(body)
        refused = len(self.seen) % 3 == 0
        self.send_response(503 if refused else 200)
        if not refused:
            self.send_header("Leadplane-Epoch", "1" if len(self.seen) < 10 else "2")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b": alive\n\nevent: snapshot\nid: 1\ndata: " + said(1) + b"\n\n")
        self.wfile.write(b"event: change\nid: 2\ndata: " + said(2) + b"\n\n")
        self.wfile.write(b"event: change\nid: 3\ndata: " + said(3) + b"\n\n")
        self.wfile.flush()
        self.rfile.read(1)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        del format, args


def said(epoch: int) -> bytes:
    """What the stream says when `s0` is led at this epoch."""
    leader = {"node": f"n{epoch}", "region": "eu"}
    return json.dumps({"shards": [{"shard": "s0", "epoch": epoch, "leader": leader}]}).encode()


@pytest.fixture
def server() -> Iterator[str]:
    """Where the fickle leader listens."""
    handler = type("Handler", (Fickle,), {"seen": []})
    listening = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{listening.server_address[1]}"
    listening.shutdown()
    thread.join()
    listening.server_close()


def test_numbers_are_repeated_until_acknowledged(server: str) -> None:
    with NumberedWrites(server, lambda number: f"k/{number}") as writes:
        taken = writes.wait_for_epoch_after(1, PATIENCE_S)
        assert writes.wait_for_number(20, PATIENCE_S)
    assert taken is not None
    assert [ack.number for ack in writes.acks] == list(range(1, len(writes.acks) + 1))
    assert writes.refusals >= 9
    assert (writes.before(taken).epoch, taken.epoch) == (1, 2)
    assert writes.longest_gap_ms(writes.acks[0].at_s) > 0


def test_waiting_ends_when_nothing_comes(server: str) -> None:
    with NumberedWrites(server, str) as writes:
        assert writes.wait_for_epoch_after(7, 0.05) is None
        assert not writes.wait_for_number(10_000_000, 0.05)


def test_the_table_is_watched_as_it_changes(server: str) -> None:
    with TableWatch(server) as watch:
        assert watch.wait_for_rows(PATIENCE_S)
        assert watch.wait_for_later({"s0": 2}, PATIENCE_S)
        first, second = watch.led_after("s0", 1), watch.led_after("s0", 2)
        assert (first.epoch, second.epoch, second.region) == (2, 3, "eu")
        assert not watch.wait_for_later({"s0": 3}, 0.01)
