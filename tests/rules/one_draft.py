"""Parents and drafts on stores of the twin: how the rules of resharding are shown."""

from __future__ import annotations

from typing import Any

from shards.entry import Entry, write_entry
from shards.reserved import closing
from tests.rules.one_store import GROUP, OneStore

A, B = "p1/1", "p2/1"
N = 7
BY, LATER = "1/p1", "2/p1"
ALL = [0, 1 << 24]
PARTS = ("kv", "id", "hi")
STEPS_MAX = 50


class Parent:
    """A shard that a leader of epoch 1 writes: at `store`, under its name."""

    def __init__(self, store: OneStore, shard: str = "a") -> None:
        self.store = store
        self.shard = shard
        self.log: list[Entry] = []
        assert store.prepare(shard, 1, A) == "OK"

    def write(self, *effects: list[Any], op_id: str = "", epoch: int = 1) -> Entry:
        """One more entry, committed."""
        before = self.log[-1] if self.log else Entry(0, 0, 0, b"")
        outcome = ["done", before.sequence + 1]
        at = before.sequence, before.chain
        entry = write_entry(*at, epoch, list(effects), op_id, "d", outcome)
        self.log.append(entry)
        after = before if before.sequence else None
        done = self.store.append(self.shard, 1, A, after, (entry,), commit=entry.sequence)
        assert done[0] == "OK"
        return entry

    def put(self, key: str, value: bytes = b"v", op_id: str = "") -> Entry:
        return self.write(["p", key, key, value, len(self.log) + 1], op_id=op_id)

    def close(self, number: int = N) -> Entry:
        return self.write(*closing(number, len(self.log) + 1), op_id=f"closing {number}")

    def pages(self, part: str) -> list[Any]:
        code, _applied, records, more = self.store.do("draft_read", self.shard, part, "", 1 << 20)
        assert (code, more) == ("OK", 0)
        return list(records)


def new_store() -> OneStore:
    """A store at which two sessions are known."""
    made = OneStore()
    made.register(A, B)
    return made


def draft(store: OneStore, *parents: list[int], shard: str = "d", number: int = N) -> str:
    return str(store.do("draft", shard, number, list(parents or (ALL,)))[0])


def fill(
    at: OneStore, parent: Parent, p: int = 0, start: Entry | None = None, by: str = BY
) -> list[Any]:
    """Pages as they are now, and the word that entries go on behind `start`."""
    for part in PARTS:
        done = at.do("draft_page", "d", N, p, by, part, parent.pages(part))
        assert done[0] == "OK", done
    entry = start or Entry(0, 0, 0, b"")
    return at.do("draft_data", "d", N, p, by, str(entry.epoch), entry.sequence, entry.chain)


def follow(
    at: OneStore, parent: Parent, after: Entry | None = None, p: int = 0, by: str = BY
) -> list[Any]:
    """Everything that the parent has behind an entry."""
    seq, chain = (0, 0) if after is None else (after.sequence, after.chain)
    blobs = [entry.blob for entry in parent.log[seq:]]
    return at.do("draft_log", "d", N, p, by, seq, chain, blobs)


def copy_here(at: OneStore, shard: str = "a", p: int = 0, by: str = BY, room: int = 0) -> list[Any]:
    """Let the store fill the draft by itself, until there is nothing more to do."""
    for _ in range(STEPS_MAX):
        answer = at.do("draft_local", "d", N, p, by, GROUP, shard, room)
        if answer[0] != "OK" or not answer[3]:
            return answer
    raise AssertionError(f"no end after {STEPS_MAX} steps: {answer}")


def held_by(store: OneStore, shard: str = "d") -> list[Any]:
    """All that a living shard holds: a digest, its base and its promise."""
    record = store.twin.state.groups[GROUP].shards[shard]
    digest = store.do("digest", shard, record.ap, "kv", "", 1 << 20)
    assert digest[0] == "OK"
    base = record.be, record.bs, record.bc
    tail = record.te, record.ts, record.tc, record.cm
    return [digest[2], base, tail, record.data.size_bytes, store.grant(shard)]
