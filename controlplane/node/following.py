"""The system shard, followed at a copy in this region: committed entries only, in their order.

Theory of operation. Whoever has something to read there is a reader, of one partition each. All of
it is scanned first, one partition after the other, and then the log is read from where the first
scan began, so that nothing in between is missed; what a scan has shown already comes once more,
and changes nothing. Only when the log was read up to where the last scan ended is what readers were
told that of one moment. When the log has been trimmed beyond what was read, it is all scanned
again. So what readers know goes on when the global leader, or the rest of the world, is gone.

A store that was away is brought along in pieces, and says up to where its leader told it that
entries are decided. What is known here counts once all of them were read: so nothing is taken up
that was ordered and taken back while the store was away, nor what was when a node fell asleep with
its question on the way.

While a resharding is on, the log is looked at more often: clients wait for the map. So it is for a
while after documents came into force: the next regions, or the way back, will follow. And so it is
by nodes of a place that is being drained: whoever waits for it to be empty waits for the releases.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from controlplane.node.group import Group
from regions.codec import Code, unpack
from shards.entry import read_entry

if TYPE_CHECKING:
    from controlplane.node.node import Node

SYSTEM: Final = "system"
SCAN_BYTES: Final = 256 * 1024
PROMPT_MS: Final = 1_000
LATE_MAX: Final = 5
TOLD_AT: Final = 13
"""In the answer to `range`; what stores of an older release do not say."""
FOLLOW_EVERY_MS: Final = 200
HURRIED_EVERY_MS: Final = 25
MAP_EVERY_MS: Final = 10
CLOSING_EVERY_MS: Final = 5
RELEASED_EVERY_MS: Final = 50


class Reader(Protocol):
    """Who wants to know what a partition of the system shard holds."""

    partition: str
    prefix: str  # of the keys that are of interest

    def begun(self) -> None:
        """All there is will be put, perhaps for the second time."""
        ...

    def put(self, key: str, value: bytes | str, version: int) -> None:
        """A key has this value; it may be known already, and be an older one than is known."""
        ...

    def deleted(self, key: str, version: int) -> None:
        """A key has no value any more."""
        ...

    def scanned(self) -> None:
        """Everything that there was has been put: it is known as of one moment."""
        ...


class SystemFollower:
    """What one node reads of the system shard."""

    def __init__(self, node: Node, readers: Sequence[Reader]) -> None:
        self._node = node
        self._readers = tuple(readers)
        self._by_partition = {reader.partition: reader for reader in readers}
        self._applied: int | None = None  # log position reached; None: scan first
        self._decided = 0  # the most that any store was told to be; it stays so
        self._goal: int | None = None  # from here on what was scanned is of one moment
        self._busy = False
        self._asked_ms = 0
        self._late = 0  # answers in a row that came long after they were asked for
        self.deadline_ms = 0
        self.up_to_date_ms: int | None = None  # when all that was committed had been read

    @property
    def position(self) -> int:
        """Up to where the log was read; 0 while all of it is scanned."""
        return self._applied or 0

    def advance(self, now_ms: int) -> bool:
        """Read on, if it is time; says whether it was."""
        if now_ms < self.deadline_ms:
            return False
        self.deadline_ms = now_ms + self._every_ms(now_ms)
        if not self._busy:
            self._read_on()
        return True

    def _every_ms(self, now_ms: int) -> int:
        node = self._node
        if node.reshardings.is_any_closing:
            return CLOSING_EVERY_MS
        if node.reshardings.is_anything_on:
            return MAP_EVERY_MS
        if node.documents.is_hurried(now_ms):
            return HURRIED_EVERY_MS
        return RELEASED_EVERY_MS if node.drains.is_leaving else FOLLOW_EVERY_MS

    def begin_anew(self) -> None:
        """Stores may know less than they did: read it all again."""
        self._applied, self._decided = None, 0

    def _read_on(self) -> None:
        group = self._node.census.system_group()
        stores = [] if group is None else self._node.nearby.local_stores(group)
        if group is None or not stores:
            return
        store = stores[0]
        self._busy = True
        if self._applied is None:
            self._goal = 0
            for reader in self._readers:
                reader.begun()
            self._scan(group, store, 0, "", None)
        else:
            command = [
                "range", group.group, group.version, SYSTEM, self._applied + 1, SCAN_BYTES,
            ]  # fmt: skip
            self._asked_ms = self._node.now_ms
            group.ask(store, command, self._ranged)

    def _scan(self, group: Group, store: int, at: int, after: str, began: int | None) -> None:
        reader = self._readers[at]
        command = [
            "scan", group.group, group.version, SYSTEM, "", 0,
            reader.partition, reader.prefix, after, 1000, SCAN_BYTES,
        ]  # fmt: skip

        def reply(result: list[Any] | None, now_ms: int) -> None:
            self._busy = False
            if result is None or result[0] != Code.OK:
                return
            applied, items, more = result[6], result[9], result[10]
            start = applied if began is None else began
            self._goal = max(applied, self._goal or 0)
            for key, version, value in items:
                reader.put(key, value, version)
            if more:
                self._busy = True
                self._scan(group, store, at, items[-1][0], start)
                return
            if at + 1 < len(self._readers):
                self._busy = True
                self._scan(group, store, at + 1, "", start)
            else:
                self._applied = start
                self.deadline_ms = now_ms

        group.ask(store, command, reply)

    def _ranged(self, result: list[Any] | None, now_ms: int) -> None:
        self._busy = False
        if result is None or result[0] != Code.OK or self._applied is None:
            return
        committed, base, records = result[8], result[10], result[12]
        if base > self._applied:
            self._applied = None
            return
        for sequence, blob in records:
            if sequence > committed or sequence != self._applied + 1:
                break
            self._applied = sequence
            self._apply(sequence, blob)
        self._reached()
        told = result[TOLD_AT] if len(result) > TOLD_AT else committed
        decided = self._decided = max(self._decided, told, committed)
        if self._goal is None and self._is_prompt(now_ms):
            self._node.documents.settle(now_ms, is_all=self._applied >= decided)
        if self._applied >= decided:
            self.up_to_date_ms = now_ms
        elif records:
            self.deadline_ms = now_ms

    def _is_prompt(self, now_ms: int) -> bool:
        """Whether the store said so just now: who slept meanwhile asks again, a few times."""
        is_late = now_ms - self._asked_ms > PROMPT_MS and self._late < LATE_MAX
        self._late = self._late + 1 if is_late else 0
        if is_late:
            self.deadline_ms = now_ms
        return not is_late

    def _reached(self) -> None:
        """Say so once what was scanned is of one moment."""
        if self._goal is not None and self._applied is not None and self._applied >= self._goal:
            self._goal = None
            for reader in self._readers:
                reader.scanned()

    def _apply(self, sequence: int, blob: bytes | str) -> None:
        for effect in unpack(read_entry(sequence, blob).blob)[5]:
            reader = self._by_partition.get(effect[1]) if effect[0] in ("p", "d") else None
            if reader is None or not effect[2].startswith(reader.prefix):
                continue
            if effect[0] == "p":
                reader.put(effect[2], effect[3], sequence)
            else:
                reader.deleted(effect[2], sequence)
