"""Families of samples, made at a scrape from figures that somebody else keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

Samples = Mapping[tuple[str, ...], float]


def gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    """One figure as it is."""
    return GaugeMetricFamily(name, text, value=float(value))


def gauges(name: str, text: str, labels: Sequence[str], samples: Samples) -> GaugeMetricFamily:
    """Figures by the values of their labels."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in samples.items():
        family.add_metric(values, float(value))
    return family


def counter(name: str, text: str, value: float) -> CounterMetricFamily:
    """A count since the process began."""
    return CounterMetricFamily(name, text, value=float(value))


def counters(name: str, text: str, labels: Sequence[str], samples: Samples) -> CounterMetricFamily:
    """Counts by the values of their labels."""
    family = CounterMetricFamily(name, text, labels=labels)
    for values, value in samples.items():
        family.add_metric(values, float(value))
    return family
