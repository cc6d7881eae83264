"""A client that writes 1, 2, 3, ... without end, and notes when each write was acknowledged.

What a change of leader costs is what this client sees of it: the time between the last write that
the old epoch acknowledged and the first that the new one did. What a failure may not cost is any of
the numbers it was told are stored.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from time import monotonic
from types import TracebackType
from urllib.parse import quote, urlsplit

RETRY_S = 0.005
ANSWER_S_MAX = 2.0
JOIN_S_MAX = 15.0


@dataclass(frozen=True, slots=True)
class Ack:
    """One acknowledged write: its number, when (seconds of the monotonic clock), its epoch."""

    number: int
    at_s: float
    epoch: int


class NumberedWrites:
    """Writes each number under `key_of(number)` by way of the node at `url`, until it is left.

    A number is sent again, unchanged, until it is acknowledged, and after a time-out, whose outcome
    is unknown: so the acknowledged ones have no gap. `pause_s` is waited after each. Use it as a
    context manager; `acks` may be read meanwhile.
    """

    def __init__(
        self,
        url: str,
        key_of: Callable[[int], str],
        pause_s: float = 0.0,
        answer_s_max: float = ANSWER_S_MAX,
    ) -> None:
        parts = urlsplit(url)
        self._answer_s_max = answer_s_max
        self._host, self._port = parts.hostname or "", parts.port
        self._key_of = key_of
        self._pause_s = pause_s
        self._leave = threading.Event()
        self._acked = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="numbered writes", daemon=True)
        self.acks: list[Ack] = []
        self.refusals = 0

    def __enter__(self) -> NumberedWrites:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End writing, after the write under way; may be called twice."""
        self._leave.set()
        self._thread.join(JOIN_S_MAX)

    def wait_for_epoch_after(self, epoch: int, seconds: float) -> Ack | None:
        """The first write acknowledged at a later epoch; None when none comes in time."""
        seen = 0

        def found() -> Ack | None:
            nonlocal seen
            fresh = self.acks[seen:]
            seen += len(fresh)
            return next((ack for ack in fresh if ack.epoch > epoch), None)

        with self._acked:
            return self._acked.wait_for(found, seconds)

    def wait_for_number(self, number: int, seconds: float) -> bool:
        """Wait until so many writes have been acknowledged."""
        with self._acked:
            return self._acked.wait_for(lambda: len(self.acks) >= number, seconds)

    def before(self, ack: Ack) -> Ack:
        """The write that was acknowledged right before this one; itself for the first."""
        return self.acks[max(0, ack.number - 2)]

    def longest_gap_ms(self, since_s: float) -> float:
        """The longest time without an acknowledgement from `since_s` on, in milliseconds."""
        times = [since_s, *(ack.at_s for ack in self.acks if ack.at_s >= since_s), monotonic()]
        return max((b - a) * 1000.0 for a, b in pairwise(times))

    def _run(self) -> None:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._answer_s_max)
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
            if self._pause_s:
                self._leave.wait(self._pause_s)
        connection.close()

    def _put(self, connection: http.client.HTTPConnection, number: int) -> int | None:
        """The epoch that acknowledged the write, or None when it was not acknowledged."""
        path = "/v1/kv/" + quote(self._key_of(number), safe="")
        try:
            connection.request("PUT", path, str(number).encode())
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            return None
        if answer.status >= 300:
            return None
        return int(answer.headers["Leadplane-Epoch"])
