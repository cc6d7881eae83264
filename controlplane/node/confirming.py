"""Strong reads without a clock: a majority confirms the leader's epoch, after the question came.

Theory of operation. Whatever a later leader acknowledged, a majority had promised that leader's
epoch before; and two majorities share a store. So if a majority of voters, each asked after a read
arrived, still holds this leader's grant and has promised nothing higher, then nothing was
acknowledged before the read arrived that this leader does not know. Its lease plays no part.

Reads of a shard share one round of questions. A round is asked when calls are composed; what
arrives later waits for the next one, since a store may have been asked too early for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from controlplane.node.group import Group
from controlplane.requests import Problem, Refused, Request
from regions.quorum import Tally, Verdict
from shards.grant import Grant
from shards.leadership import Leadership, Reply, State

if TYPE_CHECKING:
    from controlplane.node.node import Node

Waiting = list[tuple[int, Request]]


@dataclass(slots=True)
class Round:
    """One question to all voters of a shard, and the reads that wait for what they say."""

    group: Group
    leadership: Leadership
    epoch: int
    sid: str
    reads: Waiting
    tally: Tally

    @property
    def is_current(self) -> bool:
        """Whether the leadership that asked is still the one that answers."""
        leads = self.leadership.epoch == self.epoch and self.leadership.state is State.LEADING
        return leads and not self.leadership.is_closed


class Confirming:
    """Reads of one node that wait for a majority, by shard."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._waiting: dict[str, Waiting] = {}
        self._rounds: dict[str, Round] = {}

    def add(self, shard: str, number: int, request: Request) -> None:
        """Let a read wait for the next round of its shard."""
        self._waiting.setdefault(shard, []).append((number, request))

    def ask(self, now_ms: int) -> None:
        """Begin a round wherever reads wait and none is under way; called as calls are composed."""
        for shard in [shard for shard in self._waiting if shard not in self._rounds]:
            self._begin(shard, self._waiting.pop(shard), now_ms)

    def _begin(self, shard: str, reads: Waiting, now_ms: int) -> None:
        led = self._node.census.leadership(shard)
        if led is None or led[1].state is not State.LEADING or led[1].is_closed:
            self._again(reads, now_ms)
            return
        group, leadership = led
        up = [store for store in range(group.voters) if group.lanes[store].is_up]
        if len(up) < group.quorum:
            self._refuse(group, reads, f"{len(up)} of {group.voters} stores reachable")
            return
        log = leadership.log
        assert log is not None, "a leading shard has a log"
        epoch, sid = leadership.epoch, leadership.session.sid
        tally = Tally(sum(1 << store for store in up), group.quorum)
        begun = self._rounds[shard] = Round(group, leadership, epoch, sid, reads, tally)
        for store in up:
            command = ["read", group.group, group.version, shard, str(epoch), log.commit, [], []]
            group.ask(store, command, self._said(begun, store))

    def _said(self, asked: Round, store: int) -> Reply:
        def reply(result: list[Any] | None, now_ms: int) -> None:
            if result is None:
                asked.tally.unknown |= 1 << store
            elif _holds(result, asked.epoch, asked.sid):
                asked.tally.yes |= 1 << store
            else:
                asked.tally.no |= 1 << store
                if len(result) > 4:
                    asked.group.saw(asked.leadership.shard, store, result[4], now_ms)
            self._decide(asked, now_ms)

        return reply

    def _decide(self, asked: Round, now_ms: int) -> None:
        shard, verdict = asked.leadership.shard, asked.tally.verdict()
        if self._rounds.get(shard) is not asked or verdict is Verdict.PENDING:
            return
        del self._rounds[shard]
        if not asked.is_current:
            self._again(asked.reads, now_ms)
        elif verdict is Verdict.WON:
            self._read(asked)
        else:
            group, yes = asked.group, asked.tally.yes.bit_count()
            detail = f"{yes} of {group.voters} stores confirm epoch {asked.epoch}"
            self._refuse(group, asked.reads, detail)

    def _refuse(self, group: Group, reads: Waiting, detail: str) -> None:
        detail = f"{detail}, {group.quorum} needed"
        for number, _ in reads:
            refused = Refused(Problem.NO_QUORUM, detail, retry_after_ms=200)
            self._node.requests.answer(number, refused)

    def _read(self, asked: Round) -> None:
        for number, request in asked.reads:
            if self._node.requests.get(number) is not None:
                self._node.serving.reads.read(asked.group, asked.leadership, number, request, 0)

    def _again(self, reads: Waiting, now_ms: int) -> None:
        """The shard is not led here any more, or not yet again: ask whoever answers for it now."""
        for number, request in reads:
            if self._node.requests.get(number) is not None:
                self._node.resubmit(number, request, now_ms)


def _holds(result: list[Any], epoch: int, sid: str) -> bool:
    """Whether a store's answer, also one that it cannot read, shows our grant as the newest."""
    if len(result) < 5:
        return False
    grant = Grant.parse(result[4])
    return grant.promised == grant.epoch == epoch and grant.holder == sid
