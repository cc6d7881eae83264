"""From a placement to a plan: what is moved in which order, why, and what it is worth.

First what moves no bytes and gains most, then what moves bytes, by gain for a byte; what is forced
by a drained or forbidden region goes before all. The hash is of what is decided alone: two plans
with the same hash do the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from shards.placement.problem import NOWHERE, Floats, Problem, bits_of, leads_for, usable_for
from shards.placement.score import (
    PARTS,
    RUNNING,
    Placement,
    copies_of,
    moved_copies,
    parts_of,
    present_of,
    quorum_ms,
)
from shards.placement.seating import Numbers, natural_seats

PAUSE_FLOOR_MS = 5.0
"""A transfer stops admitting, lets its tail commit, releases, and is taken over."""


class Reason(StrEnum):
    """Why a shard is moved."""

    FORCED = "forced"
    """It is where it may not be."""
    NEW = "new"
    """It is nowhere yet."""
    LATENCY = "latency"
    """Its clients wait less."""
    EGRESS = "egress"
    """Less is paid for sending."""
    KEEPING = "keeping"
    """Storage or instances cost less."""
    PREFERENCE = "preference"
    NODE = "node"
    """Its region stays; its node has no room for it, or another one must lead it."""
    ROOM = "room"
    """It makes room for others, and costs more by itself."""


@dataclass(frozen=True, slots=True)
class Move:
    """One shard from where it is to where it should be."""

    shard: str
    from_leader: str | None
    to_leader: str
    to_node: str | None
    """The node there that should lead it, if limits or rules speak of nodes."""
    add: tuple[str, ...]
    remove: tuple[str, ...]
    followers: tuple[str, ...]
    reason: Reason
    moved_bytes: float
    pause_ms: float
    """For how long writes are expected to wait; 0 when the leader stays."""
    usd_per_month: float
    """How the running cost changes; below 0 it falls."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a placement costs to run, and how long its requests wait."""

    usd_per_month: float
    parts: dict[str, float]
    write_p50_ms: float
    write_p99_ms: float
    read_p50_ms: float
    read_p99_ms: float


@dataclass(frozen=True, slots=True)
class AfterLoss:
    """What is left when one region is lost."""

    region: str
    leaders_lost: int
    unavailable: int
    """Shards that have no majority left until the region is back."""
    without_margin: int
    """Shards that go on, and stop at the next loss."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is known before anything moves."""

    hash: str
    moves: tuple[Move, ...]
    before: Price
    after: Price
    after_losing: tuple[AfterLoss, ...]
    moved_bytes: float
    moved_leaders: int


def plan_of(problem: Problem, placement: Placement, seats: Numbers | None = None) -> Plan:
    """The plan that leads from what is there now to this placement, and to these nodes."""
    now = present_of(problem)
    shards = problem.shards
    differs = (placement.leader != now.leader) | (placement.voters != now.voters)
    if seats is not None:
        differs |= seats != natural_seats(problem, now.leader)
    moves = _moves(problem, placement, np.flatnonzero(differs).astype(np.intp), seats)
    known = np.flatnonzero((shards.leader != NOWHERE) & (shards.present != 0)).astype(np.intp)
    return Plan(
        hash=hash_of(problem, placement, seats),
        moves=moves,
        before=price_of(problem, now, known),
        after=price_of(problem, placement),
        after_losing=after_losing(problem, placement),
        moved_bytes=sum(move.moved_bytes for move in moves),
        moved_leaders=sum(
            move.from_leader not in (None, move.to_leader) or move.reason is Reason.NODE
            for move in moves
        ),
    )


