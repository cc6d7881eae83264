"""The same problem as one integer program over every pattern: slow, and nothing left out.

What the solver is measured against; only for a few hundred shards.
"""

from __future__ import annotations

import numpy as np

from shards.placement.field import field_of
from shards.placement.master import options_of, solve_program
from shards.placement.pool import every_pattern
from shards.placement.problem import Problem

GAP = 1e-4
NODES_MAX = 100_000
TIME_LIMIT_S = 120.0


def exact(problem: Problem, time_limit_s: float = TIME_LIMIT_S) -> tuple[float | None, float]:
    """The least cost in USD a month that was found, and what it certainly is not below."""
    field = field_of(problem)
    pools = every_pattern(field)
    options = options_of(field, pools, [np.arange(len(ground)) for ground in field.grounds])
    least = field.bound(field.free()).usd
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
    return (None, least) if answer is None else (answer.usd, answer.least_usd)
