"""Nothing is moved for a gain that the bound cannot tell from none.

A plan that was carried out must be its own answer: solving again must move nothing. Where what is
there now keeps every limit and costs no more than the promised gap above the new choices, it stays.
Only shards that are displaced by themselves, at the prices of the limits, are then moved: such as
one that came back in the wrong region after a failover.
"""

from __future__ import annotations

from collections.abc import Sequence

from shards.placement.field import Choice, Field
from shards.placement.pool import Pool
from shards.placement.pricing import Prices
from shards.placement.problem import NOWHERE
from shards.placement.repair import improved, without_idle_moves

DISPLACED = 0.01
"""A shard is displaced when it costs more than this part beyond its best place."""


def settled(
    field: Field,
    pools: Sequence[Pool],
    prices: Prices,
    choices: list[Choice],
    bound_usd: float,
    tolerance: float,
) -> list[Choice]:
    """The choices, or what is there now with its displaced shards put right."""
    present = [ground.present for ground in field.grounds]
    if any((each == NOWHERE).any() for each in present) or not field.allows(present):
        return without_idle_moves(field, choices)
    gain = field.cost(present) - field.cost(choices)
    if field.allows(choices) and gain > tolerance * abs(bound_usd):
        return without_idle_moves(field, choices)
    mended = improved(field, pools, prices, present, DISPLACED)
    return mended if field.cost(mended) < field.cost(present) else list(present)
