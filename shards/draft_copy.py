"""Filling one parent's part of one draft at a store that does not hold the parent.

Theory of operation. As with a learner (shards/learner_copy): pages of the applied state are read at
a store of the parent's group and put into the draft, then committed entries from before the first
page on are applied over them. The walk begins at an entry that the source has just committed, or at
the closing entry, where that is applied: nothing may be applied beyond it. Ids come first, so that
an entry that forgets some while the pages are read is rare; if there was one, all begins anew.

    ASKING   --its commit index--> PLACING --closed, or not--> FINDING --an entry--> PAGING
    PAGING   --page--> PUTTING --stored--> PAGING ... --last page--> CHECKING --> STARTING
    STARTING --pages are complete--> READING
    READING  --entries--> APPLYING --stored--> READING ... --nothing more--> it waits
    CHECKING, READING --trimmed away, or ids forgotten--> ASKING, in a greater attempt
    any      --its answer is lost--> the same once more

What the store says of the draft, and when it is over, is told in shards/drafting, which keeps it.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

from regions.codec import Code, as_bytes
from shards.drafting import Drafting, Place, Stage
from shards.entry import Entry, forgets_ids, read_entry
from shards.pages import PAGE_BYTES
from shards.reserved import BORN_KEY, CLOSED_KEY, RESERVED_PARTITION

PARTS: Final = ("id", "hi", "kv")
CHUNK_BYTES: Final = 128 * 1024
BEFORE_CLOSED: Final = f"{RESERVED_PARTITION}\0{BORN_KEY}"
CLOSED_NAME: Final = f"{RESERVED_PARTITION}\0{CLOSED_KEY}"
BEYOND: Final = 2**53 - 1  # of any log: who asks from here on is told where the log stands


class Phase(Enum):
    """Where the walk is."""

    ASKING = "asking"
    PLACING = "placing"
    FINDING = "finding"
    PAGING = "paging"
    PUTTING = "putting"
    CHECKING = "checking"
    STARTING = "starting"
    READING = "reading"
    APPLYING = "applying"


AT_TARGET: Final = (Phase.PUTTING, Phase.STARTING, Phase.APPLYING)


class DraftCopy:
    """One part of a draft at one store, filled from another. One question at a time."""

    __slots__ = (
        "_after", "_chunk", "_next", "_part", "_phase", "_place", "_records", "_start", "_upto",
        "drafting",
    )  # fmt: skip

    def __init__(self, place: Place, process: str, attempt: int) -> None:
        self._place = place
        self.drafting = Drafting(place, process, attempt)
        self._phase = Phase.ASKING
        self._start: tuple[str, int, int] = ("0", 0, 0)  # epoch, sequence, chain
        self._upto = 0  # the greatest position that a page showed
        self._part = 0
        self._after = ""
        self._records: list[list[Any]] = []
        self._next = 0
        self._chunk: list[Entry] = []

    # -- what is asked

    @property
    def is_at_source(self) -> bool:
        """Whether the next question is for a store of the parent's group."""
        fills = self.drafting.stage in (Stage.FILLING, Stage.WAITING)
        return fills and self._phase not in AT_TARGET

    def question(self, parent_version: int, child_version: int) -> list[Any] | None:
        """What to ask now, in versions of the two groups; None when it is over."""
        if self.drafting.stage not in (Stage.FILLING, Stage.WAITING):
            return self.drafting.question(child_version)
        self.drafting.stage = Stage.FILLING
        if self._phase in AT_TARGET:
            return self._at_target(child_version)
        return self._at_source(parent_version)

    def _at_source(self, version: int) -> list[Any]:
        group, parent = self._place.parent_group, self._place.parent
        match self._phase:
            case Phase.ASKING:
                return ["range", group, version, parent, BEYOND, 1]
            case Phase.PLACING:
                return ["draft_read", group, version, parent, "kv", BEFORE_CLOSED, 1]
            case Phase.FINDING:
                return ["range", group, version, parent, self._start[1], 1]
            case Phase.PAGING:
                part = PARTS[self._part]
                return ["draft_read", group, version, parent, part, self._after, PAGE_BYTES]
            case Phase.CHECKING:
                return ["range", group, version, parent, self._next, CHUNK_BYTES]
        return ["range", group, version, parent, (self.drafting.cursor or 0) + 1, CHUNK_BYTES]

    def _at_target(self, version: int) -> list[Any]:
        place, drafting = self._place, self.drafting
        head = [place.child_group, version, place.child, place.number, place.part]
        match self._phase:
            case Phase.PUTTING:
                part = PARTS[self._part]
                return ["draft_page", *head, drafting.attempt, part, self._records]
            case Phase.STARTING:
                return ["draft_data", *head, drafting.attempt, *self._start]
        blobs = [entry.blob for entry in self._chunk]
        before = [self._chunk[0].sequence - 1, drafting.chain]
        return ["draft_log", *head, drafting.attempt, *before, blobs]

    # -- what is answered

    def answered(self, result: list[Any]) -> bool:
        """Take the answer to `question`; says whether the next one need not wait."""
        if self.drafting.stage is not Stage.FILLING:
            return self._told(result)
        if self._phase in AT_TARGET:
            return self._stored(result)
        if result[0] != Code.OK:
            self.drafting.stage = Stage.WAITING
            return False
        self._read(result[4:])
        return self.drafting.stage is Stage.FILLING

    def _told(self, result: list[Any]) -> bool:
        """How far the draft is: go on where its cursor stands, or from the beginning."""
        goes_on = self.drafting.answered(result)
        self._phase = Phase.ASKING if self.drafting.cursor is None else Phase.READING
        return goes_on

    def _stored(self, result: list[Any]) -> bool:
        if result[0] in (Code.EXISTS, Code.GAP, Code.CONFLICT):
            self._begin_anew()
            self.drafting.stage = Stage.MAKING  # it says what there is
            return False
        if result[0] == Code.OK and self._phase is Phase.PUTTING:
            self._put()
            return True
        goes_on = self.drafting.answered([*result, 1] if result[0] == Code.OK else result)
        if result[0] == Code.OK:
            self._phase = Phase.READING
        elif self.drafting.cursor is None or result[0] == Code.STALE:
            self._phase = Phase.ASKING
        return goes_on

    def _put(self) -> None:
        if self._records and self._after:
            self._phase = Phase.PAGING
            return
        self._part += 1
        self._after = ""
        if self._part < len(PARTS):
            self._phase = Phase.PAGING
            return
        self._next = self._start[1] + 1
        self._phase = Phase.CHECKING if self._next <= self._upto else Phase.STARTING

    def _read(self, payload: list[Any]) -> None:
        match self._phase:
            case Phase.ASKING:  # [grant, te, ts, tc, cm, be, bs, bc, entries]
                self._start = ("0", payload[4], 0)
                self._phase = Phase.PLACING
            case Phase.PLACING:  # [ap, records, more]
                for name, record in payload[1][:1]:
                    if name == CLOSED_NAME:
                        self._start = ("0", int(as_bytes(record).split(b" ", 1)[0]), 0)
                self._phase = Phase.FINDING
            case Phase.FINDING:
                self._found(payload)
            case Phase.PAGING:
                self._paged(*payload)
            case Phase.CHECKING:
                self._checked(payload)
            case Phase.READING:
                self._ranged(payload)

    def _found(self, payload: list[Any]) -> None:
        be, bs, bc, entries = payload[5:9]
        sequence = self._start[1]
        found = [read_entry(seq, blob) for seq, blob in entries[:1] if seq == sequence]
        if found:
            self._start = (str(found[0].epoch), sequence, found[0].chain)
        elif bs == sequence:
            self._start = (be, bs, bc)
        else:
            self._phase = Phase.ASKING
            return
        self._upto, self._part, self._after = sequence, 0, ""
        self._phase = Phase.PAGING

    def _paged(self, applied: int, records: list[list[Any]], more: int) -> None:
        if applied < self._start[1]:
            self._wait_at(Phase.ASKING)
            return
        self._upto = max(self._upto, applied)
        self._records = records
        self._after = records[-1][0] if more else ""
        self._phase = Phase.PUTTING

    def _checked(self, payload: list[Any]) -> None:
        """Entries of which the pages may show something already: none may forget ids."""
        entries = [read_entry(seq, blob) for seq, blob in payload[8] if seq <= self._upto]
        if not entries or entries[0].sequence != self._next or any(map(forgets_ids, entries)):
            self._begin_anew()
            return
        self._next = entries[-1].sequence + 1
        if self._next > self._upto:
            self._phase = Phase.STARTING

    def _ranged(self, payload: list[Any]) -> None:
        committed, base, cursor = payload[4], payload[6], self.drafting.cursor or 0
        if base > cursor:
            self._begin_anew()
            return
        self._chunk = [read_entry(seq, blob) for seq, blob in payload[8] if seq <= committed]
        if self._chunk:
            self._phase = Phase.APPLYING
        else:
            self._wait_at(Phase.READING)

    def _wait_at(self, phase: Phase) -> None:
        self._phase = phase
        self.drafting.stage = Stage.WAITING

    def _begin_anew(self) -> None:
        self.drafting.begin_anew()
        self._phase = Phase.ASKING
