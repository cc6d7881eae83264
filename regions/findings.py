"""What a check has to say about a document: a value with a place, a reason and a way out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """How much a finding weighs."""

    ERROR = "error"
    """The document must not be used."""
    WARNING = "warning"
    """It works, but not as well as the operator may believe."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong with a document.

    `pointer` is a JSON pointer (RFC 6901) into the document, "" for the whole of it.
    `line` counts from 1 and is None where the document did not come from text.
    """

    severity: Severity
    pointer: str
    message: str
    hint: str
    line: int | None = None

    def __str__(self) -> str:
        place = f"line {self.line}, " if self.line is not None else ""
        return f"{self.severity.value}: {place}{self.pointer or '/'}: {self.message} ({self.hint})"


def has_errors(findings: Iterable[Finding]) -> bool:
    """Say whether any finding forbids the use of the document."""
    return any(finding.severity is Severity.ERROR for finding in findings)


def pointer_to(*parts: str | int) -> str:
    """Join the steps from a document's root to one of its values as a JSON pointer."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)
