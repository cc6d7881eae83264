"""What a fleet said of its past when it was asked, and of how much of that past it can speak.

Everything that a fleet keeps is bounded. So of each shard it is known from when on its leaders are
known, and of events and records since when they are kept; what is counted is counted of that time
alone, and what is not known is said (`unknowns`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from controlplane.lookback.markdown import moment
from controlplane.lookback.tenures import FAILOVER, Row, Tenure, Window, merged, tenure_of_line
from controlplane.node.event_records import ELECTED
from shards.scripts.state import HISTORY_MAX

NEVER: Final = 1 << 62
"""Kept since then: nothing is."""
CLOSED: Final = "closed"
NAMED_MAX: Final = 10
"""So many shards are called by name; of the others only how many."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What was answered. Events and records before the moments named are not kept any more.

    `failed` says what could not be had, and why; `not_asked` of which shards the own history was
    not asked for, since there are too many of them.
    """

    asked_ms: int
    shards: Sequence[Row] = ()
    events: Sequence[Row] = ()
    events_since_ms: int = 0
    hours: Sequence[Row] = ()
    histories: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    audit: Sequence[Row] = ()
    audit_since_ms: int = 0
    rollouts: Sequence[Row] = ()
    orders: Sequence[Row] = ()
    not_asked: Sequence[str] = ()
    failed: Mapping[str, str] = field(default_factory=dict)

    def tenures(self) -> dict[str, tuple[Tenure, ...]]:
        """All tenures that are known, by shard."""
        return merged(self.histories, self.events)


@dataclass(frozen=True, slots=True)
class Known:
    """A shard's tenures, and the time of which they are all there are.

    `to_ms` is None of a shard that is there still; of one that is gone, when it was closed.
    `began_ms` is there where its beginning is known.
    """

    shard: str
    tenures: tuple[Tenure, ...]
    from_ms: int
    to_ms: int | None = None
    began_ms: int | None = None

    def within(self, window: Window) -> Window:
        """How much of a window it is known of."""
        to_ms = window.to_ms if self.to_ms is None else min(self.to_ms, window.to_ms)
        return Window(min(max(self.from_ms, window.from_ms), to_ms), to_ms)


def known_shards(told: Remembered) -> dict[str, Known]:
    """Every shard that is there, or was, and since when its leaders are known."""
    tenures = told.tenures()
    closed = {e["shard"]: int(e["wall_ms"]) for e in told.events if e["kind"] == CLOSED}
    present = {row["shard"] for row in told.shards}
    return {
        shard: _present(told, shard, tenures.get(shard, ()))
        if shard in present
        else _gone(shard, tenures.get(shard, ()), closed.get(shard))
        for shard in sorted(present | tenures.keys())
    }


def _present(told: Remembered, shard: str, tenures: tuple[Tenure, ...]) -> Known:
    lines = [tenure_of_line(shard, line) for line in told.histories.get(shard, ())]
    own = [line for line in lines if line.shard == shard]
    if not own and tenures and tenures[0].cause == "first":
        return Known(shard, tenures, tenures[0].wall_ms, began_ms=tenures[0].wall_ms)
    if not own:
        return Known(shard, tenures, told.events_since_ms)
    if len(lines) < HISTORY_MAX or lines[0].shard != shard:
        return Known(shard, tenures, own[0].wall_ms, began_ms=own[0].wall_ms)
    return Known(shard, tenures, min(own[0].wall_ms, told.events_since_ms))


def _gone(shard: str, tenures: tuple[Tenure, ...], closed_ms: int | None) -> Known:
    """Where its end is not known, nothing is known of any time; its tenures are, all the same."""
    from_ms = tenures[0].wall_ms if closed_ms is not None else NEVER
    return Known(shard, tenures, from_ms, to_ms=closed_ms)


def counted_events(told: Remembered, window: Window) -> dict[str, int]:
    """How many events of each kind: those that are kept, and those there are only counts of.

    Hours count that begin in the window.
    """
    found: dict[str, int] = {}
    for event in told.events:
        if window.has(event["wall_ms"]):
            found[event["kind"]] = found.get(event["kind"], 0) + 1
    for hour in told.hours:
        if hour["since_ms"] is not None and window.has(hour["since_ms"]):
            for each in hour["counts"]:
                found[each["kind"]] = found.get(each["kind"], 0) + each["count"]
    return dict(sorted(found.items()))


def unknowns(told: Remembered, window: Window) -> list[str]:
    """What cannot be said of a window, in sentences."""
    found = [f"Not to be had: {what}: {why}" for what, why in told.failed.items()]
    if window.from_ms < told.events_since_ms < NEVER:
        found.append(
            f"Of events that were kept until {moment(told.events_since_ms)} there are only counts,"
            " by the hour. Changes of leaders of that time are those that the shards' own histories"
            f" still have: the last {HISTORY_MAX} of each."
        )
    if window.from_ms < told.audit_since_ms < NEVER:
        found.append(f"Audit records before {moment(told.audit_since_ms)} are not kept any more.")
    if told.not_asked:
        found.append(
            f"{len(told.not_asked)} shards were not asked for their own history, since there are"
            " many: of them it is known what events say."
        )
    known = known_shards(told)
    cut = [
        each.shard for each in known.values()
        if each.from_ms > window.from_ms and each.began_ms is None and each.to_ms is None
    ]  # fmt: skip
    if cut:
        found.append(f"Not all of this time is known of {named(cut)}.")
    found += _of_tenures(told, known, window)
    unled = [row["shard"] for row in told.shards if row["state"] != "led"]
    if unled and window.to_ms >= told.asked_ms:
        found.append(
            f"Without a leader when this was written: {named(unled)}. Since when, whoever leads"
            " next will say; it is in no figure here."
        )
    return found


def _of_tenures(told: Remembered, known: Mapping[str, Known], window: Window) -> list[str]:
    tenures = [t for each in known.values() for t in each.tenures if window.has(t.wall_ms)]
    counted = counted_events(told, window).get(ELECTED, 0)
    found = []
    if counted > len(tenures):
        found.append(f"Of {counted:,} elections that were counted, {len(tenures):,} are known.")
    blind = [t for t in tenures if t.cause == FAILOVER and t.unled_ms is None]
    if blind:
        found.append(
            f"Before {len(blind)} of the failovers nobody knows for how long there was no leader:"
            " who took over had not seen the one before."
        )
    return found


def named(shards: Sequence[str]) -> str:
    """Shards by their names, of many only some."""
    first = ", ".join(shards[:NAMED_MAX])
    more = len(shards) - NAMED_MAX
    return first if more <= 0 else f"{first} and {more} more"


def listed(rows: Sequence[Row], window: Window) -> list[Any]:
    """Those of a window."""
    return [row for row in rows if row["wall_ms"] is not None and window.has(row["wall_ms"])]
