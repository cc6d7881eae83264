"""Stores that lag by more than their leader remembers: copies carried from another store to them.

Theory of operation. What a copy needs next it says itself (shards/catch_up); here it is asked for.
Entries and pages travel on the bulk lanes, one chunk at a time, so a copy delays no renewal; what
changes the log of the lagging store goes over its ordered lane, in turn with its leader's appends.
A copy that fails begins again later, ever more slowly while it goes on failing: a store without
room for a snapshot must not be sent one again and again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from controlplane.node.group import Group
from regions.codec import Code
from shards.catch_up import CatchUp, Phase
from shards.leadership import Leadership, Reply, State
from shards.log import Log, Stream

if TYPE_CHECKING:
    from controlplane.node.node import Node

AGAIN_MS = 100
AGAIN_MS_MAX = 30_000
# A recovering leader may need a store that lags to open its epoch at all.
CATCHES_UP = (State.LEADING, State.RECOVERING)


@dataclass(frozen=True, slots=True)
class Rest:
    """Until when no copy is begun, after how many failures in a row."""

    until_ms: int
    failures: int


class Copies:
    """Copies to the stores of shards that one node leads."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._begun = 0
        self._rests: dict[tuple[str, str, int], Rest] = {}

    def check(self, group: Group, leadership: Leadership, store: int) -> None:
        """Begin to catch a store up, if that is what it needs."""
        log = leadership.log
        if log is None or leadership.state not in CATCHES_UP:
            return
        follower = log.followers[store]
        if follower.stream is not Stream.BEHIND or follower.held_back:
            return
        if leadership.catch_ups is not None and store in leadership.catch_ups:
            return
        rest = self._rests.get((group.group, leadership.shard, store))
        if rest is not None and self._node.now_ms < rest.until_ms:
            return
        source = self._source(group, leadership, log, store)
        if source is not None:
            self._begin(group, leadership, log, source, store)

    def forget(self, name: str) -> None:
        """A group begins anew, with stores numbered anew."""
        self._rests = {place: rest for place, rest in self._rests.items() if place[0] != name}

    def again(self, now_ms: int) -> None:
        """Let those copies be begun again that have rested long enough."""
        for (name, shard, store), rest in list(self._rests.items()):
            group = self._node.groups[name]
            leadership = group.led.get(shard)
            if leadership is None:
                del self._rests[name, shard, store]
            elif rest.until_ms <= now_ms:
                group.outgoing[store].urgent[shard] = leadership

    def _source(self, group: Group, leadership: Leadership, log: Log, store: int) -> int | None:
        """The nearest store that has everything up to where the leader's memory begins."""
        able = [
            i for i in leadership.sources(log.floor.sequence)
            if i != store and group.lanes[i].is_up
        ]  # fmt: skip
        return min(able, key=lambda i: group.lanes[i].round_trip_ms, default=None)

    def _begin(
        self, group: Group, leadership: Leadership, log: Log, source: int, store: int
    ) -> None:
        self._begun += 1
        copy = CatchUp(
            leadership.shard, group.group, group.version, source, store,
            log.followers[store].sent, log.floor.sequence,
            leadership.epoch, leadership.session.sid, self._begun,
        )  # fmt: skip
        if leadership.catch_ups is None:
            leadership.catch_ups = {}
        leadership.catch_ups[store] = copy
        self._node.happened("catching-up", leadership.shard, leadership.epoch, {"store": store})
        self._go_on(group, leadership, copy)

    def _go_on(self, group: Group, leadership: Leadership, copy: CatchUp) -> None:
        """Ask the next thing of a copy."""
        log = leadership.log
        if log is None or leadership.state not in CATCHES_UP:
            copy.failed()
        else:
            log.followers[copy.target].awaited = copy.awaits
        reply = self._reply(group, leadership, copy, copy.phase)
        if (command := copy.at_source()) is not None:
            group.fetch(copy.source, command, reply)
        elif (command := copy.at_target()) is not None:
            group.fetch(copy.target, command, reply)
        elif (chunk := copy.chunk()) is not None and log is not None:
            before, entries = chunk
            append = log.entry_append(group.group, group.version, before, entries)
            group.ask(copy.target, append, reply)
        elif (command := copy.adoption()) is not None:
            group.ask(copy.target, command, reply)
        else:
            self._ended(group, leadership, copy)

    def _reply(self, group: Group, leadership: Leadership, copy: CatchUp, phase: Phase) -> Reply:
        position = _position(leadership.log)

        def reply(result: list[Any] | None, now_ms: int) -> None:
            if group.is_over:
                return
            if leadership.log is not None:
                copy.goal = leadership.log.floor.sequence
            if result is None or result[0] != Code.OK:
                copy.failed()
            elif phase is Phase.READING:
                copy.range_read(result[4:], position)
            elif phase is Phase.PAGING:
                copy.page_read(result[4:])
            elif phase is Phase.STAGING:
                copy.staged()
            elif phase is Phase.APPENDING:
                copy.appended()
            elif phase is Phase.ADOPTING:
                copy.adopted()
            self._go_on(group, leadership, copy)

        return reply

    def _ended(self, group: Group, leadership: Leadership, copy: CatchUp) -> None:
        """It is over: the leader's own stream goes on, or begins again later."""
        store, place = copy.target, (group.group, leadership.shard, copy.target)
        if leadership.catch_ups is not None:
            leadership.catch_ups.pop(store, None)
        follower = None if leadership.log is None else leadership.log.followers[store]
        if follower is not None:
            follower.awaited = None
        if copy.phase is Phase.FAILED:
            group.fetch(store, copy.cleanup(), lambda result, now_ms: None)
            failures = self._rests[place].failures + 1 if place in self._rests else 0
            pause_ms = min(AGAIN_MS_MAX, AGAIN_MS << min(failures, 16))
            self._rests[place] = Rest(self._node.now_ms + pause_ms, failures)
            return
        self._rests.pop(place, None)
        if leadership.log is not None and follower is not None:
            if follower.stream is Stream.BEHIND:
                leadership.log.caught_up(store, copy.matched)
            group.outgoing[store].urgent[leadership.shard] = leadership


def _position(log: Log | None) -> tuple[str, int, int] | None:
    """Where a snapshot may begin, None while the leader cannot name such an entry."""
    if log is None or log.settled.epoch == 0:
        return None
    if log.settled.sequence < log.forgot_at:
        return None  # ids forgotten after the copy's beginning would be missed when replayed
    return str(log.settled.epoch), log.settled.sequence, log.settled.chain
