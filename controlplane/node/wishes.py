"""What an operator's order makes of a group's store set; or why it makes no sense."""

from __future__ import annotations

from controlplane.node.group import Group
from controlplane.node_plan import description_of
from controlplane.requests import ChangeLease, ChangeStores, StoreAction
from regions.change import Wish
from regions.latency import TTL_FLOOR_MS
from regions.membership import TTL_MAX_MS, GroupDescription
from regions.quorum import quorum_of
from shards.changing import Changing


def may_be_replaced(running: Changing, begin: bool) -> bool:
    """Whether what is wanted may be given up for what an operator orders. A store that is to be
    admitted anew may be gone for good meanwhile, and the order be to put another in its place;
    another lease can be wanted again."""
    change = running.change
    if running.install is not None or change is None:
        return False
    if not change.wish.forgot and change.wish.ttl_ms is None:
        return False
    return not begin or running.give_up()


def refusal_of(wish: Wish, group: Group) -> str:
    """Why a wish could never be decided, "" if it could."""
    present = description_of(group.plan).voters
    kept = sum(store in present and store not in wish.forgot for store in wish.voters)
    needed = quorum_of(len(wish.voters))
    if kept >= needed:
        return ""
    return f"{kept} of its {len(wish.voters)} voters vote now; {needed} must"


def lease_wish(present: GroupDescription, ttl_ms: int, set_ttl_ms: int) -> Wish:
    """The same stores, with another lease."""
    voters, followers = tuple(present.voters), tuple(present.followers)
    return Wish(voters, followers, ttl_ms=ttl_ms, set_ttl_ms=set_ttl_ms)


def lease_refusal(
    order: ChangeLease, present: GroupDescription, need_ms: int | None, floor_ms: int
) -> str:
    """Why the lease that an operator orders is none, "" if it is one."""
    if not TTL_FLOOR_MS <= order.ttl_ms <= TTL_MAX_MS:
        return f"a lease lasts {TTL_FLOOR_MS} to {TTL_MAX_MS} ms"
    if need_ms is not None and order.ttl_ms < need_ms and order.ttl_ms < present.ttl_ms:
        return f"a lease of {order.ttl_ms} ms is unsafe: measured round trips need {need_ms} ms"
    if order.ttl_ms < floor_ms:
        return f"the document timeouts wants leases of {floor_ms} ms or more"
    if order.ttl_ms == present.ttl_ms == present.least_ttl_ms:
        return f"leases of {order.group} last {order.ttl_ms} ms"
    return ""


def wish_for(order: ChangeStores, group: Group) -> Wish | str:
    """The store set that an order asks for; or why it makes no sense."""
    present = description_of(group.plan)
    voters, followers = list(present.voters), list(present.followers)
    store, by = order.store, order.by
    if order.action is StoreAction.ADD:
        if store in voters or (store in followers and order.follower):
            return f"{store} belongs to {group.group} already"
        (followers if order.follower else voters).append(store)
        return _wish(voters, followers if order.follower else _without(followers, store))
    if store not in present.incarnations:
        return f"{store} does not belong to {group.group}"
    if order.action is StoreAction.REMOVE:
        if voters == [store]:
            return f"{store} is the last that votes in {group.group}"
        return _wish(_without(voters, store), _without(followers, store))
    if by == store:
        lane = group.lanes[[lane.store for lane in group.lanes].index(store)]
        if lane.is_up:
            return f"{store} has not lost its data: there is nothing to admit anew"
        return _wish(voters, followers, store)
    if by in present.voters or (by in followers and store in followers):
        return f"{by} belongs to {group.group} already"
    if store in voters:
        return _wish([by if s == store else s for s in voters], _without(followers, by))
    return _wish(voters, [by if s == store else s for s in followers])


def _without(stores: list[str], store: str) -> list[str]:
    return [each for each in stores if each != store]


def _wish(voters: list[str], followers: list[str], *forgot: str) -> Wish:
    return Wish(tuple(voters), tuple(followers), frozenset(forgot))
