"""First prices, from a sample of the shards: a linear program over a thousand of them.

What the sample may take is set so that it is off its limits by as much as all shards are off
theirs: heavy shards that it happens to miss, or to hit, then cancel out.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from shards.placement.field import Field
from shards.placement.master import options_of, solve_program
from shards.placement.pool import pools_of
from shards.placement.pricing import Prices

SAMPLE = 1_200
ROUNDS = 4
CHEAPEST = 10
"""Candidates of each shard that are looked at from the second round on."""
CEILING = 4.0
"""No price makes a limit worth more than so many times all that is spent."""


def first_prices(field: Field, usual_usd: float) -> Prices:
    """Prices near which to look for candidates."""
    count = sum(len(ground) for ground in field.grounds)
    some = sampled(field, SAMPLE)
    part = sum(len(ground) for ground in some.grounds) / max(count, 1)
    ceiling = CEILING * field.regions * field.unit_usd(usual_usd)
    prices = field.free()
    for turn in range(ROUNDS if part < 1 else ROUNDS - 1):
        everywhere, _ = field.usage([each.pattern for each in field.bound(prices).passes])
        here, _ = some.usage([each.pattern for each in some.bound(prices).passes])
        left = here + (field.limits - everywhere) * part
        pools = pools_of(some, prices)
        chosen = [np.arange(len(ground)) for ground in some.grounds]
        priced = [pool.priced(prices) for pool in pools] if turn else None
        options = options_of(some, pools, chosen, priced, CHEAPEST)
        answer = solve_program(some, options, left, some.gathering_max, usual_usd * part)
        if answer is None:
            break
        prices = Prices(np.minimum(answer.prices.rows, ceiling), answer.prices.gathering)
    return prices


def sampled(field: Field, most: int) -> Field:
    """A field of some of the shards, always the same ones, all kinds in proportion."""
    count = sum(len(ground) for ground in field.grounds)
    if count <= most:
        return field
    draw = np.random.default_rng(count)
    grounds = []
    for ground in field.grounds:
        some = min(len(ground), max(1, most * len(ground) // count))
        grounds.append(ground.some(np.sort(draw.permutation(len(ground))[:some])))
    # Sets are too small to be sampled; they are seen when all shards are.
    none = tuple(np.zeros((0, 2), dtype=np.intp) for _ in grounds)
    return replace(field, grounds=tuple(grounds), sets=none)
