"""Coming home, admitted: leaders ask before they hand a shard to where it is preferred.

What an order has on its way there already is let go; what something else has on its way is not. A
move is over when the shard is led where it was to go. It is no longer on its way, and takes no
room, when its leader will not make it any more: leave has run out, somebody else leads the shard,
or the place that it was to go to is to lead nothing, or is gone.
"""

from __future__ import annotations

from typing import Final

from controlplane.api.service import Service
from controlplane.machine import HomeWish
from controlplane.node.homecoming import LEAVE_MS
from controlplane.planning.admission import Admission
from controlplane.planning.drain_facts import group_of
from controlplane.planning.proceedings import Arrived, Began, Withdrawn
from controlplane.planning.reasons import MoveKind, Wanted
from controlplane.views import FleetView

UNDER_WAY_MS_MAX: Final = LEAVE_MS + 10_000
"""From when leave is given until the shard is led elsewhere, if it ever is."""


def let_home(service: Service, admission: Admission, fleet: FleetView, now_ms: int) -> None:
    """Note what has come home, and answer those who asked."""
    _arrivals(service, admission, fleet, now_ms)
    wishes = service.home_wishes()
    if not wishes:
        return
    region_of = {node.node: node.region for node in fleet.nodes}
    on_way = {move.wanted.shard: move.wanted for move in admission.on_way}
    admitted: list[HomeWish] = []
    for wish in wishes:
        region = region_of.get(wish.to_node)
        if region is None:
            continue
        wanted = _wanted(service, wish, region_of.get(wish.asker, ""), region)
        before = on_way.get(wish.shard)
        if before is not None:
            if _is_same(before, wanted):
                admitted.append(wish)
        elif admission.judge(wanted, now_ms) is None:
            admission.step(Began(wanted), now_ms)
            admitted.append(wish)
    service.judge_home(wishes, tuple(admitted))


def _arrivals(service: Service, admission: Admission, fleet: FleetView, now_ms: int) -> None:
    open_ = {node.node for node in fleet.nodes if node.alive and not node.draining}
    canaries = {drain.name: drain.canaries for drain, _ in service.drains() if drain.is_on}
    drained = {node.node for node in fleet.nodes if node.drained}
    for move in admission.on_way:
        wanted = move.wanted
        if wanted.kind is not MoveKind.PREFERENCE:
            continue
        view, to_node = service.shard_view(wanted.shard), wanted.to_node
        leader = view.leader.node if view is not None and view.leader is not None else None
        is_shut = to_node in drained and wanted.shard not in canaries.get(to_node, ())
        if leader == to_node:
            admission.step(Arrived(wanted.shard, to_node), now_ms)
        elif (
            view is None or is_shut or to_node not in open_
            or leader not in (None, wanted.from_node)
            or now_ms - move.began_ms >= UNDER_WAY_MS_MAX
        ):  # fmt: skip
            admission.step(Withdrawn(wanted.shard), now_ms)


def _wanted(service: Service, wish: HomeWish, from_region: str, to_region: str) -> Wanted:
    group = group_of(service, wish.shard)
    return Wanted(
        wish.shard, group, MoveKind.PREFERENCE, wish.asker, from_region, to_region, wish.to_node
    )


def _is_same(before: Wanted, wanted: Wanted) -> bool:
    """Whether a move that has begun goes where this one would."""
    goes_there = before.to_region == wanted.to_region and before.to_node in ("", wanted.to_node)
    return goes_there and before.kind is not MoveKind.DRAIN
