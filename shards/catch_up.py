"""Bringing one store up to date when it needs more than its leader keeps in memory.

Theory of operation. Entries are read from a store that has them, over the bulk lane, and appended
to the one that lags, chunk by chunk, until its leader's own stream can go on. When the entries are
trimmed away, or there are too many, a snapshot is copied instead: pages of the source's applied
state are staged at the target, and adopted there in one step at the position where the copy began.
The copy is taken while writes go on, so it is fuzzy: the target refuses reads until it has applied
everything up to where the copy ended. The leader trims no log while a copy runs.

    READING --entries--> APPENDING --acknowledged--> READING ... --reached the floor--> DONE
    READING --trimmed away--> PAGING --page--> STAGING --stored--> PAGING ... --last page-->
    ADOPTING --> DONE any --a lost answer or a refusal--> FAILED (what was staged is dropped; the
    leader begins again later)

While entries are read, the leader keeps those that follow them, as far as it has room: so the copy
gets to their end however much is written. One chunk is under way at a time, so that a lagging store
costs its group a bounded share.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from shards.entry import Entry, read_entry
from shards.pages import Pages

CHUNK_BYTES = 128 * 1024
SNAPSHOT_FROM_ENTRIES = 50_000


class Phase(Enum):
    """Where the copy is."""

    READING = "reading"
    APPENDING = "appending"
    PAGING = "paging"
    STAGING = "staging"
    ADOPTING = "adopting"
    DONE = "done"
    FAILED = "failed"


class CatchUp:
    """One store (`target`) that lags, one (`source`) that has what it needs."""

    __slots__ = (
        "_attempt",
        "_chunk",
        "_epoch",
        "_group",
        "_pages",
        "_shard",
        "_sid",
        "_version",
        "goal",
        "matched",
        "phase",
        "source",
        "target",
    )  # fmt: skip

    def __init__(
        self, shard: str, group: str, version: int, source: int, target: int,
        matched: int, goal: int, epoch: int, sid: str, attempt: int,
    ) -> None:  # fmt: skip
        """`matched`: what the target surely has; `goal`: the sequence where the stream goes on,
        which moves while others write: the leader says where it is before each answer. `attempt`
        grows with each copy in this epoch; a snapshot is staged in no other epoch than that."""
        self._shard = shard
        self._group = group
        self._version = version
        self.source = source
        self.target = target
        self.matched = matched
        self.goal = goal
        self._epoch = epoch
        self._sid = sid
        self._attempt = attempt
        self.phase = Phase.READING
        self._chunk: list[Entry] = []
        self._pages: Pages | None = None

    @property
    def awaits(self) -> int | None:
        """The sequence from which the leader should keep entries; None while a snapshot is copied,
        which takes longer than they could be kept for."""
        return self.matched if self.phase in (Phase.READING, Phase.APPENDING) else None

    def at_source(self) -> list[Any] | None:
        """What to ask the source now (bulk lane), None if it is not its turn."""
        head = [self._group, self._version, self._shard]
        if self.phase is Phase.READING:
            return ["range", *head, self.matched + 1, CHUNK_BYTES]
        if self.phase is Phase.PAGING and self._pages is not None:
            return ["page", *head, *self._pages.next_page()]
        return None

    def at_target(self) -> list[Any] | None:
        """What to ask the target now (bulk lane), None if it is not its turn."""
        if self.phase is not Phase.STAGING or self._pages is None:
            return None
        return [*self._of_attempt("stage"), self._pages.part, self._pages.records]

    def _of_attempt(self, operation: str) -> list[Any]:
        """The beginning of a command that belongs to this attempt of this epoch."""
        return [
            operation, self._group, self._version, self._shard,
            str(self._epoch), self._sid, self._attempt,
        ]  # fmt: skip

    def chunk(self) -> tuple[int, list[Entry]] | None:
        """Entries to append at the target (ordered lane), with the sequence before them."""
        if self.phase is not Phase.APPENDING:
            return None
        return self.matched, self._chunk

    def adoption(self) -> list[Any] | None:
        """The command that switches the target to the staged state (ordered lane)."""
        if self.phase is not Phase.ADOPTING or self._pages is None:
            return None
        return [*self._of_attempt("adopt"), *self._pages.start, self._pages.upto]

    def cleanup(self) -> list[Any]:
        """The command that drops what was staged."""
        return self._of_attempt("unstage")

    def range_read(self, payload: list[Any], position: tuple[str, int, int] | None) -> None:
        """The source answered `range`: [grant, te, ts, tc, cm, be, bs, bc, entries].

        `position` is (epoch, sequence, chain) of an entry that the source has applied, at which a
        snapshot may begin. While the leader can name none whose successors are there, the base is
        taken where entries are trimmed away, and where they are only many they are read. They are
        read as well after a snapshot, which took long: another one would take as long again.
        """
        committed, base, records = payload[4], payload[6], payload[8]
        far = self.goal - self.matched > SNAPSHOT_FROM_ENTRIES
        if base > self.matched:
            known = position if position is not None and position[1] > base else None
            self._begin_snapshot(known or (payload[5], base, payload[7]))
            return
        if far and position is not None and self._pages is None:
            self._begin_snapshot(position)
            return
        entries = [read_entry(seq, blob) for seq, blob in records if seq <= committed]
        if not entries:
            self.phase = Phase.FAILED
            return
        self._chunk = entries
        self.phase = Phase.APPENDING

    def _begin_snapshot(self, position: tuple[str, int, int]) -> None:
        self._pages = Pages(position)
        self.phase = Phase.PAGING

    def page_read(self, payload: list[Any]) -> None:
        """The source answered `page`: [ap, records, more]."""
        walks = self._pages is not None and self._pages.read(payload)
        self.phase = Phase.STAGING if walks else Phase.FAILED

    def staged(self) -> None:
        """The target stored the page."""
        assert self._pages is not None, "a page without a walk"
        self.phase = Phase.ADOPTING if self._pages.stored() else Phase.PAGING

    def appended(self) -> Entry:
        """The target acknowledged the chunk; returns its last entry."""
        last = self._chunk[-1]
        self.matched = last.sequence
        self._chunk = []
        self.phase = Phase.DONE if self.matched >= self.goal else Phase.READING
        return last

    def adopted(self) -> None:
        """The target switched: it stands at the position where the copy began."""
        assert self._pages is not None, "adopted without a walk"
        self.matched = self._pages.start[1]
        self.phase = Phase.DONE if self.matched >= self.goal else Phase.READING

    def failed(self) -> None:
        """An answer was lost or refused: this attempt is over."""
        self.phase = Phase.FAILED
