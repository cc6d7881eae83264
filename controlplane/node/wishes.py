"""What an operator's order makes of a group's store set; or why it makes no sense."""

from __future__ import annotations

from controlplane.node.group import Group
from controlplane.node_plan import description_of
from controlplane.requests import ChangeStores, StoreAction
from regions.change import Wish
from regions.quorum import quorum_of
from shards.changing import Changing


def may_be_replaced(running: Changing, begin: bool) -> bool:
    """Whether a store that is to be admitted anew may be given up for what an operator orders: it
    may be gone for good meanwhile, and the order may be to put another in its place."""
    change = running.change
    if running.install is not None or change is None or not change.wish.forgot:
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
