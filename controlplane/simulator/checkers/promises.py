"""Promises and grants: what a store promised it keeps, and an epoch belongs to one session.

Invariant 1: promised epoch and prepare floor never decrease, and no grant exceeds its promise.
Invariant 2: at most one session obtains a majority of grants for one (shard, epoch).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from controlplane.simulator.checkers.findings import Findings
from regions.quorum import quorum_of

Voters: TypeAlias = Callable[[str, int], Sequence[str]]
"""The stores that vote on a shard in a version of its group."""


@dataclass(frozen=True, slots=True)
class Promised:
    """What one store holds of the authority over one shard, at one moment."""

    store: str
    shard: str
    promised: int
    floor: int
    granted: int
    holder: str
    version: int = 1  # of the group, in which it was granted


class PromiseChecker:
    """Fed with the state of a shard in a store whenever it may have changed."""

    def __init__(self, findings: Findings, voters: Voters) -> None:
        self._findings = findings
        self._voters = voters
        self._last: dict[tuple[str, str], Promised] = {}
        self._grants: dict[tuple[str, int, int], dict[str, set[str]]] = defaultdict(dict)

    @property
    def epochs_won(self) -> int:
        """How many (shard, epoch) pairs a majority has granted."""
        return sum(
            any(len(stores) >= self._quorum(shard, version) for stores in sessions.values())
            for (shard, version, _), sessions in self._grants.items()
        )

    def saw(self, now: Promised, at_ms: int) -> None:
        """Compare with what this store held before, and count its grant."""
        place = (now.store, now.shard)
        before = self._last.get(place)
        if before == now:
            return
        self._last[place] = now
        if before is not None and (now.promised < before.promised or now.floor < before.floor):
            self._findings.add("1 promises never decrease", at_ms, f"{before} became {now}")
        if now.granted > now.promised:
            self._findings.add("1 no grant above the promise", at_ms, str(now))
        if now.holder and now.store in self._voters(now.shard, now.version):
            self._count(now, at_ms)

    def forgot(self, store: str) -> None:
        """The store lost what it had: nothing that it said before binds it."""
        for place in [place for place in self._last if place[0] == store]:
            del self._last[place]

    def _count(self, now: Promised, at_ms: int) -> None:
        sessions = self._grants[now.shard, now.version, now.granted]
        sessions.setdefault(now.holder, set()).add(now.store)
        quorum = self._quorum(now.shard, now.version)
        won = sorted(h for h, stores in sessions.items() if len(stores) >= quorum)
        if len(won) > 1:
            detail = f"{now.shard} epoch {now.granted} was won by {' and '.join(won)}"
            self._findings.add("2 one session an epoch", at_ms, detail)

    def _quorum(self, shard: str, version: int) -> int:
        return quorum_of(len(self._voters(shard, version)))
