"""Prices that make every row fit: up where more is asked for than there is, down where less is.

An ascent of the bound over the candidates. Each row has a step of its own, which grows while the
row stays on one side of its limit and shrinks when it changes sides: rows differ by orders of
magnitude in how fast they answer to a price.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from shards.placement.field import Field
from shards.placement.pool import Pool
from shards.placement.pricing import Prices
from shards.placement.problem import Floats

STEP, STEP_LEAST, STEP_MOST = 0.3, 1e-4, 1.0
LONGER, SHORTER = 1.1, 0.6
LEAST = 0.05
"""A price moves at least like this part of a row's usual one, or a price of 0 would stay there."""
KNEE = 0.05
"""Nearer to a limit than this part of it, steps shorten in proportion."""


class Demand(NamedTuple):
    """What shards would take at some prices, and what that costs with them."""

    priced_usd: float
    total: Floats
    gathered: Floats


def demand_of(field: Field, pools: Sequence[Pool], prices: Prices) -> Demand:
    """Of shards that take the cheapest of their candidates."""
    usd, choices = 0.0, []
    for pool in pools:
        cost = pool.priced(prices)
        columns = cost.argmin(axis=1)
        usd += float(np.take_along_axis(cost, columns[:, None], axis=1).sum(dtype=np.float64))
        choices.append(pool.chosen(columns))
    return Demand(usd, *field.usage(choices))


def ascend(
    field: Field,
    asked: Callable[[Prices], Demand],
    prices: Prices,
    usual_usd: float,
    rounds: int,
    out_of_time: Callable[[], bool],
    step: float = STEP,
    knee: float = KNEE,
) -> Prices:
    """Improve prices by what is asked for; give the best seen by the bound that this shows."""
    rows, gathering = prices.rows.copy(), prices.gathering.copy()
    usual = LEAST * field.unit_usd(usual_usd)
    limits = np.where(field.counted, np.maximum(field.limits, 1e-9), 1.0)
    crowd_usual = usual_usd / max(sum(len(ground) for ground in field.grounds), 1)
    steps: Floats = np.full(len(rows), step)
    crowd_steps: Floats = np.full(gathering.shape, step)
    before: Floats = np.zeros(len(rows))
    crowd_before: Floats = np.zeros(gathering.shape)
    best, best_usd = prices, -np.inf
    for _ in range(rounds):
        now = Prices(rows, gathering)
        priced_usd, total, gathered = asked(now)
        usd = priced_usd - field.worth(now)
        if usd > best_usd:
            best, best_usd = now, usd
        if out_of_time():
            break
        over = np.where(field.counted, np.clip((total - limits) / limits / knee, -1, 1), 0.0)
        steps = _adapted(steps, over * before)
        before = over
        rows = np.maximum(rows + steps * np.maximum(rows, usual) * over, 0.0)
        crowd = np.clip(gathered - field.gathering_max, -1.0, 1.0)
        crowd_steps = _adapted(crowd_steps, crowd * crowd_before)
        crowd_before = crowd
        gathering = np.maximum(gathering + crowd_steps * crowd_usual * crowd, 0.0)
    return best


def _adapted(steps: Floats, agreement: Floats) -> Floats:
    factor = np.where(agreement > 0, LONGER, np.where(agreement < 0, SHORTER, 1.0))
    return np.clip(steps * factor, STEP_LEAST, STEP_MOST)
