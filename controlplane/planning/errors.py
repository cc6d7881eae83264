"""What can keep the global leader from planning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controlplane.errors import ControlplaneError


class PlanningError(ControlplaneError):
    """Something kept a plan from being made."""

    code = "planning-failed"


class HoleInMatrix(PlanningError):
    """Nobody knows how far two regions are apart."""

    code = "hole-in-matrix"

    def __init__(self, origin: str, to: str) -> None:
        super().__init__(
            f"nobody has measured or set the round trip from {origin} to {to}",
            hint=f"set round_trip_ms.{origin}.{to} in the document `latency`",
        )


class NothingToPlan(PlanningError):
    """No shard, or not this one, is any that a plan can speak of."""

    code = "nothing-to-plan"


class WorkerFailed(PlanningError):
    """The worker process ended, or answered nonsense."""

    code = "planning-worker-failed"


class QuestionRefused(PlanningError):
    """The worker found the question to make no sense, or to have no answer."""

    code = "not-plannable"

    def __init__(self, message: str, hint: str, findings: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(message, hint=hint)
        self.findings = tuple(findings)


class NoPlacement(PlanningError):
    """No placement keeps all that is asked; `conflict` names what cannot be kept together."""

    code = "no-placement"

    def __init__(self, conflict: Mapping[str, Any]) -> None:
        super().__init__(
            "no placement keeps every constraint",
            hint="change one of those that conflict",
        )
        self.conflict = dict(conflict)
