"""What can go wrong with a question of placement, in words an operator can act on."""

from __future__ import annotations

from collections.abc import Sequence

from regions.errors import LeadplaneError
from regions.findings import Finding


class PlacementError(LeadplaneError):
    """Any failure of this package. Raise one of the classes below, catch this one."""

    code = "placement"


class ProblemInvalid(PlacementError):
    """A problem cannot be used; `findings` lists every reason at once, with JSON pointers."""

    code = "placement-problem-invalid"
    hint = "mend every finding, each at its pointer"

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings: tuple[Finding, ...] = tuple(findings)
        lines = ["the placement problem cannot be used"]
        lines += [f"  {finding}" for finding in self.findings]
        super().__init__("\n".join(lines))


class RequestMalformed(PlacementError):
    """The worker was sent something that it does not know."""

    code = "placement-request-malformed"
    hint = "send one of the operations that the worker names, with its fields"
