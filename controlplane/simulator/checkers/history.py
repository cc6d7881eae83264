"""What clients did and saw: one record for each attempt, with times of the run's own clock."""

from __future__ import annotations

from dataclasses import dataclass

from controlplane.requests import Outcome, Problem, Refused, Request


@dataclass(slots=True)
class Operation:
    """One attempt of one client. Retries of a write are attempts with the same `op_id`.

    `decided_ms` is when the node took its answer, `ended_ms` when the client had it; an operation
    that was never answered may have happened or not, at any time after `started_ms`.
    """

    client: str
    node: str
    request: Request
    started_ms: int
    decided_ms: int | None = None
    ended_ms: int | None = None
    outcome: Outcome | None = None

    @property
    def surely_not_done(self) -> bool:
        """Whether the answer says that nothing was, or will be, done."""
        refused = self.outcome if isinstance(self.outcome, Refused) else None
        return refused is not None and refused.problem is not Problem.UNKNOWN_OUTCOME
