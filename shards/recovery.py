"""After a won election: find the log that must survive, and make it this epoch's.

Theory of operation. Among the logs of the granting stores (and the leader's own, if it led before)
the one with the greatest (epoch of its last entry, sequence) holds everything that any earlier
leader can have committed. Its entries above the commit index are appended again with their
original epochs, then one entry of the new epoch is added. When *that* is committed, and only then,
the shard is open.

What the chosen store did not put into its grant is fetched from it, from its commit index on.

    FETCHING --entries to the tail--> READY      FETCHING --source lost--> FAILED
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from shards.election import Tail
from shards.entry import Entry, read_entry


class Progress(Enum):
    """How far recovery is."""

    FETCHING = "fetching"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Choice:
    """The log to continue: store (None: the leader's own), its last entry and commit index."""

    store: int | None
    epoch: int
    sequence: int
    chain: int
    committed: int


def choose_log(tails: dict[int, Tail], own: Entry | None, own_commit: int) -> Choice:
    """The greatest (epoch, sequence), never the longest; the leader's own log wins a tie."""
    committed = max([own_commit, *(tail.committed for tail in tails.values())])
    if own is not None and all(
        (own.epoch, own.sequence) >= (tail.epoch, tail.sequence) for tail in tails.values()
    ):
        return Choice(None, own.epoch, own.sequence, own.chain, committed)
    store = max(tails, key=lambda i: (tails[i].epoch, tails[i].sequence, tails[i].committed, -i))
    best = tails[store]
    return Choice(store, best.epoch, best.sequence, best.chain, committed)


class Recovery:
    """Collects the entries above the chosen log's commit index."""

    __slots__ = ("choice", "entries", "floor", "progress")

    def __init__(self, tails: dict[int, Tail], own: Entry | None, own_commit: int) -> None:
        self.choice = choose_log(tails, own, own_commit)
        self.entries: list[Entry] = []
        self.progress = Progress.READY
        last = Entry(self.choice.sequence, self.choice.epoch, self.choice.chain, b"")
        self.floor = last
        if self.choice.store is None:
            return
        best = tails[self.choice.store]
        if best.sequence > best.committed:
            self.floor = Entry(best.committed, 0, 0, b"")
            self.progress = Progress.FETCHING
            self._add([read_entry(seq, blob) for seq, blob in best.suffix])

    def next_fetch(self, group: str, version: int, shard: str, bytes_max: int) -> list[Any]:
        """The command for the chosen store that continues the entries."""
        first = self.floor.sequence + len(self.entries) + 1
        return ["range", group, version, shard, first, bytes_max]

    def fetched(self, records: list[list[Any]]) -> Progress:
        """Entries of the chosen store's log arrived; none at all means that it cannot continue."""
        before = len(self.entries)
        self._add([read_entry(seq, blob) for seq, blob in records])
        if self.progress is Progress.FETCHING and len(self.entries) == before:
            self.progress = Progress.FAILED
        return self.progress

    def _add(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.sequence > self.choice.sequence:
                break
            if entry.sequence != self.floor.sequence + len(self.entries) + 1:
                break
            self.entries.append(entry)
        if self.entries and self.entries[-1].sequence == self.choice.sequence:
            last = self.entries[-1]
            whole = (last.epoch, last.chain) == (self.choice.epoch, self.choice.chain)
            self.progress = Progress.READY if whole else Progress.FAILED
