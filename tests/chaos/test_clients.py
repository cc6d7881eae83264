"""Clients remember each attempt, leave silent nodes alone, and beats wait for nobody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

import pytest

from controlplane.chaos.answers import read_answer, write_answer
from controlplane.chaos.beats import Beats
from controlplane.chaos.clients import ATTEMPTS_MAX, ChaosClient, RunClock
from controlplane.http_client import HttpClient, PeerReply
from controlplane.requests import Found, Problem, Put, Refused, Value, Write, Written
from shards.position import encode_one

NOBODY = "http://127.0.0.1:1"
SHARDS = {"{a}/k": "s00"}


@asynccontextmanager
async def silent_node() -> AsyncIterator[str]:
    """Takes every request and never answers."""

    writers = []

    async def keep(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    server = await asyncio.start_server(keep, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)  # aborted transports close in the next turn


async def until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up, "the condition did not come true"
        await asyncio.sleep(0.01)


async def test_a_write_that_could_not_be_sent_is_surely_not_done_and_tried_again() -> None:
    async with HttpClient(connect_timeout_ms=200) as http:
        client = ChaosClient("c", http, {"n1": NOBODY}, SHARDS, RunClock(), Random(1))
        await client.write("{a}/k")
    assert len(client.history) == ATTEMPTS_MAX
    assert {o.request.op_id for o in client.history if isinstance(o.request, Write)} == {"c-1"}
    assert all(operation.surely_not_done for operation in client.history)


async def test_a_write_without_an_answer_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.chaos.clients.ANSWER_MS_MAX", 50)
    async with silent_node() as url, HttpClient() as http:
        client = ChaosClient("c", http, {"n1": url}, SHARDS, RunClock(), Random(1))
        await client.write_once("s00", "{a}/beat-1")
    (operation,) = client.history
    assert (operation.outcome, operation.ended_ms) == (None, None)
    assert not operation.surely_not_done


async def test_a_node_that_gave_no_answer_is_left_alone_for_a_while() -> None:
    async with HttpClient(connect_timeout_ms=200) as http:
        urls = {"n1": NOBODY, "n2": NOBODY, "n3": NOBODY}
        client = ChaosClient("c", http, urls, SHARDS, RunClock(), Random(1))
        for _ in urls:
            await client.read("{a}/k", "strong")
    assert {operation.node for operation in client.history} == set(urls)


async def test_beats_go_on_while_nobody_answers() -> None:
    stop = asyncio.Event()
    async with silent_node() as url, HttpClient() as http:
        partitions = {"s00": "a", "s01": "b"}
        beats = Beats(http, {"n1": url}, partitions, RunClock(), "seed")
        running = asyncio.create_task(beats.run(stop))
        await until(lambda: all(len(client.history) >= 4 for client in beats.clients))
        assert all(o.outcome is None for client in beats.clients for o in client.history[:2])
        stop.set()
        await running
    keys = [o.request.mutations[0].key for o in beats.clients[1].history if _is_put(o.request)]
    assert keys[:2] == ["{b}/beat-0", "{b}/beat-1"]


def _is_put(request: object) -> bool:
    return isinstance(request, Write) and isinstance(request.mutations[0], Put)


HEADERS = {
    "Leadplane-Shard": "s00",
    "Leadplane-Epoch": "3",
    "Leadplane-Version": "7",
    "Leadplane-Position": encode_one("s00", 9),
    "Leadplane-Staleness-Ms": "120",
    "Leadplane-Role": "follower",
    "Leadplane-Served-By": "n2",
}


def test_answers_become_outcomes() -> None:
    assert write_answer(PeerReply(200, HEADERS, b"")) == Written("s00", 3, 7)
    replay = HEADERS | {"Idempotency-Replayed": "true"}
    assert write_answer(PeerReply(200, replay, b"")) == Written("s00", 3, 7, replayed=True)
    found = read_answer("s00", PeerReply(200, HEADERS, b"v"))
    assert isinstance(found, Found)
    assert found.values == (Value(7, b"v"),)
    assert (found.provenance.position, found.provenance.staleness_ms) == (9, 120)
    absent = {k: v for k, v in HEADERS.items() if k != "Leadplane-Version"}
    nothing = read_answer(
        "s00", PeerReply(404, absent | {"Leadplane-Staleness-Ms": "unknown"}, b"")
    )
    assert isinstance(nothing, Found)
    assert (nothing.values, nothing.provenance.staleness_ms) == ((None,), None)


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (503, b'{"type": "/problems/no-quorum", "detail": "x"}', Problem.NO_QUORUM),
        (504, b'{"type": "/problems/unknown-outcome"}', Problem.UNKNOWN_OUTCOME),
        (503, b"nonsense", Problem.NO_LEADER),
        (502, b'{"type": "/problems/leader-unreachable"}', Problem.UNKNOWN_OUTCOME),
    ],
)
def test_refusals_are_the_nodes_own_and_all_else_is_unknown(
    status: int, body: bytes, problem: Problem
) -> None:
    outcome = write_answer(PeerReply(status, {}, body))
    assert isinstance(outcome, Refused)
    assert outcome.problem is problem


def test_a_condition_that_did_not_hold_tells_the_version_found() -> None:
    body = b'{"type": "/problems/precondition-failed", "version": 12}'
    outcome = write_answer(PeerReply(412, {}, body))
    assert isinstance(outcome, Refused)
    assert outcome.version == 12
