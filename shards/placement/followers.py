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
    Problem,
    bits_of,
    usable_for,
)
from shards.placement.score import (
    GB,
    MILLION,
    Placement,
    copies_of,
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
    usable = usable_for(problem)
    sizes = problem.shards.size_bytes
    everybody = np.arange(len(sizes))
    voters = sizes @ copies_of(problem, everybody, placement.voters, placement.followers)
    room = problem.capacities.size_bytes - voters
    followers = placement.followers.copy()
    if rows is None or last is None:
        rows = everybody
    else:
        followers[:], saved_usd[:] = last.placement.followers, last.saved_usd
        followers[rows] = 0
        held = bits_of(followers, problem.region_count)
        crowded = sizes @ held > room
        again = held[:, crowded].any(axis=1)
        rows = np.union1d(rows, np.flatnonzero(again)).astype(np.intp)
        followers[rows], saved_usd[rows] = 0, 0.0
        room -= sizes @ bits_of(followers, problem.region_count)
    for _ in range(FOLLOWERS_MAX):
        so_far = replace(placement, followers=followers)
        saving, region = _best(problem, so_far, usable, rows)
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


def _best(
    problem: Problem, placement: Placement, usable: NDArray[np.bool_], rows: Rows
) -> tuple[Floats, Rows]:
    """For each shard, what the best next follower saves in USD a month, and where it would be."""
    saving, region = np.zeros(len(rows)), np.zeros(len(rows), dtype=np.intp)
    for start in range(0, len(rows), CHUNK):
        part = slice(start, start + CHUNK)
        gains = _gains(problem, placement, rows[part])
        gains[~usable[rows[part]]] = -np.inf
        region[part] = gains.argmax(axis=1)
        saving[part] = gains.max(axis=1)
    return saving, region


def _gains(problem: Problem, placement: Placement, rows: Rows) -> Floats:
    """What a follower in each region would save, `[N, R]`; below 0 where it costs more."""
    shards, weights, regions = problem.shards, problem.weights, problem.region_count
    rtt, egress = problem.rtt_ms, problem.egress_usd_per_gb
    weak = shards.reads_per_s[rows].astype(np.float64) * SECONDS_PER_MONTH
    weak *= (1 - shards.strong_share[rows].astype(np.float64))[:, None]
    read_gb = (shards.read_bytes[rows] / GB).astype(np.float64)[:, None]
    voters, followers = placement.voters[rows], placement.followers[rows]
    held = bits_of(voters | followers, regions)
    near = nearest(held, rtt).astype(np.intp)
    origins = np.arange(regions)
    _, per_read = instance_usd(problem)
    ms_usd = weights.usd_per_ms_per_million_reads / MILLION
    now_ms = rtt[origins[None, :], near]
    now_usd = ms_usd * now_ms + per_read[near] + read_gb * egress[near, origins[None, :]]
    writes = shards.writes_per_s[rows].sum(axis=1, dtype=np.float64) * SECONDS_PER_MONTH
    kept = copy_usd(problem, rows)
    leader = placement.leader[rows].astype(np.intp)
    gains = np.empty((len(rows), regions))
    for place in range(regions):
        nearer = rtt[:, place][None, :] < now_ms
        then = ms_usd * rtt[:, place][None, :] + per_read[place] + read_gb * egress[place]
        gains[:, place] = np.where(nearer, weak * (now_usd - then), 0.0).sum(axis=1)
        sent = writes * (shards.write_bytes[rows] / GB) * egress[leader, place]
        gains[:, place] -= sent + kept[:, place] + weights.hysteresis_usd_per_month
    gains[held] = -np.inf
    return gains
