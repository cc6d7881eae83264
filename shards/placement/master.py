"""A linear or integer program over the candidates of some shards, while all others stay put.

One column for each candidate, one row for each coupling row and for each shard, which chooses once.
Every coupling row may be passed at a price so high that no sensible solution does; then there is
always an answer, and its dual values are prices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import highspy
import numpy as np
from numpy.typing import NDArray

from shards.placement.field import Field
from shards.placement.ground import FORBIDDEN_FROM
from shards.placement.pool import Pool, every_pattern, leaders_away
from shards.placement.pricing import Prices
from shards.placement.problem import Floats

ELASTIC = 50.0
"""Passing a limit costs so many times what the whole of it is usually worth."""
ALL = 1 << 30
GAP = 1e-5
"""A search over integers ends this near to what it knows cannot be bettered."""
SOLVED = 2
PRIMAL = 4
"""How HiGHS calls the simplex method that goes on from choices that keep all limits."""
NODES_MAX = 100
"""And after so many nodes: a limit that is the same on every machine."""


@dataclass(frozen=True, slots=True, eq=False)
class Options:
    """Candidates of some shards as columns of a program."""

    owner: NDArray[np.intp]
    """Which of the shards each column belongs to, counted through all grounds."""
    cost: Floats
    takes: Floats
    """`[N, 4R+2]`: what each takes of the coupling rows."""
    leader: NDArray[np.intp]
    place: NDArray[np.intp]
    """`[N, 3]`: ground, row of it, and column of its candidates."""
    members: NDArray[np.intp]
    """`[P, 2]`: anti-affinity sets and the columns' numbers that belong to them."""


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """Columns and rows that are not at a limit of theirs where a search begins."""

    columns: NDArray[np.bool_]
    rows: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a program said."""

    usd: float
    share: Floats
    """Of each option."""
    prices: Prices
    passed: float
    """How much limits are passed, in parts of them."""
    least_usd: float
    """No choice from these options costs less."""


def options_of(
    field: Field,
    pools: Sequence[Pool],
    chosen: Sequence[NDArray[np.intp]],
    priced: Sequence[NDArray[np.float32]] | None = None,
    most: int = ALL,
) -> Options:
    """The candidates of the chosen rows of each pool, without doubles and what is forbidden.

    With `priced`, only the `most` cheapest of each shard are taken, and none at infinite cost.
    """
    parts, members, base, columns = [], [], 0, 0
    for number, (pool, rows) in enumerate(zip(pools, chosen, strict=True)):
        few, ground = pool.candidates, pool.ground
        pattern = few.pattern[rows]
        keep = few.cost[rows] < FORBIDDEN_FROM
        order = np.argsort(pattern, axis=1, kind="stable")
        ordered = np.take_along_axis(pattern, order, axis=1)
        doubled = np.zeros_like(keep)
        np.put_along_axis(doubled[:, :], order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
        keep &= ~doubled
        if priced is not None:
            worth = np.where(keep, priced[number][rows], np.inf)
            if most < pattern.shape[1]:
                limit = np.partition(worth, most - 1, axis=1)[:, most - 1]
                keep &= worth <= limit[:, None]
            keep &= worth < np.inf
        row, column = np.nonzero(keep)
        pattern = pattern[row, column]
        takes = np.zeros((len(row), len(field.limits)))
        leader = ground.patterns.leader[pattern].astype(np.intp)
        here, regions = rows[row], field.regions
        entries = np.arange(len(row))
        takes[entries, leader] = 1.0
        takes[entries, regions + leader] = ground.writes[here]
        sizes = ground.size_bytes[here]
        takes[:, 2 * regions : 3 * regions] = ground.patterns.copies[pattern] * sizes[:, None]
        takes[entries, 3 * regions + leader] = sizes
        takes[:, -2] = sizes * few.moved[here, column]
        takes[:, -1] = leaders_away(ground, few.pattern)[here, column] if len(row) else 0.0
        parts.append((row + base, few.cost[here, column], takes, leader, number, here, column))
        members.append(_members(pool.sets, here, columns))
        base, columns = base + len(rows), columns + len(row)
    place = [np.column_stack((np.full(len(p[5]), p[4]), p[5], p[6])) for p in parts]
    return Options(
        owner=np.concatenate([p[0] for p in parts]),
        cost=np.concatenate([p[1] for p in parts]).astype(np.float64),
        takes=np.concatenate([p[2] for p in parts]),
        leader=np.concatenate([p[3] for p in parts]),
        place=np.concatenate(place).astype(np.intp),
        members=np.concatenate(members),
    )


def options_within(
    field: Field, prices: Prices, room_usd: float
) -> tuple[tuple[Pool, ...], Options]:
    """Every pattern of every shard that is not more than `room_usd` above its cheapest."""
    pools = every_pattern(field)
    chosen = [np.arange(len(ground)) for ground in field.grounds]
    priced = [pool.priced(prices) for pool in pools]
    for cost in priced:
        cost[cost > cost.min(axis=1, keepdims=True) + room_usd] = np.inf
    return pools, options_of(field, pools, chosen, priced)


def _members(sets: NDArray[np.intp], here: NDArray[np.intp], base: int) -> NDArray[np.intp]:
    """Pairs of an anti-affinity set and a column; columns belong to rows `here`, in order."""
    first = np.searchsorted(here, sets[:, 1], side="left")
    count = np.searchsorted(here, sets[:, 1], side="right") - first
    skipped = np.repeat(np.cumsum(count) - count, count)
    columns = np.arange(int(count.sum())) - skipped + np.repeat(first, count)
    return np.column_stack((np.repeat(sets[:, 0], count), columns + base))


def solve_program(
    field: Field,
    options: Options,
    left: Floats,
    gathering_left: Floats,
    usual_usd: float,
    *,
    whole: bool = False,
    elastic: bool = True,
    time_limit_s: float = 60.0,
    gap_usd: float = 0.0,
    nodes_max: int = NODES_MAX,
    near: Prices | None = None,
) -> Answer | None:
    """Choose for each owner; None when nothing was found. `left` is what others leave of limits.

    `whole` asks for one option for each owner instead of shares, to within `gap_usd`. With prices
    `near` those that are sought, shares are looked for from what is cheapest at them.
    """
    counted = np.flatnonzero(field.counted)
    scale = np.maximum(np.abs(options.takes[:, counted]).max(axis=0, initial=0.0), 1e-9)
    groups = np.unique(options.members[:, 0]) if len(options.members) else np.zeros(0, np.intp)
    owners = int(options.owner.max(initial=-1)) + 1
    coupling, crowding = len(counted), len(groups) * field.regions
    n = len(options.cost)
    rows, columns = np.nonzero(options.takes[:, counted])
    index = [columns]
    owner_of = [rows]
    value = [options.takes[:, counted][rows, columns] / scale[columns]]
    if len(groups):
        number = np.searchsorted(groups, options.members[:, 0])
        member = options.members[:, 1]
        index.append(coupling + number * field.regions + options.leader[member])
        owner_of.append(member)
        value.append(np.ones(len(member)))
    index.append(coupling + crowding + options.owner)
    owner_of.append(np.arange(n))
    value.append(np.ones(n))
    unit = ELASTIC * field.unit_usd(usual_usd)[counted] * field.regions * scale
    slack = np.concatenate([unit, np.full(crowding, ELASTIC * usual_usd / max(owners, 1) + 1.0)])
    extra = len(slack) if elastic else 0
    index.append(np.arange(extra))
    owner_of.append(n + np.arange(extra))
    value.append(np.full(extra, -1.0))
    crowd = gathering_left[groups].ravel() if len(groups) else np.zeros(0)
    upper = np.concatenate([left[counted] / scale, crowd, np.ones(owners)])
    lower = np.concatenate([np.full(coupling + crowding, -np.inf), np.ones(owners)])
    cost = np.concatenate([options.cost, slack[:extra]])
    start = None
    if near is not None and n and elastic and not whole:
        priced = options.cost + options.takes[:, counted] @ near.rows[counted]
        first = _cheapest_of_each(options, priced)
        start = _start(first, n, upper, len(slack), owner_of, index, value)
    limits = (time_limit_s, gap_usd, nodes_max)
    told = run_program(cost, n, lower, upper, owner_of, index, value, whole, limits, start)
    if told is None:
        return None
    usd, least_usd, shares, duals = told
    rows_price = np.zeros(len(field.limits))
    rows_price[counted] = np.maximum(-duals[:coupling], 0.0) / scale
    gathering = np.zeros((len(field.gathering_max), field.regions))
    if len(groups):
        crowded = np.maximum(-duals[coupling : coupling + crowding], 0.0)
        gathering[groups] = crowded.reshape(len(groups), field.regions)
    passed = float(shares[n:].sum()) if extra else 0.0
    return Answer(usd, shares[:n], Prices(rows_price, gathering), passed, least_usd)


def _cheapest_of_each(options: Options, priced: Floats) -> NDArray[np.intp]:
    """The column of each owner that costs least, the first of equals."""
    order = np.lexsort((priced, options.owner))
    firsts: NDArray[np.intp] = order[np.append(True, np.diff(options.owner[order]) > 0)]
    return firsts


def _start(
    first: NDArray[np.intp],
    choices: int,
    upper: Floats,
    rows: int,
    owner_of: list[NDArray[np.intp]],
    index: list[NDArray[np.intp]],
    value: list[Floats],
) -> Start:
    """Where each owner takes its first column, and of the first `rows` what is too full is passed.

    Nothing is broken there, so that a search goes on from it at once.
    """
    taken = np.zeros(choices + rows)
    taken[first] = 1.0
    used = np.bincount(
        np.concatenate(index),
        weights=np.concatenate(value) * taken[np.concatenate(owner_of)],
        minlength=len(upper),
    )
    passed = used[:rows] > upper[:rows]
    taken[choices:] = passed
    return Start(taken > 0, np.concatenate([~passed, np.zeros(len(upper) - rows, dtype=bool)]))


def run_program(
    cost: Floats,
    choices: int,
    lower: Floats,
    upper: Floats,
    owner_of: list[NDArray[np.intp]],
    index: list[NDArray[np.intp]],
    value: list[Floats],
    whole: bool,
    limits: tuple[float, float, int],
    start: Start | None = None,
) -> tuple[float, float, Floats, Floats] | None:
    """Cost, what it cannot be below, columns and row prices; None when nothing was found.

    The first `choices` columns are whole numbers if `whole`. Entries of the matrix come in pieces:
    their columns (`owner_of`), rows (`index`) and values. `limits`: seconds, gap, nodes.
    """
    column = np.concatenate(owner_of)
    order = np.argsort(column, kind="stable")
    program = highspy.HighsLp()
    program.num_col_, program.num_row_ = len(cost), len(lower)
    program.col_cost_ = cost
    program.col_lower_ = np.zeros(len(cost))
    program.col_upper_ = np.full(len(cost), highspy.kHighsInf)
    program.row_lower_, program.row_upper_ = lower, upper
    program.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    program.a_matrix_.start_ = np.searchsorted(column[order], np.arange(len(cost) + 1))
    program.a_matrix_.index_ = np.concatenate(index)[order]
    program.a_matrix_.value_ = np.concatenate(value)[order]
    if whole:
        kinds = [highspy.HighsVarType.kInteger] * choices
        kinds += [highspy.HighsVarType.kContinuous] * (len(cost) - choices)
        program.integrality_ = kinds
    highs = highspy.Highs()  # type: ignore[no-untyped-call]
    highs.silent()
    settings = {
        "output_flag": False,
        "threads": 1,
        "random_seed": 1,
        "time_limit": limits[0],
        "mip_rel_gap": GAP,
        "mip_abs_gap": limits[1],
        "mip_max_nodes": limits[2],
    }
    for name, setting in settings.items():
        highs.setOptionValue(name, setting)
    highs.passModel(program)
    if start is not None:
        highs.setOptionValue("simplex_strategy", PRIMAL)
        highs.setBasis(_basis(start))
    highs.run()
    if highs.getInfo().primal_solution_status != SOLVED:
        return None
    solution = highs.getSolution()
    duals = np.array(solution.row_dual) if solution.row_dual else np.zeros(len(lower))
    usd = float(highs.getInfo().objective_function_value)
    least = float(highs.getInfo().mip_dual_bound) if whole else usd
    return usd, least, np.array(solution.col_value), duals


def _basis(start: Start) -> highspy.HighsBasis:
    kinds = highspy.HighsBasisStatus
    basis = highspy.HighsBasis()
    basis.col_status = [kinds.kBasic if each else kinds.kLower for each in start.columns.tolist()]
    basis.row_status = [kinds.kBasic if each else kinds.kUpper for each in start.rows.tolist()]
    basis.valid = True
    return basis
