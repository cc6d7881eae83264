"""Seats by integer programs: of one region with the fewest moves, or together with the regions.

A column for each pair of a shard and a node; a row for each limit of a node or a zone, and for each
set in each of its places. For few shards only: what is found is then the best there is, and where
nothing is found there is nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from shards.placement.field import Choice, Field
from shards.placement.master import Options, options_of, run_program
from shards.placement.nodes import Nodes, Scope
from shards.placement.pool import every_pattern
from shards.placement.problem import NOWHERE, Floats, Problem

Ints = NDArray[np.intp]
LIMITS = (30.0, 0.0, 5_000)
"""Seconds, gap and nodes of the search; nodes end it first, alike on every machine."""
TOGETHER = 60_000
"""With no more patterns and pairs than this, regions and nodes are chosen together."""
AWAY_USD = 0.01
"""What a node other than the natural one counts, a month: enough to decide between equals."""


@dataclass(frozen=True, slots=True, eq=False)
class SeatRows:
    """Limits of nodes and zones, and sets: rows of a program, each at most 1."""

    count: int
    row: Ints
    column: Ints
    value: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Together:
    """Patterns of all grounds and a node for each shard."""

    choices: list[Choice]
    node: NDArray[np.int32]


def seat_rows(problem: Problem, shard: Ints, node: Ints) -> SeatRows:
    """The rows that couple these pairs of a shard and a node."""
    nodes = problem.nodes
    assert nodes is not None, "seats without nodes"
    shards = problem.shards
    writes = shards.writes_per_s[shard].sum(axis=1, dtype=np.float64)
    loads = np.column_stack((np.ones(len(shard)), writes, shards.size_bytes[shard]))
    zone = _zones(nodes)
    base, row, column, value = 0, [], [], []
    for limits, place in ((nodes.limits, node), (nodes.zone_limits, zone[node])):
        for kind, most in enumerate(limits.all):
            if isfinite(most):
                row.append(base + place)
                column.append(np.arange(len(shard)))
                value.append(loads[:, kind] / most)
                base += len(nodes.names)
    for apart in nodes.apart:
        at = np.flatnonzero(np.isin(shard, apart.shards))
        row.append(base + (node[at] if apart.scope is Scope.NODE else zone[node[at]]))
        column.append(at)
        value.append(np.ones(len(at)))
        base += len(nodes.names)
    none = np.zeros(0, dtype=np.intp)
    return SeatRows(
        base,
        np.concatenate([none, *row]),
        np.concatenate([none, *column]),
        np.concatenate([np.zeros(0), *value]),
    )


def _zones(nodes: Nodes) -> Ints:
    """The number of each node's zone, no greater than a node's number."""
    zones: dict[tuple[int, str], int] = {}
    numbers = range(len(nodes.names))
    return np.array([zones.setdefault(nodes.zone_of(n), len(zones)) for n in numbers], dtype=int)


def least_moves(
    problem: Problem, rows: Ints, there: Ints, natural: NDArray[np.int32], pinned: Ints
) -> NDArray[np.int32] | None:
    """Seats of these shards at these nodes with the fewest away from `natural`; None: none."""
    item, at = (each.ravel() for each in np.indices((len(rows), len(there))))
    node = there[at]
    allowed = (pinned[item] == NOWHERE) | (pinned[item] == node)
    item, node = item[allowed], node[allowed]
    limits = seat_rows(problem, rows[item], node)
    count = len(item)
    told = run_program(
        np.where(node == natural[item], 0.0, 1.0),
        count,
        np.concatenate([np.ones(len(rows)), np.full(limits.count, -np.inf)]),
        np.ones(len(rows) + limits.count),
        [np.arange(count), limits.column],
        [item, len(rows) + limits.row],
        [np.ones(count), limits.value],
        True,
        LIMITS,
    )
    if told is None:
        return None
    taken = np.flatnonzero(told[2][:count] > 0.5)
    found = np.full(len(rows), NOWHERE, dtype=np.int32)
    found[item[taken]] = node[taken]
    return found


def is_small(problem: Problem, field: Field) -> bool:
    """Whether regions and nodes can be chosen together."""
    nodes = 0 if problem.nodes is None else len(problem.nodes.names)
    entries = sum(len(ground) * (len(ground.patterns) + nodes) for ground in field.grounds)
    return entries <= TOGETHER


def together(problem: Problem, field: Field, natural: NDArray[np.int32]) -> Together | None:
    """The cheapest patterns for which there are seats; None when there are none at all.

    `natural[s, r]` is the node that leads a shard in a region if nothing is done about it.
    """
    pools = every_pattern(field)
    options = options_of(field, pools, [np.arange(len(ground)) for ground in field.grounds])
    shard_of = np.concatenate([ground.rows for ground in field.grounds])
    if len(np.unique(options.owner)) < len(shard_of):
        return None
    owner, node = _pairs(problem, field, options, shard_of)
    told = _run(problem, field, options, owner, node, shard_of, natural)
    if told is None:
        return None
    choices: list[Choice] = [np.zeros(len(ground), dtype=np.int32) for ground in field.grounds]
    for at in np.flatnonzero(told[: len(options.cost)] > 0.5):
        number, row, column = options.place[at].tolist()
        choices[number][row] = pools[number].candidates.pattern[row, column]
    seats = np.full(len(shard_of), NOWHERE, dtype=np.int32)
    taken = np.flatnonzero(told[len(options.cost) :] > 0.5)
    seats[shard_of[owner[taken]]] = node[taken]
    return Together(choices, seats)


def _pairs(problem: Problem, field: Field, options: Options, shard_of: Ints) -> tuple[Ints, Ints]:
    """Each shard with each node of the regions that may lead it, or with the one of its pin."""
    nodes = problem.nodes
    assert nodes is not None, "seats without nodes"
    region = np.array(nodes.region, dtype=np.intp)
    may = np.zeros((len(shard_of), field.regions), dtype=bool)
    may[options.owner, options.leader] = True
    pin = np.full(len(problem.shards), NOWHERE, dtype=np.intp)
    for row, number in nodes.pins:
        pin[row] = number
    pinned = pin[shard_of][:, None]
    numbers = np.arange(len(region))
    elsewhere = np.where(pinned == NOWHERE, True, region[None, :] != region[pinned[:, 0]][:, None])
    fits = may[:, region] & (elsewhere | (pinned == numbers))
    owner, node = np.nonzero(fits)
    return owner, node


def _run(
    problem: Problem,
    field: Field,
    options: Options,
    owner: Ints,
    node: Ints,
    shard_of: Ints,
    natural: NDArray[np.int32],
) -> Floats | None:
    nodes = problem.nodes
    assert nodes is not None, "seats without nodes"
    regions, n = field.regions, len(options.cost)
    region = np.array(nodes.region, dtype=np.intp)[node]
    limits = seat_rows(problem, shard_of[owner], node)
    counted = np.flatnonzero(field.counted)
    scale = np.maximum(np.abs(options.takes[:, counted]).max(axis=0, initial=0.0), 1e-9)
    taker, kind = np.nonzero(options.takes[:, counted])
    member = options.members[:, 1]
    crowds = field.gathering_max.size
    has_node = np.isin(options.leader, nodes.region)
    first = np.cumsum([0, len(counted), crowds, len(shard_of), len(shard_of) * regions])
    seat = n + np.arange(len(owner))
    link = first[3] + options.owner * regions + options.leader
    lower = np.concatenate(
        [
            np.full(first[2], -np.inf),
            np.ones(len(shard_of)),
            np.zeros(len(shard_of) * regions),
            np.full(limits.count, -np.inf),
        ]
    )
    upper = np.concatenate(
        [
            field.limits[counted] / scale,
            field.gathering_max.ravel(),
            np.ones(len(shard_of)),
            np.zeros(len(shard_of) * regions),
            np.ones(limits.count),
        ]
    )
    away = np.where(natural[shard_of[owner], region] == node, 0.0, AWAY_USD)
    told = run_program(
        np.concatenate([options.cost, away]),
        n + len(owner),
        lower,
        upper,
        [taker, member, np.arange(n), np.flatnonzero(has_node), seat, n + limits.column],
        [
            kind,
            first[1] + options.members[:, 0] * regions + options.leader[member],
            first[2] + options.owner,
            link[has_node],
            first[3] + owner * regions + region,
            first[4] + limits.row,
        ],
        [
            options.takes[:, counted][taker, kind] / scale[kind],
            np.ones(len(member)),
            np.ones(n),
            np.ones(int(has_node.sum())),
            -np.ones(len(owner)),
            limits.value,
        ],
        True,
        LIMITS,
    )
    return None if told is None else told[2]
