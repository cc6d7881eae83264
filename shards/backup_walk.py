"""Reading one shard out of a store, as it was at one position, while its leader goes on writing.

Theory of operation. Pages of the applied state are read from a store of the group, and after each
of them the entries that were committed meanwhile. What the pages show is fuzzy; with all entries
from the start of the walk up to the latest page applied over it, it is the shard as it was behind
the last of those entries, and nothing else. Leaders keep a few hundred entries only, and nobody
tells them to keep more for this: so the entries are taken along, not looked for at the end.

    LOCATING --the entry at the commit index, or the last that was trimmed--> PAGING
    PAGING   --page--> TAILING --all that is committed was read--> PAGING ...
    TAILING  --the last page was read, and all entries that it may show--> DONE
    TAILING  --trimmed away, or ids forgotten while ids are read--> LOCATING: from nothing
    any      --a refusal, or too many beginnings--> FAILED

Ids are read first: an entry that forgets some of them spoils only a walk whose pages of ids may
show it, as shards/learner_copy explains. What is read goes into `pages` and `logs`, for the
caller to take away; at a new beginning, `beginnings` counts one up, and what was taken before is
worth nothing.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from regions.codec import Code, as_bytes
from shards.entry import forgets_ids, read_entry

PARTS = ("id", "hi", "kv")
PAGE_BYTES = 64 * 1024
TAIL_BYTES = 128 * 1024
BEGINNINGS_MAX = 8

Place = tuple[int, int, int]
"""Epoch, sequence and chain of an entry: where a log is."""


class Phase(Enum):
    """Where the walk is."""

    LOCATING = "locating"
    TAILING = "tailing"
    PAGING = "paging"
    DONE = "done"
    FAILED = "failed"


class BackupWalk:
    """One shard at one store. One question at a time: `question`, `answered`."""

    __slots__ = (
        "_after", "_head", "_ids_upto", "_part", "_upto", "_wanted", "beginnings", "logs", "pages",
        "phase", "position", "start", "why",
    )  # fmt: skip

    def __init__(self, group: str, version: int, shard: str, committed: int) -> None:
        """`committed` is the store's commit index, as a dump has just shown it."""
        self._head: list[Any] = [group, version, shard]
        self._wanted = committed
        self._part = 0
        self._after = ""
        self._upto = 0
        self._ids_upto = 0
        self.start: Place = (0, 0, 0)
        self.position: Place = (0, 0, 0)
        self.pages: list[list[Any]] = []  # [part, [[name, record] ...]]
        self.logs: list[list[Any]] = []  # [sequence before, its chain, [blob ...]]
        self.beginnings = 0
        self.why = ""
        self.phase = Phase.LOCATING if committed else Phase.DONE

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to ask."""
        return self.phase in (Phase.DONE, Phase.FAILED)

    @property
    def upto(self) -> int:
        """The latest position that a page showed: only from there on the copy is one."""
        return max(self._upto, self.start[1])

    def question(self) -> list[Any]:
        """What to ask the store now."""
        match self.phase:
            case Phase.LOCATING:
                return ["range", *self._head, self._wanted, 1]
            case Phase.TAILING:
                return ["range", *self._head, self.position[1] + 1, TAIL_BYTES]
        return ["page", *self._head, PARTS[self._part], self._after, PAGE_BYTES]

    def answered(self, result: list[Any]) -> None:
        """Take the answer to `question`."""
        if result[0] != Code.OK:
            self._fail(f"the store answers {result[0]}")
            return
        match self.phase:
            case Phase.LOCATING:
                self._locate(result[4:])
            case Phase.TAILING:
                self._tail(result[4:])
            case _:
                self._page(result[4:])

    def _fail(self, why: str) -> None:
        self.why = why
        self.phase = Phase.FAILED

    def _again(self, committed: int, why: str) -> None:
        self.beginnings += 1
        self.pages, self.logs = [], []
        self._part, self._after, self._upto = 0, "", 0
        self._wanted = committed
        self.phase = Phase.LOCATING
        if self.beginnings >= BEGINNINGS_MAX:
            self._fail(f"{why}, {self.beginnings} times in a row")

    def _locate(self, payload: list[Any]) -> None:
        """[grant, te, ts, tc, cm, be, bs, bc, entries, lc]: the entry itself, or the log's base."""
        committed, base, entries = payload[4], payload[6], payload[8]
        if base >= self._wanted:
            self._begin((int(payload[5]), base, payload[7]))
        elif entries and entries[0][0] == self._wanted:
            entry = read_entry(self._wanted, entries[0][1])
            self._begin((entry.epoch, entry.sequence, entry.chain))
        else:
            self._again(committed, "its log was cut off")

    def _begin(self, start: Place) -> None:
        self.start = self.position = start
        self.phase = Phase.PAGING

    def _tail(self, payload: list[Any]) -> None:
        """Entries that were committed since the last ones."""
        committed, base, listed = payload[4], payload[6], payload[8]
        _, before, before_chain = self.position
        if base > before:
            self._again(committed, "its log was trimmed faster than it was read")
            return
        entries = [read_entry(seq, blob) for seq, blob in listed if seq <= committed]
        seen = [e for e in entries if not self._part or e.sequence <= self._ids_upto]
        if any(map(forgets_ids, seen)):
            self._again(committed, "ids were forgotten while they were read")
            return
        if entries:
            last = entries[-1]
            self.logs.append([before, before_chain, [entry.blob for entry in entries]])
            self.position = (last.epoch, last.sequence, last.chain)
        if entries and self.position[1] < committed:
            return  # there is more of it
        if self._part < len(PARTS):
            self.phase = Phase.PAGING
        elif self.position[1] >= self._upto:
            self.phase = Phase.DONE

    def _page(self, payload: list[Any]) -> None:
        """[ap, records, more]"""
        applied, records, more = payload
        if applied < self.start[1]:
            self._fail("the store has not applied what it knows to be committed")
            return
        self._upto = max(self._upto, applied)
        self.pages.append([PARTS[self._part], [[n, as_bytes(r)] for n, r in records]])
        if more:
            self._after = records[-1][0]
        else:
            if self._part == 0:
                self._ids_upto = applied  # what is forgotten later, pages of ids do not show
            self._part += 1
            self._after = ""
        self.phase = Phase.TAILING
