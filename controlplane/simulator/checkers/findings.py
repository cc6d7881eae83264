"""What checkers have found: each finding names an invariant, a time and what was seen."""

from __future__ import annotations

from dataclasses import dataclass

FINDINGS_MAX = 20


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken invariant. `at_ms` is the time of the run at which it showed."""

    invariant: str
    at_ms: int
    detail: str

    def __str__(self) -> str:
        return f"{self.at_ms} ms: {self.invariant}: {self.detail}"


class Findings:
    """The first violations of a run; later ones are mostly echoes of these."""

    __slots__ = ("_seen", "violations")

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self._seen: set[tuple[str, str]] = set()

    def add(self, invariant: str, at_ms: int, detail: str) -> None:
        """Keep a violation, once, unless there are plenty already."""
        if len(self.violations) < FINDINGS_MAX and (invariant, detail) not in self._seen:
            self._seen.add((invariant, detail))
            self.violations.append(Violation(invariant, at_ms, detail))
