"""Which node of its region leads each shard: as it would be anyhow, where nothing forbids that.

Without a plan a shard is led by the node that is preferred for it, else by the one that draws least
(`shards.election`). Those stay. What is too much for a node or a zone, or stands together and must
not, is moved within the region, as few shards as can be: by an integer program where a region has
few shards and nodes, else by taking out the largest and putting each where most room is left.

Shards for which no node has room are named (`Seats.unplaced`): they must be led from elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.election import drawn
from shards.placement.nodes import Nodes
from shards.placement.problem import NOWHERE, Floats, Places, Problem
from shards.placement.seat_program import least_moves
from shards.placement.seat_room import Room

Numbers = NDArray[np.int32]
EXACT = 2_000
"""With no more pairs of a shard and a node than this, the fewest moves are sought."""
PROGRAM = 50_000
"""With no more than this, a program is tried where the simple way finds no room."""


@dataclass(frozen=True, slots=True, eq=False)
class Seats:
    """A node for each shard."""

    node: Numbers
    """NOWHERE for a shard that found no room, or whose region has no node."""
    unplaced: NDArray[np.intp]
    """Shards for which the nodes of their region have no room."""


def natural_seats(problem: Problem, leader: Places) -> Numbers:
    """Which node leads each shard in its region if nothing is done about it."""
    found = np.full(len(leader), NOWHERE, dtype=np.int32)
    nodes = problem.nodes
    if nodes is None:
        return found
    wished = dict(nodes.wishes)
    by_region = [nodes.of_region(region) for region in range(problem.region_count)]
    ids = problem.shards.ids
    for row, region in enumerate(leader.tolist()):
        there = by_region[region] if region != NOWHERE else ()
        wish = wished.get(row, NOWHERE)
        if wish in there:
            found[row] = wish
        elif there:
            found[row] = min(there, key=lambda node: drawn(ids[row], nodes.names[node]))
    return found


def seated(problem: Problem, leader: Places) -> Seats:
    """Seats for shards that are led from these regions. The problem must have nodes."""
    nodes = problem.nodes
    assert nodes is not None, "seats without nodes"
    natural = natural_seats(problem, leader)
    found = natural.copy()
    unplaced = []
    pins = dict(nodes.pins)
    for region in range(problem.region_count):
        there = np.array(nodes.of_region(region), dtype=np.intp)
        rows = np.flatnonzero(leader == region)
        if len(there) and len(rows):
            pinned = np.array([pins.get(row, NOWHERE) for row in rows.tolist()], dtype=np.intp)
            pinned = np.where(np.isin(pinned, there), pinned, NOWHERE)
            found[rows] = _region(problem, nodes, rows, there, natural[rows], pinned)
            unplaced.append(rows[found[rows] == NOWHERE])
    return Seats(found, np.concatenate([np.zeros(0, dtype=np.intp), *unplaced]))


def _region(
    problem: Problem,
    nodes: Nodes,
    rows: NDArray[np.intp],
    there: NDArray[np.intp],
    natural: Numbers,
    pinned: NDArray[np.intp],
) -> Numbers:
    """Seats of the shards of one region; NOWHERE for those that found none."""
    wanted = np.where(pinned != NOWHERE, pinned, natural)
    room = Room(nodes, loads_of(problem)[rows], rows, there, wanted)
    if room.is_kept():
        return wanted.astype(np.int32)
    pairs = len(rows) * len(there)
    if pairs <= EXACT:
        exact = least_moves(problem, rows, there, natural, pinned)
        if exact is not None:
            return exact
    found: NDArray[np.integer[Any]] = _moved(room, natural, pinned)
    if EXACT < pairs <= PROGRAM and (found == NOWHERE).any():
        exact = least_moves(problem, rows, there, natural, pinned)
        found = found if exact is None else exact
    return found.astype(np.int32)


def _moved(room: Room, natural: Numbers, pinned: NDArray[np.intp]) -> NDArray[np.intp]:
    """Take out what is too much, the largest first, and put it where it fits."""
    out = room.take_out(pinned != NOWHERE)
    size = room.weight()
    for item in sorted(out, key=lambda each: (-size[each], each)):
        room.put_anywhere(item, int(natural[item]))
    for item in sorted(out, key=lambda each: (size[each], each)):
        room.put_back(item, int(natural[item]))
    # What is pinned is not taken out, and may be too much by itself.
    room.node[room.overfull()] = NOWHERE
    return room.node


def loads_of(problem: Problem) -> Floats:
    """What each shard asks of the node that leads it, `[S, 3]`: see `Bearing`."""
    shards = problem.shards
    writes = shards.writes_per_s.sum(axis=1, dtype=np.float64)
    return np.column_stack((np.ones(len(shards)), writes, shards.size_bytes))
