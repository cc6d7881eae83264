"""One resharding, as a fleet in memory shows it, and what it answers to orders."""

from __future__ import annotations

from controlplane.requests import (
    CancelResharding,
    DropGroup,
    GroupDropped,
    GroupWanted,
    MakeGroup,
    Outcome,
    Problem,
    Refused,
    Reshard,
    Resharded,
)
from controlplane.views import ReshardingView
from shards.resharding import Kind, Part, Phase

PARENT = Part("s0", "global", 0, 100, ("eu", "us"))
HALVES = (Part("s7", "global", 0, 50, ("eu", "us")), Part("s8", "global", 50, 100, ("eu", "us")))
RESHARDING = ReshardingView(
    1, Kind.SPLIT, Phase.DRAFTING, (PARENT,), HALVES, "operator", "", 17, False, 3, "it copies"
)


def resharded(order: Reshard | CancelResharding | MakeGroup | DropGroup) -> Outcome:
    """What becomes of an order: every one makes sense, but that no other resharding is known."""
    if isinstance(order, DropGroup):
        return GroupDropped(order.group, order.reason, order.begin)
    if isinstance(order, MakeGroup):
        return GroupWanted(
            "multi/" + "+".join(order.regions), order.regions, (), 2_000, order.begin
        )
    if isinstance(order, Reshard):
        return Resharded(1, order.kind, (PARENT,), HALVES, Phase.DRAFTING, order.begin)
    if order.number != RESHARDING.number:
        return Refused(Problem.UNKNOWN_RESHARDING, "there is no such resharding")
    return Resharded(1, Kind.SPLIT, (PARENT,), HALVES, Phase.CANCELLED, order.begin)
