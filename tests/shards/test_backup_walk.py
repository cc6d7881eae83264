"""A shard read out while it is written and trimmed: it comes out as it was at one position."""

from __future__ import annotations

import random
from typing import Any

import pytest

from regions.codec import FORMAT, Code
from shards import backup_walk
from shards.backup_walk import BEGINNINGS_MAX, BackupWalk, Phase
from shards.entry import Entry, write_entry
from shards.scripts.model import new_store
from tests.rules.one_store import GROUP, OneStore

SHARD, SID, EPOCH = "a", "p1/1", 1
ATTEMPT = "1/restore"
NEXT = 2
START = Entry(0, 0, 0, b"")


class Busy:
    """A store of which the shard is led: every entry is committed at once."""

    def __init__(self, draw: random.Random) -> None:
        self.store = OneStore()
        self.store.register(SID)
        assert self.store.prepare(SHARD, EPOCH, SID) == "OK"
        self.log = [START]
        self._draw = draw

    def write(self, effects: list[list[Any]], op_id: str = "") -> None:
        last = self.log[-1]
        digest = "d" if op_id else ""
        entry = write_entry(last.sequence, last.chain, EPOCH, effects, op_id, digest, "done")
        self.log.append(entry)
        commit = entry.sequence
        assert self.store.append(SHARD, EPOCH, SID, last, (entry,), commit)[0] == "OK"

    def write_something(self) -> None:
        seq, key = len(self.log), f"k{self._draw.randrange(12)}"
        kind = self._draw.random()
        if kind < 0.15:
            self.write([["d", "part", key]])
        elif kind < 0.25:
            self.write([["h", str(1 + seq % 5), ["led", seq]]])
        elif kind < 0.3:
            self.write([["x", max(0, seq - 6)]])
        else:
            # A retry under the name of an earlier operation is remembered, and does nothing.
            op_id = f"op{self._draw.randrange(1, seq + 1)}" if kind < 0.7 else ""
            self.write([["p", "part", key, f"{seq}".encode(), seq]], op_id)

    def trim(self) -> None:
        upto = self._draw.randrange(len(self.log))
        assert self.store.do("trim", SHARD, str(EPOCH), SID, upto)[0] == "OK"

    def walk(self) -> BackupWalk:
        return BackupWalk(GROUP, 1, SHARD, self.store.committed(SHARD))

    def answer(self, walk: BackupWalk) -> None:
        walk.answered(self.store.call(walk.question()).results[0])


class Taken:
    """What is taken away of a walk, as the file of a backup takes it."""

    def __init__(self) -> None:
        self.pages: list[list[Any]] = []
        self.logs: list[list[Any]] = []
        self._beginnings = 0

    def take(self, walk: BackupWalk) -> None:
        if walk.beginnings != self._beginnings:
            self.pages, self.logs, self._beginnings = [], [], walk.beginnings
        self.pages += walk.pages
        self.logs += walk.logs
        walk.pages, walk.logs = [], []


def contents(store: OneStore) -> list[Any]:
    """All that a store shows of the shard's data."""
    return [store.do("page", SHARD, part, "", 1 << 30)[2] for part in ("kv", "id", "hi")]


def of_the_log(log: list[Entry]) -> list[Any]:
    """The contents of a store that simply got these entries, one after the other."""
    plain = OneStore()
    plain.register(SID)
    plain.prepare(SHARD, EPOCH, SID)
    if len(log) > 1:
        entries = tuple(log[1:])
        assert plain.append(SHARD, EPOCH, SID, START, entries, log[-1].sequence)[0] == "OK"
    return contents(plain)


def restored(walk: BackupWalk, taken: Taken) -> OneStore:
    """A new store, made a member of the group's next version with what was taken."""
    store = OneStore("s2")
    store.twin = new_store("s2")
    store.incarnation = store.twin.state.incarnation

    def ask(operation: str, version: int, *arguments: Any) -> None:
        header = [FORMAT, store.incarnation, "", 0]
        result = store.twin.call(header, [[operation, GROUP, version, *arguments]]).results[0]
        assert result[0] == "OK", (operation, result)

    ask("learn", 1, ATTEMPT, b"next")
    for page in taken.pages:
        ask("learn_page", 1, SHARD, ATTEMPT, *page)
    epoch, sequence, chain = walk.start
    if sequence:
        ask("learn_data", 1, SHARD, ATTEMPT, str(epoch), sequence, chain, walk.upto)
    for log in taken.logs:
        ask("learn_log", 1, SHARD, ATTEMPT, *log)
    epoch, sequence, chain = walk.position
    tip = [sequence + 1, [], str(epoch), sequence, chain, sequence]
    ask("merge", NEXT, SHARD, ATTEMPT, "0", "9", "0", "", 0, 0, 0, b"", *tip)
    ask("finish_install", NEXT, ATTEMPT, 1, b"next")
    store.version = NEXT
    return store


