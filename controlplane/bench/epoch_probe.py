"""A client that writes to one key without pause, and notes when each write was acknowledged.

What a change of leader costs is what this client sees of it: the time between the last write that
the old epoch acknowledged and the first that the new one did.
"""

from __future__ import annotations

import http.client
import threading
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from urllib.parse import quote, urlsplit

RETRY_S = 0.005
ANSWER_S_MAX = 2.0
JOIN_S_MAX = 10.0


@dataclass(frozen=True, slots=True)
class Ack:
    """One acknowledged write: which number, when (seconds of the monotonic clock), which epoch."""

    number: int
    at_s: float
    epoch: int


class EpochProbe:
    """Writes 1, 2, 3, ... to `key` by way of the node at `url` until it is left.

    A number is sent again, unchanged, until it is acknowledged, so the acknowledged ones have no
    gap. Use it as a context manager; `acks` may be read while it runs.
    """

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port
        self._path = "/v1/kv/" + quote(key, safe="")
        self._leave = threading.Event()
        self._acked = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"probe {key}", daemon=True)
        self.acks: list[Ack] = []
        self.refusals = 0

    def __enter__(self) -> EpochProbe:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave.set()
        self._thread.join(JOIN_S_MAX)

    def wait_for(self, epoch_after: int, seconds: float) -> Ack | None:
        """The first write acknowledged at a later epoch than this; None when none comes in time."""
        seen = 0

        def found() -> Ack | None:
            nonlocal seen
            fresh = self.acks[seen:]
            seen += len(fresh)
            return next((ack for ack in fresh if ack.epoch > epoch_after), None)

        with self._acked:
            return self._acked.wait_for(found, seconds)

    def last_before(self, ack: Ack) -> Ack:
        """The write that was acknowledged right before this one."""
        return self.acks[self.acks.index(ack) - 1]

    def _run(self) -> None:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=ANSWER_S_MAX)
        number = 1
        while not self._leave.is_set():
            epoch = self._put(connection, number)
            if epoch is None:
                self.refusals += 1
                self._leave.wait(RETRY_S)
                continue
            with self._acked:
                self.acks.append(Ack(number, monotonic(), epoch))
                self._acked.notify_all()
            number += 1
        connection.close()

    def _put(self, connection: http.client.HTTPConnection, number: int) -> int | None:
        """The epoch that acknowledged the write, or None when it was not acknowledged."""
        try:
            connection.request("PUT", self._path, str(number).encode())
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            return None
        if answer.status >= 300:
            return None
        return int(answer.headers["Leadplane-Epoch"])
