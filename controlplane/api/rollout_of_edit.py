"""Edits that are rolled out at once: one request makes the revision, and begins its rollout.

They are two entries. What would refuse the rollout refuses the edit before anything is written; if
something comes between all the same, the revision is there, has no effect, and the answer says so.
While another rollout of the document goes on, the new one queues behind it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from config.revision import Revision
from config.strategy import Strategy, strategy_of
from controlplane.api.edge import Edge
from controlplane.api.order_read import PRINCIPAL
from controlplane.api.rollout_bodies import own_gate
from controlplane.problems import InputError, RequestRefused, invalid
from controlplane.rollouts.beginning import Beginnings, Wish

NOTHING_DONE: Final = frozenset({"no-leader", "not-leader"})
"""What says of a request that it may be sent again as it is: not so of one that is half done."""


def strategy_in(found: Mapping[str, Any]) -> Strategy | None:
    """How a query wants an edit rolled out; None if it does not. Raises RequestRefused."""
    bakes = {name: found[name] for name in ("bake_ms", "final_bake_ms") if name in found}
    if "rollout" not in found:
        if bakes:
            complaint = "has no meaning without rollout"
            raise invalid(*(InputError(complaint, parameter=name) for name in bakes))
        return None
    return strategy_of({"name": found["rollout"], **bakes})


async def check_rollout(edge: Edge, revision: Revision, how: Strategy | None, reason: str) -> None:
    """Refuse what could not be rolled out so. Raises RequestRefused."""
    if how is not None:
        await _beginnings(edge).plan(revision, _wish(how, reason))


async def rolled_out(
    edge: Edge, revision: Revision, how: Strategy | None, reason: str
) -> int | None:
    """The number of the rollout that was begun of a revision that was just made, or None.

    Raises RequestRefused, and says that the revision is there all the same.
    """
    if how is None:
        return None
    try:
        return (await _beginnings(edge).begin(revision, _wish(how, reason))).id
    except RequestRefused as refused:
        made = f"version {revision.version} was made, and has no effect yet"
        refused.detail = f"{made}: {refused.detail}"
        if refused.kind.name in NOTHING_DONE:
            raise RequestRefused("rollout-refused", refused.detail) from refused
        raise


async def rolled_out_again(
    edge: Edge, revision: Revision, how: Strategy | None, reason: str, *, dry_run: bool
) -> int | None:
    """The same of a revision that was there before: the rollout of it that goes on, if one does,
    and None if it is in force everywhere. Raises RequestRefused."""
    if how is None:
        return None
    beginnings = _beginnings(edge)
    if (known := await beginnings.going_on(revision)) is not None:
        return known.id
    if dry_run or await beginnings.is_everywhere(revision):
        return None
    return (await beginnings.begin(revision, _wish(how, reason))).id


def _beginnings(edge: Edge) -> Beginnings:
    """Only where the system shard is led. Raises RequestRefused."""
    gathered = edge.service.gathered()
    if gathered is None:
        raise RequestRefused("no-leader", "the system shard is led elsewhere by now; ask again")
    return Beginnings(edge.service, gathered)


def _wish(how: Strategy, reason: str) -> Wish:
    """Who wants no region watched for a moment wants nobody asked either."""
    gates = (own_gate(how),) if how.bake_ms or how.final_bake_ms else ()
    return Wish(how, PRINCIPAL, reason, int(time.time() * 1_000), gates, queue=True)
