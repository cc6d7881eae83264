"""What every node of a fleet tells of documents and rollouts, with the time on its wall."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition, Thread
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from controlplane.bench.report import NotMeasured

DATA = b"data: "


@dataclass(frozen=True, slots=True)
class Told:
    """One event of one node."""

    node: str
    wall_ms: int
    kind: str
    detail: dict[str, str]


class EventWatch:
    """All events since it began, from all nodes."""

    def __init__(self) -> None:
        self._news = Condition()
        self._told: list[Told] = []

    def heard(self, event: Told) -> None:
        """Another one."""
        with self._news:
            self._told.append(event)
            self._news.notify_all()

    def until(
        self, wanted: Callable[[Sequence[Told]], bool], what: str, seconds: float
    ) -> list[Told]:
        """All there were, once they are what is wanted. Raises NotMeasured."""
        ends_s = monotonic() + seconds
        with self._news:
            while not wanted(self._told):
                if not self._news.wait(ends_s - monotonic()) and monotonic() >= ends_s:
                    raise NotMeasured(f"{what}: not within {seconds:g} s")
            return list(self._told)


@contextmanager
def watched_events(urls: dict[str, str]) -> Iterator[EventWatch]:
    """Follow the events of these nodes, by name, for as long as the block lasts."""
    watch, connections = EventWatch(), []
    for node, url in urls.items():
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
        connection.request("GET", "/v1/events", headers={"Accept": "text/event-stream"})
        answer = connection.getresponse()
        answer.readline()  # the stream has begun: what happens from now on comes
        connections.append(connection)
        Thread(target=_follow, args=(node, answer, watch), daemon=True).start()
    try:
        yield watch
    finally:
        for connection in connections:
            if connection.sock is not None:
                connection.sock.close()


def _follow(node: str, answer: http.client.HTTPResponse, watch: EventWatch) -> None:
    try:
        while line := answer.readline():
            if line.startswith(DATA):
                event: dict[str, Any] = json.loads(line.removeprefix(DATA))
                if "detail" in event:
                    told = Told(node, event["wall_ms"], event["kind"], event["detail"])
                    watch.heard(told)
    except (OSError, ValueError, http.client.HTTPException):
        return  # the stream is over
