"""Leaderships as clients saw them: who acknowledged from when to when, and the gaps between.

The time without a leader is counted from the last write that an epoch acknowledged to the first of
the next one, shard by shard, as clients were told: beats that do not wait for each other are among
them, so it is known to a tenth of a second and a round trip.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from controlplane.requests import Written
from controlplane.simulator.checkers.history import Operation


@dataclass(frozen=True, slots=True)
class Reign:
    """One epoch of one shard, from the first write that it acknowledged to the last."""

    shard: str
    epoch: int
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class Failover:
    """A change of epoch: how long no write of the shard was acknowledged."""

    shard: str
    epoch: int
    at_ms: int
    without_leader_ms: int


def reigns_of(history: Iterable[Operation]) -> dict[str, list[Reign]]:
    """The epochs of each shard, in order."""
    seen: dict[tuple[str, int], list[int]] = defaultdict(list)
    for operation in history:
        outcome = operation.outcome
        if isinstance(outcome, Written) and operation.ended_ms is not None and not outcome.replayed:
            seen[outcome.shard, outcome.epoch].append(operation.ended_ms)
    found: dict[str, list[Reign]] = defaultdict(list)
    for (shard, epoch), times in sorted(seen.items()):
        found[shard].append(Reign(shard, epoch, min(times), max(times)))
    return dict(found)


def failovers_of(reigns: Iterable[Iterable[Reign]]) -> list[Failover]:
    """Every change of epoch, by the time of the first write after it."""
    found = [
        Failover(after.shard, after.epoch, after.first_ms, max(0, after.first_ms - before.last_ms))
        for of_shard in reigns
        for before, after in pairwise(of_shard)
    ]
    return sorted(found, key=lambda failover: failover.at_ms)


def longest_pause_ms(history: Iterable[Operation], since_ms: int, until_ms: int) -> int:
    """The longest time between these moments in which no write of anybody was acknowledged."""
    times = sorted(
        operation.ended_ms
        for operation in history
        if isinstance(operation.outcome, Written)
        and operation.ended_ms is not None
        and since_ms <= operation.ended_ms <= until_ms
    )
    return max((b - a for a, b in pairwise([since_ms, *times, until_ms])), default=0)
