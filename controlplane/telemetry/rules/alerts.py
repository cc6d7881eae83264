"""Alerts: what wakes somebody up, and what can wait until the morning.

A *page* is one of four things: shards have no leader (or no node is there to tell), leaders do not
come to rest, a store took a write of a superseded epoch, or the error budget burns more than five
times as fast as it may.
Everything else is a *ticket*. Each names what to do first, and the runbook that goes on from there.

Burn rates are looked at over two windows each, a long one that says that it matters and a short one
that says that it still goes on; so an alert ends soon after its cause.
"""

from __future__ import annotations

from dataclasses import dataclass
from posixpath import normpath
from typing import Any, Final

from controlplane.telemetry.rules.alert import PAGE, TICKET, Alert
from controlplane.telemetry.rules.pages import PAGES
from controlplane.telemetry.rules.recording import (
    DAY,
    ELECTIONS_SLOW,
    HOUR,
    LEADERLESS,
    MINUTE,
    RENEWALS_MISSED,
    recorded,
)
from controlplane.telemetry.rules.scale import Scale
from controlplane.telemetry.rules.tickets import TICKETS

RUNBOOKS: Final = "docs/runbooks"


@dataclass(frozen=True, slots=True)
class Burn:
    """A budget, and how fast it may burn over which windows before whom it concerns."""

    factor: float
    long_s: int
    short_s: int
    severity: str


AVAILABILITY_BUDGET: Final = 0.0005
RENEWALS_BUDGET: Final = 0.001
ELECTIONS_BUDGET: Final = 0.01
BURNS: Final = (
    Burn(14.4, HOUR, 5 * MINUTE, PAGE),
    Burn(6.0, 6 * HOUR, 30 * MINUTE, PAGE),
    Burn(3.0, DAY, 2 * HOUR, TICKET),
    Burn(1.0, 3 * DAY, 6 * HOUR, TICKET),
)
SPANS: Final = {
    "1m": MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "1h": HOUR, "6h": 6 * HOUR, "1d": DAY,
}  # fmt: skip


def _burns(
    name: str, sli: str, budget: float, runbook: str, what: str, first: str, *, pages: bool
) -> list[Alert]:
    """The alerts of one SLI. One that does not page is looked at over the faster windows alone."""
    found = []
    for burn in BURNS if pages else BURNS[:2]:
        limit = f"{burn.factor * budget:.6g}"
        severity = burn.severity if pages else TICKET
        speed = "Fast" if burn.factor > 10 else "High" if burn.factor > 5 else "Slow"
        speed = "Creeping" if burn.factor <= 1 else speed
        found.append(
            Alert(
                f"Leadplane{name}Burn{speed}",
                f"{recorded(sli, burn.long_s)} > {limit}"
                f" and {recorded(sli, burn.short_s)} > {limit}",
                0,
                severity,
                runbook,
                f"{what} burns its budget {burn.factor:g} times too fast. {first}",
                f"{{{{ $value | humanizePercentage }}}} over the long window;"
                f" the budget is {budget:.2%}.",
            )
        )
    return found


def all_alerts() -> tuple[Alert, ...]:
    """Every alert, those that page first."""
    burns = [
        *_burns(
            "Availability",
            LEADERLESS,
            AVAILABILITY_BUDGET,
            "stuck-election",
            "Leader availability",
            "First: `leadplane status`, then the history of the shards it names.",
            pages=True,
        ),
        *_burns(
            "Renewals",
            RENEWALS_MISSED,
            RENEWALS_BUDGET,
            "stale-leader",
            "Renewal of leases",
            "First: look at the latency of stores and the lag of event loops.",
            pages=False,
        ),
        *_burns(
            "Elections",
            ELECTIONS_SLOW,
            ELECTIONS_BUDGET,
            "stuck-election",
            "Elections within 30 s",
            "First: `grep elected` in the logs of nodes has how long each took, as unled_ms.",
            pages=False,
        ),
    ]
    return (*PAGES, *burns, *TICKETS)


def alert_rules(scale: Scale) -> dict[str, Any]:
    """The file of alert rules."""
    rules = [_rule(alert, scale) for alert in all_alerts()]
    return {"groups": [{"name": "leadplane-alerts", "rules": rules}]}


def _rule(alert: Alert, scale: Scale) -> dict[str, Any]:
    expr = alert.expr
    for name, seconds in SPANS.items():
        expr = expr.replace("{" + name + "}", scale.span(seconds))
    rule: dict[str, Any] = {"alert": alert.name, "expr": expr}
    if alert.for_s:
        rule["for"] = scale.span(alert.for_s)
    rule["labels"] = {"severity": alert.severity, "scope": alert.scope}
    rule["annotations"] = {
        "summary": alert.summary,
        "description": alert.description,
        "runbook_url": normpath(f"{RUNBOOKS}/{alert.runbook}.md"),
    }
    return rule
