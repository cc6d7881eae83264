"""Moves of shards to other stores, as an order of placement has them begun, followed and dropped.

Theory of operation. Such a move is a resharding (docs/RESHARDING.md): the entry that begins it has
the order's progress in it, so it is begun once, whoever does it. The resharding then goes its own
way, whichever node leads the system shard, and is looked at here: it has arrived when the child is
led from where the plan wants it. What takes too long is cancelled as long as the shard is not
closed; after that there is no way but forward. A group of several regions that is not there yet is
made first.
"""

from __future__ import annotations

from collections.abc import Iterable

from controlplane.api.service import Service
from controlplane.machine import Happened
from controlplane.planning.moving import Leg
from controlplane.planning.order_book import Book, put_order
from controlplane.planning.orders import HEAD_KEY, Order, ShardMove
from controlplane.planning.reasons import Hindrance, MoveKind
from controlplane.requests import (
    CancelResharding,
    Compare,
    Delete,
    LeaderHint,
    MakeGroup,
    Problem,
    Put,
    Refused,
    Reshard,
)
from controlplane.views import ReshardingView
from regions.topology import MULTI_GROUP_AGAIN, MULTI_GROUP_PREFIX
from shards.resharding import Kind, Phase

NEVER = {
    Problem.UNKNOWN_GROUP: Hindrance.NO_GROUP,
    Problem.UNKNOWN_SHARD: Hindrance.GONE,
    Problem.NOT_RESHARDED: Hindrance.CHANGED,
}
"""What a refusal means that no waiting helps against."""


def given_up(shard: str, kind: MoveKind, why: Hindrance) -> Happened:
    """The event of a move that is not made, or came to nothing."""
    return Happened("move-given-up", shard, 0, {"kind": kind.value, "why": why.value})


def latest(service: Service) -> int:
    """The number of the last resharding that is known here."""
    return max((view.number for view in service.reshardings()), default=0)


async def begin(
    service: Service, order: Order, book: Book, move: ShardMove, also: Iterable[Put | Delete]
) -> Hindrance | None:
    """Write a resharding down, with the order as it is then; what keeps it from being begun."""
    to_group = _present(service, move.to_group)
    if to_group is None:
        return await _make(service, order, move.to_group)
    reshard = Reshard(
        Kind.MOVE, move.shard, to_group=to_group, to_region=move.to_region,
        to_node=move.to_node, also=(*put_order(order), *also),
        compares=(Compare(HEAD_KEY, book.order_version),), principal=order.principal,
        reason=f"order {order.number}",
    )  # fmt: skip
    outcome = await service.submit(reshard)
    if not isinstance(outcome, Refused):
        return None
    if outcome.retry_after_ms is not None:
        return Hindrance.IN_FLIGHT
    return NEVER.get(outcome.problem, Hindrance.IN_FLIGHT)


def _present(service: Service, name: str) -> str | None:
    """The group of this name; or one of its regions that was made again, after it was dropped."""
    present = sorted(group.group for group in service.fleet().groups)
    if name in present:
        return name
    return next((group for group in present if _stem(group) == _stem(name)), None)


def _stem(group: str) -> str:
    return group.partition(MULTI_GROUP_AGAIN)[0]


async def _make(service: Service, order: Order, group: str) -> Hindrance:
    """Have a group made, if it is one that can be."""
    if not group.startswith(MULTI_GROUP_PREFIX):
        return Hindrance.NO_GROUP
    regions = tuple(_stem(group).removeprefix(MULTI_GROUP_PREFIX).split("+"))
    make = MakeGroup(regions, principal=order.principal, reason=f"order {order.number}")
    outcome = await service.submit(make)
    if isinstance(outcome, Refused) and outcome.retry_after_ms is None:
        makes_no_sense = outcome.problem is Problem.GROUP_NOT_MADE
        return Hindrance.NO_GROUP if makes_no_sense else Hindrance.GROUP_MAKING
    return Hindrance.GROUP_MAKING


def resharding_of(service: Service, leg: Leg) -> ReshardingView | None:
    """The resharding that moves a shard; None while this node's copy has not come to it."""
    found = None
    for view in service.reshardings():
        is_newer = view.number > leg.since and view.kind is Kind.MOVE
        if is_newer and view.parents[0].shard == leg.shard:
            found = view
    return found


def leader_of_child(service: Service, leg: Leg) -> tuple[str, LeaderHint] | None:
    """What a moved shard is called now, and who leads it, once that is whom the plan wants."""
    resharding = resharding_of(service, leg)
    if resharding is None or resharding.phase is not Phase.DONE:
        return None
    child = resharding.children[0].shard
    view = service.shard_view(child)
    if view is None or view.leader is None or not is_there(leg, view.leader):
        return None
    return child, view.leader


def is_cancelled(service: Service, leg: Leg) -> bool:
    """Whether somebody cancelled it."""
    resharding = resharding_of(service, leg)
    return resharding is not None and resharding.phase is Phase.CANCELLED


async def drop(service: Service, leg: Leg) -> bool:
    """Cancel it; False if it cannot be, and so goes on."""
    resharding = resharding_of(service, leg)
    if resharding is None or resharding.phase is Phase.CLOSING:
        return False
    if resharding.phase is Phase.DRAFTING:
        outcome = await service.submit(CancelResharding(resharding.number))
        return not isinstance(outcome, Refused)
    return True


def is_there(leg: Leg, leader: LeaderHint) -> bool:
    """Whether this is the leader whom the plan wants."""
    return leader.region == leg.to_region and leg.to_node in ("", leader.node)
