"""Bringing one shard of a learner up to date: what is committed, and nothing else.

Theory of operation. A learner belongs to no quorum and has no leader: nobody sends it anything, and
nobody waits for it. So it is copied to from outside, over bulk lanes. Committed entries are read
from a store of the group and stored at the learner, chunk by chunk. Where the source has trimmed
them away, pages of its applied state are staged first and adopted in one step. The walk begins at
an entry that the source has just committed, so that little has to be applied over it again.

    READING  --entries--> APPENDING --stored--> READING ... --nothing more--> DONE
    READING  --trimmed away, or too many--> LOCATING --an entry--> CLEARING --> PAGING
    PAGING   --page--> STAGING --stored--> PAGING ... --last page--> CHECKING
    CHECKING --all there that is to be applied over them--> ADOPTING --> READING
    LOCATING, CHECKING --trimmed away meanwhile, or ids forgotten--> READING, LOCATING: once more
    any --one answer after the other is lost, or another refusal--> FAILED
    CLEARING, STAGING, ADOPTING --an answer is lost--> FAILED, and spoilt

The source trims as it likes while this goes on. So before the pages are adopted, the entries that
must be applied over them are looked through. One that is missing would leave the copy unfit for
ever. One that forgets operation ids does harm too: pages read after it lack ids which entries
before it are to be compared with, so that a retry would happen twice here. In both cases the walk
begins again. It ends when writes pause, or when those who trim are told to hold.

A question whose answer is lost is asked again, a few times: what is read changes nothing, and an
entry that is stored twice is one. Not so pages and their adoption. What was lost on its way may
come at any later time, into the stage of another walk. So a copy that was spoilt in this way is
over, and whoever makes the next one takes a greater attempt first: the store refuses what is left
of this one.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from regions.codec import Code
from shards.entry import Entry, forgets_ids, read_entry
from shards.pages import Pages

CHUNK_BYTES = 128 * 1024
SNAPSHOT_FROM_ENTRIES = 50_000
ASKED_AGAIN_MAX = 3  # times in a row, when answers are lost: each question may come twice


class Phase(Enum):
    """Where the copy is."""

    READING = "reading"
    APPENDING = "appending"
    LOCATING = "locating"
    CLEARING = "clearing"
    PAGING = "paging"
    STAGING = "staging"
    CHECKING = "checking"
    ADOPTING = "adopting"
    DONE = "done"
    FAILED = "failed"


SPOILT_BY_LOSS = (Phase.CLEARING, Phase.STAGING, Phase.ADOPTING)
AT_SOURCE = (Phase.READING, Phase.LOCATING, Phase.PAGING, Phase.CHECKING)


class LearnerCopy:
    """One shard, from a source to a learner. One question at a time: `question`, `answered`."""

    __slots__ = (
        "_attempt", "_chain", "_chunk", "_committed", "_group", "_lost", "_next", "_pages",
        "_shard", "_source_version", "_target_version", "copied_bytes", "is_spoilt", "matched",
        "phase",
    )  # fmt: skip

    def __init__(
        self, shard: str, group: str, source_version: int, target_version: int, attempt: str,
        matched: int,
    ) -> None:  # fmt: skip
        """`matched` is what the learner is known to have; `attempt` the one it learns by. Versions
        are those which the two stores have: they differ when a change is finished for a late one.
        """
        self._shard = shard
        self._group = group
        self._source_version = source_version
        self._target_version = target_version
        self._attempt = attempt
        self.matched = matched
        self.phase = Phase.READING
        self.copied_bytes = 0
        self._chain = 0  # of the entry at `matched`, as far as this copy has seen it
        self._chunk: list[Entry] = []
        self._committed = 0  # the source's commit index
        self._pages = Pages(("0", 0, 0))
        self._next = 0  # the entry to look at next
        self._lost = 0  # answers, in a row
        self.is_spoilt = False  # what was lost may still arrive, and be mixed with what comes next

    # -- what is asked

    @property
    def is_at_source(self) -> bool:
        """Whose turn it is."""
        return self.phase in AT_SOURCE

    def question(self) -> list[Any] | None:
        """What to ask the source, or the target, now; None when it is over."""
        match self.phase:
            case Phase.READING:
                return self._range(self.matched + 1, CHUNK_BYTES)
            case Phase.LOCATING:
                return self._range(self._committed, 1)
            case Phase.CHECKING:
                return self._range(self._next, CHUNK_BYTES)
            case Phase.PAGING:
                head = ["page", self._group, self._source_version, self._shard]
                return [*head, *self._pages.next_page()]
            case Phase.APPENDING:
                blobs = [entry.blob for entry in self._chunk]
                return [*self._learn("learn_log"), self.matched, self._chain, blobs]
            case Phase.CLEARING:  # what an attempt of ours left there would be mixed with this
                return [*self._learn("learn_page"), "", []]
            case Phase.STAGING:
                return [*self._learn("learn_page"), self._pages.part, self._pages.records]
            case Phase.ADOPTING:
                return [*self._learn("learn_data"), *self._pages.start, self._pages.upto]
        return None

    def _range(self, first: int, max_bytes: int) -> list[Any]:
        return ["range", self._group, self._source_version, self._shard, first, max_bytes]

    def _learn(self, operation: str) -> list[Any]:
        return [operation, self._group, self._target_version, self._shard, self._attempt]

    # -- what is answered

    def answered(self, result: list[Any] | None) -> None:
        """Take the answer to `question`; None: it was lost."""
        if result is None and self.phase not in SPOILT_BY_LOSS and self._lost < ASKED_AGAIN_MAX:
            self._lost += 1
            return
        self.is_spoilt = result is None and self.phase in SPOILT_BY_LOSS
        if result is None or not self._accepts(result):
            self.phase = Phase.FAILED
            return
        self._lost = 0
        payload = result[4:]
        match self.phase:
            case Phase.READING:
                self._read(payload)
            case Phase.LOCATING:
                self._located(payload)
            case Phase.CHECKING:
                self._checked(payload)
            case Phase.PAGING:
                walks = self._pages.read(payload)
                self.phase = Phase.STAGING if walks else Phase.FAILED
            case Phase.APPENDING:
                self._appended(result)
            case Phase.CLEARING:
                self.phase = Phase.PAGING
            case Phase.STAGING:
                self._staged()
            case Phase.ADOPTING:
                self.matched, self._chain = self._pages.start[1], self._pages.start[2]
                self.phase = Phase.READING

    def _accepts(self, result: list[Any]) -> bool:
        match self.phase:
            case Phase.ADOPTING:  # LAGGING: the learner has as much already
                return result[0] in (Code.OK, Code.LAGGING)
            case Phase.APPENDING:  # GAP: it has less than was believed
                return result[0] in (Code.OK, Code.GAP)
        return bool(result[0] == Code.OK)

    def _read(self, payload: list[Any]) -> None:
        """[grant, te, ts, tc, cm, be, bs, bc, entries] from the first that the learner lacks."""
        self._committed, base = payload[4], payload[6]
        far = self._committed - self.matched > SNAPSHOT_FROM_ENTRIES
        if base > self.matched or (far and not self._pages.upto):
            self._locate(payload)
            return
        self._chunk = [read_entry(seq, blob) for seq, blob in payload[8] if seq <= self._committed]
        self.phase = Phase.APPENDING if self._chunk else Phase.DONE

    def _locate(self, payload: list[Any]) -> None:
        """Find an entry to begin at: the last that is committed, or the last that is trimmed."""
        self._committed, base = payload[4], payload[6]
        if self._committed > base:
            self.phase = Phase.LOCATING
        else:
            self._begin((payload[5], base, payload[7]))

    def _located(self, payload: list[Any]) -> None:
        for seq, blob in payload[8][:1]:
            if seq == self._committed:
                entry = read_entry(seq, blob)
                self._begin((str(entry.epoch), seq, entry.chain))
                return
        self.phase = Phase.READING

    def _begin(self, start: tuple[str, int, int]) -> None:
        self._pages = Pages(start)
        self.phase = Phase.CLEARING

    def _staged(self) -> None:
        self.copied_bytes += sum(len(name) + len(record) for name, record in self._pages.records)
        if not self._pages.stored():
            self.phase = Phase.PAGING
            return
        self._next = self._pages.start[1] + 1
        self.phase = Phase.CHECKING if self._next <= self._pages.upto else Phase.ADOPTING

    def _checked(self, payload: list[Any]) -> None:
        """Entries of which the pages may show something already."""
        entries = [read_entry(seq, blob) for seq, blob in payload[8] if seq <= self._pages.upto]
        if not entries or entries[0].sequence != self._next:
            self.phase = Phase.READING
        elif any(forgets_ids(entry) for entry in entries):
            self._locate(payload)
        else:
            self._next = entries[-1].sequence + 1
            if self._next > self._pages.upto:
                self.phase = Phase.ADOPTING

    def _appended(self, result: list[Any]) -> None:
        committed: int = result[-1]
        if result[0] == Code.OK:
            self.copied_bytes += sum(len(entry.blob) for entry in self._chunk)
            self._chain = self._chunk[-1].chain
        else:
            self._chain = 0  # it has this entry as a committed one: nothing is compared
        self._chunk = []
        self.matched = committed
        self.phase = Phase.DONE if committed >= self._committed else Phase.READING

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to ask."""
        return self.phase in (Phase.DONE, Phase.FAILED)
