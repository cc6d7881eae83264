"""Whether what is left of a group, less than a majority, holds one log of each shard.

Theory of operation. Of a majority's logs the one with the greatest (te, ts) has every entry that is
committed. Of less than a majority it need not: it may end in entries that an overruled leader
wrote, in place of what another store knows to be committed. That can only be where the store with
the greatest commit index has its last entry of an earlier epoch than another log; two logs whose
last entries are of one epoch never part. There both are asked for their entry at that index: equal
epoch and chain mean equal logs up to there. If they differ, no merge is right for both stores, and
people must say which of them goes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from regions.codec import Code, Reply
from regions.membership import Member
from regions.store_calls import Calls
from shards.entry import read_entry

Records: TypeAlias = Mapping[str, list[Any]]
"""Of one dump: the fields of a record by shard, see shards/merge."""

_RECORDS_AT = 12  # in the answer to `range`


class _Log(NamedTuple):
    """What a record says of a log."""

    committed: int
    epoch: int
    last: int
    base: int
    base_place: tuple[int, int]


@dataclass(slots=True)
class Doubt:
    """Two stores, and the (epoch, chain) that each is found to have at one place of a log."""

    shard: str
    sequence: int
    found: dict[Member, tuple[int, int] | None]


class Agreement:
    """One question: `complete` when nothing is left to ask, `broken` when logs have parted."""

    __slots__ = ("_asked", "_calls", "_doubts", "_group", "_version", "broken", "refused")

    def __init__(
        self, dumps: Mapping[Member, Records], group: str, version: int, calls: Calls
    ) -> None:
        self._group = group
        self._version = version
        self._calls = calls
        self._asked: set[Member] = set()
        self._doubts = deque(_doubts_of(dumps))
        self.broken = ""
        self.refused: Member | None = None  # a store that answered otherwise than a sealed one does

    @property
    def complete(self) -> bool:
        """Whether all that could be doubted is settled."""
        return not self._doubts

    def advance(self, now_ms: int) -> None:
        """Ask what can be asked now of one doubt; the next one follows when that is settled."""
        while self._doubts and None not in self._doubts[0].found.values():
            self._settle(self._doubts[0])
        if not self._doubts or self.broken:
            return
        doubt = self._doubts[0]
        for member, place in doubt.found.items():
            if place is None and member not in self._asked and self._calls.ready(member, now_ms):
                self._asked.add(member)
                head = ["range", self._group, self._version]
                question = [*head, doubt.shard, doubt.sequence, 1]
                self._calls.ask(member, [question], self._answered(doubt, member))

    def _answered(self, doubt: Doubt, member: Member) -> Callable[[Reply | None, int], None]:
        def take(reply: Reply | None, _now_ms: int) -> None:
            self._asked.discard(member)
            if reply is None:
                return
            result = reply.results[0]
            if result[0] != Code.OK:
                self.refused = member
                return
            doubt.found[member] = _place_in(result, doubt.sequence)

        return take

    def _settle(self, doubt: Doubt) -> None:
        if len(set(doubt.found.values())) > 1:
            stores = " and ".join(sorted(member.store for member in doubt.found))
            at = f"of {doubt.shard} at {doubt.sequence}"
            self.broken = f"{stores} hold different logs {at}: empty one of them, and begin again"
        self._doubts.popleft()


def _doubts_of(dumps: Mapping[Member, Records]) -> list[Doubt]:
    shards = dict.fromkeys(shard for records in dumps.values() for shard in records)
    found = []
    for shard in shards:
        logs = {m: _log(records[shard]) for m, records in dumps.items() if shard in records}
        surest = max(logs, key=lambda member: logs[member][:3])
        sure = logs[surest]
        known = sure.base_place if sure.base == sure.committed else None
        for member, log in logs.items():
            if log.committed < sure.committed and log.epoch > sure.epoch:
                lacks = (0, 0) if log.last < sure.committed else None
                found.append(Doubt(shard, sure.committed, {surest: known, member: lacks}))
    return found


def _log(fields: list[Any]) -> _Log:
    te, ts, _tc, cm, be, bs, bc = fields[9:16]
    return _Log(cm, int(te), ts, bs, (int(be), bc))


def _place_in(result: list[Any], sequence: int) -> tuple[int, int]:
    """The (epoch, chain) of the one entry that was asked for; (0, 0) if the log has none there."""
    for number, blob in result[_RECORDS_AT]:
        if number == sequence:
            entry = read_entry(number, blob)
            return entry.epoch, entry.chain
    return 0, 0
