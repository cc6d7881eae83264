"""Spans of requests: which have one, what hangs from what, and how failures show."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from controlplane.machine import Call
from controlplane.requests import Outcome, Problem, Refused, Request, Write, Written
from controlplane.telemetry.request_spans import LOST, RequestSpan, RequestSpans, ShardSpans
from controlplane.telemetry.spans import EventTracer
from regions.codec import Reply

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{SPAN}-01"
APPEND = Call("eu-1", 1, [], [["renew", "g", 1, "sid"], ["append", "g", 1, "s1", 7]])


class Stage:
    """A tracer whose spans can be read."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._tracer = EventTracer(self._exporter, "n1", "here")
        self.shards = ShardSpans()

    def requests(self, share: float = 0.0, drawn: float = 0.5) -> RequestSpans:
        return RequestSpans(self._tracer.requests._tracer, share, lambda: drawn)

    def begun(self) -> RequestSpan:
        found = self.requests().begin("GET /x", SAMPLED)
        assert found is not None
        return found

    def ended(self) -> dict[str, ReadableSpan]:
        self._tracer.close()
        return {span.name: span for span in self._exporter.get_finished_spans()}


def reply(*codes: str) -> Reply:
    return Reply("OK", "eu-1", "i", "r", 1, results=[[code] for code in codes])


async def written(request: Request) -> Outcome:
    return Written("s1", 1, 1)


@pytest.mark.parametrize(
    ("traceparent", "share", "drawn", "is_traced"),
    [
        (SAMPLED, 0.0, 0.5, True),
        (f"00-{TRACE}-{SPAN}-00", 1.0, 0.0, False),
        (None, 0.01, 0.005, True),
        (None, 0.01, 0.01, False),
        (None, 0.0, 0.0, False),
        (f"00-{'0' * 32}-{SPAN}-01", 0.0, 0.5, False),
        (f"00-{TRACE}-{'0' * 16}-01", 0.0, 0.5, False),
        (f"{SAMPLED}-more", 0.0, 0.5, False),
        (SAMPLED.upper(), 0.0, 0.5, False),
        ("", 1.0, 0.5, True),
    ],
)
def test_who_is_traced(
    traceparent: str | None, share: float, drawn: float, is_traced: bool
) -> None:
    assert (Stage().requests(share, drawn).begin("GET /x", traceparent) is not None) is is_traced


def test_what_is_sent_on_names_the_part_that_sent_it() -> None:
    stage = Stage()
    root = stage.begun()
    hop = root.child("forward", node="n2")
    hop.end()
    root.end(status=200, route="GET /x")
    spans = stage.ended()
    parent, part = spans["GET /x"], spans["forward"]
    assert parent.parent is not None
    assert (f"{parent.context.trace_id:032x}", f"{parent.parent.span_id:016x}") == (TRACE, SPAN)
    assert part.parent is not None
    assert part.parent.span_id == parent.context.span_id
    assert hop.traceparent == f"00-{TRACE}-{part.context.span_id:016x}-01"
    assert dict(parent.attributes or {}) == {
        "http.response.status_code": 200,
        "http.route": "GET /x",
    }


async def test_calls_about_a_shard_that_is_asked_hang_from_it_and_tell_how_they_ended() -> None:
    stage = Stage()
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def ask(request: Request) -> Outcome:
        asked.set()
        await go_on.wait()
        return Refused(Problem.NO_QUORUM, "too few")

    assert stage.shards.sent("eu-1", APPEND) is None, "nobody asks"
    asking = asyncio.create_task(stage.shards.around(stage.begun(), Write("s1", ()), ask))
    await asked.wait()
    assert stage.shards.sent("eu-1", Call("eu-1", 1, [], [["append", "g", 1, "s2"]])) is None
    told = stage.shards.sent("eu-1", APPEND)
    assert told is not None
    told(reply("OK", "FENCED"))
    assert stage.shards.sent("eu-2", APPEND) is not None
    stage.shards.lost("eu-2")
    go_on.set()
    await asking
    assert stage.shards.sent("eu-1", APPEND) is None
    spans = stage.ended()
    write = spans["write"]
    assert write.status.description == "no-quorum"
    assert spans["append"].parent is not None
    assert spans["append"].parent.span_id == write.context.span_id


async def test_an_answer_that_never_comes_is_told_as_lost_and_one_that_comes_later_is_not() -> None:
    stage = Stage()
    tolds = []

    async def ask(request: Request) -> Outcome:
        tolds.append(stage.shards.sent("eu-1", APPEND))
        return await written(request)

    await stage.shards.around(stage.begun(), Write("s1", ()), ask)
    stage.shards.lost("eu-1")
    assert tolds[0] is not None
    tolds[0](reply("OK", "OK"))
    append = stage.ended()["append"]
    assert append.status.description == LOST
    assert dict(append.attributes or {}) == {"leadplane.store": "eu-1", "leadplane.shard": "s1"}
