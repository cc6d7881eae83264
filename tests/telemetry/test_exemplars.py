"""Which traces stand beside which bucket, and who is shown them."""

from __future__ import annotations

from math import inf

from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Exemplar

from controlplane.requests import Write, Written
from controlplane.telemetry.buckets import Buckets
from tests.telemetry.exposed import shown

TRACES = tuple(f"{number:032x}" for number in range(1, 5))
WRITE = Write("s1", ())


def exemplars(text: bytes) -> dict[tuple[str, str, float], Exemplar]:
    """By metric, its label, and the bound of the bucket."""
    return {
        (family.name, sample.labels.get("request") or sample.labels["route"],
         float(sample.labels["le"])): sample.exemplar
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.exemplar is not None
    }  # fmt: skip


def test_the_last_trace_of_each_bucket_is_shown_to_whoever_takes_exemplars() -> None:
    metrics = shown()
    observe = metrics.http.route("GET", "/x")
    for seconds, trace in zip((0.0005, 0.03, 0.04, 9.0), TRACES, strict=True):
        metrics.requests.answered(WRITE, Written("s1", 1, 1), seconds)
        metrics.requests.traced(WRITE, seconds, trace)
    observe(200, 0.01)
    metrics.http.traced("GET", "/x")(0.01, TRACES[0])
    found = exemplars(metrics.open_metrics())
    assert {key: (e.labels, e.value) for key, e in found.items()} == {
        ("leadplane_request_seconds", "write", 0.001): ({"trace_id": TRACES[0]}, 0.0005),
        ("leadplane_request_seconds", "write", 0.05): ({"trace_id": TRACES[2]}, 0.04),
        ("leadplane_request_seconds", "write", inf): ({"trace_id": TRACES[3]}, 9.0),
        ("leadplane_http_request_seconds", "GET /x", 0.025): ({"trace_id": TRACES[0]}, 0.01),
    }
    assert all(trace.encode() not in metrics.text() for trace in TRACES)


def test_open_metrics_have_the_same_figures() -> None:
    metrics = shown(planned=None)  # a plan grows older in between
    metrics.requests.answered(WRITE, Written("s1", 1, 1), 0.03)
    lines = {line for line in metrics.text().decode().splitlines() if line.startswith("leadplane_")}
    same = {
        line
        for line in metrics.open_metrics().decode().splitlines()
        if line.startswith("leadplane_")
    }
    assert lines == same


def test_what_is_not_traced_keeps_nothing() -> None:
    buckets = Buckets((0.25, 1.0))
    for _ in range(100):
        buckets.observe(0.5)
    assert buckets.shown() == ([("0.25", 0.0), ("1.0", 100.0), ("+Inf", 100.0)], 50.0)
