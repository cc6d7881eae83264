"""Who is told by Alertmanager: a receiver of its calls that keeps what is on and what was told."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Told:
    """One alert in one call, as it was then."""

    receiver: str
    name: str
    labels: Labels
    fires: bool
    at_s: float


@dataclass(slots=True)
class Pager:
    """What was told so far."""

    url: str
    told: list[Told] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def take(self, receiver: str, call: Mapping[str, Any]) -> None:
        """Keep what a call says of each alert, unless it only says so again."""
        with self._lock:
            for alert in call["alerts"]:
                labels, fires = alert["labels"], alert["status"] == "firing"
                if fires is not self._fires(labels):
                    name = labels["alertname"]
                    self.told.append(Told(receiver, name, labels, fires, time.monotonic()))

    def firing(self) -> dict[str, Told]:
        """What is on, by name; of several of a name the last."""
        with self._lock:
            last = {json.dumps(t.labels, sort_keys=True): t for t in self.told}
        return {told.name: told for told in last.values() if told.fires}

    def since(self, mark: int) -> list[Told]:
        """What was told to fire after the first so many calls."""
        with self._lock:
            return [told for told in self.told[mark:] if told.fires]

    def mark(self) -> int:
        """How much was told so far."""
        return len(self.told)

    def _fires(self, labels: Labels) -> bool:
        last = next((told for told in reversed(self.told) if told.labels == labels), None)
        return last is not None and last.fires


@contextmanager
def listening_pager() -> Iterator[Pager]:
    """One that is there as long as the block lasts; receivers are the last part of the path."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            pager.take(self.path.rsplit("/", 1)[-1], json.loads(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        pager = Pager(f"http://127.0.0.1:{server.server_port}")
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield pager
        finally:
            server.shutdown()
