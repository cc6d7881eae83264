"""From prices to choices: a linear program over the shards that hesitate, then whole numbers.

At good prices almost every shard has one pattern that is clearly the cheapest. Those stay with it.
The others, with the least to lose for what they take, share what is left of the limits; an optimum
of that program splits at most as many shards as there are coupling rows. A small integer program
over the split ones and their neighbours makes them whole; where it finds nothing, `repair` does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shards.placement.field import Bound, Choice, Field, moved_copies_of, usage_of
from shards.placement.ground import Matrix
from shards.placement.hesitant import hesitant_of
from shards.placement.master import Answer, Options, options_of, solve_program
from shards.placement.pool import Pool
from shards.placement.pricing import Prices
from shards.placement.problem import Floats
from shards.placement.reckoning import reckoned
from shards.placement.repair import fallen_back, repaired

GROWTH = 3
WIDENED_MAX = 3
WHOLE = 100
"""Shards of the integer program, beside the split ones."""
CHEAPEST = 8
WHOLE_EACH = 6
SHARED_EACH = 5
RESERVE = 5e-4
"""Of each limit, kept back for making shards whole where few share what is left."""
SPLIT = 1e-6
WHOLE_S_MAX = 20.0
WHOLE_NODES_MAX = 20
WHOLE_GAP = 1e-4
"""Whole numbers may cost so much of everything."""


@dataclass(frozen=True, slots=True, eq=False)
class Rounded:
    """Whole choices, and the prices of the program they come from."""

    choices: list[Choice]
    prices: Prices | None
    hesitant: int
    split: int


@dataclass(slots=True, eq=False)
class _Sight:
    """What each shard would choose at some prices, and by how little."""

    priced: list[Matrix]
    choices: list[Choice]
    doubt: list[Floats]
    """What the second choice costs more, for what the shard takes."""


def rounded(
    field: Field,
    pools: Sequence[Pool],
    bound: Bound,
    usual_usd: float,
    seconds_left: Callable[[], float],
) -> Rounded:
    """Whole choices near prices that certify a bound; whether they keep every limit is the caller's
    to ask."""
    prices, widened = bound.prices, 1
    sight = _look(field, pools, prices)
    if field.allows(sight.choices) and _is_tight(field, prices, sight.choices):
        return Rounded(sight.choices, None, 0, 0)
    count = sum(len(ground) for ground in field.grounds)
    answer: Answer | None = None
    taken = reckoned(field, [each.pattern for each in bound.passes])
    for _ in range(WIDENED_MAX):
        if seconds_left() <= 0:
            break
        chosen = hesitant_of(taken, bound, widened)
        options = options_of(field, pools, chosen, _preferring(pools, sight), CHEAPEST)
        left, crowd = _left(field, sight.choices, chosen)
        answer = solve_program(
            field, options, left, crowd, usual_usd, time_limit_s=max(seconds_left(), 0.1)
        )
        if answer is not None and answer.passed <= SPLIT:
            split, choices = _taken(pools, options, answer, sight.choices, chosen)
            whole = _whole(field, pools, answer.prices, choices, split, usual_usd, seconds_left)
            return Rounded(whole, answer.prices, sum(map(len, chosen)), sum(map(len, split)))
        if sum(map(len, chosen)) >= count:
            break
        widened *= GROWTH
    choices = fallen_back(field, pools, prices, sight.choices)
    return Rounded(choices, None, count, 0)


def shared(
    field: Field,
    pools: Sequence[Pool],
    prices: Prices,
    usual_usd: float,
    seconds_left: Callable[[], float],
) -> Rounded | None:
    """Whole choices of the few shards of a field by one program; None where they find no room.

    What each has now, and its last candidate, are always among what it can choose.
    """
    sight = _look(field, pools, prices)
    chosen = [np.arange(len(ground)) for ground in field.grounds]
    priced = [
        np.where(pool.candidates.pattern == pool.ground.present[:, None], np.float32(-np.inf), cost)
        for pool, cost in zip(pools, sight.priced, strict=True)
    ]
    for cost in priced:
        cost[:, -1] = -np.inf
    options = options_of(field, pools, chosen, priced, SHARED_EACH)
    left, crowd = _left(field, sight.choices, chosen)
    left = left - np.where(field.counted, RESERVE * field.limits, 0.0)
    limit_s = max(seconds_left(), 0.1)
    answer = solve_program(
        field, options, left, crowd, usual_usd, time_limit_s=limit_s, near=prices
    )
    if answer is None or answer.passed > SPLIT:
        return None
    split, choices = _taken(pools, options, answer, sight.choices, chosen)
    whole = _whole_again(field, pools, answer.prices, choices, split, usual_usd, seconds_left)
    if whole is None:
        return None
    return Rounded(whole, answer.prices, sum(map(len, chosen)), sum(map(len, split)))


def _preferring(pools: Sequence[Pool], sight: _Sight) -> list[Matrix]:
    """Priced costs by which the present choice of each shard comes first."""
    return [
        np.where(pool.candidates.pattern == choice[:, None], np.float32(-np.inf), cost)
        for pool, choice, cost in zip(pools, sight.choices, sight.priced, strict=True)
    ]


def _look(field: Field, pools: Sequence[Pool], prices: Prices) -> _Sight:
    sight = _Sight([], [], [])
    for pool, takes in zip(pools, field.heft(), strict=True):
        cost = pool.priced(prices)
        columns = cost.argmin(axis=1)
        best = cost[np.arange(len(cost)), columns]
        choice = pool.chosen(columns)
        others = np.where(pool.candidates.pattern == choice[:, None], np.inf, cost)
        sight.priced.append(cost)
        sight.choices.append(choice)
        sight.doubt.append((others.min(axis=1) - best) / np.maximum(takes, 1e-15))
    return sight


def _is_tight(field: Field, prices: Prices, choices: Sequence[Choice]) -> bool:
    """True when nothing with a price is left over: the choices are then as good as any."""
    total, gathered = field.usage(choices)
    idle = prices.rows[field.counted] @ (field.limits - total)[field.counted]
    idle += (prices.gathering * (field.gathering_max - gathered)).sum()
    return bool(idle <= 1e-6 * abs(field.cost(choices)))


def least_of(doubt: Sequence[Floats], most: int) -> list[NDArray[np.intp]]:
    """The rows of each ground that doubt most, so many in all, in order."""
    everything = np.concatenate(doubt)
    if len(everything) <= most:
        return [np.arange(len(each)) for each in doubt]
    limit = np.partition(everything, most - 1)[most - 1]
    return [np.flatnonzero(each <= limit) for each in doubt]


def taken_by_others(
    field: Field,
    choices: Sequence[Choice],
    chosen: Sequence[NDArray[np.intp]],
    by_all: tuple[Floats, Floats] | None = None,
) -> tuple[Floats, Floats]:
    """What those who are not chosen take of the limits; `by_all` if that is known."""
    total, gathered = field.usage(choices) if by_all is None else by_all
    for number, (pairs, rows) in enumerate(zip(field.sets, chosen, strict=True)):
        ground, choice = field.grounds[number], choices[number]
        some = ground.some(rows)
        total -= usage_of(some, choice[rows], moved_copies_of(some, choice[rows]))
        is_chosen = np.zeros(len(ground), dtype=bool)
        is_chosen[rows] = True
        mine = pairs[is_chosen[pairs[:, 1]]]
        leader = ground.patterns.leader[choice[mine[:, 1]]].astype(np.intp)
        np.subtract.at(gathered, (mine[:, 0], leader), 1.0)
    return total, gathered


def _left(
    field: Field, choices: Sequence[Choice], chosen: Sequence[NDArray[np.intp]]
) -> tuple[Floats, Floats]:
    """What those who stay put leave of the limits."""
    total, gathered = taken_by_others(field, choices, chosen)
    return field.limits - total, field.gathering_max - gathered


def _taken(
    pools: Sequence[Pool],
    options: Options,
    answer: Answer,
    choices: Sequence[Choice],
    chosen: Sequence[NDArray[np.intp]],
) -> tuple[list[NDArray[np.intp]], list[Choice]]:
    """The largest share of each shard as its choice, and which shards are split."""
    taken = [choice.copy() for choice in choices]
    order = np.lexsort((answer.share, options.owner))
    last = np.flatnonzero(np.append(np.diff(options.owner[order]) > 0, True))
    top = order[last]
    split_at = answer.share[top] < 1 - SPLIT
    split = []
    for number, pool in enumerate(pools):
        mine = options.place[top, 0] == number
        rows, columns = options.place[top[mine], 1], options.place[top[mine], 2]
        taken[number][rows] = pool.candidates.pattern[rows, columns]
        split.append(np.sort(rows[split_at[mine]]))
    return split, taken


def _whole(
    field: Field,
    pools: Sequence[Pool],
    prices: Prices,
    choices: list[Choice],
    split: Sequence[NDArray[np.intp]],
    usual_usd: float,
    seconds_left: Callable[[], float],
) -> list[Choice]:
    """Make split shards whole, if need be without a program."""
    whole = _whole_of(field, pools, prices, choices, split, usual_usd, seconds_left, WIDENED_MAX)
    return fallen_back(field, pools, prices, choices) if whole is None else whole


def _whole_again(
    field: Field,
    pools: Sequence[Pool],
    prices: Prices,
    choices: list[Choice],
    split: Sequence[NDArray[np.intp]],
    usual_usd: float,
    seconds_left: Callable[[], float],
) -> list[Choice] | None:
    """Make split shards whole: by a small program, else without one, else by a larger one."""
    rest = usual_usd, seconds_left, 1
    whole = _whole_of(field, pools, prices, choices, split, *rest)
    if whole is None:
        mended = repaired(field, pools, prices, choices)
        if field.allows(mended):
            return mended
        whole = _whole_of(field, pools, prices, choices, split, *rest, GROWTH * WHOLE)
    return whole


def _whole_of(
    field: Field,
    pools: Sequence[Pool],
    prices: Prices,
    choices: list[Choice],
    split: Sequence[NDArray[np.intp]],
    usual_usd: float,
    seconds_left: Callable[[], float],
    widened_max: int,
    neighbours: int = WHOLE,
) -> list[Choice] | None:
    """Make split shards whole, with the help of those that hesitate most at the new prices."""
    sight = _look(field, pools, prices)
    for _ in range(widened_max):
        if seconds_left() <= 0:
            break
        near = least_of(sight.doubt, neighbours)
        chosen = [np.union1d(a, b).astype(np.intp) for a, b in zip(split, near, strict=True)]
        options = options_of(field, pools, chosen, sight.priced, WHOLE_EACH)
        left, crowd = _left(field, choices, chosen)
        limit_s = min(max(seconds_left(), 0.1), WHOLE_S_MAX)
        answer = solve_program(
            field,
            options,
            left,
            crowd,
            usual_usd,
            whole=True,
            elastic=False,
            time_limit_s=limit_s,
            gap_usd=WHOLE_GAP * usual_usd,
            nodes_max=WHOLE_NODES_MAX,
        )
        if answer is not None:
            _, whole = _taken(pools, options, answer, choices, chosen)
            if field.allows(whole):
                return whole
        neighbours *= GROWTH
    return None