def hash_of(problem: Problem, placement: Placement, seats: Numbers | None = None) -> str:
    """Of where every shard is and should be, by its id, whatever order they come in.

    With seats, of the node that leads each as well, now if nothing is done and then.
    """
    order = np.argsort(np.array(problem.shards.ids))
    digest = hashlib.sha256("\0".join(problem.regions).encode())
    digest.update("\0".join(np.array(problem.shards.ids)[order].tolist()).encode())
    columns = (problem.shards.leader, problem.shards.present)
    for column in (*columns, placement.leader, placement.voters, placement.followers):
        little = column[order].astype(column.dtype.newbyteorder("<"))
        digest.update(little.tobytes())
    if seats is not None and problem.nodes is not None:
        names = (*problem.nodes.names, "")
        for nodes in (natural_seats(problem, problem.shards.leader), seats):
            digest.update("\0".join(names[node] for node in nodes[order].tolist()).encode())
    return digest.hexdigest()


def _moves(
    problem: Problem, placement: Placement, rows: NDArray[np.intp], seats: Numbers | None
) -> tuple[Move, ...]:
    shards, names = problem.shards, problem.regions
    then = _at(placement, rows)
    was = _at(present_of(problem), rows)
    old, new = (_parts_or_none(problem, each, rows) for each in (was, then))
    sent = moved_copies(
        problem, rows, copies_of(problem, rows, then.voters, np.zeros_like(then.voters))
    )
    sizes = shards.size_bytes[rows] * sent.sum(axis=1)
    usable = usable_for(problem)
    leads = leads_for(problem, usable)
    held = bits_of(was.voters, len(names))
    misplaced = (held & ~usable[rows]).any(axis=1)
    leader = was.leader.astype(np.intp)
    misplaced |= (leader != NOWHERE) & ~leads[rows, np.maximum(leader, 0)]
    waits = quorum_ms(problem, then, rows) + problem.rtt_ms[np.maximum(leader, 0), then.leader]
    voted = bits_of(then.voters, len(names))
    change = (new - old)[:, :RUNNING].sum(axis=1)
    moves = []
    for at, row in enumerate(rows.tolist()):
        stays = was.leader[at] == then.leader[at] and was.voters[at] == then.voters[at]
        is_led_anew = stays or was.leader[at] != then.leader[at]
        moves.append(
            Move(
                shard=shards.ids[row],
                from_leader=names[leader[at]] if leader[at] != NOWHERE else None,
                to_leader=names[then.leader[at]],
                to_node=_node(problem, seats, row),
                add=_names(names, voted[at] & ~held[at]),
                remove=_names(names, held[at] & ~voted[at]),
                followers=_names(names, bits_of(then.followers[at : at + 1], len(names))[0]),
                reason=Reason.NODE
                if stays
                else _reason(bool(misplaced[at]), was.voters[at] == 0, new[at] - old[at]),
                moved_bytes=float(sizes[at]),
                pause_ms=round(PAUSE_FLOOR_MS + float(waits[at]), 1) if is_led_anew else 0.0,
                usd_per_month=float(change[at]),
            )
        )
    return tuple(sorted(moves, key=_order))


def _node(problem: Problem, seats: Numbers | None, row: int) -> str | None:
    if seats is None or problem.nodes is None or seats[row] == NOWHERE:
        return None
    return problem.nodes.names[int(seats[row])]


def _order(move: Move) -> tuple[int, float, str]:
    forced = 0 if move.reason in (Reason.FORCED, Reason.NEW, Reason.NODE) else 1
    if move.moved_bytes == 0:
        return forced, move.usd_per_month - 1e15, move.shard
    return forced, move.usd_per_month / move.moved_bytes, move.shard


