"""At which pace drills are run: rules at a scale, Prometheus as often as in production.

Leases, probes, and whatever else nodes take their time for, take as long as ever; so whoever looks
at them does, too. Only the spans in rules are shortened, `for` and windows, and only where somebody
wants to wait less.
"""

from __future__ import annotations

import os
from typing import Final

from controlplane.telemetry.rules.alerts import all_alerts
from controlplane.telemetry.rules.scale import Scale
from controlplane.telemetry.rules.scraping import EVALUATED_S, SCRAPED_S, prometheus
from tests.alerts.watchmen import Pace

TIMES: Final = float(os.environ.get("LEADPLANE_DRILLS_TIMES", "1"))
"""Of the spans in rules; 1 is production."""
PACE: Final = Pace(Scale(TIMES), prometheus(Scale())["global"])
SEEN_S: Final = 2.0 * SCRAPED_S
"""So soon a signal shows, beside the `for` of its alert."""
TURN_S: Final = float(EVALUATED_S)
ALERTS: Final = {alert.name: alert for alert in all_alerts()}


def held_s(alert: str) -> float:
    """For how long it has to be true before an alert fires, at this pace."""
    return ALERTS[alert].for_s * TIMES
