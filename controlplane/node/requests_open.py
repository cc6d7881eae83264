"""Client requests that have not been answered yet: each is answered exactly once, in time.

A request that was sent to stores and not confirmed when its time is up has an unknown outcome; one
that was not sent is refused with what it waited for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from typing import Final, TypeAlias

from controlplane.machine import Answer, Effect
from controlplane.requests import (
    CancelResharding,
    DropGroup,
    MakeGroup,
    Outcome,
    Problem,
    Refused,
    Request,
    Reshard,
    Write,
)  # fmt: skip

TakeOutcome: TypeAlias = Callable[[Outcome], None]
LATE_MS: Final = 1_000
"""A request that is not answered so long after its time is up is nobody's any more."""
NoteAnswer: TypeAlias = Callable[[Request, Outcome, int], None]


@dataclass(slots=True)
class Open:
    """One request under way; `sent`: a write of it may have reached a store.

    `take` gets the answer to what this node asked of itself; all others are answered outside.
    """

    request: Request
    deadline_ms: int
    began_ms: int = 0
    sent: bool = False
    waiting_for: Problem = Problem.NO_QUORUM
    take: TakeOutcome | None = None


class OpenRequests:
    """All of a node's unanswered requests; deadlines come in the order of arrival, per kind."""

    __slots__ = (
        "_effects", "_note", "_open", "_own", "_reads", "_writes", "read_timeout_ms",
        "write_timeout_ms",
    )  # fmt: skip

    def __init__(
        self,
        effects: list[Effect],
        write_timeout_ms: int,
        read_timeout_ms: int,
        note: NoteAnswer = lambda request, outcome, began_ms: None,
    ) -> None:
        """`note` hears of every answer that goes outside."""
        self._effects = effects
        self._note = note
        self._open: dict[int, Open] = {}
        self._own = 0  # what this node asks of itself is numbered downwards
        self._writes: deque[tuple[int, int]] = deque()
        self._reads: deque[tuple[int, int]] = deque()
        self.write_timeout_ms = write_timeout_ms
        self.read_timeout_ms = read_timeout_ms

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, number: int, request: Request, now_ms: int) -> Open:
        """Note a new request."""
        is_write = isinstance(request, Write | Reshard | CancelResharding | MakeGroup | DropGroup)
        deadline_ms = now_ms + (self.write_timeout_ms if is_write else self.read_timeout_ms)
        found = Open(request, deadline_ms, now_ms)
        self._open[number] = found
        (self._writes if is_write else self._reads).append((deadline_ms, number))
        return found

    def begin_own(self, request: Request, take: TakeOutcome, now_ms: int) -> int:
        """Note a request of this node to itself; gives its number."""
        self._own -= 1
        self.begin(self._own, request, now_ms).take = take
        return self._own

    def get(self, number: int) -> Open | None:
        """The request, unless it was answered already."""
        return self._open.get(number)

    def answer(self, number: int, outcome: Outcome) -> None:
        """Answer it, unless it was answered already (its time may have been up)."""
        found = self._open.pop(number, None)
        if found is None:
            return
        if found.take is not None:
            found.take(outcome)
        else:
            self._note(found.request, outcome, found.began_ms)
            self._effects.append(Answer(number, outcome))

    def expire(self, now_ms: int) -> None:
        """Answer everything whose time is up."""
        for queue in (self._writes, self._reads):
            while queue and (queue[0][0] <= now_ms or queue[0][1] not in self._open):
                _, number = queue.popleft()
                found = self._open.get(number)
                if found is not None:
                    self.answer(number, _late(found))

    def orphaned(self, now_ms: int) -> int:
        """How many should have been answered a while ago; their deadlines come in order."""
        found = 0
        for queue in (self._writes, self._reads):
            late = takewhile(lambda each: each[0] + LATE_MS <= now_ms, queue)
            found += sum(number in self._open for _, number in late)
        return found

    @property
    def deadline_ms(self) -> int | None:
        """When the next request's time is up."""
        heads = [queue[0][0] for queue in (self._writes, self._reads) if queue]
        return min(heads) if heads else None


def _late(found: Open) -> Refused:
    if found.sent:
        return Refused(
            Problem.UNKNOWN_OUTCOME, "no majority confirmed it in time; it may still happen"
        )
    problem = found.waiting_for
    return Refused(problem, "no answer in time: " + problem.value, retry_after_ms=500)
