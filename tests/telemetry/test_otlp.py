"""The same metrics by OTLP over HTTP, as a real receiver gets them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric

from controlplane.errors import MetricsExporterMissing
from controlplane.machine import Happened
from controlplane.telemetry import otlp
from controlplane.telemetry.metrics import NodeMetrics
from controlplane.telemetry.otlp import metrics_push
from tests.telemetry.exposed import shown

WAIT_S = 20


class Receiver:
    """Takes what is pushed, or refuses it."""

    def __init__(self) -> None:
        self.requests: asyncio.Queue[ExportMetricsServiceRequest] = asyncio.Queue()
        self.status = 200
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        assert request.headers["Content-Type"] == "application/x-protobuf"
        self.requests.put_nowait(ExportMetricsServiceRequest.FromString(body))
        return web.Response(status=self.status)


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    app = web.Application()
    app.router.add_post("/v1/metrics", found.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


def by_name(request: ExportMetricsServiceRequest) -> dict[str, Metric]:
    return {
        metric.name: metric
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


async def test_a_collector_gets_what_a_scrape_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = shown()
    lost = {"cause": "unplanned", "unled_ms": 4_200}
    metrics.happened(Happened("elected", "s1", 7, lost))
    async with receiver() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        push = metrics_push("otlp", metrics.registry, "n1", "here")
        assert push is not None
        running = asyncio.create_task(push.run(0.01))
        async with asyncio.timeout(WAIT_S):
            request = await collector.requests.get()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await asyncio.to_thread(push.close)
    (resource,) = request.resource_metrics
    attributes = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert attributes["service.instance.id"] == "n1"
    assert attributes["cloud.region"] == "here"
    found = by_name(request)
    families = {family.name for family in metrics.registry.collect() if family.samples}
    assert families == set(found)
    changes = found["leadplane_leader_changes"].sum
    assert changes.is_monotonic
    cumulative = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    assert changes.aggregation_temporality == cumulative
    counted = {p.attributes[0].value.string_value: p.as_double for p in changes.data_points}
    assert counted == {"planned": 0, "unplanned": 1}
    points = found["leadplane_election_seconds"].histogram.data_points
    unplanned = next(p for p in points if p.attributes[0].value.string_value == "unplanned")
    assert (unplanned.count, unplanned.sum) == (1, 4.2)
    bucket = list(unplanned.bucket_counts).index(1)
    assert unplanned.explicit_bounds[bucket - 1] < 4.2 <= unplanned.explicit_bounds[bucket]
    assert sum(unplanned.bucket_counts) == 1
    lag = found["leadplane_follower_lag_seconds"].gauge.data_points[0]
    assert lag.as_double == 0.25


async def test_a_collector_that_refuses_is_told_of_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with receiver() as collector:
        collector.status = 400
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        push = metrics_push("otlp", NodeMetrics().registry, "n1", "here")
        assert push is not None
        async with asyncio.timeout(WAIT_S):
            await push.push()
            assert "did not take the metrics" in caplog.text
            collector.status = 200
            await push.push()
        await asyncio.to_thread(push.close)
    assert collector.requests.qsize() == 2


def test_nothing_is_pushed_unless_the_settings_say_so() -> None:
    assert metrics_push("none", NodeMetrics().registry, "n1", "here") is None


def test_an_exporter_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "OTLP_MODULE", "opentelemetry.no_such_exporter")
    with pytest.raises(MetricsExporterMissing, match="otlp"):
        metrics_push("otlp", NodeMetrics().registry, "n1", "here")


async def test_an_exporter_that_raises_holds_nothing_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with receiver() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
        push = metrics_push("otlp", NodeMetrics().registry, "n1", "eu")
        assert push is not None

        def broken(*_: object) -> None:
            raise ConnectionError("the collector is gone")

        exporter = push._exporter
        with monkeypatch.context() as patched, caplog.at_level("WARNING", "leadplane"):
            patched.setattr(exporter, "export", broken)
            await push.push()
        assert "the collector is gone" in caplog.text
        await push.push()
        assert found.requests.qsize() == 1
        push.close()
