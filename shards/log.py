"""The leader's side of one shard's log, in one epoch: what is stored where, and what is committed.

Theory of operation. The leader appends entries at its tail and sends each store what it lacks, in
order. An entry is committed when a majority of voters acknowledged appends *of this epoch* that
cover it, and not before the entry that opened the epoch (`opening`) is itself covered: an old
entry found on a majority proves nothing. The commit index travels with the appends; it is never
taken from a tail.

For each store the log keeps a *stream*: what has been sent on the present connection, and what has
been acknowledged. A gap or a lost connection restarts the stream from the last point that is
certain; answers that belong to an earlier stream count only for what they prove (coverage), never
for position.

    UNKNOWN   nothing certain: a probe asks where the store stands (and adopts it for this epoch)
    FLOWING   entries are sent as they come, several calls ahead of the answers
    BEHIND    the store needs entries older than those kept here: they must be fetched
    REFUSED   the store promised a higher epoch, or contradicts the log

`freshness`: an append that brings a store to the last entry and the commit index of its sender may
set `sync`, the mark by which followers vouch for their data; `unvouched` tells whether the store
could still be missing a commit index that this leader knows.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any

from regions.quorum import quorum_of, reached_by_quorum
from shards.entry import Entry, closed_by, forgets_ids, without_content, write_entry
from shards.reserved import closing, wiping
from shards.trimming import STEP_BYTES, STEP_ENTRIES, Hold, Trimming

CACHE_BYTES_MAX = 8 * 1024 * 1024
BATCH_BYTES_MAX = 256 * 1024
YOUNG_ENTRIES = 4  # so many from the opening one on are kept for stores that have none of them
NOWHERE = Entry(0, 0, 0, b"")


class Stream(Enum):
    """How far a store can be sent to."""

    UNKNOWN = "unknown"
    FLOWING = "flowing"
    BEHIND = "behind"
    REFUSED = "refused"


class Follower:
    """One store's copy as its leader knows it."""

    __slots__ = (
        "awaited",
        "commit_sent",
        "committed",
        "covered",
        "held_back",
        "probing",
        "rests",
        "rests_until_ms",
        "round",
        "sent",
        "size_bytes",
        "stream",
        "synced",
    )

    def __init__(self) -> None:
        self.stream = Stream.UNKNOWN
        self.round = 0  # numbers the streams, so that late answers are known as late
        self.sent = 0
        self.covered = 0  # acknowledged by appends of this epoch
        self.committed = 0  # commit index the store answered
        self.commit_sent = -1
        self.probing = False
        self.rests_until_ms = 0  # it understood nothing: asked again then, not before
        self.synced = False
        self.held_back = False  # no entries are sent: the store has no room for them, or rests
        self.rests = False  # nobody wants it to follow: nothing waits for it
        self.size_bytes = 0  # of the shard, as the store answered
        self.awaited: int | None = None  # a copy has come so far: what follows is kept for it


