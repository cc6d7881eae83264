"""Spans of requests: at the edge, at the node they are passed on to, in a shard, at each store.

Theory of operation. A request is traced when whoever sent it traces it (`traceparent` says that it
is sampled), or else by chance. Who has a part in answering it finds its span in `CURRENT`. While a
shard is asked on behalf of a traced request, each call about that shard on an ordered lane has a
span as well: it serves this request, perhaps among others. A request that is not traced costs one
look at `CURRENT` wherever a part of it begins.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from controlplane.machine import Call
from controlplane.requests import Outcome, Refused, Request
from regions.codec import Code, Reply

if TYPE_CHECKING:
    from opentelemetry.trace import Span, SpanContext, SpanKind, Tracer

TRACEPARENT: Final = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
SAMPLED: Final = 1
LOST: Final = "the connection was lost before the answer came"


class RequestSpan:
    """One span under way."""

    __slots__ = ("_span", "_tracer")

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer = tracer
        self._span = span

    @property
    def trace_id(self) -> str:
        """The trace that it belongs to."""
        return f"{self._span.get_span_context().trace_id:032x}"

    @property
    def traceparent(self) -> str:
        """What whoever is asked next is to be told."""
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"

    def child(self, name: str, **attributes: str | int) -> RequestSpan:
        """A part of it that somebody else is asked for."""
        from opentelemetry.trace import SpanKind

        return RequestSpan(
            self._tracer, _begun(self._tracer, name, self._span, SpanKind.CLIENT, attributes)
        )

    def end(self, error: str = "", **attributes: str | int) -> None:
        """It is over, in vain if there is an error."""
        from opentelemetry.trace import StatusCode

        for name, value in attributes.items():
            self._span.set_attribute(_attribute(name), value)
        if error:
            self._span.set_status(StatusCode.ERROR, error)
        self._span.end()


CURRENT: Final[ContextVar[RequestSpan | None]] = ContextVar("request_span", default=None)
"""Of the request that is being answered; None when it is not traced."""


class RequestSpans:
    """Begins the span of a request, if it is to have one."""

    def __init__(self, tracer: Tracer, share: float, draw: Callable[[], float]) -> None:
        """`share`: how many of those that nobody else traces, from 0 to 1."""
        self._tracer = tracer
        self._share = share
        self._draw = draw

    def begin(self, name: str, traceparent: str | None) -> RequestSpan | None:
        """The span of a request that has arrived; None if it is not traced."""
        from opentelemetry.trace import NonRecordingSpan, SpanKind

        asker = None if traceparent is None else _asker(traceparent)
        if asker is None and self._draw() >= self._share:
            return None
        if asker is not None and not asker.trace_flags & SAMPLED:
            return None
        parent = None if asker is None else NonRecordingSpan(asker)
        return RequestSpan(self._tracer, _begun(self._tracer, name, parent, SpanKind.SERVER, {}))


class ShardSpans:
    """Spans of shards that are asked for traced requests, and of calls to stores meanwhile."""

    def __init__(self) -> None:
        self._asked: dict[str, list[RequestSpan]] = {}
        self._calls: dict[str, set[RequestSpan]] = {}

    async def around(
        self, span: RequestSpan, request: Request, ask: Callable[[Request], Awaitable[Outcome]]
    ) -> Outcome:
        """Have a shard asked, under a span of its own."""
        shard = getattr(request, "shard", "")
        own = span.child(type(request).__name__.lower(), shard=shard)
        self._asked.setdefault(shard, []).append(own)
        error = "given up"
        try:
            outcome = await ask(request)
            error = outcome.problem.value if isinstance(outcome, Refused) else ""
            return outcome
        finally:
            self._asked[shard].remove(own)
            if not self._asked[shard]:
                del self._asked[shard]
            own.end(error)

    def sent(self, store: str, effect: Call) -> Callable[[Reply], None] | None:
        """A call goes to a store: whom to tell of its answer; None if nobody asked."""
        if not self._asked:
            return None
        spans = [
            (at, asked.child(command[0], store=store, shard=command[3]))
            for at, command in enumerate(effect.commands)
            if len(command) > 3 and isinstance(command[3], str)
            for asked in self._asked.get(command[3], ())
        ]
        if not spans:
            return None
        under_way = self._calls.setdefault(store, set())
        under_way.update(span for _, span in spans)

        def answered(reply: Reply) -> None:
            for at, span in spans:
                code = reply.results[at][0] if at < len(reply.results) else reply.code
                if span in under_way:
                    under_way.discard(span)
                    span.end("" if code == Code.OK else str(code))

        return answered

    def lost(self, store: str) -> None:
        """The lane to a store is gone, and with it every answer."""
        under_way = self._calls.get(store, set())
        while under_way:
            under_way.pop().end(LOST)


def _begun(
    tracer: Tracer,
    name: str,
    parent: Span | None,
    kind: SpanKind,
    attributes: dict[str, str | int],
) -> Span:
    from opentelemetry.context import Context
    from opentelemetry.trace import set_span_in_context

    context = Context() if parent is None else set_span_in_context(parent, Context())
    named = {_attribute(each): value for each, value in attributes.items()}
    return tracer.start_span(name, context, kind, named)


def _asker(traceparent: str) -> SpanContext | None:
    """Whose request it is, if that is said properly."""
    from opentelemetry.trace import SpanContext, TraceFlags

    found = TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    trace, span, flags = (int(part, 16) for part in found.groups())
    return SpanContext(trace, span, is_remote=True, trace_flags=TraceFlags(flags))


def _attribute(name: str) -> str:
    """Names that everybody knows are as OpenTelemetry has them."""
    known = {"status": "http.response.status_code", "route": "http.route"}
    return known.get(name, f"leadplane.{name}")