@pytest.mark.parametrize("seed", range(60))
def test_it_is_the_shard_at_its_position(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_walk, "PAGE_BYTES", 1)
    monkeypatch.setattr(backup_walk, "TAIL_BYTES", 100)
    monkeypatch.setattr(backup_walk, "BEGINNINGS_MAX", 1_000)
    draw = random.Random(seed)
    busy = Busy(draw)
    for _ in range(draw.randrange(1, 40)):
        busy.write_something()
    if draw.random() < 0.5:
        busy.trim()
    begun, walk, taken = busy.store.committed(SHARD), busy.walk(), Taken()
    writes = 60
    while not walk.is_over:
        busy.answer(walk)
        taken.take(walk)
        for _ in range(min(writes, draw.randrange(3))):
            writes -= 1
            busy.write_something()
            if draw.random() < 0.1:
                busy.trim()
    assert walk.phase is Phase.DONE, walk.why
    position = walk.position[1]
    assert begun <= position <= busy.log[-1].sequence
    assert walk.position[2] == busy.log[position].chain
    store = restored(walk, taken)
    assert contents(store) == of_the_log(busy.log[: position + 1])
    assert store.committed(SHARD) == position


def test_a_shard_of_which_nothing_is_committed_is_over_at_once() -> None:
    busy = Busy(random.Random(0))
    walk = BackupWalk(GROUP, 1, SHARD, 0)
    assert (walk.is_over, walk.position) == (True, (0, 0, 0))
    assert contents(restored(walk, Taken())) == of_the_log(busy.log[:1])


def test_what_is_not_committed_is_left_out() -> None:
    busy = Busy(random.Random(1))
    for _ in range(5):
        busy.write([["p", "part", "k", b"v", len(busy.log)]])
    last = busy.log[-1]
    more = write_entry(last.sequence, last.chain, EPOCH, [["p", "part", "z", b"v", 6]])
    assert busy.store.append(SHARD, EPOCH, SID, last, (more,), last.sequence)[0] == "OK"
    walk, taken = busy.walk(), Taken()
    while not walk.is_over:
        busy.answer(walk)
        taken.take(walk)
    assert walk.position[1] == 5
    assert restored(walk, taken).value(SHARD, "z") is None


def test_a_log_that_is_always_trimmed_faster_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_walk, "PAGE_BYTES", 1)
    busy = Busy(random.Random(2))
    for number in range(5):
        busy.write([["p", "part", f"k{number}", b"v", len(busy.log)]])
    walk = busy.walk()
    while not walk.is_over:
        busy.answer(walk)
        for _ in range(2):
            busy.write([["p", "part", "k", b"v", len(busy.log)]])
        assert busy.store.do("trim", SHARD, str(EPOCH), SID, len(busy.log) - 1)[0] == "OK"
    assert walk.phase is Phase.FAILED
    assert f"trimmed faster than it was read, {BEGINNINGS_MAX} times" in walk.why


def test_ids_that_are_forgotten_while_ids_are_read_begin_it_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backup_walk, "PAGE_BYTES", 1)
    busy = Busy(random.Random(3))
    for number in range(4):
        put = ["p", "part", "k", b"v", len(busy.log)]
        busy.write([put], op_id=f"op{number}")
    walk = busy.walk()
    while walk.phase is not Phase.TAILING:
        busy.answer(walk)
    busy.write([["x", 2]])
    busy.answer(walk)
    assert (walk.beginnings, walk.phase, walk.pages) == (1, Phase.LOCATING, [])


@pytest.mark.parametrize("code", [Code.BUSY, Code.OLD_VERSION, Code.SEALED])
def test_a_refusal_ends_it(code: Code) -> None:
    walk = BackupWalk(GROUP, 1, SHARD, 3)
    walk.answered([code, 1, "open", False])
    assert (walk.phase, walk.why) == (Phase.FAILED, f"the store answers {code}")
