"""Bringing the greatest log of a shard to one store that becomes one of the next version.

Theory of operation. A store that is merged into may lack entries: above its commit index, all of
its log may have to be replaced. They are read from a store that has the greatest log. What fits
into one chunk goes along with the merge; of a longer tail, parts are sent before, and the merge
takes them from where they are kept. Either way the store replaces its log in one step.

    READING --all of it--> MERGING --> DONE     READING --more to come--> SENDING --> READING ...
    --the last part--> SENDING --> MERGING
    READING --the source has trimmed what comes next--> TRIMMED
    READING --the source has another log by now--> REPLACED
    any --an answer that is lost, or refused--> FAILED

The source may be in use in the next version already, so that its log grows, or is another one. What
was read is the log that was meant if its last entry has that log's chain.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from regions.codec import Code
from shards.entry import Entry, read_entry
from shards.merge import Record, Tip, merge_command

CHUNK_BYTES = 128 * 1024


class Phase(Enum):
    """Where it is."""

    READING = "reading"
    SENDING = "sending"
    MERGING = "merging"
    DONE = "done"
    TRIMMED = "trimmed"
    REPLACED = "replaced"
    FAILED = "failed"


OVER = (Phase.DONE, Phase.TRIMMED, Phase.REPLACED, Phase.FAILED)


class TailCopy:
    """One shard, one source, one target. One question at a time: `question`, then `answered`."""

    __slots__ = (
        "_attempt", "_chunk", "_first", "_group", "_next", "_source_version", "_version", "phase",
        "record", "shard",
    )  # fmt: skip

    def __init__(
        self, shard: str, record: Record, group: str, source_version: int, version: int,
        attempt: str, committed: int,
    ) -> None:  # fmt: skip
        """`committed` is the target's commit index; `version` the one that it will have."""
        self.shard = shard
        self.record = record
        self._group = group
        self._source_version = source_version
        self._version = version
        self._attempt = attempt
        self._first = self._next = committed + 1
        self._chunk: list[Entry] = []
        self.phase = Phase.READING

    @property
    def is_at_source(self) -> bool:
        """Whose turn it is."""
        return self.phase is Phase.READING

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to ask."""
        return self.phase in OVER

    def question(self) -> list[Any] | None:
        """What to ask the source, or the target, now; None when it is over."""
        match self.phase:
            case Phase.READING:
                head = ["range", self._group, self._source_version, self.shard]
                return [*head, self._next, CHUNK_BYTES]
            case Phase.SENDING:
                parts = [[entry.sequence, entry.blob] for entry in self._chunk]
                head = ["merge_tail", self._group, self._version, self.shard]
                return [*head, self._attempt, parts]
            case Phase.MERGING:
                entries = [entry.blob for entry in self._chunk] if self._is_whole else False
                return merge_command(
                    self._group, self._version, self.shard, self._attempt, self.record,
                    self._first, entries,
                )  # fmt: skip
        return None

    @property
    def _is_whole(self) -> bool:
        """Whether the present chunk is all there is to send."""
        return bool(self._chunk) and self._chunk[0].sequence == self._first

    def answered(self, result: list[Any] | None) -> None:
        """Take the answer to `question`; None: it was lost."""
        if result is None or result[0] != Code.OK:
            self.phase = Phase.FAILED
        elif self.phase is Phase.READING:
            self._read(result[4:])
        elif self.phase is Phase.SENDING:
            self._next = self._chunk[-1].sequence + 1
            self._chunk = []
            whole = self._next > self.record.tip.sequence
            self.phase = Phase.MERGING if whole else Phase.READING
        else:
            self.phase = Phase.DONE

    def _read(self, payload: list[Any]) -> None:
        """[grant, te, ts, tc, cm, be, bs, bc, entries]"""
        tip, base = self.record.tip, payload[6]
        if base >= self._next:
            self.phase = Phase.TRIMMED
            return
        entries = [read_entry(seq, blob) for seq, blob in payload[8] if seq <= tip.sequence]
        last = entries[-1] if entries else None
        if last is None or (
            last.sequence == tip.sequence and Tip(last.epoch, last.sequence, last.chain) != tip
        ):
            self.phase = Phase.REPLACED
            return
        self._chunk = entries
        whole = last.sequence == tip.sequence and self._is_whole
        self.phase = Phase.MERGING if whole else Phase.SENDING
