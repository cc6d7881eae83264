"""Traces of what happens to leaderships, for those who have a place to send them to.

A span for each life-cycle event, off the path of requests, and always kept. All that happens in one
term of a shard's leader is one trace, whichever nodes it happens at, and so is all of one rollout:
the id of the trace is made of its name, and the log tells it as well. Spans of requests are made by
controlplane/telemetry/request_spans. Without an exporter nothing of the tracing library is even
imported: `event_tracer("none", ...)` gives None.

    none      no traces (the default)
    console   spans as JSON on stderr, to see what there is
    otlp      to the collector named by OTEL_EXPORTER_OTLP_ENDPOINT; needs the package
              opentelemetry-exporter-otlp-proto-http beside us
"""

from __future__ import annotations

import random
import sys
import time
from hashlib import sha256
from importlib import import_module
from typing import TYPE_CHECKING, Literal, TypeAlias

from controlplane.errors import TraceExporterMissing
from controlplane.machine import Happened
from controlplane.telemetry.lifecycle_log import LOUD_KINDS
from controlplane.telemetry.request_spans import RequestSpans, ShardSpans

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import SpanExporter

Exporter: TypeAlias = Literal["none", "console", "otlp"]

_OTLP_MODULE = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
_NS_PER_MS = 1_000_000


class EventTracer:
    """Turns life-cycle events into spans. `close` sends what is still waiting."""

    def __init__(
        self, exporter: SpanExporter, node: str, region: str, request_share: float = 0.0
    ) -> None:
        """`request_share`: of requests that nobody else traces, how many are, from 0 to 1."""
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON

        resource = Resource.create(
            {"service.name": "leadplane", "service.instance.id": node, "cloud.region": region}
        )
        self._provider = TracerProvider(ALWAYS_ON, resource)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("leadplane")
        self.requests = RequestSpans(self._tracer, request_share, random.random)
        self.shards = ShardSpans()

    def happened(self, event: Happened) -> None:
        """Make a span of an event; one that says how long it took (`took_ms`) started then."""
        from opentelemetry.trace import StatusCode, set_span_in_context

        end_ns = time.time_ns()
        begun_ns = end_ns - int(event.detail.get("took_ms", 0)) * _NS_PER_MS
        span = self._tracer.start_span(event.kind, _context(event), start_time=begun_ns)
        span.set_attribute("leadplane.shard", event.shard)
        span.set_attribute("leadplane.epoch", event.epoch)
        for name, value in event.detail.items():
            known = isinstance(value, (bool, int, float, str))
            span.set_attribute(f"leadplane.{name}", value if known else str(value))
        if event.kind in LOUD_KINDS:
            span.set_status(StatusCode.ERROR, str(event.detail.get("why", event.kind)))
        if "reconciled_ms" in event.detail:
            won_ns = end_ns - int(event.detail["reconciled_ms"]) * _NS_PER_MS
            within = set_span_in_context(span)
            for phase, since_ns, until_ns in (
                ("standing", begun_ns, won_ns), ("reconciling", won_ns, end_ns),
            ):  # fmt: skip
                part = self._tracer.start_span(phase, within, start_time=since_ns)
                part.end(end_time=until_ns)
        span.end(end_time=end_ns)

    def close(self) -> None:
        """Send what is waiting, and stop."""
        self._provider.shutdown()


def event_tracer(
    exporter: Exporter, node: str, region: str, request_share: float = 0.0
) -> EventTracer | None:
    """Make the tracer that the settings ask for. Raises TraceExporterMissing."""
    if exporter == "none":
        return None
    return EventTracer(_exporter(exporter), node, region, request_share)


def trace_id_of(event: Happened) -> str | None:
    """The trace that an event belongs to; None if it stands alone. Alike at every node."""
    name = _trace_name(event)
    return None if name is None else _digest(name)[:32]


def _trace_name(event: Happened) -> str | None:
    if event.kind == "rollout":
        return f"rollout/{event.detail['rollout']}"
    return f"{event.shard}/{event.epoch}" if event.epoch else None


def _digest(name: str) -> str:
    return sha256(name.encode()).hexdigest()


def _context(event: Happened) -> Context:
    """What the span of an event hangs from: a root that everybody can name and nobody sends."""
    from opentelemetry.context import Context
    from opentelemetry.trace import (
        NonRecordingSpan,
        SpanContext,
        TraceFlags,
        set_span_in_context,
    )

    name = _trace_name(event)
    if name is None:
        return Context()
    digest = _digest(name)
    root = SpanContext(int(digest[:32], 16), int(digest[32:48], 16), True, TraceFlags(1))
    return set_span_in_context(NonRecordingSpan(root), Context())


def _exporter(exporter: Exporter) -> SpanExporter:
    if exporter == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter(out=sys.stderr)
    try:
        made: SpanExporter = import_module(_OTLP_MODULE).OTLPSpanExporter()
    except ModuleNotFoundError as error:
        raise TraceExporterMissing(f"the trace exporter {exporter!r} is not installed") from error
    return made
