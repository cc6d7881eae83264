"""A leader of one shard in the world of changing store sets: it wins an epoch, recovers, writes.

It asks for no lease and waits for nobody, so there may be many at once, in both versions: nothing
but promises and quorums of one version keeps them apart. What it acknowledges is noted.
"""

from __future__ import annotations

from typing import Any

from regions.codec import Code, Reply
from regions.membership import Member, members
from shards.entry import Entry, read_entry, write_entry
from tests.shards.store_set_world import GROUP, World

BYTES = 1 << 20
EPOCHS_TRIED_MAX = 4


class Leader:
    """One session, one shard, one version."""

    def __init__(self, world: World, name: str, shard: str, version: int) -> None:
        self.world = world
        self.sid = f"{name}/1"
        self.shard = shard
        self.version = version
        described = world.description(version)
        self.voters = members(described.voters)
        self.quorum = described.quorum
        self.epoch = 0
        self.tries = 0
        self.tails: dict[Member, list[Any]] = {}  # [te, ts, tc, cm, ap, as, bytes] of who promised
        self.log: dict[int, Entry] = {}
        self.base = self.last = Entry(0, 0, 0, b"")
        self.opening = 0
        self.commit = 0
        self.covered: dict[Member, int] = {}
        self.is_over = False
        self.has_won = False
        self._stand(1)

    @property
    def leads(self) -> bool:
        """Whether it has an epoch that is open."""
        return not self.is_over and 0 < self.opening <= self.commit

    def _command(self, operation: str, *arguments: Any) -> list[Any]:
        return [operation, GROUP, self.version, *arguments]

    # -- winning an epoch

    def _stand(self, epoch: int) -> None:
        self.epoch = epoch
        self.tries += 1
        self.tails.clear()
        register = self._command("register", self.sid, "node", "eu", "url")
        adopt = self._append_command(0, "0", 0, [], 0)
        for voter in self.voters:
            self.world.send(voter, [register, adopt], self._promised(voter, epoch))

    def _append_command(
        self, seq: int, epoch: str, chain: int, blobs: list[bytes], commit: int
    ) -> list[Any]:
        tenure = (self.shard, str(self.epoch), self.sid)
        return self._command("append", *tenure, seq, epoch, chain, blobs, commit, 0)

    def _promised(self, voter: Member, epoch: int) -> Any:
        def take(reply: Reply | None, _now_ms: int) -> None:
            if self.is_over or self.epoch != epoch or self.has_won:
                return
            result = reply.results[1] if reply is not None and reply.results else [""]
            if result[0] == Code.OK:
                self.tails[voter] = result[4:]
                if len(self.tails) == self.quorum:
                    self._won()
            elif result[0] == Code.FENCED and self.tries < EPOCHS_TRIED_MAX:
                self._stand(int(result[4][0]) + 1)

        return take

    def _won(self) -> None:
        self.has_won = True
        for version, epoch in self.world.won[self.shard]:
            order = (version < self.version) - (version > self.version)
            assert epoch != self.epoch, f"{self.shard}: {epoch} is won twice"
            assert order * (self.epoch - epoch) >= 0, f"{self.shard}: {epoch} is won out of turn"
        self.world.won[self.shard].append((self.version, self.epoch))
        best = max(self.tails, key=lambda m: (int(self.tails[m][0]), self.tails[m][1]))
        whole = self._command("range", self.shard, 1, BYTES)
        self.world.send(best, [whole], self._recovered)

    def _recovered(self, reply: Reply | None, _now_ms: int) -> None:
        if reply is None or not reply.results or reply.results[0][0] != Code.OK:
            self.is_over = True
            return
        _, te, ts, tc, cm, be, bs, bc, entries, _told = reply.results[0][4:]
        self.log = {seq: read_entry(seq, blob) for seq, blob in entries}
        self.base = Entry(bs, int(be), bc, b"")
        self.last = self.log.get(ts) or self.base
        if (str(self.last.epoch), self.last.sequence, self.last.chain) != (te, ts, tc):
            self.is_over = True
            return
        self.commit = max(cm, *(tail[3] for tail in self.tails.values()))
        self.opening = self.last.sequence + 1
        self.covered = {m: min(tail[3], ts) for m, tail in self.tails.items()}
        self.write(0)

    # -- leading

    def write(self, count: int = 1) -> None:
        """Entries; the first one opens the epoch."""
        for _ in range(count or 1):
            seq = self.last.sequence + 1
            effects, op_id = self._thing(seq) if count else ([], "")
            self.last = write_entry(seq - 1, self.last.chain, self.epoch, effects, op_id)
            self.log[seq] = self.last
        for voter in self.covered:
            self._append(voter)

    def _thing(self, seq: int) -> tuple[list[list[Any]], str]:
        """Mostly a key, under an operation id that may have been used; now and then, ids go."""
        roll = self.world.chance.random()
        if roll < 0.03:
            return [["x", max(0, seq - 10)]], ""
        key = f"k{self.world.chance.randrange(30)}"
        if roll < 0.2:
            return [["d", "", key]], ""
        op_id = f"o{seq - self.world.chance.randrange(3)}"
        return [["p", "", key, f"{self.sid} {seq}".encode(), seq]], op_id

    def _append(self, voter: Member) -> None:
        before = max(self.covered[voter], self.base.sequence)
        entry = self.log.get(before, self.base)
        epoch, chain = str(entry.epoch), entry.chain
        blobs = [self.log[seq].blob for seq in range(before + 1, self.last.sequence + 1)]
        command = self._append_command(before, epoch, chain, blobs, self.commit)
        self.world.send(voter, [command], self._appended(voter))

    def _appended(self, voter: Member) -> Any:
        def take(reply: Reply | None, _now_ms: int) -> None:
            if self.is_over or reply is None:
                return
            if reply.results and reply.results[0][0] == Code.GAP:
                return  # it needs more than is kept: nobody here copies it
            if not reply.results or reply.results[0][0] != Code.OK:
                self.is_over = True  # fenced, sealed, gone on: somebody else's turn
                return
            self.covered[voter] = max(self.covered[voter], reply.results[0][9])
            reached = sorted(self.covered.values(), reverse=True)[self.quorum - 1]
            if reached >= self.opening and reached > self.commit:
                self.commit = reached
                acked = self.world.acked[self.shard]
                for seq in range(len(acked), reached + 1):
                    acked.append(self.log[seq].chain)
                    self.world.blobs[self.shard].append(self.log[seq].blob)
                assert acked[reached] == self.log[reached].chain, "acknowledged otherwise"

        return take

    def tell_commit(self) -> None:
        """The commit index travels."""
        for voter in self.covered:
            self._append(voter)

    def trim(self) -> None:
        """Cut the front of the log off, at every store."""
        upto = self.commit - self.world.chance.randrange(60)
        if upto > 0:
            for voter in self.covered:
                command = self._command("trim", self.shard, str(self.epoch), self.sid, upto)
                self.world.send(voter, [command], lambda reply, now_ms: None)
