"""Making one store a member of the next version: every shard merged, then the switch.

Theory of operation. The store is sealed, or it learns, so it counts for nothing: it can be brought
along shard by shard, each command only raising what is there. Merges are tried without entries
first, many in one call, since most stores have the greatest log already. Where one lacks entries it
says so, and they are carried from a store that has them (shards/tail_copy); where those are trimmed
away, a copy of the data comes first (shards/learner_copy). When every shard was merged under this
attempt, and not before, the switch is asked for: it opens the store in the new version, at once.

    MERGING   --every shard merged--> SWITCHING --> INSTALLED
    MERGING   --data is needed--> ENTERING --it can be copied to by this attempt--> MERGING
    ENTERING, MERGING, SWITCHING --it is not as it was believed--> ASTRAY: it is asked anew
    MERGING   --no source has that log any more--> OUTDATED: a new merge is needed

Several processes may do this to one store: what each merges is at least what was acknowledged, and
the first that has merged all of it switches the store.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum
from itertools import islice
from typing import Any, Protocol

from regions.codec import Code, Reply
from regions.membership import GroupDescription, Member
from regions.store_calls import Calls
from shards.learner_copy import LearnerCopy
from shards.learner_copy import Phase as CopyPhase
from shards.merge import Record, merge_command
from shards.tail_copy import Phase as TailPhase
from shards.tail_copy import TailCopy

MERGES_PER_CALL = 100
CALLS_MAX = 4  # of merges, under way at a time
COPIES_MAX = 8  # of logs and data, under way at a time
NOT_AS_BELIEVED = (Code.OLD_VERSION, Code.NEW_VERSION, Code.NOT_MEMBER, Code.UNDECIDED, Code.SEALED,
                   Code.EXISTS)  # fmt: skip


class Sources(Protocol):
    """The other stores of a change, as far as they can be read from."""

    def with_log(self, target: Member, record: Record, now_ms: int) -> tuple[Member, int] | None:
        """A store other than `target` that has a record's log, and the version to ask it in."""

    def are_gone(self, record: Record) -> bool:
        """Whether every store that had a record's log when it was dumped is out of question."""

    def doubt(self, source: Member, now_ms: int) -> None:
        """A source refused: it is not as it was believed."""


class Stage(Enum):
    """How far it is."""

    ENTERING = "entering"
    MERGING = "merging"
    SWITCHING = "switching"
    INSTALLED = "installed"
    ASTRAY = "astray"
    OUTDATED = "outdated"
    OVERTAKEN = "overtaken"
    BROKEN = "broken"


