"""The fleet's own gate: whether the regions of a wave are as well as before, and as the others.

Theory of operation. Nodes that were alive before the wave and are not any more, or were and began
anew, fail it. While more shards than before have no leader, the gate says nothing, for
`FAILOVER_MS` at most; then it fails.
All else are figures of what went by since the wave began, each with a *limit*:

    limit = the greater of its guard and `factor` * reference
    reference = what it was before * (the control regions now / the control regions before)

The control regions are those that were not reached so far; what happens to them is not the wave's
doing. Every part of a reference counts as at least the guard / factor, so that going from next to
nothing to a little more is no rise. Of the reference is left out what is not known: without control
regions it is what was before, without that it is the control regions as they are. Where there is
neither, or so many errors that no share could be above the limit, what is above its guard is
inconclusive; but latency, of which a guard alone says nothing, is left out if nobody asked before.

A figure is judged of all regions of the wave together, and of each of them. One that is above its
limit fails the gate if at least `EVENTS_MIN` requests, writes or leaderships made it so: fewer are
chance. Shares of requests need enough of them: fewer than `samples_min` in the wave are
inconclusive; but where there were not so many before it either, there is nothing to be had, and
they are left out. Of other regions and times, those with fewer count as not known; where no number
is asked for, those with fewer than `COMPARED_MIN`: one slow request is no reference. A look that
would be inconclusive is not given before `SAMPLES_MS` of the wave are over: there may be more yet.

A wave that does not bake is not watched: of it, only nodes and leaders are asked for. The same
holds of one whose regions were all left for later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from config.gate import ORDER, Gate, Look, Measure, Verdict, without_data
from config.gate_samples import Before, Totals, together

FAILOVER_MS: Final = 30_000
REPORTS_MS: Final = 15_000
"""Nodes that have said nothing of themselves for so long are missing."""
SAMPLES_MS: Final = 30_000
EVENTS_MIN: Final = 3
COMPARED_MIN: Final = 20
ERRORS_GUARD: Final = 0.01
LATENCY_GUARD_MS: Final = 20.0
LAG_GUARD: Final = 1_000.0
"""Entries that a store lacks."""
FACTOR: Final = 3.0
LATENCY_FACTOR: Final = 2.0
TAIL: Final = 0.01
"""The slowest part of requests, at whose beginning latency is looked at: p99."""


@dataclass(frozen=True, slots=True)
class FleetSeen:
    """The fleet as it is seen now, with what went by since the wave began."""

    wave: frozenset[str]
    control: frozenset[str]
    alive: Mapping[str, str]
    """Nodes with their processes; "" for one that is not known."""
    leaderless: int
    leaderless_ms: int
    """For how long there have been more of those than before."""
    totals: Mapping[str, Totals]
    unheard: Sequence[str] = ()
    """Nodes of the wave that are alive and have said nothing of themselves lately."""
    watched_ms: int = SAMPLES_MS
    """Since the wave began."""
    is_baked: bool = True
    left: frozenset[str] = frozenset()
    """Processes that were stopped on purpose."""


def fleet_look(gate: Gate, before: Before, seen: FleetSeen) -> Look | None:
    """What the gate says; None while it waits, for a leader or for a node to say something."""
    gone = _gone(before, seen) if Measure.NODES in gate.measures else []
    if gone:
        return _named(gate, Look(Verdict.FAIL, _listed(gone)))
    if Measure.LEADERS in gate.measures and seen.leaderless > before.leaderless:
        if seen.leaderless_ms < FAILOVER_MS:
            return None
        more = f"{seen.leaderless} shards have no leader, {before.leaderless} had none before"
        return _named(gate, Look(Verdict.FAIL, more))
    is_judged = seen.is_baked and seen.wave
    rules = [rule for rule in RULES if is_judged and rule.measure in gate.measures]
    if rules and seen.unheard:
        if seen.watched_ms < REPORTS_MS:
            return None
        return without_data(gate, f"{gate.name}: nothing is heard of {_listed(seen.unheard)}")
    wave = _Wave(gate, before, seen)
    look = _worst([look for rule in rules for look in wave.looks(rule)])
    if look.verdict is Verdict.INCONCLUSIVE and seen.watched_ms < SAMPLES_MS:
        return None
    return _named(gate, look)


def _gone(before: Before, seen: FleetSeen) -> list[str]:
    """What became of nodes whose process is not there any more, and did not say that it goes."""
    found = []
    for node, process in sorted(each for r in seen.wave for each in before.of(r).alive):
        now = seen.alive.get(node)
        if process and process in seen.left:
            continue
        if now is None:
            found.append(f"{node} died")
        elif process and now and process != now:
            found.append(f"{node} died and began anew")
    return found


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def _named(gate: Gate, look: Look) -> Look:
    return Look(look.verdict, f"{gate.name}: {look.detail}")


def _worst(looks: Sequence[Look]) -> Look:
    worst = min((look.verdict for look in looks), key=ORDER.index, default=Verdict.PASS)
    said = list(dict.fromkeys(look.detail for look in looks if look.verdict is worst))
    return Look(worst, "; ".join(each for each in said if each) or "as before")


# -- figures


@dataclass(frozen=True, slots=True)
class _Unit:
    """Some regions of the wave, and the control regions beside them."""

    name: str
    count: int
    now: Totals
    before: Totals
    control_count: int
    control: Totals
    control_before: Totals


@dataclass(frozen=True, slots=True)
class _Rule:
    """One measure. `figure` is of one region at an average, None where it is not known; `events`
    says how many things made it higher than a limit."""

    measure: Measure
    figure: Callable[[Totals, int], float | None]
    guard: Callable[[_Unit], float]
    factor: float
    events: Callable[[Totals, float], float]
    unit: str
    shown: Callable[[float], str] = "{:.3g}".format
    is_share: bool = False
    """Of requests."""
    is_relative: bool = False
    """By itself its guard says nothing: where nobody asked before, it is left out."""
    most: float = inf
    """No figure can be more: a limit above it judges nothing."""


class _Wave:
    """One look at the regions of a wave."""

    def __init__(self, gate: Gate, before: Before, seen: FleetSeen) -> None:
        self._needed = max(1, gate.samples_min)
        self._compared = gate.samples_min or COMPARED_MIN
        self._is_lenient = gate.samples_min == 0
        self._control = _comparable(before, seen)
        self._now = {region: seen.totals.get(region, Totals()) for region in sorted(seen.wave)}
        self._seen, self._before = seen, before
        self._whole = self._unit("the wave", sorted(seen.wave))

    def looks(self, rule: _Rule) -> Iterator[Look]:
        """What is to be said of one measure."""
        if self._whole.now.span_ms == 0:
            yield Look(Verdict.INCONCLUSIVE, f"{rule.measure}: nothing is known since the wave")
            return
        if rule.is_share and self._whole.now.requests < self._needed:
            yield self._too_few(rule)
            return
        yield self._judged(rule, self._whole)
        for region in self._now if len(self._now) > 1 else ():
            if not rule.is_share or self._now[region].requests >= self._needed:
                yield self._judged(rule, self._unit(region, [region]))

    def _unit(self, name: str, regions: Sequence[str]) -> _Unit:
        totals = self._seen.totals
        return _Unit(
            name,
            len(regions),
            together(self._now[region] for region in regions),
            together(self._before.of(region).totals for region in regions),
            len(self._control),
            together(totals[region] for region in self._control),
            together(self._before.of(region).totals for region in self._control),
        )

    def _too_few(self, rule: _Rule) -> Look:
        now, before = self._whole.now, self._whole.before
        was_little = before.span_ms > 0 and before.requests < self._needed
        if was_little or self._is_lenient:
            return Look(Verdict.PASS, f"{rule.measure} left out: {now.requests} requests")
        detail = f"{rule.measure}: {now.requests} requests, {self._needed} are needed"
        return Look(Verdict.INCONCLUSIVE, detail)

    def _judged(self, rule: _Rule, unit: _Unit) -> Look:
        now = self._figure(rule, unit.now, unit.count, self._needed)
        was = self._figure(rule, unit.before, unit.count, self._compared)
        if now is None:
            if was is None:
                return Look(Verdict.PASS)
            return Look(Verdict.INCONCLUSIVE, f"{rule.measure} of {unit.name} is not known now")
        guard = rule.guard(unit)
        control = self._figure(rule, unit.control, unit.control_count, self._compared)
        control_was = self._figure(rule, unit.control_before, unit.control_count, self._compared)
        reference = _reference(guard / rule.factor, was, control, control_was)
        if reference is not None and rule.factor * reference >= rule.most:
            reference = None
        limit = guard if reference is None else max(guard, rule.factor * reference)
        if now <= limit or rule.events(unit.now, limit) < EVENTS_MIN:
            return Look(Verdict.PASS)
        said = f"{rule.measure} of {unit.name}: {rule.shown(now)} {rule.unit}"
        if reference is None and rule.is_relative and unit.before.span_ms:
            return Look(Verdict.PASS, f"{said} left out: too few requests before")
        if reference is None:
            return Look(Verdict.INCONCLUSIVE, f"{said}, and nothing to hold it against")
        beside = f", before {rule.shown(was)}" if was is not None else ""
        return Look(Verdict.FAIL, f"{said}, at most {rule.shown(limit)}{beside}")

    @staticmethod
    def _figure(rule: _Rule, totals: Totals, regions: int, needed: int) -> float | None:
        if rule.is_share and totals.requests < needed:
            return None
        return rule.figure(totals, regions)


def _comparable(before: Before, seen: FleetSeen) -> list[str]:
    """Control regions of which something is known now; of before as well, if of any."""
    now = [r for r in sorted(seen.control) if seen.totals.get(r, Totals()).span_ms > 0]
    return [r for r in now if before.of(r).totals.span_ms > 0] or now


def _reference(
    floor: float, was: float | None, control: float | None, control_was: float | None
) -> float | None:
    """What a figure should be by now."""
    if was is None:
        return None if control is None else max(floor, control)
    if control is None or control_was is None:
        return max(floor, was)
    return max(floor, was) * max(floor, control) / max(floor, control_was)


def _a_minute(count: int, totals: Totals, regions: int) -> float | None:
    if totals.span_ms == 0 or regions == 0:
        return None
    return count * 60_000 / totals.span_ms / regions


def _few_a_minute(unit: _Unit) -> float:
    """So much is chance: `EVENTS_MIN` of each region since the wave began."""
    found = _a_minute(EVENTS_MIN, unit.now, 1)
    assert found is not None, "of an unknown time nothing is judged"
    return found


def quantile_ms(latency: Sequence[int], tail: float = TAIL) -> float | None:
    """What the slowest part of requests took at least; evenly spread within a bucket."""
    left = tail * sum(latency)
    if left == 0:
        return None
    for bucket in range(len(latency) - 1, -1, -1):
        if latency[bucket] >= left:
            low, high = _edges(bucket)
            return high - (high - low) * left / latency[bucket]
        left -= latency[bucket]
    return 0.0


def slower(latency: Sequence[int], limit_ms: float) -> float:
    """How many requests took longer, about."""
    found = 0.0
    for bucket, count in enumerate(latency):
        low, high = _edges(bucket)
        found += count * min(1.0, max(0.0, (high - limit_ms) / (high - low)))
    return found


def _edges(bucket: int) -> tuple[float, float]:
    return (0.0, 1.0) if bucket == 0 else (2.0 ** (bucket - 1), 2.0**bucket)


RULES: Final = (
    _Rule(
        Measure.ELECTIONS,
        lambda totals, regions: _a_minute(totals.failovers, totals, regions),
        _few_a_minute,
        FACTOR,
        lambda totals, _: totals.failovers,
        "leaders lost a minute",
    ),
    _Rule(
        Measure.ERRORS,
        lambda totals, _: totals.errors / totals.requests,
        lambda _: ERRORS_GUARD,
        FACTOR,
        lambda totals, _: totals.errors,
        "%",
        lambda value: f"{100 * value:.3g}",
        is_share=True,
        most=1.0,
    ),
    _Rule(
        Measure.FENCED,
        lambda totals, regions: _a_minute(totals.fenced, totals, regions),
        _few_a_minute,
        FACTOR,
        lambda totals, _: totals.fenced,
        "writes a minute",
    ),
    _Rule(
        Measure.LAG,
        lambda totals, _: None if totals.lag is None else float(totals.lag),
        lambda _: LAG_GUARD,
        FACTOR,
        lambda totals, _: inf,
        "entries behind",
    ),
    _Rule(
        Measure.LATENCY,
        lambda totals, _: quantile_ms(totals.latency),
        lambda _: LATENCY_GUARD_MS,
        LATENCY_FACTOR,
        lambda totals, limit_ms: slower(totals.latency, limit_ms),
        "ms at p99",
        is_share=True,
        is_relative=True,
    ),
)
