"""Nothing is moved for a gain that the bound cannot tell from none.

A plan that was carried out must be its own answer: solving again must move nothing. Where what is
there now keeps every limit and costs no more than the promised gap above the new choices, it stays.
Only shards that are displaced by themselves, at the prices of the limits, are then moved: such as
one that came back in the wrong region after a failover.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shards.placement.field import Bound, Choice, Field
from shards.placement.ground import FORBIDDEN_FROM
from shards.placement.problem import NOWHERE
from shards.placement.reckoning import Reckoned
from shards.placement.repair import Step, put_right, without_idle_moves

DISPLACED = 0.01
"""A shard is displaced when it costs more than this part beyond its best place."""


def settled(at: Reckoned, bound: Bound, tolerance: float) -> Reckoned:
    """The choices, or what is there now with its displaced shards put right."""
    field = at.field
    present = [ground.present for ground in field.grounds]
    if any((each == NOWHERE).any() for each in present):
        return without_idle_moves(at)
    usd = field.allowed_usd(present)
    if usd - at.allowed_usd > tolerance * abs(bound.usd) or usd == np.inf:
        return without_idle_moves(at)
    stay = at.other(present)
    mended = at.other(put_right(field, present, _displaced(field, bound, present)))
    return mended if mended.usd < stay.usd else stay


def _displaced(field: Field, bound: Bound, present: Sequence[Choice]) -> list[Step]:
    """Where each displaced shard should be."""
    steps: list[Step] = []
    for number, (cost, best) in enumerate(
        zip(field.priced(bound.prices, present), bound.passes, strict=True)
    ):
        gain = cost - best.priced
        least = DISPLACED * np.abs(best.priced) + field.grounds[number].hysteresis
        rows = np.flatnonzero((gain > least) & (best.priced < FORBIDDEN_FROM))
        steps += [(-float(gain[row]), number, row, int(best.pattern[row])) for row in rows.tolist()]
    return steps
