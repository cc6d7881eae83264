"""The same problem as one integer program over every pattern: slow, and nothing left out.

What the solver is measured against; only for a few hundred shards. With tight room for bytes such a
program ends in no time worth waiting for. So it may be told what costs a placement is known to have
and prices that go with it: it then leaves out what they prove to be in no cheaper placement, and
answers the best it finds in its time, with what it is certainly not below.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shards.placement.field import field_of
from shards.placement.master import options_of, options_within, solve_program
from shards.placement.pool import every_pattern
from shards.placement.pricing import Prices
from shards.placement.problem import Problem

GAP = 1e-4
NODES_MAX = 100_000
TIME_LIMIT_S = 120.0
ROUNDING = 1e-6
"""Part of the bound by which more is left in, for costs are in 32 bits."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """A placement that keeps every limit: what it costs, and the prices it was found with."""

    usd: float
    prices: Prices


def exact(
    problem: Problem, known: Known | None = None, time_limit_s: float = TIME_LIMIT_S
) -> tuple[float | None, float]:
    """The least cost in USD a month that was found, and what it certainly is not below."""
    field = field_of(problem)
    prices = field.free() if known is None else known.prices
    least = field.bound(prices).usd
    if known is None:
        pools = every_pattern(field)
        options = options_of(field, pools, [np.arange(len(ground)) for ground in field.grounds])
    else:
        room = max(known.usd - least, 0.0) + ROUNDING * abs(least)
        _, options = options_within(field, prices, room)
    answer = solve_program(
        field,
        options,
        field.limits,
        field.gathering_max,
        least,
        whole=True,
        elastic=False,
        time_limit_s=time_limit_s,
        gap_usd=GAP * abs(least),
        nodes_max=NODES_MAX,
    )
    if answer is None:
        return None, least
    bound = answer.least_usd if known is None else min(answer.least_usd, known.usd)
    return answer.usd, max(bound, least)
