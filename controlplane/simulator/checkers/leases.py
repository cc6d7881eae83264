"""Leases: no two nodes would answer strong reads of one shard at the same moment (invariant 3).

The moment is one of the run's own time, which no node knows. A claim can begin only when its node
handles something, and ends by itself: so each claim is compared when it is made, with what the last
other claimant would say at that very moment, were it asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from controlplane.simulator.checkers.findings import Findings

Claim = tuple[str, int, str]
"""(shard, epoch, session id)"""


class LeaseChecker:
    """Fed with the claims of a node after everything that it handled."""

    def __init__(
        self, findings: Findings, ask: Callable[[], Iterable[tuple[str, list[Claim]]]]
    ) -> None:
        """`ask` gives (process, its claims) of all processes as they would be right now."""
        self._findings = findings
        self._ask = ask
        self._last: dict[str, tuple[str, int]] = {}
        self.changes = 0

    def claimed(self, process: str, claims: list[Claim], at_ms: int) -> None:
        """`process` claims these shards now."""
        last = self._last
        for shard, epoch, _sid in claims:
            owner = last.get(shard)
            if owner is None or owner[0] != process:
                self._changed(process, shard, epoch, owner, at_ms)
                last[shard] = (process, epoch)
            elif owner[1] != epoch:
                if epoch < owner[1]:
                    detail = f"{process} claims {shard} at {epoch} after {owner[1]}"
                    self._findings.add("3 epochs of leaders grow", at_ms, detail)
                last[shard] = (process, epoch)

    def _changed(
        self, process: str, shard: str, epoch: int, owner: tuple[str, int] | None, at_ms: int
    ) -> None:
        self.changes += 1
        if owner is not None and epoch <= owner[1]:
            detail = f"{process} claims {shard} at epoch {epoch}, after {owner[0]} at {owner[1]}"
            self._findings.add("3 epochs of leaders grow", at_ms, detail)
        for other, claims in self._ask():
            if other == process:
                continue
            for theirs, their_epoch, sid in claims:
                if theirs == shard:
                    detail = (
                        f"{process} claims {shard} at epoch {epoch} "
                        f"while {other} ({sid}) claims it at {their_epoch}"
                    )
                    self._findings.add("3 leases are disjoint", at_ms, detail)
