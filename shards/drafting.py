"""Filling one parent's part of one draft at one store, question by question.

Theory of operation. The draft is made known first, which also shows how far it is. Where the store
holds the parent itself, it copies by itself, in steps of bounded size (`draft_local`). Every other
store is filled over the network (shards/draft_copy). A part is *final* when everything up to the
parent's closing entry is applied; when all are, the store makes the draft ripe in that moment. The
filler of another part learns of it by asking again.

    MAKING  --its state------> FILLING --nothing more for now--> WAITING --asked again--> FILLING
    FILLING --final----------> FINAL   --asked again, all parts final--> RIPE
    any     --there is another shard of that name--> FOREIGN
    any     --dropped for good---------------------> DROPPED

An attempt is named after the process that makes it. If another one is at the same draft, or begins
it anew, this one takes a greater number after a while.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from regions.codec import Code

STEP_BYTES: Final = 32 * 1024
"""A step of a store on its own: some milliseconds in which it does nothing else."""
UNKNOWN_LAG: Final = 1 << 53


class Stage(Enum):
    """How far the part is."""

    MAKING = "making"
    FILLING = "filling"
    WAITING = "waiting"
    FINAL = "final"
    RIPE = "ripe"
    FOREIGN = "foreign"
    DROPPED = "dropped"


OVER: Final = (Stage.RIPE, Stage.FOREIGN, Stage.DROPPED)


@dataclass(frozen=True, slots=True)
class Place:
    """Which part of which draft: resharding, parent's place in it, and both shards' groups."""

    number: int
    part: int
    child: str
    child_group: str
    shares: tuple[tuple[int, int], ...]
    parent: str
    parent_group: str


class Drafting:
    """One part of a draft at one store that holds the parent."""

    __slots__ = ("_attempt", "_place", "_process", "chain", "cursor", "epoch_max", "stage")

    def __init__(self, place: Place, process: str, attempt: int) -> None:
        self._place = place
        self._process = process
        self._attempt = attempt
        self.stage = Stage.MAKING
        self.cursor: int | None = None  # of this part; None while its pages are not complete
        self.chain = 0  # of the entry there
        self.epoch_max = 0  # of the entries at the cursors of all parts

    # -- what is asked

    def question(self, version: int) -> list[Any] | None:
        """What to ask the store now, in a version of the child's group; None when it is over."""
        place = self._place
        match self.stage:
            case Stage.MAKING:
                shares = [list(share) for share in place.shares]
                return ["draft", place.child_group, version, place.child, place.number, shares]
            case Stage.FILLING | Stage.WAITING:
                self.stage = Stage.FILLING
                return [
                    "draft_local", place.child_group, version, place.child, place.number,
                    place.part, self.attempt, place.parent_group, place.parent, STEP_BYTES,
                ]  # fmt: skip
            case Stage.FINAL:
                return ["draft_state", place.child_group, version, place.child, place.number]
        return None

    @property
    def attempt(self) -> str:
        """The name of this attempt."""
        return f"{self._attempt}/{self._process}"

    # -- what is answered

    def answered(self, result: list[Any]) -> bool:
        """Take the answer to `question`; says whether the next one need not wait."""
        self._take(result)
        return result[0] == Code.OK and self.stage is Stage.FILLING

    def _take(self, result: list[Any]) -> None:
        code, payload = result[0], result[4:]
        if code == Code.OK:
            ripe, states, *more = payload
            self._showed(ripe, states, bool(more and more[0]))
        elif code == Code.EXISTS:
            self.stage = Stage.FOREIGN
        elif code == Code.STALE:
            self._overtaken(*payload)
        elif code == Code.GAP:
            self.begin_anew()
        elif code == Code.UNKNOWN:
            # No draft of this number, or no log of the parent there.
            self.stage = Stage.WAITING if self.stage is Stage.FILLING else Stage.MAKING
        else:
            self.stage = Stage.WAITING if self.stage is Stage.FILLING else self.stage

    def _showed(self, ripe: int, states: list[list[Any]], more: bool) -> None:
        if ripe:
            self.stage = Stage.RIPE
            return
        by, phase, _, seq, chain = states[self._place.part]
        for _, other_phase, epoch, _, _ in states:
            if other_phase in ("log", "final"):
                self.epoch_max = max(self.epoch_max, int(epoch))
        self.cursor, self.chain = (seq, chain) if phase in ("log", "final") else (None, 0)
        if phase == "final":
            self.stage = Stage.FINAL
        elif self.stage is Stage.FILLING:
            self.stage = Stage.FILLING if more else Stage.WAITING
        else:
            if phase in ("pages", "walk") and by != self.attempt:
                self._attempt = max(self._attempt, number_of(by) + 1)
            self.stage = Stage.FILLING

    def _overtaken(self, n: int, by: str) -> None:
        """The draft is of a later resharding or was dropped (no attempt said), or this attempt is
        over."""
        if by:
            self._attempt = max(self._attempt, number_of(by)) + 1
            self.stage = Stage.WAITING
        else:
            self.stage = Stage.DROPPED

    def begin_anew(self) -> None:
        """What was brought is worth nothing: a greater attempt begins."""
        self._attempt += 1
        self.cursor = None
        self.stage = Stage.WAITING

    def lag(self, commit: int) -> int:
        """How many committed entries of the parent the draft lacks."""
        if self.stage in (Stage.FINAL, Stage.RIPE, Stage.FOREIGN):
            return 0
        return UNKNOWN_LAG if self.cursor is None else max(0, commit - self.cursor)

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to ask."""
        return self.stage in OVER


def number_of(attempt: str) -> int:
    """The number of an attempt; 0 of none."""
    number, _, _ = attempt.partition("/")
    return int(number) if number else 0
