"""The background digest: do the stores of a shard hold the same bytes at the same position?

Theory of operation. Stores that applied the same prefix of a log hold the same. So the leader asks
for a sum over one page of a shard's applied state, at every store within reach that was just sent
the commit index, and in the same turn: on the ordered lane the question comes right behind the
append that brings the store there, so that all of them answer for one position, however many writes
are under way. A store that has not got there says so, and is not compared.

One page of one shard every `DIGEST_EVERY_MS`, all shards led here in turn, along with calls that
are made anyway: cheap, and slow. A store that differs from most others is reported once, and shown
until a later pass over the whole shard finds it equal again. It is never mended here: what is wrong
with it, and which of them is right, is for people to find out before the evidence is gone.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from controlplane.node.group import Group
from regions.codec import Code
from shards.leadership import Leadership, Reply
from shards.log import Stream

if TYPE_CHECKING:
    from controlplane.node.node import Node

DIGEST_EVERY_MS = 1_000
PAGE_BYTES = 32 * 1024
MISSES_MAX = 5  # pages that too few stores answered for, before the shard's turn is over
SHARDS_NAMED_MAX = 5
BEGINNING = ("kv", "")
END = ""

Answer = tuple[str, str, str]  # the sum, and where the next page begins


@dataclass(slots=True)
class Pass:
    """One walk over the whole of a shard; `place` is where the next page begins."""

    group: Group
    shard: str
    epoch: int
    place: tuple[str, str] = BEGINNING
    asked: int = 0
    missed: int = 0
    answers: dict[str, Answer | None] = field(default_factory=dict)
    found: set[str] = field(default_factory=set)  # stores that differ


class Digests:
    """Comparisons at one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._turns: list[tuple[Group, str]] = []
        self._pass: Pass | None = None
        self._next_ms = 0
        self.diverged: dict[tuple[str, str], None] = {}  # (shard, store) that is known to differ

    def why(self, store: str, now_ms: int) -> str:
        """What is wrong with a store's copies, as far as this node found or heard."""
        shards = {shard for shard, differing in self.diverged if differing == store}
        shards.update(self._node.hearsay.differing(store, now_ms))
        if not shards:
            return ""
        named = ", ".join(sorted(shards)[:SHARDS_NAMED_MAX])
        return f"holds other data than its peers: {named}"

    def ask(self, now_ms: int) -> None:
        """Ask for the next page, if it is time; called behind all that is composed of a turn."""
        if now_ms < self._next_ms or (self._pass is not None and self._pass.asked):
            return
        walk = self._pass = self._pass or self._next_pass()
        if walk is None:
            self._next_ms = now_ms + DIGEST_EVERY_MS
            return
        leadership = walk.group.led.get(walk.shard)
        if leadership is None or leadership.epoch != walk.epoch or not leadership.serves(now_ms):
            self._pass = None
            return
        self._ask_page(walk, leadership, now_ms)

    def _next_pass(self) -> Pass | None:
        if not self._turns:
            self._turns = [(g, shard) for g in self._node.groups.values() for shard in g.led]
            self._forget_others()
        while self._turns:
            group, shard = self._turns.pop()
            leadership = group.led.get(shard)
            if leadership is not None:
                return Pass(group, shard, leadership.epoch)
        return None

    def _forget_others(self) -> None:
        """What is led elsewhere is compared, and told of, there."""
        here = {shard for _, shard in self._turns}
        self.diverged = {known: None for known in self.diverged if known[0] in here}

    def _ask_page(self, walk: Pass, leadership: Leadership, now_ms: int) -> None:
        log, group = leadership.log, walk.group
        assert log is not None, "a serving shard has a log"
        stores = [
            store for store, f in enumerate(log.followers)
            if f.stream is Stream.FLOWING and group.lanes[store].is_up
            and f.commit_sent == log.commit <= f.sent
        ]  # fmt: skip
        if not all(group.lanes[store].waiting for store in stores):
            return  # the next poll goes to all of them
        self._next_ms = now_ms + DIGEST_EVERY_MS
        walk.answers = {}
        if len(stores) < 2:
            self._missed(walk)
            return
        walk.asked = len(stores)
        command = [
            "digest", group.group, group.version, walk.shard, log.commit, *walk.place, PAGE_BYTES,
        ]  # fmt: skip
        for store in stores:
            group.ask(store, command, self._answered(walk, group.lanes[store].store, log.commit))

    def _answered(self, walk: Pass, store: str, position: int) -> Reply:
        def reply(result: list[Any] | None, now_ms: int) -> None:
            told = result is not None and result[0] == Code.OK
            walk.answers[store] = tuple(result[5:8]) if told and result is not None else None
            if len(walk.answers) == walk.asked:
                walk.asked = 0
                self._compare(walk, position)

        return reply

    def _compare(self, walk: Pass, position: int) -> None:
        told = {store: answer for store, answer in walk.answers.items() if answer is not None}
        if len(told) < 2:
            self._missed(walk)
            return
        walk.missed = 0
        ((usual, count), *_) = Counter(told.values()).most_common()
        majority = count * 2 > len(told)
        for store, answer in sorted(told.items()):
            if answer != usual or not majority:
                self._differs(walk, store, position)
        walk.place = usual[1:]
        if usual[1] == END:
            self._ended(walk)

    def _differs(self, walk: Pass, store: str, position: int) -> None:
        """Without a majority that agrees, nobody can say who is wrong: then all are named."""
        walk.found.add(store)
        if (walk.shard, store) not in self.diverged:
            self.diverged[walk.shard, store] = None
            detail = {"store": store, "part": walk.place[0], "position": position}
            self._node.happened("diverged", walk.shard, walk.epoch, detail)

    def _missed(self, walk: Pass) -> None:
        walk.missed += 1
        if walk.missed >= MISSES_MAX:
            self._pass = None

    def _ended(self, walk: Pass) -> None:
        for known in list(self.diverged):
            if known[0] == walk.shard and known[1] not in walk.found:
                del self.diverged[known]
        self._pass = None
