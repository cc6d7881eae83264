"""Bytes that no client should send: every answer is a refusal by name, and nothing is left behind.

The server's own limits of time are short here, so that it hangs up on what stays incomplete.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter

import pytest

from controlplane.api.settings import ApiSettings
from tests.api.listening import Fleet, Node, until
from tests.fuzz.raw_client import Answers, exchange, header
from tests.fuzz.raw_mutations import GOOD, Mutation, mutations, splits

MUTATIONS = int(os.environ.get("LEADPLANE_FUZZ_MUTATIONS", "1000"))
AT_ONCE = 50
SEED = 1
NO_DEFECTS = frozenset({501, 505})


async def impatient(fleet: Fleet) -> Node:
    """A node that leads everything and waits for nobody longer than a second."""
    node = await fleet.node("n1", "eu", ApiSettings(first_request_ms=1_000, body_timeout_ms=1_000))
    fleet.fake.lead("n1")
    return node


async def say_all(node: Node, said: list[Mutation]) -> list[Answers]:
    """What each is answered, in order; some are under way at once."""
    room = asyncio.Semaphore(AT_ONCE)

    async def say(mutation: Mutation) -> Answers:
        async with room:
            try:
                return await exchange(node.server.port, mutation.pieces)
            except (TimeoutError, AssertionError) as failure:
                raise AssertionError(
                    f"{mutation.name}: {failure!r}\n{mutation.pieces}"
                ) from failure

    return list(await asyncio.gather(*map(say, said)))


def complaints(mutation: Mutation, answers: Answers) -> list[str]:
    """What is wrong with what a server said."""
    found = []
    for status, head, body in zip(answers.statuses, answers.heads, answers.bodies, strict=True):
        if status >= 500 and status not in NO_DEFECTS:
            found.append(f"status {status}")
        if status >= 200 and not header(head, b"X-Request-Id"):
            found.append("an answer without a name")
        if status >= 400 and header(head, b"Content-Type") != b"application/problem+json":
            found.append("a refusal that is no problem document")
        if status >= 400 and body and b'"type":"/problems/' not in body:
            found.append("a problem document without a type")
    return [f"{complaint}: {mutation.name}: {mutation.pieces}" for complaint in found]


async def left_behind(node: Node, tasks_before: int) -> None:
    """Wait until no connection, stream or task is left of those who have gone."""
    server = node.server._runner.server
    assert server is not None
    await until(lambda: not server.connections and not node.edge.streams)
    await until(lambda: len(asyncio.all_tasks()) <= tasks_before)


async def test_nothing_that_is_sent_breaks_the_server(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    node = await impatient(fleet)
    tasks_before = len(asyncio.all_tasks())
    said = list(mutations(SEED, MUTATIONS))
    assert len(said) == MUTATIONS
    answers = await say_all(node, said)
    found = [
        complaint
        for mutation, answer in zip(said, answers, strict=True)
        for complaint in complaints(mutation, answer)
    ]
    assert found == []
    await left_behind(node, tasks_before)
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []
    # It was no walk in the park, and the server is as good as before.
    counted = Counter(answer.statuses[-1] if answer.statuses else 0 for answer in answers)
    assert {0, 200, 400, 404, 405, 408, 413, 415, 417, 431} <= counted.keys()
    assert (await node.get("/livez")).status == 200
    assert (await node.send("PUT", "/v1/kv/a", b"fine")).status == 200
    assert (await node.get("/v1/kv/a")).body == b"fine"


async def test_where_a_request_is_parted_does_not_matter(node: Node) -> None:
    tasks_before = len(asyncio.all_tasks())
    expected = [(await exchange(node.server.port, (request,))).statuses for request in GOOD]
    said = list(splits())
    answers = await say_all(node, said)
    wrong = [
        (mutation.name, answer.statuses)
        for mutation, answer in zip(said, answers, strict=True)
        if answer.statuses != expected[int(mutation.name.split()[1])]
    ]
    assert wrong == []
    assert all(status < 400 for (status,) in expected)
    await left_behind(node, tasks_before)


async def test_many_requests_behind_each_other_are_all_answered_in_order(node: Node) -> None:
    wanted = 200
    many = b"".join(
        b"PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nX-Request-Id: r-%d\r\nContent-Length: 1\r\n\r\nx" % at
        for at in range(wanted)
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", node.server.port)
    writer.write(many)
    names = []
    for _ in range(wanted):
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(header(head, b"Content-Length")))
        names.append(header(head, b"X-Request-Id"))
    writer.close()
    assert names == [b"r-%d" % at for at in range(wanted)]
    assert len(node.service.asked) == wanted


async def test_clients_that_go_away_at_any_byte_leave_nothing_behind(node: Node) -> None:
    tasks_before = len(asyncio.all_tasks())
    for mutation in splits():
        _, writer = await asyncio.open_connection("127.0.0.1", node.server.port)
        writer.write(mutation.pieces[0])
        writer.transport.abort()
    await left_behind(node, tasks_before)
    assert (await node.get("/livez")).status == 200
