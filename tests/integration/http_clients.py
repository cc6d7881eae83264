"""Clients of a real fleet that write and read at random, and remember what they were told."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Mapping
from random import Random
from urllib.parse import urlencode, urlsplit

from controlplane.cli.kv import key_path
from controlplane.requests import (
    Consistency,
    Found,
    Outcome,
    Problem,
    Provenance,
    Put,
    Read,
    Refused,
    Role,
    Value,
    Write,
    Written,
)
from controlplane.simulator.checkers.history import Operation

ANSWER_S_MAX = 3.0
ATTEMPTS_MAX = 3
PAUSE_S = 0.02
STALENESS_MS_MAX = 60_000
READS_SHARE = 0.3
BOUNDED_SHARE = 0.15


def now_ms() -> int:
    """The one clock of all clients."""
    return time.monotonic_ns() // 1_000_000


class HttpClient(threading.Thread):
    """One client with one request under way; each goes to some node, and a retry to another."""

    def __init__(
        self, name: str, urls: Mapping[str, str], shards: Mapping[str, str], seed: str
    ) -> None:
        """`urls` are those of the nodes by name, `shards` the shard of each key."""
        super().__init__(name=name, daemon=True)
        self.history: list[Operation] = []
        self._urls = urls
        self._shards = shards
        self._chance = Random(f"{seed}/{name}")
        self._leave = threading.Event()
        self._number = 0

    def run(self) -> None:
        while not self._leave.is_set():
            key = self._chance.choice(sorted(self._shards))
            dice = self._chance.random()
            if dice < READS_SHARE:
                self.read(key, Consistency.STRONG, by_quorum=self._chance.random() < 0.5)
            elif dice < READS_SHARE + BOUNDED_SHARE:
                self.read(key, Consistency.BOUNDED)
            else:
                self._write(key)
            self._leave.wait(PAUSE_S)

    def stop(self) -> None:
        """End after the request under way."""
        self._leave.set()
        self.join()

    def read(
        self, key: str, consistency: Consistency, *, by_quorum: bool = False
    ) -> Outcome | None:
        """Read one key at some node; None when no answer came."""
        query = {"consistency": consistency.value}
        if consistency is Consistency.BOUNDED:
            query["max_staleness_ms"] = str(STALENESS_MS_MAX)
        if by_quorum:
            query["quorum"] = "true"
        request = Read(self._shards[key], (key,), consistency, quorum=by_quorum)
        operation = self._begin(request)
        answer = self._ask(operation.node, "GET", f"{key_path(key)}?{urlencode(query)}", None, {})
        return self._end(operation, None if answer is None else _found(key, answer))

    def _write(self, key: str) -> None:
        self._number += 1
        op_id = f"{self.name}-{self._number}"
        value = op_id.encode()
        request = Write(self._shards[key], (Put("", key, value),), op_id=op_id)
        for _ in range(ATTEMPTS_MAX):
            operation = self._begin(request)
            headers = {"Idempotency-Key": op_id}
            answer = self._ask(operation.node, "PUT", key_path(key), value, headers)
            outcome = self._end(operation, None if answer is None else _written(answer))
            if isinstance(outcome, Written) or self._leave.is_set():
                return

    def _begin(self, request: Read | Write) -> Operation:
        node = self._chance.choice(sorted(self._urls))
        operation = Operation(self.name, node, request, now_ms())
        self.history.append(operation)
        return operation

    def _end(self, operation: Operation, outcome: Outcome | None) -> Outcome | None:
        if outcome is not None:
            operation.ended_ms = now_ms()
            operation.outcome = outcome
        return outcome

    def _ask(
        self, node: str, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes] | None:
        parts = urlsplit(self._urls[node])
        connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=ANSWER_S_MAX
        )
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()


def _written(answer: tuple[int, Mapping[str, str], bytes]) -> Outcome | None:
    status, headers, body = answer
    if status >= 300:
        return _refused(status, body)
    epoch, version = int(headers["Leadplane-Epoch"]), int(headers["Leadplane-Version"])
    replayed = headers.get("Idempotency-Replayed") == "true"
    return Written(headers["Leadplane-Shard"], epoch, version, replayed)


def _found(key: str, answer: tuple[int, Mapping[str, str], bytes]) -> Outcome | None:
    status, headers, body = answer
    absent = status == 404 and "Leadplane-Staleness-Ms" in headers
    if status >= 300 and not absent:
        return _refused(status, body)
    staleness = headers["Leadplane-Staleness-Ms"]
    origin = Provenance(
        headers["Leadplane-Shard"],
        int(headers["Leadplane-Epoch"]),
        0,
        None if staleness == "unknown" else int(staleness),
        Role(headers["Leadplane-Role"]),
        headers["Leadplane-Served-By"],
    )
    value = None if absent else Value(int(headers["Leadplane-Version"]), body)
    return Found((value,), origin)


def _refused(status: int, body: bytes) -> Outcome | None:
    """A refusal as the node meant it; None for one that is not this fleet's word."""
    try:
        kind = json.loads(body)["type"].rsplit("/", 1)[1]
        return Refused(Problem(kind), "")
    except (ValueError, KeyError, IndexError):
        unknown = status >= 500 and status != 503
        return Refused(Problem.UNKNOWN_OUTCOME if unknown else Problem.NO_LEADER, "")
