"""What an alert is: how urgent, what it is of, and what to do first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PAGE: Final = "page"
TICKET: Final = "ticket"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. In `expr`, `{1h}` and the like stand for spans of time at the scale of the rules.

    `scope` says what it is of, for inhibition: an alert of a wider one silences those within.
    """

    name: str
    expr: str
    for_s: int
    severity: str
    runbook: str
    summary: str
    description: str
    scope: str = "fleet"
