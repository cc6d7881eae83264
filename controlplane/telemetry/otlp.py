"""The same metrics, pushed to a collector that speaks OTLP over HTTP, for those who do not scrape.

What the registry shows is read now and then, as a scrape would, and sent with the names and labels
it has there. Without the setting nothing of the exporting library is even imported.

    none      nothing is pushed (the default)
    otlp      to the collector named by OTEL_EXPORTER_OTLP_ENDPOINT; needs the package
              opentelemetry-exporter-otlp-proto-http beside us
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample

from controlplane.errors import MetricsExporterMissing

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricExporter, MetricsData

Exporter: TypeAlias = Literal["none", "otlp"]
Labels: TypeAlias = tuple[tuple[str, str], ...]

LOGGER: Final = logging.getLogger(__name__)
OTLP_MODULE: Final = "opentelemetry.exporter.otlp.proto.http.metric_exporter"
BOUND: Final = "le"


class MetricsPush:
    """Pushes the metrics of one node. `close` ends the exporter."""

    def __init__(
        self, registry: CollectorRegistry, exporter: MetricExporter, node: str, region: str
    ) -> None:
        self._registry = registry
        self._exporter = exporter
        self._since_ns = time.time_ns()
        self._resource = {
            "service.name": "leadplane", "service.instance.id": node, "cloud.region": region,
        }  # fmt: skip

    async def run(self, every_s: float) -> None:
        """Push again and again, until cancelled. The registry is read here, and sent elsewhere: a
        collector that does not answer holds up nobody."""
        while True:
            await asyncio.sleep(every_s)
            await self.push()

    async def push(self) -> None:
        """Push once; what does not arrive is logged, and all of it comes again."""
        from opentelemetry.sdk.metrics.export import MetricExportResult

        data = metrics_data(
            self._registry.collect(), self._resource, self._since_ns, time.time_ns()
        )
        try:
            result = await asyncio.to_thread(self._exporter.export, data)
        except Exception as failure:  # whatever an exporter raises, leases go on
            LOGGER.warning("metrics were not sent: %s", failure)
            return
        if result is not MetricExportResult.SUCCESS:
            LOGGER.warning("the collector did not take the metrics; they are sent again")

    def close(self) -> None:
        """End the exporter."""
        self._exporter.shutdown()


def metrics_push(
    exporter: Exporter, registry: CollectorRegistry, node: str, region: str
) -> MetricsPush | None:
    """What the settings ask for. Raises MetricsExporterMissing."""
    if exporter == "none":
        return None
    try:
        made: MetricExporter = import_module(OTLP_MODULE).OTLPMetricExporter()
    except ModuleNotFoundError as error:
        message = f"the metrics exporter {exporter!r} is not installed"
        raise MetricsExporterMissing(message) from error
    return MetricsPush(registry, made, node, region)


def metrics_data(
    families: Iterable[Metric], resource: dict[str, str], since_ns: int, now_ns: int
) -> MetricsData:
    """Families as OTLP has them: counters as sums since the process began, gauges, histograms."""
    from opentelemetry.sdk.metrics.export import (
        Metric,
        MetricsData,
        ResourceMetrics,
        ScopeMetrics,
    )
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    metrics = [
        Metric(family.name, family.documentation, family.unit, _points(family, since_ns, now_ns))
        for family in families
        if family.samples
    ]
    scope = ScopeMetrics(InstrumentationScope("leadplane"), metrics, "")
    return MetricsData([ResourceMetrics(Resource.create(resource), [scope], "")])


def _points(family: Metric, since_ns: int, now_ns: int) -> Any:
    from opentelemetry.sdk.metrics.export import (
        AggregationTemporality,
        Gauge,
        Histogram,
        NumberDataPoint,
        Sum,
    )

    if family.type == "histogram":
        points = _histogram_points(family.samples, since_ns, now_ns)
        return Histogram(points, AggregationTemporality.CUMULATIVE)
    numbers = [
        NumberDataPoint(sample.labels, since_ns, now_ns, sample.value) for sample in family.samples
    ]
    if family.type == "counter":
        return Sum(numbers, AggregationTemporality.CUMULATIVE, is_monotonic=True)
    return Gauge(numbers)


def _histogram_points(samples: Iterable[Sample], since_ns: int, now_ns: int) -> list[Any]:
    """One point for each set of labels. Prometheus counts what is below a bound; OTLP what is
    between two."""
    from opentelemetry.sdk.metrics.export import HistogramDataPoint

    below: dict[Labels, dict[float, float]] = {}
    sums: dict[Labels, float] = {}
    for sample in samples:
        labels = tuple((k, v) for k, v in sorted(sample.labels.items()) if k != BOUND)
        if sample.name.endswith("_bucket"):
            below.setdefault(labels, {})[float(sample.labels[BOUND])] = sample.value
        elif sample.name.endswith("_sum"):
            sums[labels] = sample.value
    points = []
    for labels, counts in below.items():
        bounds = sorted(counts)
        totals = [int(counts[bound]) for bound in bounds]
        between = [one - other for one, other in zip(totals, [0, *totals], strict=False)]
        points.append(
            HistogramDataPoint(
                attributes=dict(labels),
                start_time_unix_nano=since_ns,
                time_unix_nano=now_ns,
                count=totals[-1],
                sum=sums.get(labels, 0.0),
                bucket_counts=between,
                explicit_bounds=bounds[:-1],
                min=float("nan"),
                max=float("nan"),
            )
        )
    return points
