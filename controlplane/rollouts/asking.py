"""Asks Prometheus and pages what they say of a wave, over HTTP.

Every gate is asked once a look, all of them at the same time, each within its own time. Redirects
are not followed. What a Prometheus answers is a verdict only if it is a number: a scalar, or a
vector whose samples each are one. Everything else is no data (config/gate): nobody there, too slow,
a broken connection, an answer that is too large, an error, a redirect, what cannot be read, an
empty vector, NaN and infinities, a matrix, a string, a histogram. Of a page only the status counts,
be it that of a redirect or an error; it has no data only if there is no answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Sequence
from typing import Any, Final, Protocol
from urllib.parse import urlencode

from config.gate import Gate, GateKind, Look, Verdict, judged, without_data
from controlplane.http_client import PeerLost, PeerReply, PeerUnreachable

ANSWER_BYTES_MAX: Final = 4 * 1_048_576
REGIONS: Final = "{regions}"


class NoAnswer(Exception):
    """There is nothing to judge; the message says why."""


class Sender(Protocol):
    """Who speaks HTTP (controlplane/http_client)."""

    async def send(
        self, method: str, url: str, *, timeout_ms: int, bytes_max: int | None = None
    ) -> PeerReply:
        """One request and its whole answer. Raises PeerUnreachable, PeerLost."""
        ...


class OutsideAsker:
    """Asks what is outside of the fleet."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    async def ask(self, gates: Sequence[Gate], regions: Collection[str]) -> list[Look]:
        """The verdicts of gates on these regions, all of them asked at the same time."""
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(self._ask(gate, regions)) for gate in gates]
        return [task.result() for task in asked]

    async def _ask(self, gate: Gate, regions: Collection[str]) -> Look:
        try:
            if gate.kind is GateKind.HTTP:
                return _status_judged(gate, await self._get(gate, gate.url))
            url = f"{gate.url.rstrip('/')}/api/v1/query?{_question(gate, regions)}"
            return judged(gate, values_of(await self._get(gate, url)))
        except NoAnswer as why:
            return without_data(gate, f"{gate.name}: {why}")

    async def _get(self, gate: Gate, url: str) -> PeerReply:
        try:
            return await self._sender.send(
                "GET", url, timeout_ms=gate.timeout_ms, bytes_max=ANSWER_BYTES_MAX
            )
        except (PeerUnreachable, PeerLost) as failure:
            raise NoAnswer(str(failure)) from failure


def _question(gate: Gate, regions: Collection[str]) -> str:
    query = gate.query.replace(REGIONS, "|".join(sorted(regions)))
    return urlencode({"query": query, "timeout": f"{gate.timeout_ms}ms"}, errors="replace")


def _status_judged(gate: Gate, reply: PeerReply) -> Look:
    if reply.status == gate.status:
        return Look(Verdict.PASS, f"{gate.name}: {reply.status}")
    return Look(Verdict.FAIL, f"{gate.name}: {reply.status} is not {gate.status}")


def values_of(reply: PeerReply) -> list[float]:
    """The numbers in a Prometheus' answer to an instant query. Raises NoAnswer."""
    if 300 <= reply.status < 400:
        raise NoAnswer(f"redirected to {reply.headers.get('Location', 'nowhere')}: not followed")
    try:
        found = json.loads(reply.body)
    except (ValueError, RecursionError):  # the latter: brackets in brackets, without end
        raise NoAnswer(f"an answer that is no JSON, with status {reply.status}") from None
    match found:
        case {"status": "success", "data": {"resultType": str() as kind, "result": result}}:
            if reply.status != 200:
                raise NoAnswer(f"status {reply.status}")
            return _numbers(kind, result)
        case {"status": "error"}:
            raise NoAnswer(f"an error: {found.get('error', 'without a word')}")
    raise NoAnswer(f"not the answer of a Prometheus, with status {reply.status}")


def _numbers(kind: str, result: Any) -> list[float]:
    match kind, result:
        case "scalar", [_, str() as value]:
            return [_number(value)]
        case "vector", list():
            return [_sample(each) for each in result]
    raise NoAnswer(f"a {kind}: the query must give a scalar or a vector of numbers")


def _sample(found: Any) -> float:
    match found:
        case {"value": [_, str() as value]}:
            return _number(value)
    raise NoAnswer("a sample that is no number")


def _number(value: str) -> float:
    try:
        return float(value)  # it knows NaN, +Inf and -Inf, as they are written there
    except ValueError:
        raise NoAnswer(f"{value!r} where a number should be") from None
