"""What no poll tells: a store, or a group, is asked what has become of it.

Theory of operation. Lanes speak to one incarnation of a store, and only to stores whose groups a
node stands in. So a group that has gone on elsewhere, a store that was emptied and admitted anew,
and one in quarantine, to which nothing else is sent, are visited now and then, on the bulk lanes.
What they show is followed (controlplane/node/succession).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from controlplane.node.now_and_then import NowAndThen
from regions.codec import ANOTHER_STORE, Code, Reply
from regions.membership import ask_for_description, description_in

if TYPE_CHECKING:
    from controlplane.node.group import Group
    from controlplane.node.lane import Lane
    from controlplane.node.node import Node

INQUIRE_EVERY_MS = 1_000
LOOK_AROUND_EVERY_MS = 2_000


class Inquiries:
    """Questions of one node to stores, each at its own pace."""

    def __init__(self, node: Node, forgot: Callable[[str, int], None]) -> None:
        self._node = node
        self._forgot = forgot  # told of a store that is another one now
        self._groups_gone_on = NowAndThen(INQUIRE_EVERY_MS)
        self._groups_elsewhere = NowAndThen(LOOK_AROUND_EVERY_MS)
        self._quarantined = NowAndThen(LOOK_AROUND_EVERY_MS)
        self._turns: dict[str, int] = {}  # which voter of a group is asked what it has become

    def attend(self, group: Group, gone: list[tuple[str, int]], now_ms: int) -> None:
        """Ask about one group, of whose stores these are not who they were."""
        for store, _ in gone:
            if self._groups_gone_on.allows(group.group, now_ms):
                self._ask_after_group(group, store)
        for lane in group.lanes:
            is_present = self._node.lanes.get(lane.store) is lane
            if lane.quarantined and is_present and self._quarantined.allows(lane.store, now_ms):
                self._ask_who_it_is(lane)
        if not group.plan.stands and self._groups_elsewhere.allows(group.group, now_ms):
            self._ask_a_voter(group)

    def _ask_after_group(self, group: Group, store: str) -> None:
        """Has the group gone on with a store that is another one now?"""

        def told(reply: Reply | None, now_ms: int) -> None:
            if reply is None or not reply.results:
                return
            found = description_in(reply.results[0])
            if found is not None and found.incarnations.get(store) == reply.incarnation:
                self._node.succession.follow(found, now_ms)

        def met(reply: Reply | None, now_ms: int) -> None:
            if reply is not None and reply.incarnation:
                question = [ask_for_description(group.group)]
                self._node.bulk.visit(store, reply.incarnation, question, told)

        self._node.bulk.visit(store, "", [["hello", "", 0]], met)

    def _ask_who_it_is(self, lane: Lane) -> None:
        """Was a store in quarantine emptied? Then it may be admitted anew."""

        def told(reply: Reply | None, now_ms: int) -> None:
            is_another = reply is not None and reply.code in ANOTHER_STORE
            if is_another and self._node.lanes.get(lane.store) is lane:
                self._forgot(lane.store, now_ms)

        self._node.bulk.visit(lane.store, lane.incarnation, [["hello", "", 0]], told)

    def _ask_a_voter(self, group: Group) -> None:
        """What has become of a group in which this node does not stand? Of its stores it polls few
        or none, and they may have left."""
        at = self._turns.get(group.group, 0)
        voter = group.plan.voters[at % len(group.plan.voters)]

        def told(reply: Reply | None, now_ms: int) -> None:
            result: list[Any] = [Code.UNKNOWN]
            if reply is not None and reply.results:
                result = reply.results[0]
            found = description_in(result) if result[0] == Code.OLD_VERSION else None
            if found is None:
                self._turns[group.group] = at + 1  # the next one may tell
            else:
                self._node.succession.follow(found, now_ms)

        question = [ask_for_description(group.group)]
        self._node.bulk.visit(voter.store, voter.incarnation, question, told)
