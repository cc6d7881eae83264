"""Clients under chaos: they write and read at random through any node, and remember all they saw.

Each client has one request under way. A write is sent again, under its own idempotency key and to
another node, until its outcome is known or its attempts are used up. A node that gave no answer is
left alone for a moment. A client keeps the position that it got last and shows it with the reads of
its session. Nobody judges here.

Times are milliseconds of one monotonic clock since the load began. The moment at which a node took
its answer cannot be seen from outside, so `decided_ms` is the one that errs on the side of the
node: the end of a write, the start of a read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from random import Random
from urllib.parse import urlencode

from controlplane.chaos.answers import read_answer, write_answer
from controlplane.chaos.scenario import Load
from controlplane.cli.kv import key_path
from controlplane.http_client import HttpClient, PeerLost, PeerReply, PeerUnreachable
from controlplane.requests import (
    Compare,
    Consistency,
    Found,
    Outcome,
    Problem,
    Put,
    Read,
    Refused,
    Write,
    Written,
)
from controlplane.simulator.checkers.history import Operation

ANSWER_MS_MAX = 1_500
CONNECT_MS_MAX = 500
ATTEMPTS_MAX = 3
AGAIN_S = 0.02
AVOIDED_MS = 2_000
"""How long a node is left alone that gave no answer."""
CONDITIONAL_SHARE = 0.15
STALENESS_MS = (200, 1_000, 10_000)
READS = ("strong", "quorum", "bounded", "session", "any")
READ_WEIGHTS = (3, 2, 2, 3, 1)


class RunClock:
    """Milliseconds since the load began."""

    def __init__(self) -> None:
        self._began_ns = time.monotonic_ns()

    def now_ms(self) -> int:
        """The same for all clients of a run."""
        return (time.monotonic_ns() - self._began_ns) // 1_000_000


class ChaosClient:
    """One client with a session of its own."""

    def __init__(
        self,
        name: str,
        http: HttpClient,
        urls: Mapping[str, str],
        shards: Mapping[str, str],
        clock: RunClock,
        chance: Random,
    ) -> None:
        """`urls` are those of the nodes by name, `shards` the shard of each key."""
        self.history: list[Operation] = []
        self._name = name
        self._http = http
        self._urls = urls
        self._nodes = sorted(urls)
        self._shards = shards
        self._keys = sorted(shards)
        self._clock = clock
        self._chance = chance
        self._number = 0
        self._position = ""
        self._versions: dict[str, int] = {}
        self._silent_ms: dict[str, int] = {}

    async def work(self, load: Load, stop: asyncio.Event) -> None:
        """Do one thing after the other until told to stop."""
        while not stop.is_set():
            key = self._chance.choice(self._keys)
            if self._chance.random() < load.reads:
                (how,) = self._chance.choices(READS, READ_WEIGHTS)
                outcome = await self.read(key, how)
            else:
                outcome = await self.write(key, self._chance.random() < CONDITIONAL_SHARE)
            hurt = outcome is None or isinstance(outcome, Refused)
            await asyncio.sleep(AGAIN_S if hurt else load.pause_ms / 1_000)

    async def read(self, key: str, how: str) -> Outcome | None:
        """Read one key at some node; None when no answer came."""
        by_quorum = how == "quorum"
        consistency = Consistency.STRONG if by_quorum else Consistency(how)
        query, staleness_ms = {"consistency": consistency.value}, None
        if by_quorum:
            query["quorum"] = "true"
        elif consistency is Consistency.BOUNDED:
            staleness_ms = self._chance.choice(STALENESS_MS)
            query["max_staleness_ms"] = str(staleness_ms)
        elif consistency is Consistency.SESSION and self._position:
            query["position"] = self._position
        request = Read(self._shards[key], (key,), consistency, staleness_ms, quorum=by_quorum)
        operation = self._begin(request)
        answer = await self._ask(operation.node, "GET", f"{key_path(key)}?{urlencode(query)}", {})
        if answer is None or isinstance(answer, Refused):
            return self._end(operation, answer)
        outcome = self._end(operation, read_answer(self._shards[key], answer))
        if isinstance(outcome, Found):
            value = outcome.values[0]
            self._versions[key] = 0 if value is None else value.version
            if consistency is Consistency.SESSION:
                self._position = answer.headers.get("Leadplane-Position", self._position)
        return outcome

    async def write(self, key: str, conditional: bool = False) -> Outcome | None:
        """Put a value that nobody else puts; `conditional`: only over the version last seen."""
        self._number += 1
        op_id = f"{self._name}-{self._number}"
        compares: tuple[Compare, ...] = ()
        headers = {"Idempotency-Key": op_id}
        if conditional:
            version = self._versions.get(key, 0)
            compares = (Compare(key, version),)
            headers |= {"If-Match": f'"{version}"'} if version else {"If-None-Match": "*"}
        put = Put("", key, op_id.encode())
        request = Write(self._shards[key], (put,), compares, op_id)
        outcome: Outcome | None = None
        query = f"?{urlencode({'position': self._position})}" if self._position else ""
        for _ in range(ATTEMPTS_MAX):
            operation = self._begin(request)
            path = key_path(key) + query
            answer = await self._ask(operation.node, "PUT", path, headers, put.value)
            if answer is None or isinstance(answer, Refused):
                outcome = self._end(operation, answer)
            else:
                outcome = self._end(operation, write_answer(answer))
                if isinstance(outcome, Written):
                    self._versions[key] = outcome.position
                    self._position = answer.headers.get("Leadplane-Position", self._position)
            if not _worth_another_try(outcome):
                break
            await asyncio.sleep(AGAIN_S)
        return outcome

    async def write_once(self, shard: str, key: str) -> None:
        """Put a key of its own, in one attempt, besides whatever else is under way."""
        self._number += 1
        op_id = f"{self._name}-{self._number}"
        put = Put("", key, op_id.encode())
        operation = self._begin(Write(shard, (put,), (), op_id))
        headers = {"Idempotency-Key": op_id}
        answer = await self._ask(operation.node, "PUT", key_path(key), headers, put.value)
        self._end(operation, write_answer(answer) if isinstance(answer, PeerReply) else answer)

    def _begin(self, request: Read | Write) -> Operation:
        now_ms = self._clock.now_ms()
        awake = [
            n for n in self._nodes if self._silent_ms.get(n, -AVOIDED_MS) + AVOIDED_MS <= now_ms
        ]
        node = self._chance.choice(awake or self._nodes)
        operation = Operation(self._name, node, request, now_ms)
        self.history.append(operation)
        return operation

    def _end(self, operation: Operation, outcome: Outcome | None) -> Outcome | None:
        if outcome is not None:
            operation.ended_ms = self._clock.now_ms()
            is_read = isinstance(operation.request, Read)
            operation.decided_ms = operation.started_ms if is_read else operation.ended_ms
            operation.outcome = outcome
        return outcome

    async def _ask(
        self, node: str, method: str, path: str, headers: Mapping[str, str], body: bytes = b""
    ) -> PeerReply | Refused | None:
        """The answer, a refusal where nothing was sent, None where nobody knows what was done."""
        try:
            return await self._http.send(
                method,
                self._urls[node] + path,
                headers=headers,
                body=body,
                timeout_ms=ANSWER_MS_MAX,
            )
        except PeerUnreachable as error:
            self._silent_ms[node] = self._clock.now_ms()
            return Refused(Problem.NO_LEADER, str(error))
        except PeerLost:
            self._silent_ms[node] = self._clock.now_ms()
            return None


def clients_of(
    load: Load,
    http: HttpClient,
    urls: Mapping[str, str],
    shards: Mapping[str, str],
    clock: RunClock,
    seed: str,
) -> Sequence[ChaosClient]:
    """All clients of a load."""
    return [
        ChaosClient(f"c{n}", http, urls, shards, clock, Random(f"{seed}/c{n}"))
        for n in range(load.clients)
    ]


def _worth_another_try(outcome: Outcome | None) -> bool:
    if outcome is None:
        return True
    return isinstance(outcome, Refused) and outcome.problem not in (
        Problem.PRECONDITION_FAILED,
        Problem.STORE_FULL,
        Problem.TOO_OLD,
        Problem.IDEMPOTENCY_MISMATCH,
    )
