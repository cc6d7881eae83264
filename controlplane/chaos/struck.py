"""A fault that struck: what it was, whom it hit and when, and in which counter it was seen."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Evidence:
    """A counter of the fleet that shows that a fault has arrived."""

    counter: str
    before: float | str
    after: float | str
    seen: bool

    def __str__(self) -> str:
        return f"{self.counter}: {_short(self.before)} before, {_short(self.after)} after"


@dataclass(slots=True)
class Struck:
    """One fault of the timeline. Times are milliseconds of the run's clock."""

    kind: str
    what: str
    targets: tuple[str, ...]
    began_ms: int
    ended_ms: int | None = None
    notes: list[str] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)
    failed: str = ""
    """Why it could not be done."""

    @property
    def was_seen(self) -> bool:
        """Whether it was done, and every counter that should show it does."""
        return not self.failed and bool(self.evidence) and all(e.seen for e in self.evidence)


def _short(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:,.6g}"
