"""What can go wrong with regions and their stores, in words an operator can act on.

Every class carries three things: `code`, stable and fit for programs; `hint`, what the operator
does next; `retryable`, whether the same call may succeed later without anybody's help.
Refusals that a protocol expects are values, not exceptions; these are for the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from regions.findings import Finding


class LeadplaneError(Exception):
    """Any failure of the product. Each package has one class of its own below this."""

    code: ClassVar[str] = "leadplane"
    retryable: ClassVar[bool] = False
    hint: str = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint


class RegionsError(LeadplaneError):
    """Any failure of this package. Raise one of the classes below, catch this one."""

    code = "regions"


class TopologyInvalid(RegionsError):
    """A topology document cannot be used; `findings` lists every reason at once."""

    code = "topology-invalid"
    hint = "mend every finding marked error, then run `leadplane check-config` on the file"

    def __init__(self, source: str, findings: Sequence[Finding]) -> None:
        self.source = source
        self.findings: tuple[Finding, ...] = tuple(findings)
        lines = [f"{source}: the topology cannot be used"]
        lines += [f"  {finding}" for finding in self.findings]
        super().__init__("\n".join(lines))


class UnknownRegion(RegionsError):
    """A region was named for which there are no reference figures."""

    code = "unknown-region"
    hint = "choose from regions.reference.region_names(), or write a topology document"


class StoreUnavailable(RegionsError):
    """A store could not be reached; nothing was sent, so nothing happened there."""

    code = "store-unavailable"
    retryable = True
    hint = "is the store's process running, and does its address in the topology lead to it?"


class StoreOutcomeUnknown(RegionsError):
    """A call was sent and its reply did not come; it may or may not have been carried out."""

    code = "store-outcome-unknown"
    retryable = True
    hint = "ask the store what it holds before acting on the assumption that the call failed"


class StoreUnsuitable(RegionsError):
    """A store answers, but must not be used as it is; the message says what to change."""

    code = "store-unsuitable"
    hint = "change the store's settings as the message says, then restart it"


class StoreReplyMalformed(RegionsError):
    """A store answered something that the protocol does not know; it is treated as a refusal."""

    code = "store-reply-malformed"
    hint = "check that the address leads to a Leadplane store and that versions are neighbours"
