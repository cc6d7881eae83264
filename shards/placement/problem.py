"""A question of placement as a value: what there is, what it costs, what is allowed.

Regions are numbered in the order of `regions`, shards in the order of `shards.ids`. A set of
regions is a mask: bit r is region r. Arrays are read-only by convention; a changed problem is
another value, made with `dataclasses.replace`.

Units: round trips in ms, rates per second, sizes in bytes, prices in USD as their names say. A
month has `HOURS_PER_MONTH` hours. A GB is 10^9 bytes.

A region that cannot hold the voters of `zone` shards is left out of `allowed` by whoever makes the
problem. Nodes are here only if something depends on them (`nodes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from math import inf

import numpy as np
from numpy.typing import NDArray

from shards.placement.nodes import Nodes

HOURS_PER_MONTH = 730.0
SECONDS_PER_MONTH = HOURS_PER_MONTH * 3600.0
REGIONS_MAX = 64
"""As in a topology; a mask has as many bits."""
NOWHERE = -1
"""A shard that has no leader yet, or no pin, or no preference."""

Floats = NDArray[np.float64]
Loads = NDArray[np.float32]
Masks = NDArray[np.uint64]
Places = NDArray[np.int16]


class Survival(IntEnum):
    """What may be lost without losing the shard."""

    ZONE = 0
    """All voters in one region, in zones that fail apart."""
    REGION = 1
    """Each voter in a region of its own."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What turns milliseconds and moves into money."""

    usd_per_ms_per_million_writes: float = 0.005
    usd_per_ms_per_million_reads: float = 0.001
    writes_per_s_per_instance: float = 5_000.0
    """What one instance stores; each voter of a shard stores each write."""
    reads_per_s_per_instance: float = 20_000.0
    payback_months: float = 3.0
    """Over how long the bytes of a move are paid off."""
    leader_move_usd: float = 0.01
    """One-off price of a change of leader, paid off over the same time."""
    hysteresis_usd_per_month: float = 0.01
    """What any change of a shard must gain beyond its price."""
    preference_usd_per_month: float = 10_000.0
    """What each rank down a shard's list of preferred leader regions counts."""


@dataclass(frozen=True, slots=True)
class Capacities:
    """What each region takes at most; `inf` where there is no limit."""

    leaders: Floats
    writes_per_s: Floats
    """Of the shards led there."""
    size_bytes: Floats
    """Of all copies there: voters and followers."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What one plan may change. Moves forced by a drained or forbidden region do not count."""

    moved_bytes: float = inf
    moved_leaders: float = inf


@dataclass(frozen=True, slots=True)
class AntiAffinity:
    """Shards whose leaders must not gather: at most so many of them in one region."""

    name: str
    shards: tuple[int, ...]
    leaders_per_region_max: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Shards:
    """One row for each shard; `[S, R]` arrays have a column for each region of origin."""

    ids: tuple[str, ...]
    writes_per_s: Loads
    reads_per_s: Loads
    write_bytes: Loads
    read_bytes: Loads
    size_bytes: Floats
    strong_share: Loads
    """Of the reads, the part that only the leader may answer."""
    survival: NDArray[np.uint8]
    voters: NDArray[np.uint8]
    """How many: 1, 3 or 5."""
    leader: Places
    """The region that leads now, or NOWHERE."""
    present: Masks
    """The regions that vote now; 0 for a new shard. One bit: all voters are in that region."""
    allowed: Masks
    """Where data of the shard may be."""
    pin: Places
    """The region that must lead, or NOWHERE."""
    preference: NDArray[np.int32]
    """Which of the problem's `preferences` orders holds, or NOWHERE."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """All that a placement depends on; `problem_check` says whether it makes sense."""

    regions: tuple[str, ...]
    rtt_ms: Floats
    """`[from, to]`; the diagonal is the round trip between zones. No metric: the direct way may
    be longer than a detour."""
    egress_usd_per_gb: Floats
    """`[from, to]`; the diagonal is the price inside a region."""
    storage_usd_per_gb_month: Floats
    instance_usd_per_hour: Floats
    shards: Shards
    capacities: Capacities
    weights: Weights = field(default_factory=Weights)
    budget: Budget = field(default_factory=Budget)
    preferences: tuple[tuple[int, ...], ...] = ()
    """Orders of leader regions, the dearest wish first."""
    anti_affinity: tuple[AntiAffinity, ...] = ()
    drained: int = 0
    """A mask of regions that nothing may be in: lost, or to be emptied."""
    quarantined: int = 0
    """A mask of regions that nothing may come to; what is there may stay."""
    nodes: Nodes | None = None
    """Who may lead, if limits, sets or pins speak of nodes or zones."""

    @property
    def region_count(self) -> int:
        """How many regions there are."""
        return len(self.regions)

    def region_index(self, name: str) -> int:
        """Give the number of a region. Raises ValueError for an unknown one."""
        return self.regions.index(name)


def unlimited(regions: int) -> Capacities:
    """Capacities of regions that take anything."""
    return Capacities(*(np.full(regions, inf) for _ in range(3)))


def mask_of(places: Sequence[int]) -> int:
    """The mask of some regions."""
    mask = 0
    for place in places:
        mask |= 1 << place
    return mask


def places_of(mask: int) -> tuple[int, ...]:
    """The regions of a mask, in order."""
    return tuple(place for place in range(REGIONS_MAX) if mask >> place & 1)


def names_of(problem: Problem, mask: int) -> tuple[str, ...]:
    """The names of the regions of a mask, in order."""
    return tuple(problem.regions[place] for place in places_of(mask))


def bits_of(masks: Masks, regions: int) -> NDArray[np.bool_]:
    """Masks as rows of truth values, `[S, R]`."""
    shifts = np.arange(regions, dtype=np.uint64)
    return ((masks[:, None] >> shifts[None, :]) & np.uint64(1)).astype(np.bool_)


def usable_for(problem: Problem, rows: NDArray[np.intp] | None = None) -> NDArray[np.bool_]:
    """Where voters may be, `[N, R]`: allowed, not drained, in quarantine only if there already.

    Of all shards, or of these rows.
    """
    shards, gone, held = problem.shards, np.uint64(problem.drained), np.uint64(problem.quarantined)
    allowed = shards.allowed if rows is None else shards.allowed[rows]
    present = shards.present if rows is None else shards.present[rows]
    return bits_of(allowed & ~gone & (~held | present), problem.region_count)


def leads_for(
    problem: Problem, usable: NDArray[np.bool_], rows: NDArray[np.intp] | None = None
) -> NDArray[np.bool_]:
    """Where leaders may be, `[N, R]`: usable, as pinned, in quarantine only if there already.

    Of all shards, or of these rows; `usable` is of the same.
    """
    places = np.arange(problem.region_count)
    pin = problem.shards.pin if rows is None else problem.shards.pin[rows]
    leader = problem.shards.leader if rows is None else problem.shards.leader[rows]
    may_lead = usable.copy()
    pinned = pin != NOWHERE
    may_lead[pinned] &= pin[pinned, None] == places
    held = bits_of(np.array([problem.quarantined], dtype=np.uint64), len(places))[0]
    may_lead[:, held] &= leader[:, None] == places[held]
    if problem.nodes is not None and problem.nodes.barred:
        barred = np.zeros((len(problem.shards), len(places)), dtype=np.bool_)
        barred[tuple(np.array(problem.nodes.barred).T)] = True
        may_lead &= ~(barred if rows is None else barred[rows])
    return may_lead
