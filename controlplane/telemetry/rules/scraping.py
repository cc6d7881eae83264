"""What Prometheus asks, how often, and whom it tells: its configuration beside the rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from controlplane.telemetry.rules.recording import EVERY_S
from controlplane.telemetry.rules.scale import Scale

JOB: Final = "leadplane"
"""Rules keep apart what has different jobs: one fleet is one job, whose name begins so."""


def prometheus(
    scale: Scale,
    nodes: Sequence[str] = ("127.0.0.1:7400", "127.0.0.1:7401"),
    alertmanager: str = "127.0.0.1:9093",
) -> dict[str, Any]:
    """The configuration of a Prometheus that watches one fleet: its nodes as host:port."""
    every = scale.span(EVERY_S)
    return {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": ["recording.yaml", "alerts.yaml"],
        "scrape_configs": [{"job_name": JOB, "static_configs": [{"targets": list(nodes)}]}],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
    }
