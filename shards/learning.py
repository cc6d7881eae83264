"""Making one store a learner of a group, and keeping it close to what the group commits.

Theory of operation. The store is told that it learns, and by whom: of two who teach one, the
greater attempt goes on. Then, pass by pass, what a store of the group holds is laid beside what the
learner has, and each shard that lacks something is copied (shards/learner_copy), some of them at a
time. The first pass carries everything, the next ones what was written during the one before, each
from another store, since one may lag. The learner has caught up once a whole pass from each that
answers carried less than `LAG_BYTES_MAX`; passes go on, slowly, until the change is decided.

    ENTERING --it learns by this attempt--> LISTING --both lists read--> COPYING --all copied-->
    LISTING ... any --it learns by a greater attempt--> ENTERING, after a rest, by a greater one

A copy that fails is left to the next pass, which reads from the next source; by a greater attempt,
if the copy was spoilt.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any

from regions.backoff import full_jitter_ms
from regions.codec import Code, Reply
from regions.membership import Member, members, read_description
from regions.store_calls import Calls
from shards.learner_copy import LearnerCopy, Phase
from shards.listing import Listing

LIST_BYTES = 64 * 1024
LEARNED_MAX = 500  # shards in one answer
COPIES_MAX = 16  # under way at a time
LAG_BYTES_MAX = 1024 * 1024
PASS_EVERY_MS = 1_000


class Stage(Enum):
    """Where the teaching of one learner is."""

    ENTERING = "entering"
    LISTING = "listing"
    COPYING = "copying"


class Learning:
    """One learner of one group; implements regions.change.Copying."""

    __slots__ = (
        "_asked", "_attempt", "_calls", "_carried", "_copies", "_draw", "_failed", "_has", "_holds",
        "_is_spoilt", "_member", "_next_attempt", "_next_ms", "_old", "_overtakings", "_saw",
        "_short_passes", "_source", "_sources", "_stage", "_text", "_todo", "caught_up", "why",
    )  # fmt: skip

    def __init__(
        self, old: bytes, member: Member, attempt: Callable[[str], str], calls: Calls,
        saw: Callable[[list[Any]], None], draw: Callable[[], float],
    ) -> None:  # fmt: skip
        """`old` is the description that its voters have; `attempt` names attempts, each greater
        than the last; `saw` is shown what may be a later version."""
        self._text = old
        self._old = read_description(old)
        self._member = member
        self._next_attempt = attempt
        self._calls = calls
        self._saw = saw
        self._draw = draw
        self.caught_up = False
        self._sources = deque(m for m in members(self._old.voters) if m.store != member.store)
        self._source = self._sources[0] if self._sources else member
        self.why = "" if self._sources else f"nobody is left that {member.store} could learn from"
        self._attempt = attempt("")
        self._stage = Stage.ENTERING
        self._asked = False
        self._holds: Listing | None = None
        self._has: Listing | None = None
        self._todo: deque[tuple[str, int]] = deque()
        self._copies = 0
        self._failed = 0
        self._carried = 0
        self._next_ms = 0  # of entering, or of a pass
        self._overtakings = 0
        self._is_spoilt = False  # some copy was: no other one under this attempt
        self._short_passes = 0  # in a row, each with another source

    def advance(self, now_ms: int) -> None:
        """Do what there is to do now."""
        if now_ms < self._next_ms or not self._sources:
            return
        match self._stage:
            case Stage.ENTERING:
                self._enter(now_ms)
            case Stage.LISTING:
                self._list(now_ms)
            case Stage.COPYING:
                self._copy(now_ms)

    # -- entering

    def _enter(self, now_ms: int) -> None:
        if self._asked or not self._calls.ready(self._member, now_ms):
            return
        self._asked = True
        old = self._old
        command = ["learn", old.group, old.version, self._attempt, self._text]
        self._calls.ask(self._member, [command], self._entered)

    def _entered(self, reply: Reply | None, now_ms: int) -> None:
        self._asked = False
        if reply is None:
            return
        result = reply.results[0]
        code = result[0]
        if code == Code.OK:
            self._begin_pass()
        elif code == Code.STALE:
            self._overtaken(now_ms, str(result[4]))
        else:
            self.why = f"{self._member.store} does not learn: {code}"
            self._calls.rest(self._member, now_ms)

    def _overtaken(self, now_ms: int, by: str = "") -> None:
        """Somebody else (the attempt `by`) teaches it, or taught it: leave that one some time, then
        take over."""
        if self._stage is Stage.ENTERING and now_ms < self._next_ms:
            return
        ttl_ms = self._old.ttl_ms
        pause_ms = full_jitter_ms(
            self._overtakings, first_ms=2 * ttl_ms, ceiling_ms=64 * ttl_ms, draw=self._draw()
        )
        self._attempt = self._next_attempt(by)
        self._overtakings += 1
        self._stage = Stage.ENTERING
        self._next_ms = now_ms + pause_ms
        self._short_passes = 0
        self.caught_up = False
        self.why = f"{self._member.store} learns from somebody else"

    # -- passes

    def _begin_pass(self) -> None:
        group, version, attempt = self._old.group, self._old.version, self._attempt
        self._stage = Stage.LISTING
        self._carried = self._failed = 0
        self._holds = Listing(
            self._calls, self._source,
            lambda after: ["dump", group, version, after, LIST_BYTES, 0],
        )  # fmt: skip
        self._has = Listing(
            self._calls, self._member,
            lambda after: ["learned", group, version, attempt, after, LEARNED_MAX],
        )  # fmt: skip

    def _list(self, now_ms: int) -> None:
        holds, has = self._holds, self._has
        if holds is None or has is None:
            return
        if has.refusal is not None:
            self._overtaken(now_ms)
        elif holds.refusal is not None or not self._calls.ready(self._source, now_ms):
            if holds.refusal is not None:
                self._refused(self._source, holds.refusal, now_ms)
            self._turn_to_next_source()
            self._begin_pass()
        elif holds.complete and has.complete:
            self._todo = deque(_lacking(holds.records, has.records))
            self._holds = self._has = None
            self._stage = Stage.COPYING
            self._copy(now_ms)
        else:
            holds.advance(now_ms)
            has.advance(now_ms)

    def _turn_to_next_source(self) -> None:
        self._sources.rotate(-1)
        self._source = self._sources[0]

    def _copy(self, now_ms: int) -> None:
        while self._todo and self._copies < COPIES_MAX:
            shard, matched = self._todo.popleft()
            version = self._old.version
            self._copies += 1
            copy = LearnerCopy(shard, self._old.group, version, version, self._attempt, matched)
            self._go_on(copy, self._source)
        if not self._copies and not self._todo:
            self._passed(now_ms)

    def _go_on(self, copy: LearnerCopy, source: Member) -> None:
        question = copy.question()
        assert question is not None, "a copy that is over is not asked on"
        member = source if copy.is_at_source else self._member

        def take(reply: Reply | None, now_ms: int) -> None:
            result = None if reply is None else reply.results[0]
            copy.answered(result)
            if not copy.is_over:
                self._go_on(copy, source)
                return
            self._copies -= 1
            self._carried += copy.copied_bytes
            self._is_spoilt |= copy.is_spoilt
            if copy.phase is Phase.FAILED:
                self._failed += 1
                if result is not None:
                    self._refused(member, result, now_ms)

        self._calls.ask(member, [question], take)

    def _refused(self, member: Member, result: list[Any], now_ms: int) -> None:
        self._saw(result)
        if result[0] == Code.STALE and self._stage is Stage.COPYING:
            self._overtaken(now_ms)
        else:
            self._calls.rest(member, now_ms)

    def _passed(self, now_ms: int) -> None:
        """All that was found lacking was copied, or failed."""
        ready = sum(self._calls.ready(source, now_ms) for source in self._sources)
        if self._failed:
            store, source = self._member.store, self._source.store
            self.why = f"{self._failed} copies from {source} to {store} failed"
        else:
            self.why = ""
        is_short = not self._failed and self._carried < LAG_BYTES_MAX
        self._short_passes = self._short_passes + 1 if is_short else 0
        self.caught_up = self._short_passes >= max(1, ready)
        if self.caught_up:
            self._next_ms = now_ms + PASS_EVERY_MS
        self._turn_to_next_source()
        if self._is_spoilt:
            self._is_spoilt = False
            self._attempt = self._next_attempt("")
            self._stage = Stage.ENTERING
        else:
            self._begin_pass()


def _lacking(holds: dict[str, list[Any]], has: dict[str, list[Any]]) -> list[tuple[str, int]]:
    """Shards of which a store has committed more than the learner, and what that one has."""
    found = []
    for shard, fields in holds.items():
        committed, matched = fields[12], has[shard][0] if shard in has else 0
        if committed > matched:
            found.append((shard, matched))
    return found
