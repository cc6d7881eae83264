"""Reads at this region's stores: bounded, session and any, with a truthful age.

Theory of operation. A store vouches for its data only if its mark `sync` is that of the grant it
holds, and what it vouches for is dated by this node's own polls (regions/watch). A bounded read is
answered only with a bound that holds; a session read only at or above the asked position; both try
every local store, a session read once more after a moment, and are then sent to the leader. A
store that is unreachable answers nothing: no age is ever guessed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controlplane.node.answers import found_values, provenance, scanned_items, tenures
from controlplane.node.group import Group
from controlplane.node.rerouting import await_map, is_ahead
from controlplane.requests import (
    Consistency,
    History,
    Outcome,
    Problem,
    Read,
    Refused,
    Role,
    Scan,
)  # fmt: skip
from regions.codec import Code

if TYPE_CHECKING:
    from controlplane.node.node import Node

SESSION_WAIT_MS = 25
SCAN_BYTES_MAX = 1024 * 1024


class Nearby:
    """Follower reads of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._later: list[tuple[int, Group, int, Read | Scan]] = []

    def local_stores(self, group: Group) -> list[int]:
        """Reachable stores of the group, those of this region first, then the nearest."""
        plans = (*group.plan.voters, *group.plan.followers)
        here = self._node.plan.region
        up = [i for i in range(group.stores) if group.lanes[i].is_up]
        up.sort(key=lambda i: (plans[i].region != here, group.lanes[i].round_trip_ms, i))
        return up

    def read(
        self, group: Group, number: int, request: Read | Scan, attempt: int, last_chance: bool
    ) -> None:
        """Answer from a local store, or say where to go."""
        group = self._node.groups.get(group.group, group)  # it may have gone on meanwhile
        if is_ahead(self._node, request):
            self._give_up(group, number, request, last_chance)
            return
        stores = self.local_stores(group)
        if attempt >= len(stores):
            self._give_up(group, number, request, last_chance)
            return
        store = stores[attempt]

        def reply(result: list[Any] | None, now_ms: int) -> None:
            answer = None
            if result is not None and result[0] == Code.OK:
                answer = self._judge(group, store, request, result[4:], now_ms)
            if result is not None and result[0] == Code.CLOSED:
                await_map(self._node, group, number, request)
            elif answer is None:
                self.read(group, number, request, attempt + 1, last_chance)
            else:
                self._node.requests.answer(number, answer)

        group.ask(store, _command(group, request), reply)

    def _judge(
        self, group: Group, store: int, request: Read | Scan, payload: list[Any], now_ms: int
    ) -> Outcome | None:
        grant, _commit, applied, fresh, seen = payload[:5]
        staleness_ms = group.watch.staleness_ms(store, seen, now_ms) if fresh else None
        if self._node.quorum_loss.refuses(group, request.shard, staleness_ms):
            return None
        if request.consistency is Consistency.BOUNDED:
            limit_ms = request.max_staleness_ms
            if staleness_ms is None or (limit_ms is not None and staleness_ms > limit_ms):
                return None
        if applied < request.position:
            return None
        if staleness_ms is None and self._node.resting.rests_at(group, store, request.shard):
            return None  # it would only ever grow older
        where = provenance(
            request.shard,
            int(grant[2]),
            applied,
            staleness_ms,
            Role.FOLLOWER,
            group.lanes[store].store,
        )
        if isinstance(request, Scan):
            return scanned_items(payload[5], payload[6], where)
        return found_values(payload[6], where)

    def _give_up(self, group: Group, number: int, request: Read | Scan, last_chance: bool) -> None:
        if request.consistency is Consistency.SESSION and not last_chance:
            self._later.append((self._node.now_ms + SESSION_WAIT_MS, group, number, request))
            return
        hint = self._node.census.leader_hint(group, request.shard)
        problem = Problem.STALE
        if self._node.quorum_loss.stops(request.shard):
            problem, detail = Problem.NO_QUORUM, "no leader vouches for its copies, so reads stop"
        elif request.consistency is Consistency.BOUNDED:
            detail = "no local store vouches for data as fresh as asked"
        elif request.consistency is Consistency.SESSION:
            detail = f"no local store has reached position {request.position} yet"
        elif self._node.resting.rests_in(request.shard, self._node.plan.region):
            detail = "the copy here rests, since hardly anybody reads it"
        else:
            detail = "no local store answers"
        self._node.requests.answer(
            number, Refused(problem, detail, leader=hint, retry_after_ms=200)
        )

    def advance(self, now_ms: int) -> None:
        """Try the session reads again whose moment has come."""
        due = [later for later in self._later if later[0] <= now_ms]
        if due:
            self._later = [later for later in self._later if later[0] > now_ms]
        for _, group, number, request in due:
            self.read(group, number, request, 0, last_chance=True)

    @property
    def deadline_ms(self) -> int | None:
        """When `advance` has something to do."""
        return min([later[0] for later in self._later]) if self._later else None

    def history(self, group: Group, number: int, request: History, attempt: int) -> None:
        """Answer a shard's history from a local store."""
        stores = self.local_stores(group)
        if attempt >= len(stores):
            refused = Refused(Problem.NO_QUORUM, "no store of the group answers")
            self._node.requests.answer(number, refused)
            return

        def reply(result: list[Any] | None, now_ms: int) -> None:
            if result is not None and result[0] == Code.OK:
                self._node.requests.answer(number, tenures(request.shard, result[4]))
            else:
                self.history(group, number, request, attempt + 1)

        group.ask(stores[attempt], ["history", group.group, group.version, request.shard], reply)


def _command(group: Group, request: Read | Scan) -> list[Any]:
    head = [group.group, group.version, request.shard, "", 0]
    if isinstance(request, Scan):
        return [
            "scan", *head, request.partition, request.prefix, request.after, request.limit,
            SCAN_BYTES_MAX,
        ]  # fmt: skip
    return ["read", *head, list(request.keys), []]
