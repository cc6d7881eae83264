"""What Prometheus asks, how often, and whom it tells: its configuration beside the rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from controlplane.telemetry.rules.scale import Scale

SCRAPED_S: Final = 15
ANSWERED_S: Final = 5
"""Less than the time between two scrapes: whoever says nothing is to be known for it before the
next one. Metrics take a node some milliseconds."""
EVALUATED_S: Final = 5
"""More often than anything is scraped: an alert waits for a scrape, for what is recorded of it, and
for its own turn, and all of that together has to be less than two scrapes."""

JOB: Final = "leadplane"
"""Rules keep apart what has different jobs: one fleet is one job, whose name begins so."""


def prometheus(
    scale: Scale,
    nodes: Sequence[str] = ("127.0.0.1:7400", "127.0.0.1:7401"),
    alertmanager: str = "127.0.0.1:9093",
) -> dict[str, Any]:
    """The configuration of a Prometheus that watches one fleet: its nodes as host:port."""
    return {
        "global": {
            "scrape_interval": scale.span(SCRAPED_S),
            "scrape_timeout": scale.span(ANSWERED_S),
            "evaluation_interval": scale.span(EVALUATED_S),
        },
        "rule_files": ["recording.yaml", "alerts.yaml"],
        "scrape_configs": [{"job_name": JOB, "static_configs": [{"targets": list(nodes)}]}],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
    }
