"""Requests for a shard that nobody leads at the moment wait for news instead of being refused.

A change of leader takes a few round trips when it is planned and about one lease when it is not.
What arrives meanwhile is kept until something is seen of its shard, and asked again then; its own
time limit ends the wait. So a planned change costs clients a moment, not an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane.node.group import Group
from controlplane.requests import Problem, Refused, Request

if TYPE_CHECKING:
    from controlplane.node.node import Node

PARKED_MAX = 10_000


class Parking:
    """The waiting requests of one node, by shard."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._waiting: dict[str, list[tuple[int, Request]]] = {}
        self._news: dict[str, None] = {}  # shards, the first that was heard of first
        self._count = 0

    def to_leader(self, group: Group, number: int, request: Request) -> None:
        """Say who leads; while nobody does, wait for somebody, if that can still happen."""
        node, shard = self._node, request.shard
        hint = node.transfers.heir(shard) or node.census.leader_hint(group, shard)
        if hint is not None and hint.node != node.plan.node:
            detail = f"{shard} is led by {hint.node}"
            node.requests.answer(number, Refused(Problem.NOT_LEADER, detail, leader=hint))
            return
        up = sum(group.lanes[i].is_up for i in range(group.voters))
        if group.plan.stands and up < group.quorum:
            detail = f"{up} of {group.voters} stores reachable, {group.quorum} needed"
            node.requests.answer(number, Refused(Problem.NO_QUORUM, detail, retry_after_ms=500))
            return
        why = node.standing[group.group].why.get(shard, "an election is on")
        refused = Refused(Problem.NO_LEADER, why, retry_after_ms=group.times.poll_every_ms)
        self.park(number, request, refused)

    def park(self, number: int, request: Request, refusal: Refused) -> None:
        """Keep a request; with too many of them it is refused as it would have been."""
        opened = self._node.requests.get(number)
        if opened is None or self._count >= PARKED_MAX:
            self._node.requests.answer(number, refusal)
            return
        opened.waiting_for = Problem.NO_LEADER
        self._waiting.setdefault(request.shard, []).append((number, request))
        self._count += 1

    def changed(self, shard: str) -> None:
        """Something was seen of a shard."""
        if shard in self._waiting:
            self._news[shard] = None

    def take_up(self, now_ms: int) -> None:
        """Ask again for what there is news of; called once a turn."""
        while self._news:
            shard = next(iter(self._news))
            del self._news[shard]
            waiting = self._waiting.pop(shard, [])
            self._count -= len(waiting)
            for number, request in waiting:
                if self._node.requests.get(number) is not None:
                    self._node.resubmit(number, request, now_ms)

    def expire(self) -> None:
        """Forget requests whose time was up."""
        for shard, waiting in list(self._waiting.items()):
            left = [(n, r) for n, r in waiting if self._node.requests.get(n) is not None]
            self._count -= len(waiting) - len(left)
            if left:
                self._waiting[shard] = left
            else:
                del self._waiting[shard]
