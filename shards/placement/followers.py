"""Extra regions that hold a copy without voting: opened where they save more than they cost.

Chosen when leaders and voters are, for each shard by itself: one follower after the other, the one
that saves most first, until none saves anything. A region must be allowed, and have room for the
bytes; where room is short, what saves most for a byte goes first. Voters are *not* chosen with
followers in mind; how far that may be from the best of all three together is certified by `joint`.
"""

from __future__ import annotations

from dataclasses import replace

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


def followers_of(problem: Problem, placement: Placement) -> tuple[Placement, float]:
    """The placement with followers where they pay, and what they save in USD a month.

    There are none where no byte may be sent.
    """
    if problem.budget.moved_bytes <= 0:
        return placement, 0.0
    usable = usable_for(problem)
    rows = np.arange(len(problem.shards))
    held = copies_of(problem, rows, placement.voters, placement.followers)
    room = problem.capacities.size_bytes - problem.shards.size_bytes @ held
    followers, saved_usd = placement.followers.copy(), 0.0
    for _ in range(FOLLOWERS_MAX):
        so_far = replace(placement, followers=followers)
        saving, region = _best(problem, so_far, usable)
        opened = _fitting(problem, saving, region, room)
        if not len(opened):
            break
        saved_usd += float(saving[opened].sum())
        saved_usd += len(opened) * problem.weights.hysteresis_usd_per_month
        followers[opened] |= np.uint64(1) << region[opened].astype(np.uint64)
    return replace(placement, followers=followers), saved_usd


def copy_usd(problem: Problem, rows: NDArray[np.intp]) -> Floats:
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


def _fitting(
    problem: Problem, saving: Floats, region: NDArray[np.intp], room: Floats
) -> NDArray[np.intp]:
    """Which shards open one more, by saving for a byte; takes their bytes from `room`."""
    sizes = problem.shards.size_bytes
    wanting = np.flatnonzero(saving > 0)
    opened = []
    for place in range(problem.region_count):
        here = wanting[region[wanting] == place]
        order = here[np.argsort(-saving[here] / np.maximum(sizes[here], 1.0), kind="stable")]
        fits = order[np.cumsum(sizes[order]) <= room[place]]
        room[place] -= sizes[fits].sum()
        opened.append(fits)
    return np.concatenate(opened)


def _best(
    problem: Problem, placement: Placement, usable: NDArray[np.bool_]
) -> tuple[Floats, NDArray[np.intp]]:
    """For each shard, what the best next follower saves in USD a month, and where it would be."""
    count = len(problem.shards)
    saving, region = np.zeros(count), np.zeros(count, dtype=np.intp)
    for start in range(0, count, CHUNK):
        rows = np.arange(start, min(start + CHUNK, count))
        gains = _gains(problem, placement, rows)
        gains[~usable[rows]] = -np.inf
        region[rows] = gains.argmax(axis=1)
        saving[rows] = gains.max(axis=1)
    return saving, region


def _gains(problem: Problem, placement: Placement, rows: NDArray[np.intp]) -> Floats:
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