class Filling:
    """One attempt at one store. `why` says what it waits for, or how it ended."""

    __slots__ = (
        "_asked", "_attempt", "_calls", "_calls_out", "_copies", "_is_taught", "_lacking",
        "_learns_as", "_learns_at", "_member", "_merged", "_new", "_sources", "_table", "_text",
        "_todo", "stage", "why",
    )  # fmt: skip

    def __init__(
        self, member: Member, new: GroupDescription, text: bytes, learns_as: bytes, attempt: str,
        table: Mapping[str, Record], calls: Calls, sources: Sources, enters: bool, learns_at: int,
    ) -> None:  # fmt: skip
        """`text` is the description as it was decided, `learns_as` what the store is told when it
        must learn, in the version `learns_at`; `enters`: it must, before anything else."""
        self._member = member
        self._new = new
        self._text = text
        self._learns_as = learns_as
        self._learns_at = learns_at
        self._attempt = attempt
        self._table = table
        self._calls = calls
        self._sources = sources
        self._todo = deque(sorted(table))
        self._lacking: dict[str, int] = {}  # shards whose log is needed, above that
        self._merged: set[str] = set()
        self._calls_out = 0
        self._copies = 0
        self._asked = False
        self._is_taught = False  # it learns by this attempt
        self.stage = Stage.ENTERING if enters else Stage.MERGING
        self.why = ""

    def advance(self, now_ms: int) -> None:
        """Ask for what can be asked now."""
        if not self._calls.ready(self._member, now_ms):
            return
        match self.stage:
            case Stage.ENTERING if not self._calls_out and not self._copies:
                arguments: list[Any] = [self._attempt, self._learns_as]
                self._ask_once("learn", self._learns_at, arguments, self._entered)
            case Stage.MERGING:
                self._merge(now_ms)
            case Stage.SWITCHING:
                arguments = [self._attempt, len(self._table), self._text]
                self._ask_once("finish_install", self._new.version, arguments, self._switched)

    def _ask_once(
        self, operation: str, version: int, arguments: list[Any],
        take: Callable[[list[Any], int], None],
    ) -> None:  # fmt: skip
        """One command; its answer, if there is one, goes to `take`."""
        if self._asked:
            return
        self._asked = True
        command = [operation, self._new.group, version, *arguments]

        def answered(reply: Reply | None, now_ms: int) -> None:
            self._asked = False
            if reply is not None:
                take(reply.results[0], now_ms)

        self._calls.ask(self._member, [command], answered)

    def _entered(self, result: list[Any], now_ms: int) -> None:
        if result[0] == Code.OK:
            self._is_taught = True
            self._merged.clear()  # what was merged by another attempt counts for that one
            self._todo = deque(sorted(self._table.keys() - self._lacking.keys()))
            self.stage = Stage.MERGING
        else:
            self._refused(result, now_ms)

    def _switched(self, result: list[Any], now_ms: int) -> None:
        if result[0] == Code.OK:
            self.stage = Stage.INSTALLED
        elif result[0] == Code.GAP:  # what this attempt did was dropped for another one's sake
            self.stage = Stage.OVERTAKEN
        else:
            self._refused(result, now_ms)

    def _refused(self, result: list[Any], now_ms: int) -> None:
        """A command was refused in a way that concerns the whole store."""
        code = str(result[0])
        self.why = f"{self._member.store} answers {code}"
        if code == Code.CONFLICT:
            self.stage = Stage.BROKEN
        elif code == Code.STALE:
            self.stage = Stage.OVERTAKEN
        elif code in NOT_AS_BELIEVED:
            self.stage = Stage.ASTRAY
        else:
            self._calls.rest(self._member, now_ms)

    # -- merging

    def _merge(self, now_ms: int) -> None:
        while self._todo and self._calls_out < CALLS_MAX:
            batch = [self._todo.popleft() for _ in range(min(MERGES_PER_CALL, len(self._todo)))]
            self._calls_out += 1
            commands = [self._without_entries(shard) for shard in batch]
            self._calls.ask(self._member, commands, self._took(batch))
        for shard in list(islice(self._lacking, COPIES_MAX - self._copies)):
            self._carry(shard, self._lacking.pop(shard), now_ms)
        if self.stage is Stage.MERGING and len(self._merged) == len(self._table):
            self.stage = Stage.SWITCHING
        if self.stage is not Stage.MERGING:
            self.advance(now_ms)

    def _without_entries(self, shard: str) -> list[Any]:
        """A merge for a store that has the log, as most have."""
        record = self._table[shard]
        new, after = self._new, record.tip.sequence + 1
        return merge_command(new.group, new.version, shard, self._attempt, record, after, [])

    def _took(self, batch: list[str]) -> Callable[[Reply | None, int], None]:
        def take(reply: Reply | None, now_ms: int) -> None:
            self._calls_out -= 1
            if reply is None:
                self._todo.extend(batch)
                return
            for shard, result in zip(batch, reply.results, strict=True):
                if result[0] == Code.OK:
                    self._merged.add(shard)
                elif result[0] == Code.GAP:
                    self._lacking[shard] = result[-2]
                else:
                    self._todo.append(shard)
                    self._refused(result, now_ms)

        return take

    # -- logs and data that it lacks

    def _carry(self, shard: str, committed: int, now_ms: int) -> None:
        """Bring the log from a store that has it."""
        record = self._table[shard]
        found = self._sources.with_log(self._member, record, now_ms)
        if found is None:
            self.why = f"nobody answers who has the log of {shard}"
            self._lacking[shard] = committed
            if self._sources.are_gone(record):
                self.stage = Stage.OUTDATED
            return
        source, version = found
        new = self._new
        tail = TailCopy(shard, record, new.group, version, new.version, self._attempt, committed)

        def ended(result: list[Any] | None, now_ms: int) -> None:
            match tail.phase:
                case TailPhase.DONE:
                    self._merged.add(shard)
                case TailPhase.REPLACED:
                    self.stage = Stage.OUTDATED
                case TailPhase.TRIMMED:
                    self._carry_data(shard, committed, source, version)
                case _:
                    self._failed(shard, committed, result, now_ms)

        self._go_on(tail, source, ended)

    def _carry_data(self, shard: str, committed: int, source: Member, version: int) -> None:
        """The log that is left does not join on: bring what is committed first."""
        if not self._is_taught:
            self._lacking[shard] = committed
            self.stage = Stage.ENTERING
            return
        new = self._new
        copy = LearnerCopy(shard, new.group, version, self._learns_at, self._attempt, committed)

        def ended(result: list[Any] | None, now_ms: int) -> None:
            if copy.phase is CopyPhase.DONE:
                self._todo.append(shard)
            elif copy.is_spoilt:
                self.stage = Stage.OVERTAKEN
            else:
                self._failed(shard, committed, result, now_ms)

        self._go_on(copy, source, ended)

    def _go_on(
        self, copy: TailCopy | LearnerCopy, source: Member,
        ended: Callable[[list[Any] | None, int], None], is_new: bool = True,
    ) -> None:  # fmt: skip
        question = copy.question()
        assert question is not None, "a copy that is over is not asked on"
        self._copies += is_new
        asked = source if copy.is_at_source else self._member

        def take(reply: Reply | None, now_ms: int) -> None:
            result = None if reply is None else reply.results[0]
            copy.answered(result)
            if not copy.is_over:
                self._go_on(copy, source, ended, is_new=False)
                return
            self._copies -= 1
            if asked == source and result is not None and result[0] != Code.OK:
                self._sources.doubt(source, now_ms)
                result = None
            ended(result, now_ms)

        self._calls.ask(asked, [question], take)

    def _failed(self, shard: str, committed: int, result: list[Any] | None, now_ms: int) -> None:
        """An answer was lost, or the source refused (None), or the store itself did."""
        if result is not None and result[0] == Code.GAP:
            self._lacking[shard] = result[-2]
            return
        self._lacking[shard] = committed
        if result is not None and result[0] != Code.OK:
            self._refused(result, now_ms)
