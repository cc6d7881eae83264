"""What a placement costs: one figure in USD a month for each shard, and the parts it is made of.

For a shard led from l, with w and d writes and reads per second from each region r, T the round
trips and E the prices of sending, a month having M seconds:

* `write_latency`: a_w M sum_r w_r (T[r,l] + Q), Q the time until a majority has answered l;
* `read_latency`: a_r M sum_r d_r T[r,x], with x = l for the strong share, else the nearest copy;
* `write_egress`: M b sum_r w_r E[r,l];  `read_egress`: M o sum_r d_r E[x,r];
* `replication_egress`: M b w sum_v E[l,v], to every other voter and to each follower;
* `storage`: z S_v for each copy; `instances`: hours of those who store writes and serve reads;
* `preference`: the rank of l in the shard's order, times its weight;
* `move`: bytes sent to new copies, and a change of leader, over payback. A byte costs the mean of
  all E: at the price of where it is sent from, two moves after each other can be cheaper than one,
  and a plan that was carried out would be followed by another;
* `hysteresis`: what any change of leader or voters must gain beyond its price.

a_w and a_r are the weights that turn milliseconds into money. Storage is per GB and month, b and o
are bytes of a write and of a read, z is the size. The first seven are what a month costs; the last
three only decide. A read of a follower is one of a copy: it is local, and as old as promised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shards.placement.patterns import nearest
from shards.placement.problem import (
    HOURS_PER_MONTH,
    NOWHERE,
    SECONDS_PER_MONTH,
    Floats,
    Masks,
    Places,
    Problem,
    Survival,
    bits_of,
)

PARTS = (
    *("write_latency", "read_latency", "write_egress", "replication_egress", "read_egress"),
    *("storage", "instances", "preference", "move", "hysteresis"),
)
RUNNING = 7
"""So many of the parts are paid every month; the others only decide."""
GB = 1e9
MILLION = 1e6
CHUNK = 16_384
"""Shards that are scored at once: bounds the memory that it takes."""


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """Where each shard is led from, votes, and is followed."""

    leader: Places
    voters: Masks
    followers: Masks
    """Regions with one more copy that does not vote."""

    def row(self, number: int) -> tuple[int, int, int]:
        """Leader, voters and followers of one shard."""
        return int(self.leader[number]), int(self.voters[number]), int(self.followers[number])


def present_of(problem: Problem) -> Placement:
    """Where everything is now, without followers."""
    shards = problem.shards
    return Placement(shards.leader, shards.present, np.zeros_like(shards.present))


def parts_of(
    problem: Problem, placement: Placement, rows: NDArray[np.intp] | None = None
) -> Floats:
    """The parts of the cost in USD a month, `[N, len(PARTS)]`, of all shards or of these rows.

    `placement` has an entry for each of the rows; the same shard may be asked for many times.
    """
    if rows is None:
        rows = np.arange(len(problem.shards))
    parts = np.zeros((len(rows), len(PARTS)))
    for start in range(0, len(rows), CHUNK):
        part = slice(start, start + CHUNK)
        some = Placement(placement.leader[part], placement.voters[part], placement.followers[part])
        parts[part] = _parts(problem, some, rows[part])
    return parts


def copies_of(problem: Problem, rows: NDArray[np.intp], voters: Masks, followers: Masks) -> Floats:
    """How many copies each region has of these shards, `[N, R]`."""
    regions = problem.region_count
    zone = problem.shards.survival[rows] == Survival.ZONE
    each = np.where(zone, problem.shards.voters[rows], 1)
    copies: Floats = bits_of(voters, regions) * each[:, None] + bits_of(followers, regions) * 1.0
    return copies


def present_copies(problem: Problem, rows: NDArray[np.intp]) -> Floats:
    """How many copies each region has now; a lone region has them all, `[N, R]`."""
    held = bits_of(problem.shards.present[rows], problem.region_count)
    alone = held.sum(axis=1) == 1
    copies: Floats = held * np.where(alone, problem.shards.voters[rows], 1)[:, None].astype(float)
    return copies


def _parts(problem: Problem, placement: Placement, rows: NDArray[np.intp]) -> Floats:
    shards, weights = problem.shards, problem.weights
    rtt, egress = problem.rtt_ms, problem.egress_usd_per_gb
    leader = placement.leader.astype(np.intp)
    writes = shards.writes_per_s[rows].astype(np.float64) * SECONDS_PER_MONTH
    reads = shards.reads_per_s[rows].astype(np.float64) * SECONDS_PER_MONTH
    strong = reads * shards.strong_share[rows][:, None]
    weak = reads - strong
    write_gb = writes * (shards.write_bytes[rows] / GB)[:, None]
    read_gb = (shards.read_bytes[rows] / GB)[:, None]
    size_gb = shards.size_bytes[rows] / GB
    copies = copies_of(problem, rows, placement.voters, placement.followers)
    near = nearest(copies > 0, rtt).astype(np.intp)
    origins = np.arange(problem.region_count)
    to_near_ms = rtt[origins[None, :], near]
    hour = problem.instance_usd_per_hour * HOURS_PER_MONTH / SECONDS_PER_MONTH
    per_write = hour / weights.writes_per_s_per_instance
    per_read = hour / weights.reads_per_s_per_instance
    read_ms = (strong * rtt[:, leader].T + weak * to_near_ms).sum(axis=1)
    write_ms = (writes * (rtt[:, leader].T + quorum_ms(problem, placement, rows)[:, None])).sum(1)
    spread = (copies * egress[leader]).sum(axis=1) - egress[leader, leader]
    from_near = egress[near, origins[None, :]]
    serving = strong.sum(axis=1) * per_read[leader] + (weak * per_read[near]).sum(axis=1)
    parts = np.zeros((len(rows), len(PARTS)))
    parts[:, 0] = weights.usd_per_ms_per_million_writes / MILLION * write_ms
    parts[:, 1] = weights.usd_per_ms_per_million_reads / MILLION * read_ms
    parts[:, 2] = (write_gb * egress[:, leader].T).sum(axis=1)
    parts[:, 3] = write_gb.sum(axis=1) * spread
    parts[:, 4] = (read_gb * (strong * egress[leader] + weak * from_near)).sum(axis=1)
    parts[:, 5] = size_gb * (copies @ problem.storage_usd_per_gb_month)
    parts[:, 6] = writes.sum(axis=1) * (copies @ per_write) + serving
    parts[:, 7] = preference_usd(problem, rows)[np.arange(len(rows)), leader]
    moved = moved_copies(problem, rows, copies)
    was = shards.leader[rows].astype(np.intp)
    leads = was != NOWHERE
    sent = size_gb * moved.sum(axis=1) * moved_usd_per_gb(problem)
    led_anew = leads & (was != leader)
    paid = sent + weights.leader_move_usd * led_anew
    parts[:, 8] = paid / weights.payback_months
    changed = (was != leader) | (placement.voters != shards.present[rows])
    parts[:, 9] = weights.hysteresis_usd_per_month * changed
    return parts


def moved_usd_per_gb(problem: Problem) -> float:
    """What sending one GB to another region costs on average."""
    count = problem.region_count
    between = ~np.eye(count, dtype=bool)
    return float(problem.egress_usd_per_gb[between].mean()) if count > 1 else 0.0


def moved_copies(problem: Problem, rows: NDArray[np.intp], copies: Floats) -> Floats:
    """How many copies each region must be sent, `[N, R]`; a new shard has nothing to send."""
    moved = np.maximum(copies - present_copies(problem, rows), 0.0)
    return np.where(problem.shards.present[rows][:, None] == 0, 0.0, moved)


def preference_usd(problem: Problem, rows: NDArray[np.intp]) -> Floats:
    """What leading from each region counts against a shard's preference, `[N, R]`."""
    regions = problem.region_count
    table = np.zeros((len(problem.preferences) + 1, regions))
    for number, order in enumerate(problem.preferences):
        table[number] = len(order)
        for rank, place in enumerate(order):
            table[number, place] = rank
    ranks: Floats = table[problem.shards.preference[rows]]
    return ranks * problem.weights.preference_usd_per_month


def quorum_ms(problem: Problem, placement: Placement, rows: NDArray[np.intp]) -> Floats:
    """From each leader to the voter that completes a majority, its own store included."""
    rtt, leader = problem.rtt_ms, placement.leader.astype(np.intp)
    held = bits_of(placement.voters, problem.region_count)
    ordered = np.sort(np.where(held, rtt[leader], np.inf), axis=1)
    zone = problem.shards.survival[rows] == Survival.ZONE
    needed = np.where(zone, 0, held.sum(axis=1) // 2)
    times: Floats = ordered[np.arange(len(rows)), needed]
    return times
