"""A week of a fleet beside the week before it, as figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from controlplane.lookback.figures import Leaderships, leaderships
from controlplane.lookback.remembered import (
    NEVER,
    Known,
    Remembered,
    counted_events,
    known_shards,
    listed,
    unknowns,
)
from controlplane.lookback.tenures import Row, Window, person
from controlplane.node.event_records import ELECTED

WEEK_MS: Final = 7 * 86_400_000
GOING_ON: Final = "going on"


@dataclass(frozen=True, slots=True)
class Moves:
    """Plans that were begun to be carried out, and what came of them."""

    orders: int
    moved: int
    skipped: int


@dataclass(frozen=True, slots=True)
class PastWeek:
    """One week; `known` is false where nothing at all is known of it."""

    from_ms: int
    to_ms: int
    known: bool
    leaderships: Leaderships
    events: Mapping[str, int]
    rollouts: Mapping[str, int]
    moves: Moves
    audit: Mapping[str, int]
    by_people: int
    unknown: tuple[str, ...]

    @property
    def elections(self) -> int:
        """All that were counted, also those of which nothing else is known."""
        return max(self.events.get(ELECTED, 0), _changes(self.leaderships))


def _changes(found: Leaderships) -> int:
    return sum(shard.changes for shard in found.shards)


@dataclass(frozen=True, slots=True)
class WeekReport:
    """Two weeks, and when the fleet was asked."""

    asked_ms: int
    week: PastWeek
    before: PastWeek

    def document(self) -> dict[str, Any]:
        """As data."""
        found = asdict(self)
        for name, week in (("week", self.week), ("before", self.before)):
            found[name]["elections"] = week.elections
            found[name]["leaderships"]["longest_ms"] = longest_ms(week.leaderships)
        return found


def longest_ms(found: Leaderships) -> int | None:
    """The longest time without a leader; None where there was none."""
    return None if found.longest is None else found.longest.lasts_ms


def week_report(told: Remembered, to_ms: int) -> WeekReport:
    """The week until a moment, and the one before."""
    known = known_shards(told)
    week = Window(to_ms - WEEK_MS, to_ms)
    before = Window(week.from_ms - WEEK_MS, week.from_ms)
    return WeekReport(told.asked_ms, _past(told, known, week), _past(told, known, before))


def _past(told: Remembered, known: Mapping[str, Known], window: Window) -> PastWeek:
    found = leaderships(known, window)
    events = counted_events(told, window)
    records = listed(told.audit, window)
    return PastWeek(
        window.from_ms,
        window.to_ms,
        bool(found.known_ms or events or records),
        found,
        events,
        rollout_results(told.rollouts, window),
        _moves(listed(told.orders, window)),
        dict(sorted(Counter(record["kind"] for record in records).items())),
        sum(bool(person(record["principal"])) for record in records),
        tuple(unknowns(told, window)),
    )


def rollout_results(rollouts: Iterable[Row], window: Window) -> dict[str, int]:
    """How rollouts ended that ended in a window; those that went on at its end as well."""
    found: Counter[str] = Counter()
    for rollout in rollouts:
        ended_ms = rollout["ended_wall_ms"] or NEVER
        if window.has(ended_ms):
            found[rollout["phase"]] += 1
        elif rollout["began_wall_ms"] < window.to_ms <= ended_ms:
            found[GOING_ON] += 1
    return dict(sorted(found.items()))


def _moves(orders: Iterable[Row]) -> Moves:
    rows = list(orders)
    moved = sum(order["moved"] for order in rows)
    return Moves(len(rows), moved, sum(order["done"] for order in rows) - moved)
