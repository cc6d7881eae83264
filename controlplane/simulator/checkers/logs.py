"""Logs: what was committed stays, everywhere, in its place.

A sequence is committed when a majority of voters accepted appends of one epoch that cover it, and
an entry written in that epoch is covered with it. The checker keeps the committed log of each shard
as it comes to be, by itself, from what stores accepted.

Invariant 4: a store accepts no append below its promise; after a majority promised a greater epoch,
no older append is accepted by a majority.
Invariant 5: the committed prefix is a prefix of every later leader's log.
Invariant 6: no store's commit index exceeds what is committed; nothing at or below it is replaced.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from controlplane.simulator.checkers.findings import Findings
from controlplane.simulator.checkers.promises import Voters
from regions.codec import unpack
from regions.quorum import quorum_of, reached_by_quorum

EntryAt = Callable[[int], bytes | None]


@dataclass(frozen=True, slots=True)
class Accepted:
    """An append that a store accepted: entries after `before`, covered up to `covered`."""

    store: str
    shard: str
    epoch: int
    before: int
    blobs: list[bytes]
    covered: int
    version: int = 1  # of the group


@dataclass(slots=True)
class CommittedLog:
    """One shard's log as far as it is committed: entries as stored, and who committed them.

    The log of a shard that continues others begins at `base`; what is before it stands as nothing.
    """

    blobs: list[bytes] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)
    base: tuple[int, int, int] | None = None

    def __len__(self) -> int:
        return len(self.blobs)


class LogChecker:
    """Fed with accepted appends and with commit indexes as stores hold them."""

    def __init__(self, findings: Findings, voters: Voters) -> None:
        self.logs: dict[str, CommittedLog] = defaultdict(CommittedLog)
        self._findings = findings
        self._voters = voters
        self._promised: dict[tuple[str, str], int] = {}
        self._covered: dict[tuple[str, int], dict[str, int]] = defaultdict(dict)
        self._late: dict[tuple[str, int], set[str]] = defaultdict(set)
        self._indexes: dict[tuple[str, str], int] = {}

    def forgot(self, store: str) -> None:
        """The store lost what it had: nothing that it said before binds it."""
        for places in (self._promised, self._indexes):
            for place in [place for place in places if place[0] == store]:
                del places[place]

    def born(self, store: str, shard: str, base: tuple[int, int, int], at_ms: int) -> None:
        """A store says that the log of a shard begins after `base` (epoch, sequence, chain)."""
        log = self.logs[shard]
        if log.base is None and not log.blobs:
            log.base = base
            log.blobs = [b""] * base[1]
            log.epochs = [base[0]] * base[1]
        elif log.base != base:
            detail = f"{store} begins {shard} at {base}, others at {log.base}"
            self._findings.add("every ripe store holds the same", at_ms, detail)

    def promised(self, store: str, shard: str, epoch: int) -> None:
        """The store granted a prepare of this epoch."""
        place = (store, shard)
        self._promised[place] = max(epoch, self._promised.get(place, 0))

    def accepted(self, append: Accepted, entry_at: EntryAt, at_ms: int) -> None:
        """The store accepted an append; `entry_at` reads its log as it is now."""
        self._keeps_promises(append, at_ms)
        self.promised(append.store, append.shard, append.epoch)
        if append.blobs:
            self._agrees_with_commits(append, at_ms)
        if append.store in self._voters(append.shard, append.version):
            self._commits(append, entry_at, at_ms)

    def holds(self, store: str, shard: str, index: int, entry_at: EntryAt, at_ms: int) -> None:
        """The store's commit index is `index`; its log is read by `entry_at`."""
        place = (store, shard)
        if self._indexes.get(place) == index:
            return
        before = self._indexes.get(place, 0)
        self._indexes[place] = index
        log = self.logs[shard]
        if index < before:
            detail = f"{store} took the commit index of {shard} from {before} back to {index}"
            self._findings.add("6 commit indexes never decrease", at_ms, detail)
        if index > len(log):
            detail = f"{store} holds {index} of {shard}, {len(log)} is committed"
            self._findings.add("6 nothing is applied that is not committed", at_ms, detail)
            return
        for sequence in range(before + 1, index + 1):
            blob = entry_at(sequence)
            if blob is not None and blob != log.blobs[sequence - 1]:
                detail = f"{store} holds another entry {sequence} of {shard} than was committed"
                self._findings.add("6 what is committed is the same everywhere", at_ms, detail)

    def _keeps_promises(self, append: Accepted, at_ms: int) -> None:
        promise = self._promised.get((append.store, append.shard), 0)
        if append.epoch < promise:
            detail = f"{append.store} took {append.shard} of {append.epoch} after {promise}"
            self._findings.add("4 no append below the promise", at_ms, detail)
        voters = self._voters(append.shard, append.version)
        promises = [self._promised.get((store, append.shard), 0) for store in voters]
        quorum = quorum_of(len(voters))
        if append.store in voters and reached_by_quorum(promises, quorum) > append.epoch:
            late = self._late[append.shard, append.epoch]
            late.add(append.store)
            if len(late) >= quorum:
                detail = f"epoch {append.epoch} of {append.shard} reached {sorted(late)} too late"
                self._findings.add("4 fenced epochs reach no majority", at_ms, detail)

    def _agrees_with_commits(self, append: Accepted, at_ms: int) -> None:
        log = self.logs[append.shard]
        for sequence, blob in enumerate(append.blobs, append.before + 1):
            if sequence > len(log):
                return
            committed_in = log.epochs[sequence - 1]
            if blob != log.blobs[sequence - 1] and append.epoch > committed_in:
                detail = (
                    f"epoch {append.epoch} of {append.shard} writes another entry {sequence} "
                    f"than was committed in {committed_in}"
                )
                self._findings.add("5 later leaders keep what is committed", at_ms, detail)

    def _commits(self, append: Accepted, entry_at: EntryAt, at_ms: int) -> None:
        shard = append.shard
        covered = self._covered[shard, append.epoch]
        if covered.get(append.store, -1) >= append.covered:
            return
        covered[append.store] = append.covered
        voters = self._voters(shard, append.version)
        reached = reached_by_quorum(list(covered.values()), quorum_of(len(voters)))
        log = self.logs[shard]
        tip = entry_at(reached) if reached else None
        if tip is None or int(unpack(tip)[0]) != append.epoch:
            return
        same = min(reached, len(log))
        if same and (known := entry_at(same)) is not None and known != log.blobs[same - 1]:
            detail = f"epoch {append.epoch} of {shard} commits {reached} with another entry {same}"
            self._findings.add("5 later leaders keep what is committed", at_ms, detail)
        for sequence in range(len(log) + 1, reached + 1):
            blob = entry_at(sequence)
            if blob is None:
                detail = f"{append.store} covers {reached} of {shard} without {sequence}"
                self._findings.add("5 what is committed is stored", at_ms, detail)
                return
            log.blobs.append(blob)
            log.epochs.append(append.epoch)
