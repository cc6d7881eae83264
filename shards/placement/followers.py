"""Extra regions that hold a copy without voting: opened where they save more than they cost.

Chosen when leaders and voters are, for each shard by itself: one follower after the other, the one
that saves most first, until none saves anything. A region must be allowed, and have room for the
bytes; where room is short, what saves most for a byte goes first. Voters are *not* chosen with
followers in mind; how far that may be from the best of all three together is certified by `joint`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shards.placement.ground import instance_usd
from shards.placement.patterns import nearest
from shards.placement.problem import (
    SECONDS_PER_MONTH,
    Floats,
    Masks,
    Problem,
    Survival,
    bits_of,
    mask_of,
    usable_for,
)
from shards.placement.score import (
    GB,
    MILLION,
    Placement,
    moved_usd_per_gb,
    present_copies,
)

CHUNK = 16_384
FOLLOWERS_MAX = 3
"""Of one shard."""
Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """A placement with its followers."""

    placement: Placement
    saved_usd: Floats
    """What the followers of each shard save in USD a month, beyond what they cost."""


def followers_of(
    problem: Problem, placement: Placement, last: Followed | None = None, rows: Rows | None = None
) -> Followed:
    """The placement with followers where they pay; there are none where no byte may be sent.

    With `rows`, only for these shards; others have those of the last time, whose leader, voters,
    loads and prices must be the same. Where these have no room any more, their shards choose anew
    as well.
    """
    saved_usd = np.zeros(len(problem.shards))
    if problem.budget.moved_bytes <= 0:
        return Followed(placement, saved_usd)
    sizes, regions = problem.shards.size_bytes, problem.region_count
    zone = problem.shards.survival == Survival.ZONE
    each = sizes * np.where(zone, problem.shards.voters, 1)
    room = problem.capacities.size_bytes - _held(placement.voters, each, regions)
    room -= _held(placement.followers, sizes, regions)
    followers = placement.followers.copy()
    if rows is None or last is None:
        rows = np.arange(len(sizes))
    else:
        followers[:], saved_usd[:] = last.placement.followers, last.saved_usd
        followers[rows] = 0
        crowded = np.flatnonzero(_held(followers, sizes, regions) > room)
        again = (followers & np.uint64(mask_of(crowded.tolist()))) != 0
        rows = np.union1d(rows, np.flatnonzero(again)).astype(np.intp)
        followers[rows], saved_usd[rows] = 0, 0.0
        room -= _held(followers, sizes, regions)
    for _ in range(FOLLOWERS_MAX):
        so_far = replace(placement, followers=followers)
        saving, region = _best(problem, so_far, rows)
        opened = _fitting(sizes[rows], saving, region, room)
        if not len(opened):
            break
        saved_usd[rows[opened]] += saving[opened] + problem.weights.hysteresis_usd_per_month
        followers[rows[opened]] |= np.uint64(1) << region[opened].astype(np.uint64)
        # Who would save nothing by one now has no reason to open one later.
        rows = rows[saving > 0]
    return Followed(replace(placement, followers=followers), saved_usd)


def copy_usd(problem: Problem, rows: Rows) -> Floats:
    """What one copy of these shards costs in each region, sending it there included, `[N, R]`."""
    shards = problem.shards
    size_gb = shards.size_bytes[rows][:, None] / GB
    writes = shards.writes_per_s[rows].sum(axis=1, dtype=np.float64) * SECONDS_PER_MONTH
    per_write, _ = instance_usd(problem)
    sent = np.maximum(1.0 - present_copies(problem, rows), 0.0)
    sent *= (shards.present[rows] != 0)[:, None] * moved_usd_per_gb(problem)
    monthly = problem.storage_usd_per_gb_month + sent / problem.weights.payback_months
    usd: Floats = size_gb * monthly + writes[:, None] * per_write
    return usd


def _fitting(sizes: Floats, saving: Floats, region: Rows, room: Floats) -> Rows:
    """Which of these open one more, by saving for a byte; takes their bytes from `room`."""
    wanting = np.flatnonzero(saving > 0)
    opened = []
    for place in range(len(room)):
        here = wanting[region[wanting] == place]
        order = here[np.argsort(-saving[here] / np.maximum(sizes[here], 1.0), kind="stable")]
        fits = order[np.cumsum(sizes[order]) <= room[place]]
        room[place] -= sizes[fits].sum()
        opened.append(fits)
    return np.sort(np.concatenate(opened))


def _held(masks: Masks, sizes: Floats, regions: int) -> Floats:
    """The bytes that each region holds, if each shard has its size in each region of a mask."""
    one = np.uint64(1)
    held = [
        sizes @ (masks >> np.uint64(place) & one).astype(np.float64) for place in range(regions)
    ]
    return np.array(held)


def _best(problem: Problem, placement: Placement, rows: Rows) -> tuple[Floats, Rows]:
    """For each shard, what the best next follower saves in USD a month, and where it would be."""
    saving, region = np.zeros(len(rows)), np.zeros(len(rows), dtype=np.intp)
    # Shards whose copies are in the same regions come together: what they save has one table.
    order = np.argsort(placement.voters[rows] | placement.followers[rows], kind="stable")
    for start in range(0, len(rows), CHUNK):
        part = order[start : start + CHUNK]
        gains = _gains(problem, placement, rows[part])
        gains[~usable_for(problem, rows[part])] = -np.inf
        region[part] = gains.argmax(axis=1)
        saving[part] = gains.max(axis=1)
    return saving, region


def _gains(problem: Problem, placement: Placement, rows: Rows) -> Floats:
    """What a follower in each region would save, `[N, R]`; below 0 where it costs more.

    Rows come in the order of the regions that have a copy.
    """
    shards, weights, regions = problem.shards, problem.weights, problem.region_count
    weak = shards.reads_per_s[rows].astype(np.float64) * SECONDS_PER_MONTH
    weak *= (1 - shards.strong_share[rows].astype(np.float64))[:, None]
    read_gb = (shards.read_bytes[rows] / GB).astype(np.float64)[:, None]
    masks, number = np.unique(
        placement.voters[rows] | placement.followers[rows], return_inverse=True
    )
    held = bits_of(masks, regions)
    gains = np.empty((len(rows), regions))
    ends = np.searchsorted(number, np.arange(len(masks) + 1))
    for each, (of_read, of_gb) in enumerate(zip(*_nearer(problem, held), strict=True)):
        at = slice(ends[each], ends[each + 1])
        gains[at] = weak[at] @ of_read + read_gb[at] * (weak[at] @ of_gb)
    writes = shards.writes_per_s[rows].sum(axis=1, dtype=np.float64) * SECONDS_PER_MONTH
    sent_gb = writes * (shards.write_bytes[rows] / GB)
    gains -= sent_gb[:, None] * problem.egress_usd_per_gb[placement.leader[rows]]
    gains -= copy_usd(problem, rows) + weights.hysteresis_usd_per_month
    gains[held[number]] = -np.inf
    return gains


def _nearer(problem: Problem, held: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """What a weak read, and a GB of them, from each region saves by a copy in each other.

    `[M, R, R]`, origins first, for copies in these regions, `[M, R]`; 0 where it is not nearer.
    """
    rtt, egress = problem.rtt_ms, problem.egress_usd_per_gb
    near, origins = nearest(held, rtt).astype(np.intp), np.arange(problem.region_count)
    now_ms = rtt[origins, near][:, :, None]
    _, per_read = instance_usd(problem)
    ms_usd = problem.weights.usd_per_ms_per_million_reads / MILLION
    is_nearer = rtt < now_ms
    of_read = ms_usd * (now_ms - rtt) + per_read[near][:, :, None] - per_read
    of_gb = egress[near, origins][:, :, None] - egress.T
    return np.where(is_nearer, of_read, 0.0), np.where(is_nearer, of_gb, 0.0)
