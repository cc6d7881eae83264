"""The cost of every pattern of every shard as one matrix product, and the rows that couple them.

`cost = features [S, 4R+2] @ table [4R+2, K]`, less the hysteresis for the pattern a shard has now.
The columns of the features, and what stands in the table for pattern k with leader l:

    0  .. R    all that follows from where the leader is        1 at l
    R  .. 2R   all that each voter costs where it is            copies of k there
    2R .. 3R   weak reads a month from each region              USD for each, from its nearest copy
    3R .. 4R   GB of weak reads a month from each region        USD/GB from its nearest copy
    4R         writes a month                                   USD for waiting for the majority
    4R + 1     GB of writes a month                             USD/GB to all other voters

What a region forbids is `FORBIDDEN` in the first two blocks. Prices on the coupling rows are added
to the same blocks, so that pricing all patterns of all shards is one call of BLAS.

Coupling rows, in this order: leaders, writes and bytes of each region, bytes of what is led there,
bytes moved, leaders moved.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shards.placement.bearing import borne
from shards.placement.patterns import Kind, Patterns, patterns_of
from shards.placement.problem import (
    HOURS_PER_MONTH,
    NOWHERE,
    SECONDS_PER_MONTH,
    Floats,
    Problem,
    Survival,
    leads_for,
    usable_for,
)
from shards.placement.score import (
    GB,
    MILLION,
    moved_usd_per_gb,
    preference_usd,
    present_copies,
)

FORBIDDEN = 1e13
"""USD a month: more than anything costs, and exact enough beside it in 32 bits."""
FORBIDDEN_FROM = FORBIDDEN / 4
CHUNK = 4_096
"""Shards whose features are made at once: they then stay in the cache of the processor."""
Matrix = NDArray[np.float32]
Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """The shards of one kind, ready to be priced."""

    patterns: Patterns
    rows: Rows
    """Which shards of the problem these are."""
    features: Matrix
    table: Matrix
    writes: Floats
    """Per second, of each shard."""
    size_bytes: Floats
    present: NDArray[np.int32]
    """The pattern that each shard has now, or NOWHERE."""
    led: NDArray[np.int16]
    """Where each is led now and may stay, or NOWHERE: from there, a move counts."""
    held: Matrix
    """`[n, R]`: copies that need not be sent; those that are sent anyway do not count."""
    forced: Matrix
    """How many copies of each must be sent whatever is chosen."""
    hysteresis: float

    def __len__(self) -> int:
        return len(self.rows)

    def some(self, rows: Rows) -> Ground:
        """These shards of the ground."""
        return replace(
            self,
            rows=self.rows[rows],
            features=self.features[rows],
            writes=self.writes[rows],
            size_bytes=self.size_bytes[rows],
            present=self.present[rows],
            led=self.led[rows],
            held=self.held[rows],
            forced=self.forced[rows],
        )


def limits_of(problem: Problem) -> Floats:
    """The right side of the coupling rows."""
    caps, budget = problem.capacities, problem.budget
    leaders, writes, led_bytes = borne(problem.nodes, problem.region_count)
    rows = (
        np.minimum(caps.leaders, leaders),
        np.minimum(caps.writes_per_s, writes),
        caps.size_bytes,
        led_bytes,
    )
    return np.concatenate([*rows, [budget.moved_bytes, budget.moved_leaders]])


def grounds_of(problem: Problem, rows: Rows | None = None) -> tuple[Ground, ...]:
    """Prepare all shards, or these rows, kind by kind; raises nothing: `checked` came before."""
    shards = problem.shards
    if rows is None:
        rows = np.arange(len(shards))
    code = shards.survival[rows].astype(np.int64) * 256 + shards.voters[rows]
    grounds = []
    for each in np.unique(code).tolist():
        kind = Kind(Survival(each // 256), each % 256)
        patterns = patterns_of(kind, problem.rtt_ms, problem.egress_usd_per_gb)
        grounds.append(ground_of(problem, patterns, rows[code == each]))
    return tuple(grounds)


def ground_of(problem: Problem, patterns: Patterns, rows: Rows) -> Ground:
    """Prepare these shards, which are all of one kind."""
    shards = problem.shards
    usable = usable_for(problem, rows)
    leads = leads_for(problem, usable, rows)
    copies = present_copies(problem, rows)
    each = float(patterns.copies.max()) if len(patterns) else 1.0
    new = shards.present[rows] == 0
    held = np.minimum(np.where(usable, copies, 0.0), each)
    most = held.max(axis=1, initial=0.0) if patterns.kind.survival is Survival.ZONE else None
    kept = most if most is not None else np.minimum(held.sum(axis=1), patterns.kind.voters)
    forced = np.where(new, 0.0, patterns.kind.voters - kept)
    held = np.where(new[:, None], each, held)
    was = shards.leader[rows].astype(np.intp)
    stays = (was != NOWHERE) & leads[np.arange(len(rows)), np.maximum(was, 0)]
    return Ground(
        patterns=patterns,
        rows=rows,
        features=_features(
            problem, rows, _free(problem, usable, held, forced), leads, copies, each
        ),
        table=_table(problem, patterns),
        writes=shards.writes_per_s[rows].sum(axis=1, dtype=np.float64),
        size_bytes=shards.size_bytes[rows],
        present=patterns.numbers(shards.leader[rows], shards.present[rows]),
        led=np.where(stays, was, NOWHERE).astype(np.int16),
        held=held.astype(np.float32),
        forced=forced.astype(np.float32),
        hysteresis=problem.weights.hysteresis_usd_per_month,
    )


def _free(
    problem: Problem, usable: NDArray[np.bool_], held: Floats, forced: Floats
) -> NDArray[np.bool_]:
    """Where voters may be: with no budget for bytes, only where nothing need be sent.

    The row of moved bytes says the same; as a rule, it needs no price to be kept.
    """
    if problem.budget.moved_bytes > 0:
        return usable
    free: NDArray[np.bool_] = usable & ((held > 0) | (forced > 0)[:, None])
    return free


def _features(
    problem: Problem,
    rows: Rows,
    usable: NDArray[np.bool_],
    leads: NDArray[np.bool_],
    copies: Floats,
    each: float,
) -> Matrix:
    """What the costs of these shards rest on; `copies` are those that each region has now."""
    features = np.empty((len(rows), 4 * problem.region_count + 2), dtype=np.float32)
    for start in range(0, len(rows), CHUNK):
        part = slice(start, start + CHUNK)
        missing = np.maximum(each - copies[part], 0.0) / each
        _fill(problem, rows[part], (usable[part], leads[part], missing), features[part])
    return features


def _fill(
    problem: Problem,
    rows: Rows,
    what: tuple[NDArray[np.bool_], NDArray[np.bool_], Floats],
    features: Matrix,
) -> None:
    """The features of a few shards: where they may vote and be led, and which copies are missing
    there."""
    shards, weights, regions = problem.shards, problem.weights, problem.region_count
    usable, leads, missing = what
    writes = shards.writes_per_s[rows].astype(np.float64) * SECONDS_PER_MONTH
    reads = shards.reads_per_s[rows].astype(np.float64) * SECONDS_PER_MONTH
    strong = reads * shards.strong_share[rows][:, None]
    weak = reads - strong
    read_gb = (shards.read_bytes[rows] / GB)[:, None]
    write_gb = (shards.write_bytes[rows] / GB)[:, None]
    size_gb = shards.size_bytes[rows] / GB
    rtt, egress = problem.rtt_ms, problem.egress_usd_per_gb
    write_usd = weights.usd_per_ms_per_million_writes / MILLION
    read_usd = weights.usd_per_ms_per_million_reads / MILLION
    per_write, per_read = instance_usd(problem)
    leader = writes @ (write_usd * rtt) + write_gb * (writes @ egress)
    leader += strong @ (read_usd * rtt + per_read) + read_gb * (strong @ egress.T)
    if problem.preferences:
        leader += preference_usd(problem, rows)
    was = shards.leader[rows]
    moves = (was[:, None] != NOWHERE) & (was[:, None] != np.arange(regions)[None, :])
    leader += weights.leader_move_usd / weights.payback_months * moves
    features[:, :regions] = np.where(leads, leader, FORBIDDEN)
    all_writes = writes.sum(axis=1)
    voter = size_gb[:, None] * problem.storage_usd_per_gb_month
    voter += all_writes[:, None] * per_write
    sent_usd = size_gb * (shards.present[rows] != 0) * moved_usd_per_gb(problem)
    voter += (sent_usd / weights.payback_months)[:, None] * missing
    features[:, regions : 2 * regions] = np.where(usable, voter, FORBIDDEN)
    features[:, 2 * regions : 3 * regions] = weak
    features[:, 3 * regions : 4 * regions] = weak * read_gb
    features[:, 4 * regions] = all_writes
    features[:, 4 * regions + 1] = all_writes * write_gb[:, 0]


def instance_usd(problem: Problem) -> tuple[Floats, Floats]:
    """What one stored write and one served read cost in instance hours, in each region."""
    hour = problem.instance_usd_per_hour * HOURS_PER_MONTH / SECONDS_PER_MONTH
    weights = problem.weights
    return hour / weights.writes_per_s_per_instance, hour / weights.reads_per_s_per_instance


def _table(problem: Problem, patterns: Patterns) -> Matrix:
    regions, weights = problem.region_count, problem.weights
    table = np.zeros((4 * regions + 2, len(patterns)), dtype=np.float32)
    table[patterns.leader, np.arange(len(patterns))] = 1.0
    table[regions : 2 * regions] = patterns.copies.T
    table[2 * regions : 4 * regions] = read_table(problem, patterns.near.astype(np.intp))
    write_usd = weights.usd_per_ms_per_million_writes / MILLION
    table[4 * regions] = write_usd * patterns.quorum_ms
    table[4 * regions + 1] = patterns.spread_usd_per_gb
    return table


def read_table(problem: Problem, near: NDArray[np.intp]) -> Floats:
    """What a weak read, and a GB of them, costs from each region, `[2R, N]`.

    `near`, `[N, R]`, is where they are answered.
    """
    origins = np.arange(problem.region_count)
    _, per_read = instance_usd(problem)
    read_usd = problem.weights.usd_per_ms_per_million_reads / MILLION
    each = read_usd * problem.rtt_ms[origins[None, :], near] + per_read[near]
    return np.concatenate([each.T, problem.egress_usd_per_gb[near, origins[None, :]].T])
