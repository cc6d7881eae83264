"""Solve again after something happened, from the prices and choices of the last time.

* What is known of a shard stays known unless its own row changed, or all costs did: then it is
  prepared and priced anew, over every pattern. So the bound is certified as for a fresh solve.
* Choices stay while they keep every limit and cost little more than the bound. If they do not,
  prices go on from where they were, by the shards that are nearly led from elsewhere, and by a
  sketch where much is at stake for bytes; each shard takes what is cheapest then, and those with
  the least to lose share what is left of the limits, as in a fresh solve.
* Followers are chosen anew where a shard, its choice or a price changed.

None where that does not lead to a placement that is allowed and within `GAP_MAX` of its bound, and
where it is another fleet: other shards, other kinds of them, other regions, nodes or sets that must
not gather. What this says is of regions; `stages` seats the shards at nodes.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from shards.placement.ascent import ascend
from shards.placement.difference import Difference, difference_of
from shards.placement.field import Bound, Field
from shards.placement.followers import followers_of
from shards.placement.hesitant import LEAST, hesitant_of, thrifty_of
from shards.placement.pool import pools_of, with_patterns
from shards.placement.problem import Problem
from shards.placement.reckoning import Reckoned
from shards.placement.rounding import shared, taken_by_others
from shards.placement.settling import settled
from shards.placement.shifting import shifted
from shards.placement.sketch import sketch_of
from shards.placement.solve import (
    CLOSE,
    TIME_LIMIT_S,
    TOLERANCE,
    Solution,
    Warm,
    Watch,
    placement_of,
    solution_of,
)

GAP_MAX = 5e-3
"""An answer further from its bound than this is none: solving anew finds a better one."""
ROUNDS = 20
TURNS = 2
"""Times that prices are improved and choices made, while the gap is above `TOLERANCE`."""
OFF = 1e-3
"""A sketch is made where this part of all that is spent is at stake for limits of bytes."""
FEW = 60
"""Shards that hesitate on each side of a limit where few changed."""
WIDENED = (1, 3)
"""How many times as many hesitate, if the first were too few."""


def solve_again(
    warm: Warm,
    problem: Problem,
    *,
    time_limit_s: float = TIME_LIMIT_S,
    clock: Callable[[], float] = time.monotonic,
) -> Solution | None:
    """Solve a problem like the one before; None when it has to be solved anew."""
    watch = Watch(clock, time_limit_s)
    difference = difference_of(warm, problem)
    if difference is None:
        return None
    watch.did("prepare")
    found = _chosen(difference, watch)
    if found is None:
        return None
    at, bound = found
    at = settled(at, bound, TOLERANCE)
    watch.did("settle")
    placement = placement_of(problem, at.field, at.choices)
    again = difference.followed_anew(placement, warm.followed.placement)
    followed = followers_of(problem, placement, warm.followed, again)
    watch.did("followers")
    return solution_of(problem, at, bound, followed, watch)


def _chosen(difference: Difference, watch: Watch) -> tuple[Reckoned, Bound] | None:
    """Choices near their bound, if they are found."""
    at, bound = difference.at, difference.bound
    field, usd = at.field, at.allowed_usd
    if usd - bound.usd <= CLOSE * abs(bound.usd):
        return at, bound
    usual_usd = max(abs(bound.usd + field.worth(bound.prices)), 1.0)
    least = LEAST if difference.is_priced_anew else FEW
    latest, taken = bound, _taken(at, bound)
    for turn in range(TURNS):
        if turn or _bytes_off_usd(taken, latest, usual_usd) > OFF * usual_usd:
            latest = _sketched(field, latest, usual_usd, watch)
        latest = shifted(field, latest, usual_usd, watch.out)
        taken = _taken(taken, latest)
        watch.did("shift")
        bound = latest if latest.usd > bound.usd else bound
        found = _shared(taken, latest, usual_usd, least, watch)
        found_usd = np.inf if found is None else found.allowed_usd
        if found is not None and found_usd < usd:
            at, usd = found, found_usd
        if usd - bound.usd <= TOLERANCE * abs(bound.usd) or watch.out():
            break
    return (at, bound) if usd - bound.usd <= GAP_MAX * abs(bound.usd) else None


def _taken(at: Reckoned, bound: Bound) -> Reckoned:
    """What each shard would take at the prices of a bound."""
    return at.other([each.pattern for each in bound.passes])


def _sketched(field: Field, bound: Bound, usual_usd: float, watch: Watch) -> Bound:
    """The bound at prices that a sketch finds, and then its pass."""
    sketch = sketch_of(field, bound)
    watch.did("sketch")
    prices = ascend(field, sketch.asked, bound.prices, usual_usd, ROUNDS, watch.out)
    watch.did("ascent")
    found = field.bound(prices)
    watch.did("bound")
    return found


def _bytes_off_usd(taken: Reckoned, bound: Bound, usual_usd: float) -> float:
    """What is at stake where limits of bytes are passed, or left unused at a price.

    Bytes of what is led are left out: other prices of them need no other pass.
    """
    field = taken.field
    total, _ = taken.usage()
    off = np.where(field.counted, total - field.limits, 0.0)
    price = np.where(off > 0, np.maximum(bound.prices.rows, field.unit_usd(usual_usd)), 0.0)
    price = np.where(off < 0, bound.prices.rows, price)
    stake = price * np.abs(off)
    return float(stake[2 * field.regions : 3 * field.regions].sum() + stake[-2])


def _shared(
    taken: Reckoned, bound: Bound, usual_usd: float, least: int, watch: Watch
) -> Reckoned | None:
    """What each shard would take, and for those that hesitate what is left; if that is enough."""
    field, choices = taken.field, [choice.copy() for choice in taken.choices]
    for widened in WIDENED:
        rows = hesitant_of(taken, bound, widened, least)
        if not sum(map(len, rows)):
            return taken
        some = field.some(rows, taken_by_others(field, choices, rows, taken.usage())[0])
        pools = with_patterns(pools_of(some, bound.prices), thrifty_of(some, bound.prices))
        watch.did("hesitant")
        found = shared(some, pools, bound.prices, usual_usd, watch.left_s)
        watch.did("round")
        if found is not None:
            for choice, chosen, whole in zip(choices, rows, found.choices, strict=True):
                choice[chosen] = whole
            return taken.other(choices)
        if watch.out():
            break
    return None