def _names(names: Sequence[str], which: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(names[place] for place in np.flatnonzero(which).tolist())


def _at(placement: Placement, rows: NDArray[np.intp]) -> Placement:
    return Placement(placement.leader[rows], placement.voters[rows], placement.followers[rows])


def _parts_or_none(problem: Problem, placement: Placement, rows: NDArray[np.intp]) -> Floats:
    """Parts of the cost; nothing for shards that are nowhere."""
    there = np.flatnonzero((placement.voters != 0) & (placement.leader != NOWHERE))
    parts = np.zeros((len(rows), len(PARTS)))
    parts[there] = parts_of(problem, _at(placement, there), rows[there])
    return parts


def _reason(is_misplaced: bool, is_new: bool, change: Floats) -> Reason:
    """The part of the cost that falls most."""
    if is_new:
        return Reason.NEW
    if is_misplaced:
        return Reason.FORCED
    groups = {
        Reason.LATENCY: change[0] + change[1],
        Reason.EGRESS: change[2] + change[3] + change[4],
        Reason.KEEPING: change[5] + change[6],
        Reason.PREFERENCE: change[7],
    }
    reason = min(groups, key=lambda each: groups[each])
    return reason if float(change[: RUNNING + 1].sum()) < 0 else Reason.ROOM


def price_of(problem: Problem, placement: Placement, rows: NDArray[np.intp] | None = None) -> Price:
    """What running all shards, or these rows, costs, and what their requests wait."""
    if rows is None:
        rows = np.arange(len(problem.shards))
    some = _at(placement, rows)
    parts = parts_of(problem, some, rows).sum(axis=0)
    waits = [_waits(problem, some, rows, reads) for reads in (False, True)]
    (write_p50, write_p99), (read_p50, read_p99) = waits
    return Price(
        usd_per_month=float(parts[:RUNNING].sum()),
        parts={name: float(usd) for name, usd in zip(PARTS, parts[:RUNNING], strict=False)},
        write_p50_ms=write_p50,
        write_p99_ms=write_p99,
        read_p50_ms=read_p50,
        read_p99_ms=read_p99,
    )


def _waits(
    problem: Problem, placement: Placement, rows: NDArray[np.intp], reads: bool
) -> tuple[float, float]:
    """The median and the 99th percentile over requests, in ms."""
    shards, rtt = problem.shards, problem.rtt_ms
    if not len(rows):
        return 0.0, 0.0
    to_leader = rtt[:, placement.leader.astype(np.intp)].T
    if not reads:
        times = to_leader + quorum_ms(problem, placement, rows)[:, None]
        return _percentiles(times.ravel(), shards.writes_per_s[rows].ravel())
    held = bits_of(placement.voters | placement.followers, problem.region_count)
    to_near = np.full(to_leader.shape, np.inf)
    for place in range(problem.region_count):
        here = np.where(held[:, place, None], rtt[None, :, place], np.inf)
        to_near = np.minimum(to_near, here)
    strong = shards.reads_per_s[rows] * shards.strong_share[rows][:, None]
    times = np.concatenate([to_leader.ravel(), to_near.ravel()])
    weights = np.concatenate([strong.ravel(), (shards.reads_per_s[rows] - strong).ravel()])
    return _percentiles(times, weights)


def _percentiles(times: Floats, weights: NDArray[np.float32]) -> tuple[float, float]:
    order = np.argsort(times, kind="stable")
    passed = np.cumsum(weights[order], dtype=np.float64)
    if passed[-1] <= 0:
        return 0.0, 0.0
    at = np.searchsorted(passed, np.array([0.5, 0.99]) * passed[-1])
    found = times[order][np.minimum(at, len(order) - 1)]
    return float(found[0]), float(found[1])


def after_losing(problem: Problem, placement: Placement) -> tuple[AfterLoss, ...]:
    """The state after the loss of each region by itself."""
    rows = np.arange(len(problem.shards))
    copies = copies_of(problem, rows, placement.voters, np.zeros_like(placement.voters))
    voters = copies.sum(axis=1)
    needed = voters // 2 + 1
    found = []
    for place, name in enumerate(problem.regions):
        left = voters - copies[:, place]
        touched = copies[:, place] > 0
        stops = touched & (left < needed)
        narrow = ~stops & (left - copies.max(axis=1) < needed) & touched
        led = int((placement.leader == place).sum())
        found.append(AfterLoss(name, led, int(stops.sum()), int(narrow.sum())))
    return tuple(found)
