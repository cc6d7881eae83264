"""A lane in random histories: everything asked is answered once, in order, with its own answer."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from controlplane.node.lane import Lane
from regions.codec import Reply


class LaneHistory(RuleBasedStateMachine):
    """The model: what was asked, in order; what of it is under way; what came of each."""

    def __init__(self) -> None:
        super().__init__()
        self.lane = Lane("s1", "incarnation", "p", 2)
        self.generation = 0
        self.now_ms = 0
        self.opseq = 10
        self.asked = 0
        self.calls: deque[list[int]] = deque()  # the questions of each call under way
        self.waiting: list[int] = []
        self.heard: list[tuple[int, Any]] = []
        self.expected: list[tuple[int, Any]] = []

    @initialize()
    def connect_first(self) -> None:
        self.connect(1)

    @rule(times=st.integers(1, 3))
    def ask(self, times: int) -> None:
        for number in range(self.asked, self.asked + times):
            self.waiting.append(number)
            self.lane.ask([number], partial(self._hear, number))
        self.asked += times

    def _hear(self, number: int, result: Any, now_ms: int) -> None:
        assert now_ms == self.now_ms
        self.heard.append((number, result))

    @rule(passes_ms=st.integers(0, 50), asks=st.booleans())
    def send(self, passes_ms: int, asks: bool) -> None:
        if asks:
            self.ask(1)
        self.now_ms += passes_ms
        call = self.lane.call(self.now_ms)
        if call is None:
            assert not self.waiting or not self.generation or self.lane.quarantined
            return
        numbers = [command[0] for command in call.commands]
        assert numbers == self.waiting[: len(numbers)]
        assert call.generation == self.generation
        del self.waiting[: len(numbers)]
        self.calls.append(numbers)

    @precondition(lambda self: self.calls)
    @rule(grows=st.integers(0, 3))
    def answer(self, grows: int) -> None:
        numbers, self.opseq = self.calls.popleft(), self.opseq + grows
        results: list[list[Any]] = [["OK", 1, "open", False, number] for number in numbers]
        assert self.lane.answered(self.reply("OK", results), self.now_ms)
        self.expected += zip(numbers, results, strict=True)

    @precondition(lambda self: self.calls)
    @rule(how=st.sampled_from(["refused", "too many", "too few", "declined"]))
    def refuse(self, how: str) -> None:
        numbers = self.calls.popleft()
        if how == "declined":
            self.lane.declined(self.now_ms)
        else:
            surplus = {"refused": 0, "too many": len(numbers) + 1, "too few": len(numbers) - 1}
            code = "WRONG_INCARNATION" if how == "refused" else "OK"
            results: list[list[Any]] = [["OK", 1, "open", False]] * surplus[how]
            assert not self.lane.answered(self.reply(code, results), self.now_ms)
        self.expected += [(number, None) for number in numbers]

    @precondition(lambda self: self.calls)
    @rule()
    def roll_back(self) -> None:
        if self.lane.opseq:
            numbers = self.calls.popleft()
            older = Reply("OK", "s1", "incarnation", "run", self.lane.opseq - 1, [])
            assert not self.lane.answered(older, self.now_ms)
            assert self.lane.quarantined
            self.expected += [(number, None) for number in numbers]

    @rule(really=st.sampled_from([False, False, False, True]))
    def lose(self, really: bool) -> None:
        if not really:
            return
        self.lane.lost(self.now_ms)
        under_way = [number for call in self.calls for number in call]
        self.expected += [(number, None) for number in under_way + self.waiting]
        self.calls.clear()
        self.waiting.clear()
        self.generation = 0

    @precondition(lambda self: not self.generation)
    @rule(ahead=st.integers(1, 3))
    def connect(self, ahead: int) -> None:
        self.lane.connected(self.lane.generation + ahead)
        if self.lane.quarantined:
            assert not self.lane.is_up
        else:
            self.generation = self.lane.generation

    @invariant()
    def everything_is_heard_once_and_in_order(self) -> None:
        assert self.heard == self.expected
        assert bool(self.lane.waiting) == bool(self.waiting)
        assert len(self.lane.under_way) == len(self.calls)
        assert self.lane.is_up == bool(self.generation)
        assert (self.lane.overdue_ms is None) == (not self.calls)

    def reply(self, code: str, results: list[list[Any]]) -> Reply:
        """An answer of the store that is at the model's opseq."""
        return Reply(code, "s1", "incarnation", "run", self.opseq, results)


TestLaneHistory = LaneHistory.TestCase
TestLaneHistory.settings = settings(max_examples=50, stateful_step_count=40)
