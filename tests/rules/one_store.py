"""One store of the twin, spoken to command by command: the rules of the scripts are seen on it."""

from __future__ import annotations

from typing import Any

from regions.codec import FORMAT, Reply, as_bytes
from shards.entry import Entry, write_entry
from shards.scripts.model import new_store

GROUP = "g"
VERSION = 1


class OneStore:
    """A store that belongs to one group; `do` is one command of one process."""

    def __init__(self, name: str = "s1") -> None:
        self.twin = new_store(name)
        self.incarnation = self.twin.state.incarnation
        self.version = VERSION
        assert self.do("install", b"one group")[0] == "OK"

    def call(self, *commands: list[Any], process: str = "p1", generation: int = 1) -> Reply:
        """One call as a whole, with its header."""
        return self.twin.call([FORMAT, self.incarnation, process, generation], list(commands))

    def do(self, operation: str, *arguments: Any, process: str = "p1") -> list[Any]:
        """[code, payload ...] of one command, of the version that is set."""
        reply = self.call([operation, GROUP, self.version, *arguments], process=process)
        code, _version, _state, _description, *payload = reply.results[0]
        return [str(code), *payload]

    def register(self, *sids: str) -> None:
        """Make sessions known."""
        for sid in sids:
            assert self.do("register", sid, "node", "eu", "url", process=sid)[0] == "OK"

    def renew(self, sid: str, counter: int, revision: int = 0, seen: int = 0) -> str:
        """One renewal; returns its code."""
        return str(self.do("renew", sid, counter, revision, seen, [])[0])

    def prepare(self, shard: str, epoch: int, sid: str, *condition: Any) -> str:
        """Ask for a grant, by default on the condition that nobody holds it; returns the code."""
        return str(self.do("prepare", shard, str(epoch), sid, list(condition or ("free",)))[0])

    def append(
        self,
        shard: str,
        epoch: int,
        sid: str,
        before: Entry | None = None,
        entries: tuple[Entry, ...] = (),
        commit: int = 0,
        sync: int = 0,
    ) -> list[Any]:
        """Append entries after `before`; returns [code, payload ...]."""
        seq, at, chain = (0, 0, 0)
        if before is not None:
            seq, at, chain = before.sequence, before.epoch, before.chain
        blobs = [entry.blob for entry in entries]
        return self.do("append", shard, str(epoch), sid, seq, str(at), chain, blobs, commit, sync)

    def grant(self, shard: str) -> tuple[int, int, str, str]:
        """(promised, held at, holder, state)"""
        grant = self.twin.state.groups[GROUP].grants[shard]
        return grant.pe, grant.he, grant.h, grant.st

    def committed(self, shard: str) -> int:
        """The shard's commit index here."""
        return int(self.twin.state.groups[GROUP].shards[shard].cm)

    def value(self, shard: str, key: str, epoch: str = "", commit: int = 0) -> bytes | None:
        """What a read shows of a key: a follower's, or that of the leader of an epoch."""
        values = self.do("read", shard, epoch, commit, [key], [])[7]
        return None if not values[0] else as_bytes(values[0][1])

    def is_fresh(self, shard: str) -> bool:
        """Whether the store vouches for its copy."""
        return bool(self.do("read", shard, "", 0, [], [])[4])


def chain_of(epoch: int, *keys: str, after: Entry | None = None) -> tuple[Entry, ...]:
    """Entries of one epoch, one after the other, each setting a key to its own name."""
    made: list[Entry] = []
    before = after
    for key in keys:
        seq, chain = (0, 0) if before is None else (before.sequence, before.chain)
        put = ["p", "part", key, key.encode(), seq + 1]
        before = write_entry(seq, chain, epoch, [put])
        made.append(before)
    return tuple(made)