class Log:
    """One shard's log in one epoch of one leader."""

    __slots__ = (
        "_bytes", "_entries", "_settling", "_sized_at", "_voters", "closed", "commit", "epoch",
        "floor",
        "followers", "forgot_at", "grown_at", "is_refused", "last", "opening", "settled", "shard",
        "sid", "size_bytes", "trimming", "written_bytes",
    )  # fmt: skip

    def __init__(
        self, shard: str, epoch: int, sid: str, voters: int, stores: int, floor: Entry, commit: int
    ) -> None:
        """`floor` is the last entry before those kept here; `commit` what is known committed."""
        self.shard = shard
        self.epoch = epoch
        self.sid = sid
        self.floor = floor
        self.settled = self._settling = NOWHERE  # a former floor that all within reach have applied
        self.last = floor
        self.commit = commit
        self.opening = 0
        self.closed = 0  # the resharding that ends this log; committed or not
        self.is_refused = False  # whether any store has refused this epoch
        self.forgot_at = 0  # no entry after this one forgets ids
        self.size_bytes = 0
        self.grown_at = 0  # the last entry that may have made the shard larger
        self._sized_at = 0
        self.written_bytes = 0
        self.trimming: Trimming | None = None
        self._voters = voters
        self._entries: list[Entry] = []
        self._bytes = 0
        self.followers = tuple(Follower() for _ in range(stores))

    # -- writing

    def extend(self, entries: Iterable[Entry]) -> None:
        """Take over entries of earlier epochs, as recovery found them."""
        for entry in entries:
            assert entry.sequence == self.last.sequence + 1, "recovered entries must be contiguous"
            self._keep(entry)
            self.grown_at = entry.sequence
            if forgets_ids(entry):
                self.forgot_at = entry.sequence
            self.closed = self.closed or closed_by(entry)

    def inherit(self, older: Log) -> None:
        """Continue the log this process led with in an earlier epoch, entries kept and all."""
        assert older.last.sequence == self.floor.sequence, "inherited log must end at the floor"
        self.floor = older.floor
        self.settled, self._settling = older.settled, older._settling
        self._entries = older._entries
        self._bytes = older._bytes
        self.grown_at = older.grown_at
        self.written_bytes = older.written_bytes
        self.trimming = older.trimming
        self.forgot_at = older.forgot_at
        self.closed = older.closed

    def write(
        self, effects: list[list[Any]], op_id: str = "", digest: str = "", outcome: Any = False
    ) -> Entry:
        """Append a new entry of this epoch."""
        entry = write_entry(
            self.last.sequence, self.last.chain, self.epoch, effects, op_id, digest, outcome
        )
        self._keep(entry)
        for effect in effects:
            if effect[0] == "p":
                self.grown_at = entry.sequence
                break
        return entry

    def close(self, number: int) -> Entry:
        """Append the entry after which there is nothing but openings of epochs, and the wipe."""
        assert not self.closed, "a log ends once"
        self.closed = number
        return self.write(closing(number, self.last.sequence + 1))

    def wipe(self) -> Entry:
        """Append the entry that deletes the data of a closed shard."""
        assert self.closed, "only what is closed is wiped"
        return self.write(wiping(self.closed))

    def open_epoch(self, effects: list[list[Any]]) -> Entry:
        """Append the entry that opens this epoch; nothing is committed before it is."""
        entry = self.write(effects)
        self.opening = entry.sequence
        return entry

    @property
    def is_open(self) -> bool:
        """Whether the opening entry is committed: only then may anything be admitted or served."""
        return 0 < self.opening <= self.commit

    @property
    def pending(self) -> int:
        """Entries not known to be committed."""
        return self.last.sequence - self.commit

    @property
    def kept_bytes(self) -> int:
        """Of the entries that are kept here for stores that lack them."""
        return self._bytes

    def _keep(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._bytes += len(entry.blob)
        self.written_bytes += len(entry.blob)
        self.last = entry

    # -- sending

    def wants(self, store: int, vouch: bool) -> bool:
        """Whether there is anything to send to this store now; `vouch`: by a leader that serves."""
        f = self.followers[store]
        if f.stream is Stream.FLOWING:
            if f.held_back and f.sent < self.last.sequence:
                return f.commit_sent < min(self.commit, f.sent)
            behind = f.sent < self.last.sequence or f.commit_sent < self.commit
            return behind or (vouch and self.is_open and not f.synced)
        return f.stream is Stream.UNKNOWN and not f.probing

    def lacks_entries(self, store: int) -> bool:
        """Whether entries wait for this store, to be sent by this log or copied to it (BEHIND).

        A commit index alone does not count: it travels with the next entries, or a little later.
        """
        f = self.followers[store]
        if f.stream is Stream.FLOWING:
            return f.sent < self.last.sequence and not f.held_back
        return f.stream is Stream.BEHIND and not f.held_back

    @property
    def leaves_behind(self) -> bool:
        """Whether some store needs entries that are not kept here."""
        return any(f.stream is Stream.BEHIND and not f.rests for f in self.followers)

    def next_append(
        self, store: int, group: str, version: int, bytes_max: int, vouch: bool
    ) -> tuple[list[Any], int] | None:
        """The next command for a store and the number of its stream, None if nothing is to be sent.

        Only a leader that serves (`vouch`) may set sync, with an append that brings the store to
        the last entry and the commit index known here.
        """
        f = self.followers[store]
        if f.stream is Stream.UNKNOWN and not f.probing:
            f.probing = True
            return self._append(group, version, 0, 0, 0, [], 0, 0), f.round
        if f.stream is not Stream.FLOWING or not self.wants(store, vouch):
            return None
        before, entries = self._batch(f.sent, 0 if f.held_back else bytes_max)
        f.sent += len(entries)
        f.commit_sent = self.commit
        f.synced = vouch and self.is_open and f.sent == self.last.sequence
        blobs = [entry.blob for entry in entries]
        return self._append(
            group, version, before.sequence, before.epoch, before.chain, blobs, self.commit,
            int(f.synced)
        ), f.round  # fmt: skip

    def has_answered(self, store: int) -> bool:
        """Whether nothing is under way to a store whose stream flows."""
        f = self.followers[store]
        answered = f.covered >= f.sent and f.committed >= min(f.commit_sent, f.sent)
        return answered or f.stream is not Stream.FLOWING

    def confirm(
        self, store: int, group: str, version: int, vouch: bool
    ) -> tuple[list[Any], int] | None:
        """Where a store must stand by now, without entries; None if it has answered everything.

        A store that refused a call on the way, and so lacks what was in it, finds a gap here, and
        with it ends its freshness.
        """
        f = self.followers[store]
        if self.has_answered(store):
            return None
        before, _ = self._batch(f.sent, 0)
        f.commit_sent = self.commit
        f.synced = vouch and self.is_open and f.sent == self.last.sequence
        return self._append(
            group, version, before.sequence, before.epoch, before.chain, [], self.commit,
            int(f.synced)
        ), f.round  # fmt: skip

    def entry_append(
        self, group: str, version: int, before_sequence: int, entries: list[Entry]
    ) -> list[Any]:
        """A command that stores fetched old entries; `before_sequence` must be committed there."""
        blobs = [entry.blob for entry in entries]
        return self._append(group, version, before_sequence, 0, 0, blobs, self.commit, 0)

    def _append(
        self, group: str, version: int, seq: int, epoch: int, chain: int,
        blobs: list[bytes], commit: int, sync: int,
    ) -> list[Any]:  # fmt: skip
        return [
            "append", group, version, self.shard, str(self.epoch), self.sid,
            seq, str(epoch), chain, blobs, commit, sync,
        ]  # fmt: skip

    def _batch(self, sent: int, bytes_max: int) -> tuple[Entry, list[Entry]]:
        first = self.floor.sequence + 1
        start = sent + 1 - first
        before = self.floor if start == 0 else self._entries[start - 1]
        size = 0
        end = start
        while end < len(self._entries) and size < bytes_max:
            size += len(self._entries[end].blob)
            end += 1
        return before, self._entries[start:end]

    # -- answers

    def appended(self, store: int, number: int, payload: list[Any]) -> int:
        """An append was accepted: [te, ts, tc, cm, ap, as, bytes]. Returns the new commit index."""
        te, ts, tc, cm, applied, covered, size = payload
        f = self.followers[store]
        f.committed = max(f.committed, cm)
        f.size_bytes = size
        if applied >= self._sized_at:
            self._sized_at, self.size_bytes = applied, size
        if number == f.round and f.stream is Stream.UNKNOWN:
            self._start(store, ts, int(te), tc)
        if covered > f.covered:
            f.covered = min(covered, self.last.sequence)
            self._advance()
        return self.commit

    def gap(self, store: int, number: int, payload: list[Any]) -> None:
        """The store lacks what this stream builds on: [te, ts, tc, cm, bs]. Go back to its cm."""
        f = self.followers[store]
        if number == f.round:
            f.committed = max(f.committed, payload[3])
            self.restart(store, f.committed)

    def caught_up(self, store: int, committed: int) -> None:
        """The store was brought along by copies up to `committed`: go on from there."""
        f = self.followers[store]
        f.awaited = None
        f.committed = max(f.committed, committed)
        self.restart(store, committed)

    def restart(self, store: int, matched: int) -> None:
        """Go on sending after `matched`, which is certain to be the same there as here.

        If that is too far back, the store is BEHIND: `sent` is then what it has committed, since
        copies begin where nobody has to compare.
        """
        f = self.followers[store]
        f.round += 1
        f.probing = False
        f.commit_sent = -1
        f.synced = False
        f.sent = min(max(matched, f.committed), self.last.sequence)
        f.stream = Stream.FLOWING
        if f.sent < self.floor.sequence:
            f.sent, f.stream = f.committed, Stream.BEHIND

    def matches(self, store: int, sequence: int, epoch: int, chain: int, committed: int) -> None:
        """A grant showed this store's tail: start where it agrees with this log."""
        f = self.followers[store]
        f.committed = max(f.committed, committed)
        self._start(store, sequence, epoch, chain)

    def _start(self, store: int, sequence: int, epoch: int, chain: int) -> None:
        f = self.followers[store]
        known = self.entry_at(sequence)
        same = known is not None and (known.epoch, known.chain) == (epoch, chain)
        self.restart(store, sequence if same else max(f.committed, f.covered))

    def lost(self, store: int) -> None:
        """The connection is gone: everything unanswered is unknown, and so is where it stands."""
        f = self.followers[store]
        f.round += 1
        f.probing = False
        f.synced = False
        if f.stream is not Stream.REFUSED:
            f.stream = Stream.UNKNOWN

    def refused(self, store: int) -> None:
        """The store will not take this epoch any more."""
        f = self.followers[store]
        f.stream = Stream.REFUSED
        self.is_refused = True
        f.synced = False

    def unvouched(self, store: int) -> bool:
        """Whether the store may lack what is known here: then it must not vouch."""
        f = self.followers[store]
        return f.commit_sent < self.commit or f.sent < self.last.sequence or not f.synced

    def _advance(self) -> None:
        covered = [f.covered for f in self.followers[: self._voters]]
        reached = reached_by_quorum(covered, quorum_of(self._voters))
        if reached >= self.opening > 0 and reached > self.commit:
            self.commit = reached

    # -- memory

    def entry_at(self, sequence: int) -> Entry | None:
        """The entry with this sequence, if it is kept here."""
        index = sequence - self.floor.sequence - 1
        if index == -1:
            return self.floor if self.floor.epoch else None
        return self._entries[index] if 0 <= index < len(self._entries) else None

    def trims(self, hold: Hold, needed_after: int | None = None) -> Trimming | None:
        """What is to be trimmed at the stores by now, None if nothing is.

        `needed_after`: up to where somebody has the log who copies it, None if nobody does.
        """
        if self.trimming is None:
            if self.last.sequence - self.opening < STEP_ENTRIES and self.written_bytes < STEP_BYTES:
                return None
            self.trimming = Trimming()
        self.trimming.wrote(self.last.sequence, self.written_bytes)
        covered = [f.covered for f in self.followers if not f.rests]
        if needed_after is not None:
            covered.append(needed_after)
        return self.trimming if self.trimming.advance(self.commit, covered, hold) else None

    def forget(self) -> None:
        """Drop entries that every store within reach has, and more when there is no room for them.

        A store whose probe is under way will need them in a moment: without them, the farthest
        store of a group would have to be copied to after every election. So would one that has not
        acknowledged anything of a young epoch, because it was not asked yet when many elections
        are on, or because its lane was lost meanwhile. And so will one to which entries are copied:
        without them, the copy would never get to the end while others write.
        """
        is_young = self.last.sequence - self.opening <= YOUNG_ENTRIES
        near = [
            f.covered
            for f in self.followers
            if f.probing
            or (not f.rests and (f.stream is Stream.FLOWING or (is_young and self._awaits(f))))
        ]
        near += [f.awaited for f in self.followers if f.awaited is not None]
        upto = min([self.commit, *near])
        if self._bytes > CACHE_BYTES_MAX:
            upto = max(upto, self._overflow())
        count = upto - self.floor.sequence
        if count <= 0:
            return
        self.floor = without_content(self._entries[count - 1])
        self._settle()
        self._bytes -= sum(len(entry.blob) for entry in self._entries[:count])
        del self._entries[:count]
        if not self._entries:
            self.last = self.floor
        for store, f in enumerate(self.followers):
            if f.stream is Stream.FLOWING and f.sent < self.floor.sequence:
                self.restart(store, f.committed)

    def _awaits(self, f: Follower) -> bool:
        """Whether a store has yet to acknowledge the entry that opens this epoch, and may do so."""
        return f.covered < self.opening and f.stream not in (Stream.BEHIND, Stream.REFUSED)

    def _settle(self) -> None:
        near = [f for f in self.followers if f.stream is Stream.FLOWING and not f.rests]
        applied = [f.committed for f in near]
        if min(applied, default=0) >= self._settling.sequence:
            self.settled, self._settling = self._settling, self.floor

    def _overflow(self) -> int:
        size = self._bytes
        for entry in self._entries:
            if size <= CACHE_BYTES_MAX or entry.sequence > self.commit:
                return entry.sequence - 1
            size -= len(entry.blob)
        return self.commit
