"""Edits that are rolled out at once: one request makes the revision, and begins its rollout.

They are two entries. What would refuse the rollout refuses the edit before anything is written; if
something comes between all the same, the revision is there, has no effect, and the answer says so.
While another rollout of the document goes on, the new one queues behind it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from config.revision import Revision
from config.strategy import Strategy, strategy_of
from controlplane.api.edge import Edge
from controlplane.api.order_read import PRINCIPAL
from controlplane.problems import InputError, RequestRefused, invalid
from controlplane.rollouts.beginning import Beginnings, Wish


def strategy_in(found: Mapping[str, Any]) -> Strategy | None:
    """How a query wants an edit rolled out; None if it does not. Raises RequestRefused."""
    bakes = {name: found[name] for name in ("bake_ms", "final_bake_ms") if name in found}
    if "rollout" not in found:
        if bakes:
            complaint = "has no meaning without rollout"
            raise invalid(*(InputError(complaint, parameter=name) for name in bakes))
        return None
    return strategy_of({"name": found["rollout"], **bakes})


async def rolled_out(
    edge: Edge, revision: Revision, how: Strategy | None, reason: str, *, dry_run: bool
) -> int | None:
    """The number of the rollout that was begun, or None; `dry_run`: only whether it could be.

    Must be asked where the system shard is led. Raises RequestRefused.
    """
    if how is None:
        return None
    gathered = edge.service.gathered()
    if gathered is None:
        raise RequestRefused("no-leader", "the system shard is led elsewhere by now; ask again")
    beginnings = Beginnings(edge.service, gathered)
    wish = Wish(how, PRINCIPAL, reason, int(time.time() * 1_000), queue=True)
    if dry_run:
        await beginnings.plan(revision, wish)
        return None
    return (await beginnings.begin(revision, wish)).id
