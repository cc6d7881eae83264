"""How a rollout proceeds: which regions change together, how long each wave is watched, and how.

Five strategies by name, each with waves, bake times and a gate of its own; a rollout may name other
times. Waves are computed once, at the start, from the regions as they are then: a successor of the
global leader goes on with the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil
from typing import Any, Final

MINUTE_MS: Final = 60_000
BAKE_MS_MAX: Final = 7 * 24 * 60 * MINUTE_MS
SHARES: Final = (0.25, 0.5, 1.0)
"""Of all regions, by the end of each wave after the canary."""


class StrategyName(StrEnum):
    """The strategies there are."""

    CANARY = "canary"
    LINEAR = "linear"
    EXPONENTIAL = "exponential"
    ALL_AT_ONCE = "all-at-once"
    EMERGENCY = "emergency"


class OnFailure(StrEnum):
    """What a failed gate leads to."""

    ROLLBACK_ALL = "rollback-all"
    ROLLBACK_LATER = "rollback-failed-and-later"
    HOLD = "hold"


class OnUnreachable(StrEnum):
    """What becomes of a region that does not answer within the deadline of a step."""

    PAUSE = "pause"
    DEFER = "defer"


@dataclass(frozen=True, slots=True)
class Strategy:
    """A strategy with everything that may be set of it; times in milliseconds."""

    name: StrategyName = StrategyName.CANARY
    bake_ms: int = 10 * MINUTE_MS
    final_bake_ms: int = 30 * MINUTE_MS
    step_deadline_ms: int = 2 * MINUTE_MS
    unavailable_max: int = 0
    """Regions that may be left out, because they do not answer, before it pauses."""
    parallel_max: int = 0
    """Regions of one wave that may be without an acknowledgement at a time; 0: all of them."""
    failure_limit: int = 0
    """So many failed looks of a gate are borne."""
    error_limit: int = 4
    """So many looks without an answer are borne before it pauses."""
    successes: int = 1
    """So many good looks one after the other let a wave pass."""
    on_failure: OnFailure = OnFailure.ROLLBACK_ALL
    on_unreachable: OnUnreachable = OnUnreachable.PAUSE
    order: tuple[str, ...] = ()
    """Regions in the order in which they are to change; others follow."""
    approvals: tuple[int, ...] = ()
    """Waves that begin only when a person says so, counted from 0."""
    nodes_percent: int = 0
    """Go by nodes, not by regions: each wave is so many percent more of the nodes of every region,
    or twice as many as the one before; 0: by regions."""
    regions_percent: int = 0
    """The same of regions; 0: as the strategy says."""


DEFAULTS: Final[Mapping[StrategyName, Strategy]] = {
    StrategyName.CANARY: Strategy(),
    StrategyName.LINEAR: Strategy(StrategyName.LINEAR, bake_ms=6 * MINUTE_MS),
    StrategyName.EXPONENTIAL: Strategy(StrategyName.EXPONENTIAL, final_bake_ms=10 * MINUTE_MS),
    StrategyName.ALL_AT_ONCE: Strategy(
        StrategyName.ALL_AT_ONCE, bake_ms=0, final_bake_ms=10 * MINUTE_MS
    ),
    StrategyName.EMERGENCY: Strategy(
        StrategyName.EMERGENCY, bake_ms=MINUTE_MS, final_bake_ms=10 * MINUTE_MS
    ),
}


@dataclass(frozen=True, slots=True)
class RegionFacts:
    """What the order of regions goes by."""

    region: str
    requests_per_s: float = 0.0
    stores_of_global: int = 0
    """Voters of the global group there."""


Waves = tuple[tuple[str, ...], ...]
BY_PERCENT: Final = frozenset({StrategyName.LINEAR, StrategyName.EXPONENTIAL})
"""Strategies that can go by percent of the regions, or of the nodes of all regions."""


def waves_of(strategy: Strategy, regions: Sequence[RegionFacts], *, disruptive: bool) -> Waves:
    """The regions of each wave: the named ones first, then those with the least traffic.

    A disruptive document goes to one region at a time, so that no shard loses two of its voters'
    regions at once; and what is first is never where most voters of the global group are.
    """
    names = _in_order(strategy, regions, disruptive=disruptive)
    if not names:
        return ()
    if percents := percents_of(strategy, disruptive=disruptive):
        return (tuple(names),) * len(percents)
    if disruptive:
        return tuple((name,) for name in names)
    ends = _ends(strategy, len(names))
    starts = (0, *ends[:-1])
    return tuple(tuple(names[a:b]) for a, b in zip(starts, ends, strict=True))


def percents_of(strategy: Strategy, *, disruptive: bool) -> tuple[int, ...]:
    """Of each region's nodes, how many have the version by the end of each wave; empty where it
    goes by regions. A disruptive document always does: stores and leases are of regions."""
    if not strategy.nodes_percent or disruptive:
        return ()
    return _growing(strategy.name, strategy.nodes_percent)


def _growing(name: StrategyName, step: int) -> tuple[int, ...]:
    """How many percent there are by the end of each wave."""
    found = [step]
    while found[-1] < 100:
        grown = 2 * found[-1] if name is StrategyName.EXPONENTIAL else found[-1] + step
        found.append(min(100, grown))
    return tuple(found)


def _in_order(strategy: Strategy, regions: Sequence[RegionFacts], *, disruptive: bool) -> list[str]:
    given = {region: place for place, region in enumerate(strategy.order)}
    most = max((each.stores_of_global for each in regions), default=0)
    voters = sum(each.stores_of_global for each in regions)

    def rank(each: RegionFacts) -> tuple[bool, int, float, str]:
        holds_majority = disruptive and each.stores_of_global == most and 2 * most > voters
        place = given.get(each.region, len(given))
        return holds_majority, place, each.requests_per_s, each.region

    return [each.region for each in sorted(regions, key=rank)]


def _ends(strategy: Strategy, count: int) -> tuple[int, ...]:
    """After how many regions each wave ends, growing, the last one with all of them."""
    match strategy.name:
        case name if strategy.regions_percent:
            found = [ceil(p * count / 100) for p in _growing(name, strategy.regions_percent)]
        case StrategyName.LINEAR:
            found = [*range(1, count + 1)]
        case StrategyName.ALL_AT_ONCE:
            found = [count]
        case StrategyName.EMERGENCY:
            found = [1, count]
        case StrategyName.EXPONENTIAL:
            found = [min(count, (1 << wave) - 1) for wave in range(1, count.bit_length() + 1)]
        case _:
            found = [1, *(ceil(share * count) for share in SHARES)]
    return tuple(sorted(set(found) - {0} | {count}))


def strategy_of(content: Mapping[str, Any]) -> Strategy:
    """A strategy from what an operator sends, checked against its schema before."""
    strategy = DEFAULTS[StrategyName(content.get("name", StrategyName.CANARY))]
    named = {name: value for name, value in content.items() if name != "name"}
    for name, kind in (("on_failure", OnFailure), ("on_unreachable", OnUnreachable)):
        if name in named:
            named[name] = kind(named[name])
    if "order" in named:
        named["order"] = tuple(named["order"])
    if "approvals" in named:
        named["approvals"] = tuple(sorted(set(named["approvals"])))
    return replace(strategy, **named)
