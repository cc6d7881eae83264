"""Traces of what happens to leaderships, for those who have a place to send them to.

A span for each life-cycle event, off the path of requests. Without an exporter nothing of the
tracing library is even imported: `event_tracer("none", ...)` gives None.

    none      no traces (the default)
    console   spans as JSON on stderr, to see what there is
    otlp      to the collector named by OTEL_EXPORTER_OTLP_ENDPOINT; needs the package
              opentelemetry-exporter-otlp-proto-http beside us
"""

from __future__ import annotations

import sys
import time
from importlib import import_module
from typing import TYPE_CHECKING, Literal, TypeAlias

from controlplane.errors import TraceExporterMissing
from controlplane.machine import Happened

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

Exporter: TypeAlias = Literal["none", "console", "otlp"]

_OTLP_MODULE = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
_NS_PER_MS = 1_000_000


class EventTracer:
    """Turns life-cycle events into spans. `close` sends what is still waiting."""

    def __init__(self, exporter: SpanExporter, node: str, region: str) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        resource = Resource.create(
            {"service.name": "leadplane", "service.instance.id": node, "cloud.region": region}
        )
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("leadplane")

    def happened(self, event: Happened) -> None:
        """Make a span of an event; one that says how long it took (`took_ms`) started then."""
        end_ns = time.time_ns()
        took_ms = event.detail.get("took_ms", 0)
        span = self._tracer.start_span(event.kind, start_time=end_ns - int(took_ms) * _NS_PER_MS)
        span.set_attribute("leadplane.shard", event.shard)
        span.set_attribute("leadplane.epoch", event.epoch)
        for name, value in event.detail.items():
            known = isinstance(value, (bool, int, float, str))
            span.set_attribute(f"leadplane.{name}", value if known else str(value))
        span.end(end_time=end_ns)

    def close(self) -> None:
        """Send what is waiting, and stop."""
        self._provider.shutdown()


def event_tracer(exporter: Exporter, node: str, region: str) -> EventTracer | None:
    """Make the tracer that the settings ask for. Raises TraceExporterMissing."""
    if exporter == "none":
        return None
    return EventTracer(_exporter(exporter), node, region)


def _exporter(exporter: Exporter) -> SpanExporter:
    if exporter == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter(out=sys.stderr)
    try:
        made: SpanExporter = import_module(_OTLP_MODULE).OTLPSpanExporter()
    except ModuleNotFoundError as error:
        raise TraceExporterMissing(f"the trace exporter {exporter!r} is not installed") from error
    return made
