"""Where every shard should be led and held: the best that is found in time, and a certified bound.

1. First prices from a sample (`start`); candidates of all shards near them (`pool`).
2. Prices for all shards (`ascent`); the bound that they certify (`field`).
3. Whole choices near the prices (`rounding`); for few shards, one integer program that leaves out
   only what the bound excludes.
4. What is gained by so little that the bound cannot tell is not done (`settling`).

Equal input gives equal output, unless time runs out: then the best so far is given, with its bound.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as made
from math import inf

import numpy as np
from numpy.typing import NDArray

from shards.placement.ascent import Demand, ascend, demand_of
from shards.placement.field import Bound, Choice, Field, field_of
from shards.placement.followers import Followed, followers_of
from shards.placement.master import options_within, solve_program
from shards.placement.pool import Pool, pools_of
from shards.placement.pricing import ROUNDING, Prices
from shards.placement.problem import Problem
from shards.placement.reckoning import Reckoned, reckoned
from shards.placement.repair import fallen_back
from shards.placement.rounding import rounded
from shards.placement.score import Placement
from shards.placement.settling import settled
from shards.placement.start import first_prices

ROUNDS = 90
POLISH = 3
"""Times that prices are improved and choices made, while the gap is above `CLOSE`."""
CLOSE = 5e-4
TIME_LIMIT_S = 300.0
TOLERANCE = 1e-3
"""The gap that is promised; what would gain less than this part in all is left as it is."""
EXACT_ENTRIES = 200_000
"""With no more patterns than this in all, an integer program closes the gap."""
EXACT_S_MAX = 10.0
EXACT_GAP = 5e-4


@dataclass(frozen=True, slots=True, eq=False)
class Warm:
    """What the next solve of a similar problem starts from."""

    problem: Problem
    at: Reckoned
    """The choices, before seats and followers."""
    bound: Bound
    """The prices that certify most, and what every shard would take at them."""
    followed: Followed

    @property
    def field(self) -> Field:
        """The problem prepared."""
        return self.at.field


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """A placement, what it costs, and what is known about it."""

    placement: Placement
    feasible: bool
    usd: float
    """What it costs in USD a month, with what only decides; see `joint` for it with followers."""
    bound_usd: float
    complete: bool
    """The bound holds for all patterns, not only for those that were looked at."""
    prices: Prices
    seconds: float
    spent_bytes: float
    """Of the budget; moves that were forced do not count."""
    spent_leaders: float
    steps: dict[str, float] = made(default_factory=dict)
    """What was done: seconds of each step, and how many shards hesitated and were split."""
    warm: Warm | None = None
    followers_usd: float = 0.0
    """What followers save in USD a month, beyond what they cost."""
    seats: NDArray[np.int32] | None = None
    """The node that leads each shard, if the problem has nodes."""

    @property
    def gap(self) -> float:
        """How far the cost may be above the least possible one, as a part of it."""
        if not self.feasible:
            return inf
        return max(self.usd - self.bound_usd, 0.0) / max(abs(self.bound_usd), 1e-9)


@dataclass(slots=True, eq=False)
class Watch:
    """A limit of time, and where it went."""

    clock: Callable[[], float]
    limit_s: float
    began_s: float = 0.0
    steps: dict[str, float] = made(default_factory=dict)
    last_s: float = 0.0

    def __post_init__(self) -> None:
        self.began_s = self.last_s = self.clock()

    def left_s(self) -> float:
        """How much time is left."""
        return self.limit_s - (self.clock() - self.began_s)

    def out(self) -> bool:
        """True when there is none."""
        return self.left_s() <= 0

    def did(self, step: str) -> None:
        """Note that a step ended now."""
        now = self.clock()
        self.steps[step] = round(self.steps.get(step, 0.0) + now - self.last_s, 3)
        self.last_s = now


def solve(
    problem: Problem,
    *,
    time_limit_s: float = TIME_LIMIT_S,
    clock: Callable[[], float] = time.monotonic,
    greedy: bool = False,
) -> Solution:
    """Solve a problem that was checked; `greedy` leaves the linear and integer programs out."""
    watch = Watch(clock, time_limit_s)
    field = field_of(problem)
    watch.did("prepare")
    usual_usd = max(abs(field.bound(field.free()).usd), 1.0)
    prices = field.free() if greedy else first_prices(field, usual_usd)
    watch.did("sample")
    pools = pools_of(field, prices)
    watch.did("candidates")
    prices = _ascended(field, pools, prices, usual_usd, watch)
    if greedy:
        # Without first prices, the first candidates were those of no prices at all.
        pools = pools_of(field, prices)
        prices = _ascended(field, pools, prices, usual_usd, watch)
    return _finished(problem, field, pools, prices, usual_usd, watch, greedy)


def _ascended(
    field: Field, pools: Sequence[Pool], prices: Prices, usual_usd: float, watch: Watch
) -> Prices:
    def asked(now: Prices) -> Demand:
        return demand_of(field, pools, now)

    better = ascend(field, asked, prices, usual_usd, ROUNDS, watch.out)
    watch.did("ascent")
    return better


def _finished(
    problem: Problem,
    field: Field,
    pools: Sequence[Pool],
    prices: Prices,
    usual_usd: float,
    watch: Watch,
    greedy: bool,
) -> Solution:
    """From good prices to a solution."""
    choices: list[Choice] | None = None
    usd = inf
    bound = field.bound(prices)
    watch.did("bound")
    for turn in range(POLISH):
        if greedy:
            found, better = _greedy(field, pools, bound.prices), None
        else:
            result = rounded(field, pools, bound, usual_usd, watch.left_s)
            found, better = result.choices, result.prices
            watch.steps["hesitant"], watch.steps["split"] = result.hesitant, result.split
        watch.did("round")
        if choices is None or (field.allows(found) and field.cost(found) < usd):
            choices = found
            usd = field.cost(found) if field.allows(found) else inf
        if better is not None:
            bound = higher(field, bound, better)
            watch.did("bound")
        close = usd - bound.usd <= CLOSE * abs(bound.usd)
        if close or watch.out() or turn == POLISH - 1:
            break
        pools = pools_of(field, bound.prices)
        watch.did("candidates")
        again = _ascended(field, pools, bound.prices, usual_usd, watch)
        before = bound.usd
        bound = higher(field, bound, again)
        watch.did("bound")
        if bound.usd - before <= CLOSE / 50 * abs(bound.usd):
            break
    assert choices is not None
    if not greedy and not watch.out():
        choices, bound = _closed(field, choices, bound, usual_usd, watch)
    at = settled(reckoned(field, choices), bound, TOLERANCE)
    watch.did("settle")
    followed = followed_by(problem, at, watch)
    return solution_of(problem, at, bound, followed, watch)


def higher(field: Field, bound: Bound, others: Prices) -> Bound:
    """Whichever prices certify more."""
    found = field.bound(others)
    return found if found.usd > bound.usd else bound


def _greedy(field: Field, pools: Sequence[Pool], prices: Prices) -> list[Choice]:
    cheapest = [pool.chosen(pool.priced(prices).argmin(axis=1)) for pool in pools]
    return fallen_back(field, pools, prices, cheapest)


def _closed(
    field: Field,
    choices: list[Choice],
    bound: Bound,
    usual_usd: float,
    watch: Watch,
) -> tuple[list[Choice], Bound]:
    """For few shards: the best of all patterns that the bound does not exclude; and its bound."""
    entries = sum(len(ground) * len(ground.patterns) for ground in field.grounds)
    if entries > EXACT_ENTRIES or not entries:
        return choices, bound
    allowed = field.allows(choices)
    room = field.cost(choices) - bound.usd if allowed else inf
    if room <= 1e-7 * abs(bound.usd):
        return choices, bound
    pools, options = options_within(field, bound.prices, room + 1e-6 * abs(bound.usd))
    answer = solve_program(
        field,
        options,
        field.limits,
        field.gathering_max,
        usual_usd,
        whole=True,
        elastic=False,
        time_limit_s=min(watch.left_s(), EXACT_S_MAX),
        gap_usd=EXACT_GAP * abs(bound.usd),
    )
    watch.did("exact")
    if answer is None:
        return choices, bound
    taken = [choice.copy() for choice in choices]
    for at in np.flatnonzero(answer.share > 0.5):
        number, row, column = options.place[at].tolist()
        taken[number][row] = pools[number].candidates.pattern[row, column]
    better = field.allows(taken) and (not allowed or field.cost(taken) < field.cost(choices))
    choices = taken if better else choices
    # What was left out costs more than what is known; so this bounds everything.
    least = min(answer.least_usd * (1 - ROUNDING), field.cost(choices))
    return choices, replace(bound, usd=max(bound.usd, least)) if field.allows(choices) else bound


def followed_by(problem: Problem, at: Reckoned, watch: Watch) -> Followed:
    """The placement of choices; with followers, if they keep every limit."""
    placement = placement_of(problem, at.field, at.choices)
    if at.allowed_usd == inf:
        return Followed(placement, np.zeros(len(problem.shards)))
    followed = followers_of(problem, placement)
    watch.did("followers")
    return followed


def solution_of(
    problem: Problem, at: Reckoned, bound: Bound, followed: Followed, watch: Watch
) -> Solution:
    """What is to be told of these choices, whose placement has its followers."""
    total, _ = at.usage()
    usd = at.allowed_usd
    return Solution(
        placement=followed.placement,
        feasible=usd < inf,
        usd=usd if usd < inf else at.usd,
        bound_usd=bound.usd,
        complete=all(ground.patterns.complete for ground in at.field.grounds),
        prices=bound.prices,
        seconds=watch.limit_s - watch.left_s(),
        spent_bytes=float(total[-2]),
        spent_leaders=float(total[-1]),
        steps=watch.steps,
        warm=Warm(problem, at, bound, followed),
        followers_usd=float(followed.saved_usd.sum()),
    )


def placement_of(problem: Problem, field: Field, choices: Sequence[Choice]) -> Placement:
    """Leaders and voters of all shards, in the problem's order, without followers."""
    count = len(problem.shards)
    leader, voters = np.zeros(count, dtype=np.int16), np.zeros(count, dtype=np.uint64)
    for ground, choice in zip(field.grounds, choices, strict=True):
        leader[ground.rows] = ground.patterns.leader[choice]
        voters[ground.rows] = ground.patterns.voters[choice]
    return Placement(leader, voters, np.zeros(count, dtype=np.uint64))
