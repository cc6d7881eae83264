"""What goes wrong: a seeded schedule of faults, each of which ends by itself.

The schedule is planned by the world's own chance, independent of what the fleet does. Each fault is
a pair of acts (see breaking.py): something breaks, and later it is mended. `calm` mends everything
at once. When a fault strikes, and what it is, depends on no other fault: some can be left out, and
the others stay.

Half of all seeds have faults of every kind. The others have a few kinds, so that each meets itself
and every other more often than it would in a crowd.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from controlplane.simulator.breaking import Breaker
from controlplane.simulator.fleet import Fleet

FEW_KINDS = (2, 5)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault that struck: which of the schedule it was, and where; `lasts_ms` is its measure."""

    number: int
    at_ms: int
    kind: str
    place: str
    lasts_ms: int

    def __str__(self) -> str:
        return (
            f"fault {self.number}, at {self.at_ms} ms: {self.kind} {self.place}, {self.lasts_ms} ms"
        )


class Faults:
    """Breaks and mends the fleet, until it is told to be calm."""

    def __init__(self, fleet: Fleet) -> None:
        self.struck: list[Fault] = []
        self._fleet = fleet
        self._breaker = Breaker(fleet)
        self._pace = fleet.world.chance("faults")
        self._planned = 0
        kinds = fleet.scenario.faults
        few = self._pace.randint(*FEW_KINDS)
        if few < len(kinds) and self._pace.random() < 0.5:
            kinds = tuple(self._pace.sample(kinds, few))
        self._kinds = kinds

    @property
    def counts(self) -> Counter[str]:
        """How many faults of each kind have struck."""
        return Counter(fault.kind for fault in self.struck)

    def start(self) -> None:
        """Begin the schedule."""
        self._breaker.is_calm = False
        self._plan_next()

    def calm(self) -> None:
        """End every fault, and the schedule."""
        self._breaker.calm()

    def _plan_next(self) -> None:
        rate_per_ms = self._fleet.scenario.faults_per_minute / 60_000
        if rate_per_ms > 0:
            self._fleet.world.after(round(self._pace.expovariate(rate_per_ms)), self._strike)

    def _strike(self) -> None:
        if self._breaker.is_calm:
            return
        scenario, world = self._fleet.scenario, self._fleet.world
        self._planned += 1
        if scenario.only_faults is None or self._planned in scenario.only_faults:
            chance = world.chance(f"fault/{self._planned}")
            kind = chance.choice(self._kinds)
            low, high = (round(share * scenario.ttl_ms) for share in scenario.fault_ttl)
            lasts_ms = chance.randint(low, high)
            world.note("fault", kind)
            if place := self._breaker.strike(kind, lasts_ms, chance):
                self.struck.append(Fault(self._planned, world.now_ms, kind, place, lasts_ms))
        self._plan_next()
