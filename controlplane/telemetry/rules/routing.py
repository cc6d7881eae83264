"""Whom Alertmanager tells of what, how much of it at once, and what it keeps to itself.

A page goes out after half a minute, in which whatever has the same cause comes in; a ticket waits
longer, and is one for all stores or regions that have the same trouble. The two addresses are the
only thing to be changed by whoever deploys this.

Alertmanager tells nobody of the end of an alert that is inhibited by then: a receiver must not wait
for it alone (docs/metrics.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from controlplane.telemetry.rules.alert import PAGE
from controlplane.telemetry.rules.recording import DAY, HOUR, MINUTE
from controlplane.telemetry.rules.scale import Scale

PAGE_WAIT_S: Final = 30
GROUP_EVERY_S: Final = 5 * MINUTE


@dataclass(frozen=True, slots=True)
class Receivers:
    """Where pages and tickets are sent to, as JSON by HTTP."""

    pages: str = "http://pager.example/leadplane"
    tickets: str = "http://tickets.example/leadplane"


def alertmanager(scale: Scale, receivers: Receivers) -> dict[str, Any]:
    """The configuration of Alertmanager."""
    return {
        "route": {
            "receiver": "tickets",
            "group_by": ["job", "alertname"],
            "group_wait": scale.span(MINUTE),
            "group_interval": scale.span(GROUP_EVERY_S),
            "repeat_interval": scale.span(DAY),
            "routes": [
                {
                    "matchers": [f'severity="{PAGE}"'],
                    "receiver": "pages",
                    "group_wait": scale.span(PAGE_WAIT_S),
                    "repeat_interval": scale.span(HOUR),
                }
            ],
        },
        "receivers": [
            {"name": name, "webhook_configs": [{"url": url, "send_resolved": True}]}
            for name, url in (("pages", receivers.pages), ("tickets", receivers.tickets))
        ],
        "inhibit_rules": _inhibition(),
    }


def _inhibition() -> list[dict[str, Any]]:
    """What is kept quiet, since something wider says the same."""
    return [
        {
            "source_matchers": ['scope="region-down"'],
            "target_matchers": ['scope="region"'],
            "equal": ["job", "region"],
        },
        {
            "source_matchers": ['alertname="LeadplaneNoLeader"'],
            "target_matchers": ['alertname=~"LeadplaneAvailabilityBurn.*|LeadplaneElection.*"'],
            "equal": ["job"],
        },
        {
            "source_matchers": ['alertname="LeadplaneNobodyAnswers"'],
            "target_matchers": ['alertname="LeadplaneBlind"'],
            "equal": ["job"],
        },
        {
            "source_matchers": ['alertname="LeadplaneGroupLost"'],
            "target_matchers": ['alertname="LeadplaneNoSpareStores"'],
            "equal": ["job", "group"],
        },
    ]
